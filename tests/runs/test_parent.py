"""Runs that start from trained weights of another run, and parts of a model that are not trained."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import killed_at, refused
from torch import Tensor

import ancestral
from ancestral import fit
from ancestral.commands.main import main
from ancestral.core.files import sha256_of, write_json
from ancestral.models.base import Model
from ancestral.runs.inherited import inherited_words
from ancestral.runs.run import Run
from ancestral.training.checkpoint import load_state, under_prefix
from ancestral.training.frozen import FrozenWeights, freeze, training_mode
from ancestral.training.loop import Loop

BRIEF: dict[str, Any] = {"train_size": 100, "valid_size": 20, "batch_size": 40, "epochs": 2}
VAE: dict[str, Any] = {"latents": 3, "hidden": (8,), "prior": "mixture", "components": 3, **BRIEF}
GAME: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "latents": 3, **BRIEF}
# parts that are frozen, with weight decay and momentum, and what trains beside them
FROZEN: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "vae": ("vae", {**VAE, "weight_decay": 0.1}, ("encoder",)),
    "decoder": ("vae", {**VAE, "optimizer": "adamw", "weight_decay": 0.1, "objective": "iwae"}, ("likelihood",)),
    "all but the prior": ("vae", {**VAE, "objective": "dreg"}, ("encoder", "likelihood")),
    "momentum": (
        "autoencoder",
        {"latents": 2, "hidden": (8,), **BRIEF, "optimizer": "sgd", "momentum": 0.9},
        ("encoder",),
    ),
    "baseline": ("belief-net", {"latents": (4, 3), "method": "score", **BRIEF}, ("recognition.0",)),
    "game": ("gan", {**GAME, "average": 0.9}, ("generator.layers.0",)),
    "flow": ("flow", {"width": 4, "couplings": 2, "scales": 1, **BRIEF}, ("FIRST",)),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def tensors_of(path: Path) -> dict[str, Tensor]:
    return Run(path).load().state_dict()


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that no test changes."""
    return fit("vae", tmp_path_factory.mktemp("runs") / "parent", **VAE).path


