"""A run folder: what is in it, who may write to it, and what happens when something in it is not whole."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import ancestral.core.files
import ancestral.runs.fit as fit_module
from ancestral import fit
from ancestral.commands.main import main
from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.files import write_atomically, write_json
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.evaluation.score import Score
from ancestral.families.build import build_model, load_model
from ancestral.families.family import DataSpec
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.run_settings import settings_for
from ancestral.models.base import Model
from ancestral.reports.run_page import write_run_page
from ancestral.runs.evaluate import score_run
from ancestral.runs.run import Run
from ancestral.settings.training import TrainingSettings
from ancestral.training import steps as steps_module
from ancestral.training.checkpoint import load_state, save_state
from ancestral.training.log import Reading, TrainingLog, read_log
from ancestral.training.loop import Loop
from ancestral.training.objectives import Terms

SMALL: dict[str, Any] = {"train_size": 200, "valid_size": 50, "batch_size": 64, "epochs": 2}
CODING: dict[str, Any] = {**SMALL, "latents": 2, "hidden": (8,)}


def refused(action: Callable[[], object], *words: str) -> str:
    """The message with which an action is refused: one line that holds the given words."""
    with pytest.raises(InputError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message.strip()
    for word in words:
        assert word in message
    return message


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that no test changes."""
    return fit("mixture", tmp_path_factory.mktemp("runs") / "mixture", components=3, **SMALL).path


@pytest.fixture
def copy(mixture: Path, tmp_path: Path) -> Path:
    """A copy of that run for a test to damage."""
    for name, content in contents(mixture).items():
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_bytes(content)
    return tmp_path / "copy"


# ---- what is recorded


def test_the_record_holds_all_that_determines_the_run(mixture: Path) -> None:
    record = json.loads((mixture / "settings.json").read_text())
    assert record["settings"]["family"] == "mixture"
    assert record["settings"]["model"] == {
        "components": 3,
        "conditional": False,
        "method": "gradient",
        "smoothing": 0.05,
    }
    assert record["settings"]["training"]["batch_size"] == 64 and record["settings"]["training"]["seed"] == 0
    assert record["data"]["name"] == "digits" and len(record["data"]["sha256"]) == 64
    assert record["data"]["counts"] == {"train": 200, "valid": 50, "test": 447}
    assert record["data"]["space"] == "digits, binary, threshold 0.5"
    assert record["data"]["event_shape"] == [1, 8, 8]
    assert record["versions"]["torch"] == torch.__version__ and record["versions"]["python"]
    assert {"git_commit", "started", "machine", "command"} <= set(record)
    outcome = Run(mixture).outcome
    assert (outcome["reason"], outcome["steps"], outcome["epochs"]) == ("epochs", 8, 2)


def test_the_settings_of_a_run_read_back_as_they_were(tmp_path: Path) -> None:
    wanted = settings_for("vae", prior="vamp", components=2, watch=("valid", "test"), samples_at=(1,), **CODING)
    assert fit_module.fit_settings(wanted, tmp_path / "run").settings == wanted


def test_samples_are_drawn_after_the_epochs_asked_for(tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", samples_at=(0, 2), **CODING)
    assert [p.name for p in sorted(run.figures.iterdir())] == [
        "samples-epoch-0000.png",
        "samples-epoch-0002.png",
    ]


def test_validation_readings_do_not_change_a_training(tmp_path: Path) -> None:
    """Validation, pictures, logging and checkpoints draw nothing from the training's randomness."""
    plain = fit("vae", tmp_path / "plain", pixels="binary", prior="mixture", valid_size=50, **_without(CODING))
    watched = fit(
        "vae",
        tmp_path / "watched",
        pixels="binary",
        prior="mixture",
        valid_size=50,
        samples_at=(0, 1),
        watch=("train", "valid", "test"),
        log_every=1,
        checkpoint_seconds=0.0,
        **_without(CODING),
    )
    assert _weights(plain) == _weights(watched)
    other = fit("vae", tmp_path / "other", pixels="binary", prior="mixture", seed=1, **CODING)
    assert _weights(plain) != _weights(other)


def _without(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "valid_size"}


def _weights(run: Run) -> bytes:
    return (run.model_folder / "model.safetensors").read_bytes()


# ---- who may write


def test_a_folder_with_another_run_is_refused_and_not_changed(copy: Path) -> None:
    before = contents(copy)
    refused(lambda: fit("mixture", copy, components=3, **SMALL), "already contains a run", "--out", "--resume")
    assert contents(copy) == before


def test_a_folder_with_other_files_is_refused_and_not_changed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work")
    for resume in (False, True):
        refused(lambda: fit("mixture", tmp_path, resume=resume, **SMALL), "not empty")  # noqa: B023
    assert contents(tmp_path) == {"thesis.tex": b"all my work"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(OSError):
        fit("mixture", tmp_path / "run", **SMALL)
    assert main(["train", "mixture", "--epochs", "1", "--out", str(tmp_path / "run")]) == 2


@pytest.mark.parametrize(
    ("family", "change", "words"),
    [
        ("mixture", {"components": 4}, ("components", "3", "4")),
        ("mixture", {"learning_rate": 0.5}, ("learning_rate", "0.01", "0.5")),
        ("mixture", {"seed": 7}, ("seed", "0", "7")),
        ("mixture", {"epochs": 1}, ("epochs", "1", "2")),
        ("mixture", {"patience": 3}, ("patience", "3")),
        ("mixture", {"init_from": "elsewhere"}, ("init-from",)),
        ("mixture", {"pixels": "static"}, ("pixels", "threshold", "static")),
        ("mixture", {"samples_at": (1,)}, ("samples_at",)),
        ("vae", {}, ("mixture", "vae")),
    ],
)
def test_resuming_with_other_settings_is_refused(
    copy: Path, family: str, change: dict[str, Any], words: Sequence[str]
) -> None:
    before = contents(copy)
    own = {"components": 3} if family == "mixture" else {}
    refused(lambda: fit(family, copy, resume=True, **{**SMALL, **own, **change}), *words)
    assert contents(copy) == before


def test_resuming_with_other_data_is_refused(copy: Path) -> None:
    record = json.loads((copy / "settings.json").read_text())
    record["data"]["sha256"] = "0" * 64
    write_json(copy / "settings.json", record)
    Run(copy).manifest.write()
    refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL), "digits", "have changed")


HOLDER = """
import sys, time
from ancestral.runs.run import Run
with Run(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_unless_the_first_has_died(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        refused(lambda: fit("mixture", tmp_path / "run", **SMALL), "another process", "--out")
        assert not (tmp_path / "run" / "settings.json").exists()
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert fit("mixture", tmp_path / "run", **SMALL).outcome["reason"] == "epochs"


def test_files_of_a_process_killed_at_its_first_write_do_not_block_a_run(tmp_path: Path) -> None:
    for number, resume in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".lock").touch()
        (folder / ".settings.json.abcdefgh.tmp").write_bytes(b'{"sett')
        assert fit("mixture", folder, resume=resume, **SMALL).outcome["reason"] == "epochs"


# ---- what is not whole


def test_a_run_without_a_trained_model_is_refused(tmp_path: Path, copy: Path) -> None:
    refused(lambda: Run(tmp_path / "nowhere").load(), "not a run folder")
    (copy / "model" / "config.json").unlink()
    refused(lambda: Run(copy).load(), "--resume")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("name", ["model/model.safetensors", "model/config.json", "settings.json"])
def test_a_truncated_file_is_refused(copy: Path, name: str, share: float) -> None:
    content = (copy / name).read_bytes().rstrip()
    (copy / name).write_bytes(content[: int(share * len(content))])
    refused(lambda: (Run(copy).settings, Run(copy).load()), Path(name).name)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(copy: Path, share: float) -> None:
    path = Run(copy).checkpoint
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    before = contents(copy)
    refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL), "checkpoint", "train again")
    assert contents(copy) == before


@pytest.mark.parametrize("facts", [None, "[]", "{}", "{", '{"log_bytes": 0}', '{"log_bytes": "0", "position": {}}'])
def test_a_checkpoint_with_wrong_facts_is_refused(copy: Path, facts: str | None) -> None:
    path = Run(copy).checkpoint
    tensors = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save(tensors, None if facts is None else {"facts": facts}))
    refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL), "checkpoint")


def test_a_checkpoint_of_another_model_is_refused(copy: Path) -> None:
    path = Run(copy).checkpoint
    tensors, facts = load_state(path)
    tensors["model.w"] = tensors["model.w"][:2].clone()
    save_state(path, tensors, facts)
    Run(copy).manifest.write()
    refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL), "does not fit")


def test_a_log_shorter_than_its_checkpoint_is_refused(copy: Path) -> None:
    (copy / "log.jsonl").write_bytes(b"")
    refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL), "log.jsonl", "train again")


def test_a_log_is_read_up_to_a_line_cut_short(tmp_path: Path) -> None:
    whole = '{"step": 1, "epoch": 1, "split": "train", "name": "loss", "value": 2.0}\n'
    (tmp_path / "log.jsonl").write_text(whole + whole[:30])
    assert read_log(tmp_path / "log.jsonl") == [(1, 1, "train", "loss", 2.0)]
    (tmp_path / "log.jsonl").write_text("nonsense\n")
    refused(lambda: read_log(tmp_path / "log.jsonl"), "not a training log")


class Trap:
    """A pickle of this writes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("name", ["model/model.safetensors", "checkpoint/state.safetensors"])