def first_weights(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The weights with which each training begins."""
    started: list[dict[str, Tensor]] = []
    run = Loop.run

    def noting(loop: Loop) -> Any:
        started.append({name: tensor.clone() for name, tensor in loop.model.state_dict().items()})
        return run(loop)

    monkeypatch.setattr(Loop, "run", noting)
    return started


def assert_equal(some: dict[str, Tensor], others: dict[str, Tensor], prefix: str = "") -> None:
    names = [name for name in others if name.startswith(prefix)]
    assert names and all(some[name].equal(others[name]) for name in names)


# ---- the weights


def test_a_run_starts_from_the_weights_and_the_settings_of_another(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = first_weights(monkeypatch)
    with caplog.at_level("INFO", "ancestral"):
        run = fit("vae", tmp_path / "child", init_from=parent, objective="iwae", learning_rate=1e-4)
    assert_equal(started[0], tensors_of(parent))
    settings, own = run.settings, Run(parent).settings
    assert settings.model == type(own.model)(**{**vars(own.model), "objective": "iwae"})
    assert settings.data == own.data and settings.training.batch_size == own.training.batch_size
    assert "settings taken from" in caplog.text and "--components 3" in caplog.text
    recorded = run.record["parent"]
    assert recorded["weights_sha256"] == sha256_of((parent / "model/model.safetensors").read_bytes())
    assert Path(recorded["absolute_path"]) == parent and (run.path / recorded["relative_path"]).resolve() == parent
    assert Run(parent).weights_sha256 != run.weights_sha256


def test_other_data_inherit_only_the_pixels(parent: Path, tmp_path: Path) -> None:
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    run = fit("vae", tmp_path / "child", init_from=Run(parent), data=images, epochs=1)
    assert run.settings.data.pixels == "threshold" and run.settings.data.train_size is None
    assert run.record["data"]["levels"] == 256


def test_schedules_for_untrained_weights_are_not_inherited(tmp_path: Path) -> None:
    fit("vae", tmp_path / "parent", **{**VAE, "beta_cycles": 2, "freeze": ("encoder",)})
    child = fit("vae", tmp_path / "child", init_from=tmp_path / "parent").settings
    assert child.model.beta_cycles == 0 and child.training.freeze == () and child.model.latents == 3


def test_initialisation_is_skipped_for_trained_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow of points standardises by its training data; the trained one keeps the scale that it has."""
    points = {name: tmp_path / f"{name}.csv" for name in ("small", "large")}
    for name, scale in (("small", 1.0), ("large", 100.0)):
        torch.manual_seed(0)
        rows = (scale * torch.randn(80, 2)).tolist()
        points[name].write_text("a,b\n" + "\n".join(f"{x},{y}" for x, y in rows))
    fit("flow", tmp_path / "parent", data=str(points["small"]), depth=2, hidden=(8,), epochs=1)
    started = first_weights(monkeypatch)
    fit("flow", tmp_path / "child", data=str(points["large"]), init_from=tmp_path / "parent", epochs=1)
    assert_equal(started[0], tensors_of(tmp_path / "parent"))


def test_the_critic_is_inherited_with_the_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fit("gan", tmp_path / "parent", **GAME)
    trained = under_prefix("step.critic", load_state(Run(tmp_path / "parent").checkpoint)[0])
    run, started = Loop.run, list[dict[str, Tensor]]()
    monkeypatch.setattr(Loop, "run", lambda loop: (started.append(copy.deepcopy(loop.step.state())), run(loop))[1])
    fit("gan", tmp_path / "child", init_from=tmp_path / "parent")
    assert_equal(under_prefix("critic", started[0]), trained)
    fit("gan", tmp_path / "other", init_from=tmp_path / "parent", critic_hidden=(9,))
    assert "no critic that fits" in caplog.text


def test_a_model_that_computes_something_else_is_reported(
    parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit("vae", tmp_path / "child", init_from=parent, activation="tanh")
    assert "activation (relu there, tanh here)" in caplog.text


# ---- frozen parts


@pytest.mark.parametrize("case", FROZEN)
def test_frozen_parts_do_not_change_and_the_others_do(tmp_path: Path, case: str) -> None:
    family, settings, parts = FROZEN[case]
    started = fit(family, tmp_path / "parent", **settings)
    model = started.load()
    if parts == ("FIRST",):
        parts = (
            next(
                name
                for name, module in model.named_modules()
                if name and not list(module.children()) and list(module.parameters())
            ),
        )
    fit(family, tmp_path / "child", init_from=started, freeze=parts, learning_rate=0.01)
    before, after = model.state_dict(), tensors_of(tmp_path / "child")
    for part in parts:
        assert_equal(after, before, f"{part}.")
    assert any(not after[name].equal(before[name]) for name in before)
    state = load_state(Run(tmp_path / "child").checkpoint)[0]
    for part in parts:  # the last weights too, and those of the generator that its average follows
        assert_equal(under_prefix("model", state), before, f"{part}.")
        if under_prefix("step.trained", state):
            assert_equal(under_prefix("step.trained", state), before, f"{part}.")


def test_statistics_of_frozen_parts_stay(tmp_path: Path) -> None:
    convolutions = {
        **BRIEF,
        "network": "cnn",
        "channels": (8, 8),
        "critic_channels": (4, 4),
        "latents": 3,
        "average": 0.0,
    }
    started = fit("gan", tmp_path / "parent", **convolutions)
    before = started.load().state_dict()
    means = [name for name in before if name.endswith("running_mean")]
    assert means, "the generator has batch normalisation"
    layer = means[0].rpartition(".")[0]
    fit("gan", tmp_path / "child", init_from=started, freeze=(layer,))
    fit("gan", tmp_path / "free", init_from=started)
    assert_equal(tensors_of(tmp_path / "child"), before, f"{layer}.")
    assert not tensors_of(tmp_path / "free")[means[0]].equal(before[means[0]])


def test_a_frozen_part_is_in_evaluation_mode() -> None:
    model = torch.nn.ModuleDict(
        {"a": torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()), "b": torch.nn.Linear(2, 2)}
    )
    freeze(model, ("a",))
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    training_mode(model.eval(), ("a",))
    assert model.training and model["b"].training and not model["a"][1].training


def test_a_step_that_changes_a_frozen_part_is_found() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    frozen = FrozenWeights(model, ("a",))
    with torch.no_grad():
        model["b"].weight.add_(1)
        frozen.check()
        model["a"].bias.add_(1)
    refused(frozen.check, "a.bias", "frozen")


def test_parts_are_named_with_close_matches(parent: Path, tmp_path: Path) -> None:
    def frozen(*parts: str) -> Any:
        return lambda: fit("vae", tmp_path / "child", init_from=parent, freeze=parts)

    refused(frozen("encodr"), "--freeze encodr", "did you mean encoder", "encoder, likelihood, latent_prior")
    refused(frozen("encoder", "likelihood", "latent_prior"), "no weights", "left to train")
    refused(frozen(""), "no part")
    refused(lambda: fit("mixture", tmp_path / "child", method="em", freeze=("b",), **BRIEF), "does not use gradients")
    assert not (tmp_path / "child").exists()


def test_freezing_random_weights_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit("vae", tmp_path / "run", freeze=("encoder",), **VAE)
    assert "encoder keeps its random initial weights" in caplog.text


# ---- what does not fit


def test_what_does_not_fit_is_refused_and_nothing_is_written(parent: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "child", contents(parent)

    def child(family: str = "vae", **settings: Any) -> Any:
        return lambda: fit(family, out, **{"init_from": parent, **settings})

    refused(child("made"), "family vae", "made")
    refused(child(latents=4), "do not fit", "6x8", "8x8")
    refused(child(prior="normal"), "latent_prior")
    refused(child(data="moons"), "pixels")
    refused(child(init_from=tmp_path / "none"), "not a run folder")
    refused(child(init_from=5), "a run or its folder")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger/settings.json").write_text('{"settings": 3}')
    refused(child(init_from=tmp_path / "stranger"), "not the record of a run")
    assert not out.exists() and contents(parent) == before
    assert main(["train", "vae", "--init-from", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert not out.exists()


def test_a_run_without_weights_is_refused(parent: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(parent, tmp_path / "bare"))
    for name in ("manifest.json", "training.json"):
        (bare / name).unlink()
    shutil.rmtree(bare / "model")
    refused(lambda: fit("vae", tmp_path / "child", init_from=bare), "no trained weights yet")
    changed = Path(shutil.copytree(parent, tmp_path / "changed"))
    weights = bytearray((changed / "model/model.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "model/model.safetensors").write_bytes(bytes(weights))
    refused(lambda: fit("vae", tmp_path / "child", init_from=changed), "SHA-256")
    assert not (tmp_path / "child").exists()


# ---- resuming


def child(parent: Path, out: Path, resume: bool = False, **settings: Any) -> Run:
    chosen = {"init_from": parent, "freeze": ("encoder",), "learning_rate": 0.01, **settings}
    return fit("vae", out, resume=resume, checkpoint_seconds=0.0, **chosen)


def test_a_kill_before_any_write_is_resumed_bit_identically(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = child(parent, tmp_path / "whole", epochs=1).path
    for number in range(1, 100):
        out = tmp_path / f"run-{number}"
        if not killed_at(number, monkeypatch, lambda: child(parent, out, epochs=1)):  # noqa: B023
            break
        child(parent, out, resume=True, epochs=1)
        for name in ("model/model.safetensors", "log.jsonl", "health.json"):
            assert (out / name).read_bytes() == (whole / name).read_bytes(), name
        assert_equal(tensors_of(out), tensors_of(parent), "encoder.")
    assert number > 8, "settings, checkpoints, model, description, outcome, health and manifest"


def test_a_started_run_does_not_need_its_parent(parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Path(shutil.copytree(parent, tmp_path / "parent"))
    number = 2
    while not (tmp_path / f"run-{number}/checkpoint/state.safetensors").exists():  # after the first checkpoint at last
        number += 1
        assert killed_at(number, monkeypatch, lambda: child(own, tmp_path / f"run-{number}"))  # noqa: B023
    late = tmp_path / f"run-{number}"
    assert killed_at(2, monkeypatch, lambda: child(own, tmp_path / "run-2"))
    fit("vae", tmp_path / "fresh", seed=1, **VAE)
    shutil.rmtree(own)
    refused(lambda: fit("vae", tmp_path / "run-2", resume=True), "no longer at", "start again")
    fit("vae", late, resume=True)
    assert Run(late).finished
    shutil.copytree(tmp_path / "fresh", own)
    refused(lambda: fit("vae", tmp_path / "run-2", resume=True), "other weights")
    refused(lambda: fit("vae", late, resume=True, init_from=tmp_path / "fresh"), "other weights")


def test_a_parent_is_found_beside_a_run_that_was_moved(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(parent, tmp_path / "one/parent")
    assert killed_at(2, monkeypatch, lambda: child(tmp_path / "one/parent", tmp_path / "one/run"))
    (tmp_path / "one").rename(tmp_path / "two")
    run = fit("vae", tmp_path / "two/run", resume=True)
    assert run.finished and run.record["parent"]["relative_path"] == "../parent"


def test_a_hostile_record_of_a_parent_is_refused(parent: Path, tmp_path: Path) -> None:
    out = child(parent, tmp_path / "run").path
    record = json.loads((out / "settings.json").read_text())
    (out / "manifest.json").unlink()
    for wrong in (3, {}, {**record["parent"], "absolute_path": 7}):
        write_json(out / "settings.json", {**record, "parent": wrong})
        refused(lambda: Run(out).record, "settings.json")


def test_a_child_is_extended(parent: Path, tmp_path: Path) -> None:
    child(parent, tmp_path / "parts", epochs=1)
    fit("vae", tmp_path / "parts", resume=True, epochs=3)
    whole = child(parent, tmp_path / "whole", epochs=3)
    for name in ("model/model.safetensors", "log.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (whole.path / name).read_bytes()


# ---- the command line


def test_settings_that_are_not_given_are_inherited_in_python(parent: Path, tmp_path: Path) -> None:
    def words(*given: str, family: str = "vae", default: Path = tmp_path) -> str:
        return " ".join(inherited_words(family, given, lambda family, data: default))

    assert words("--latents", "2") == "" and words("--resume") == ""
    resumed = words("--resume", f"--out={parent}", "--epochs", "9")
    assert "--latents 3" in resumed and "--train-size 100" in resumed and "--epochs" not in resumed
    assert words("--resume", "--epochs", "9", default=parent) == resumed
    assert words("--resume", "--out", str(parent), family="made") == ""
    started = words("--init-from", str(parent), "--data", "mnist", "--batch-size=7")
    assert "--latents 3" in started and "--pixels threshold" in started
    assert "--train-size" not in started and "--batch-size" not in started and "--data" not in started


@pytest.mark.slow
def test_flags_that_are_not_given_are_inherited(parent: Path, tmp_path: Path) -> None:
    words = ["train", "vae", "--init-from", str(parent), "--freeze", "encoder", "--epochs", "1"]
    assert main([*words, "--out", str(tmp_path / "run"), "--tolerate"]) == 0
    assert main(["train", "vae", "--resume", "--epochs", "2", "--out", str(tmp_path / "run"), "--tolerate"]) == 0
    run = ancestral.Run(tmp_path / "run")
    assert run.settings.training.epochs == 2 and run.settings.training.freeze == ("encoder",)
    assert run.settings.model == Run(parent).settings.model
    assert isinstance(run.load(), Model)