def test_a_pickle_is_never_read(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(lambda: (Run(copy).load(), load_state(Run(copy).checkpoint)), Path(name).name)
    torch.save({"w": torch.zeros(3)}, copy / name)
    refused(lambda: (Run(copy).load(), load_state(Run(copy).checkpoint)), Path(name).name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"class": "Popen", "args": "true"},
        {"class": "os.system"},
        {"class": None},
        {},
        [],
        7,
        {"class": "MLP", "in_shape": [2], "hidden": [], "out_shape": [2]},
        {"class": "MixtureOfBernoullis", "event_shape": [1, 8, 8], "components": 3, "colour": "red"},
        {"class": "MixtureOfBernoullis", "event_shape": "wide", "components": 3},
        {"class": "MixtureOfBernoullis", "event_shape": [1, 8, 8], "components": 10**9},
        {"class": "MixtureOfBernoullis", "event_shape": [1, 10**6, 10**6], "components": 3},
    ],
    ids=str,
)
def test_a_strange_description_of_a_model_is_refused(copy: Path, config: Any) -> None:
    write_json(copy / "model" / "config.json", config)
    Run(copy).manifest.write()
    refused(lambda: Run(copy).load())


def test_a_description_of_a_huge_model_is_refused(tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", **CODING)
    path = run.model_folder / "config.json"
    config = json.loads(path.read_text())
    config["encoder"]["network"]["hidden"] = [10**9]  # 256 GB
    write_json(path, config)
    run.manifest.write()
    refused(run.load, "does not fit")


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    path = copy / "model" / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    path.write_bytes(safetensors.torch.save({**weights, "w": weights["w"].T.contiguous()}))
    Run(copy).manifest.write()
    refused(lambda: Run(copy).load(), "'w'")
    path.write_bytes(safetensors.torch.save({**weights, "stowaway": torch.zeros(1)}))
    Run(copy).manifest.write()
    refused(lambda: Run(copy).load(), "stowaway")


@pytest.mark.parametrize("settings", [{"family": "vae"}, [], {"family": "alchemy"}, {"family": "mixture", "model": 1}])
def test_a_strange_record_is_refused(copy: Path, settings: Any) -> None:
    record = json.loads((copy / "settings.json").read_text())
    for changed in ({**record, "settings": settings}, settings):
        write_json(copy / "settings.json", changed)
        refused(lambda: Run(copy).settings)
        refused(lambda: fit("mixture", copy, resume=True, components=3, **SMALL))


@pytest.mark.parametrize("text", ["", "7", "{}", "[1]", '[{"nats": 1}]', '[{"nats": 1, "colour": 2}]'])
def test_strange_scores_are_refused(copy: Path, text: str) -> None:
    (copy / "scores.json").write_text(text)
    if text == "{}":
        refused(lambda: Run(copy).scores(), "not a list of scores")
    refused(lambda: Run(copy).scores())


# ---- scores


def score(**changes: Any) -> Score:
    fields = {
        "nats": -20.0,
        "stderr": 0.5,
        "method": "ELBO",
        "kind": "bound",
        "side": "lower",
        "samples": 1,
        "space": "digits, binary, threshold 0.5",
        "split": "test",
        "count": 447,
        "dimensions": 64,
    }
    return Score(**{**fields, **changes})


def test_a_score_replaces_that_of_the_same_method_on_the_same_images(copy: Path) -> None:
    run = Run(copy)
    run.add_score(score())
    run.add_score(score(method="IWAE_100", samples=100, nats=-19.0))
    run.add_score(score(split="valid", count=50))
    run.add_score(score(count=10))
    assert len(run.scores()) == 4
    run.add_score(score(nats=-18.0))
    assert len(run.scores()) == 4
    assert [s.nats for s in run.scores() if (s.method, s.split, s.count) == ("ELBO", "test", 447)] == [-18.0]
    stored = json.loads((copy / "scores.json").read_text())
    assert stored[-1]["bits_per_dim"] == pytest.approx(18 / 64 / np.log(2))


def test_scores_added_at_once_are_all_kept(copy: Path) -> None:
    """Two evaluations of one run in two terminals must not lose each other's result."""
    writers = [threading.Thread(target=lambda i=i: Run(copy).add_score(score(method=f"IWAE_{i}"))) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(s.method for s in Run(copy).scores()) == [f"IWAE_{i}" for i in range(8)]


def test_scoring_adds_to_the_run(copy: Path) -> None:
    found = score_run(copy, "test")
    assert (found.kind, found.count, found.method) == ("exact", 447, "log p(x)")
    assert Run(copy).scores() == [found]
    model = Run(copy).load()
    x = Run(copy).data.held("test").first(447)
    with torch.no_grad():
        assert found.nats == pytest.approx(model.log_prob(x).double().mean().item(), abs=1e-6)  # type: ignore[operator]
    refused(
        lambda: score_run(fit("mixture", copy.parent / "b", **{**SMALL, "valid_size": 0}), "valid"),
        "no valid",
    )


# ---- weights that come back as they went

FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "mixture": ("mixture", {"components": 4}, "threshold"),
    "autoencoder": ("autoencoder", {"latents": 2, "hidden": (8,)}, "unit"),
    "vae-normal": ("vae", {"latents": 2, "hidden": (8,)}, "threshold"),
    "vae-mixture": ("vae", {"latents": 2, "hidden": (8,), "prior": "mixture", "components": 3}, "threshold"),
    "vae-vamp": ("vae", {"latents": 2, "hidden": (8,), "prior": "vamp", "components": 3}, "threshold"),
    "vae-cnn": ("vae", {"latents": 2, "network": "cnn", "channels": (3, 4), "strides": (2, 2)}, "threshold"),
    "vae-categorical": ("vae", {"latents": 2, "hidden": (8,)}, "levels"),
    "vae-logistic": ("vae", {"latents": 2, "hidden": (8,), "likelihood": "logistic"}, "levels"),
    "vae-gaussian": ("vae", {"latents": 2, "hidden": (8,), "learn_variance": True}, "unit"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_model_loads_bit_identically(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    family, settings, space = FAMILIES[name]
    model = build_model(family, settings_for(family, **settings).model, DataSpec((1, 8, 8), 17, space)).to(dtype).eval()
    model.save(tmp_path / "a")
    loaded = Model.load(tmp_path / "a")
    assert type(loaded) is type(model) and not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    loaded.save(tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with torch.random.fork_rng():
        draws = []
        for drawn_from in (model, loaded):
            torch.manual_seed(3)
            draws.append(drawn_from.sample(5))
    assert torch.equal(*draws)


def test_a_model_of_another_class_is_refused(mixture: Path) -> None:
    from ancestral.families.vae.vae import VAE

    refused(lambda: VAE.load(mixture / "model"), "MixtureOfBernoullis", "VAE")
    assert isinstance(MixtureOfBernoullis.load(mixture / "model"), MixtureOfBernoullis)


# ---- files


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_crash_while_writing_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def crash(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(ancestral.core.files.os, moment, crash)
    with pytest.raises(OSError):
        write_atomically(path, b"new" * 100)
    monkeypatch.undo()
    assert contents(tmp_path) == {"file": b"old"}, "and nothing is left beside it"
    write_atomically(path, b"new")
    assert contents(tmp_path) == {"file": b"new"}


def test_a_file_is_synchronised_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            ancestral.core.files.os,
            name,
            lambda *a, real=real, name=name: (order.append(name), real(*a))[1],
        )
    write_atomically(tmp_path / "new" / "file", b"content")
    assert order == ["fsync", "replace", "fsync"], "the file, its name, the folder"


# ---- divergence


def test_a_divergence_keeps_finite_weights(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        fit("vae", tmp_path / "run", optimizer="sgd", learning_rate=1e6, checkpoint_seconds=0.0, **CODING)
    run = Run(tmp_path / "run")
    weights = safetensors.torch.load_file(run.model_folder / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    tensors, _ = load_state(run.checkpoint)
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())
    assert run.outcome["reason"] == "diverged"


def test_a_divergence_before_the_first_checkpoint_keeps_the_first_weights(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged):
        fit("vae", tmp_path / "run", optimizer="sgd", learning_rate=1e6, **CODING)
    kept = safetensors.torch.load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(tensor.abs().max() < 10 for tensor in kept.values())


def test_the_exit_code_of_a_divergence_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "vae", "--optimizer", "sgd", "--learning-rate", "1e6", "--hidden", "8"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("ancestral: training diverged: ") and printed.err.count("\n") == 1


def test_a_loss_that_is_not_finite_makes_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[Tensor] = []
    steps: list[int] = []
    real_nll = fit_module.objective_of_kind

    def spying(model: Model) -> Callable[..., Terms]:
        def objective(model: Model, batch: Batch) -> Terms:
            terms = real_nll(model)(model, batch)
            losses.append(terms["loss"].detach().mean() * (float("nan") if len(losses) == 5 else 1))
            return {"loss": terms["loss"] * (float("nan") if len(losses) == 6 else 1)}

        return objective

    real_step, at_once = torch.optim.Adam.step, steps_module.updated_at_once
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *a, **k: (steps.append(1), real_step(self, *a, **k))[1])
    monkeypatch.setattr(steps_module, "updated_at_once", lambda self: at_once(self) and (steps.append(1), True)[1])
    monkeypatch.setattr(fit_module, "objective_of_kind", spying)
    with pytest.raises(TrainingDiverged, match="step 6"):
        fit("mixture", tmp_path / "run", **{**SMALL, "epochs": 3})
    assert len(losses) == 6 and not torch.isfinite(losses[-1])
    assert len(steps) == 5


# ---- the loop, with a model of one weight


class Scalar(MixtureOfBernoullis):
    """A model whose weights the test sets."""

    def __init__(self) -> None:
        super().__init__([1, 1, 1], 1)


class Scripted:
    """A step that sets the weight b to the number of updates so far; an image's loss is its first pixel."""

    def __init__(self, model: Model, values: Sequence[float] = ()) -> None:
        self.model, self.values, self.sizes = model, values, []

    def __call__(self, batch: Batch, step: int) -> Terms:
        self.sizes.append(len(batch.x))
        value = self.values[step] if self.values else float(step + 1)
        with torch.no_grad():
            self.model.b.fill_(value)  # type: ignore[operator, union-attr]
        return {"loss": batch.x.flatten(1)[:, 0]}

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        pass


def batches(count: int) -> PixelBatches:
    raw = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1)
    return PixelBatches(raw, PixelSpace("levels", 256), seed=5)


def loop(
    readings: Sequence[Sequence[Reading]] | None, tmp_path: Path, count: int = 10, **settings: Any
) -> tuple[Loop, Scripted]:
    """A loop whose n-th validation gives the n-th readings."""
    model = Scalar()
    step = Scripted(model)
    script = iter(readings or ())
    made = Loop(
        model,
        step,
        batches(count),
        TrainingSettings(**{"batch_size": 4, "epochs": 20, **settings}),
        validate=None if readings is None else lambda model: next(script),
        log=TrainingLog(tmp_path / "log.jsonl"),
        checkpoint=tmp_path / "state.safetensors",
    )
    return made, step


def valid(*values: float) -> list[list[Reading]]:
    return [[Reading("valid", "nll", value)] for value in values]


def test_training_stops_when_patience_is_over_and_keeps_the_best_weights(tmp_path: Path) -> None:
    made, _ = loop(valid(5, 4, 4.5, 4.2, 3.9, 4, 4, 3.9, 1), tmp_path, patience=3)
    outcome = made.run()
    assert (outcome.reason, outcome.epochs, outcome.steps) == ("patience", 8, 24)
    assert (outcome.best_step, outcome.best_value) == (15, 3.9), "equal is no improvement"
    assert made.model.b.item() == 15 and not made.model.training  # type: ignore[operator, union-attr]
    tensors, _ = load_state(tmp_path / "state.safetensors")
    assert tensors["model.b"].item() == 24, "the training's own state is the last, not the best"


def test_patience_within_an_epoch(tmp_path: Path) -> None:
    made, _ = loop(valid(5, 4, 6, 6, 6), tmp_path, patience=1, validate_every=2)
    outcome = made.run()  # validations after steps 2, 3 (end of epoch), 4
    assert (outcome.reason, outcome.steps, outcome.best_step) == ("patience", 4, 3)


def test_without_patience_training_goes_on_and_still_keeps_the_best(tmp_path: Path) -> None:
    made, _ = loop(valid(5, 1, *range(2, 20)), tmp_path, epochs=20)
    outcome = made.run()
    assert (outcome.reason, outcome.steps, outcome.best_step) == ("epochs", 60, 6)
    assert made.model.b.item() == 6  # type: ignore[operator, union-attr]


def test_a_validation_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    made, _ = loop(valid(float("nan"), 5, float("-inf"), 4, float("nan"), float("nan")), tmp_path, patience=2)
    outcome = made.run()
    assert (outcome.reason, outcome.best_step, outcome.best_value) == ("patience", 12, 4)


def test_only_validation_images_select_the_weights(tmp_path: Path) -> None:
    """Training and test values fall and rise as they like, in front and behind."""
    script = [
        [Reading("train-set", "nll", t), Reading("valid", "nll", v), Reading("test", "nll", s)]
        for t, v, s in [(9, 3, 1), (5, 1, 2), (1, 2, 3)]
    ]
    made, _ = loop(script, tmp_path, epochs=3)
    assert made.run().best_step == 6


def test_without_validation_images_the_last_weights_are_kept(tmp_path: Path) -> None:
    script = [[Reading("test", "nll", value)] for value in (1, 2, 3)]
    made, _ = loop(script, tmp_path, epochs=3, patience=1)
    outcome = made.run()
    assert (outcome.reason, outcome.best_value) == ("epochs", None)
    assert made.model.b.item() == 9  # type: ignore[operator, union-attr]


@pytest.mark.parametrize("watch", [("train", "valid", "test"), ("test", "train"), ()])
def test_a_fit_selects_by_the_validation_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: tuple[str, ...]
) -> None:
    scripts = {200: iter([3.0, 2.0, 1.0]), 50: iter([3.0, 1.0, 2.0]), 447: iter([1.0, 2.0, 3.0])}
    monkeypatch.setattr(
        "ancestral.runs.validation.held_out_losses", lambda model, images: {"nll": next(scripts[len(images)])}
    )
    run = fit("mixture", tmp_path / "run", watch=watch, **{**SMALL, "epochs": 3})
    assert run.outcome["best_step"] == 8 and run.outcome["best_value"] == 1.0
    logged = {line.split for line in run.log()}
    assert logged == {"train", "valid"} | {"train-set" if split == "train" else split for split in watch}


def test_the_last_short_minibatch_counts_for_its_images(tmp_path: Path) -> None:
    """10 images in batches of 4, 4 and 2: no image is left out, and none weighs more than another."""
    made, step = loop(None, tmp_path, epochs=2, log_every=100)
    made.run()
    made.log.close()  # type: ignore[union-attr]
    assert step.sizes == [4, 4, 2, 4, 4, 2]
    first, rest, second = read_log(tmp_path / "log.jsonl")
    assert (first.step, rest.step, second.step) == (1, 3, 6)
    assert second.value == pytest.approx(4.5), "the mean over all of an epoch's images"
    assert (4 * first.value + 6 * rest.value) / 10 == pytest.approx(4.5)


def test_every_epoch_has_its_own_order_of_all_images() -> None:
    data = batches(10)
    orders = [torch.cat([batch.x for batch in data.shuffled(epoch, 4)]).flatten().tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    again = torch.cat([batch.x for batch in data.shuffled(1, 4, first=1)]).flatten().tolist()
    assert again == orders[1][4:], "and can be entered in the middle"


def test_weights_that_are_not_finite_after_the_last_step_are_not_kept(tmp_path: Path) -> None:
    made, step = loop(valid(5, 4), tmp_path, epochs=2)
    step.values = [1, 2, 3, 4, 5, float("nan")]
    made.validate = lambda model: [Reading("valid", "nll", 10 - model.b.item())]  # type: ignore[operator, union-attr]
    with pytest.raises(TrainingDiverged, match="weights are not finite"):
        made.run()
    assert made.model.b.item() == 3 and made.best is not None  # type: ignore[operator, union-attr]
    tensors, _ = load_state(tmp_path / "state.safetensors")
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())


# ---- the caller's randomness


def states(python: bool = True) -> tuple[Any, ...]:
    """Of torch's, NumPy's and Python's global generators; the last is also rich's, who prints for us."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    arrays = torch.get_rng_state().tolist(), kind, np.asarray(keys).tolist(), rest
    return (*arrays, random.getstate()) if python else arrays


@pytest.mark.parametrize("family", ["vae", "mixture", "autoencoder"])
def test_global_random_generators_are_not_used(tmp_path: Path, family: str) -> None:
    own = {"prior": "mixture", "components": 3, "latents": 2, "hidden": (8,)} if family == "vae" else {}
    before = states()
    run = fit(family, tmp_path / "run", pixels="binary", samples_at=(0, 1), **own, **SMALL)
    assert states() == before, "fit"
    if family == "vae":
        score_run(run, samples=3, count=20)
        score_run(run, samples=3, count=20, from_prior=True)
    elif family == "mixture":
        score_run(run)
    assert states() == before, "score"
    load_model(run.model_folder)
    assert states() == before, "load"
    before = states(python=False)
    assert main(["sample", str(run.path), "-n", "3", "--out", str(tmp_path / "s.npy")]) == 0
    assert main(["draw", "samples", str(run.path), "--out", str(tmp_path / "s.png")]) == 0
    assert states(python=False) == before, "sample and draw"


def test_importing_uses_no_random_generator() -> None:
    program = """
import numpy, torch
torch.manual_seed(1); numpy.random.seed(1)
def states(): return torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist()
before = states()
import ancestral.commands.dispatch, ancestral.models, ancestral.reports.run_page
import ancestral.runs.evaluate, ancestral.runs.fit
assert states() == before
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_number_formats_train_and_load(tmp_path: Path, precision: str) -> None:
    run = fit(
        "vae", tmp_path / "run", epochs=10, latents=2, hidden=(16,), batch_size=20, train_size=200, precision=precision
    )
    model = run.load()
    expected = torch.float64 if precision == "64-true" else torch.float32  # mixed precision keeps single weights
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert score_run(run).nats > -36  # from -45 untrained


@pytest.mark.parametrize(
    ("network", "pixels", "likelihood"),
    [
        pytest.param("cnn", "levels", "logistic", marks=pytest.mark.slow),
        pytest.param("mlp", "levels", "categorical", marks=pytest.mark.slow),
        ("cnn", "unit", "gaussian"),
        pytest.param("mlp", "binary", "auto", marks=pytest.mark.slow),
    ],
)
def test_colour_images_of_any_size_train_score_and_draw(
    tmp_path: Path, network: str, pixels: str, likelihood: str
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 10, 14, 3), dtype=np.uint8)
    np.savez(tmp_path / "photos.npz", images=images)
    small = {"latents": 2, "hidden": (8,), "channels": (4, 8), "strides": (1, 2), "epochs": 1}
    run = fit(
        "vae", tmp_path / "run", data=str(tmp_path / "photos.npz"), network=network, pixels=pixels,
        likelihood=likelihood, **small,
    )  # fmt: skip
    score = score_run(run, samples=10)
    assert score.dimensions == 420 and score.discrete == (pixels != "unit")
    assert run.load().sample(3).shape == (3, 3, 10, 14)
    assert write_run_page(run).exists()
