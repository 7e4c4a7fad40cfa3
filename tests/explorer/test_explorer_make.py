"""The command and function that write a page: what is in it, what is left out and said, what is refused."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import Captured, printed, refused, run
from small_runs import SmallRuns
from tiny_pages import described
from zoo import seeded, tiny_made

import ancestral
from ancestral import fit
from ancestral.core.errors import NotComputable
from ancestral.explorer.describe import describe, in_half_precision
from ancestral.explorer.make import explore
from ancestral.explorer.packing import Packing
from ancestral.families.autoregressive.portable import autoregressive
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import build_flow
from ancestral.families.flow.portable import flow as describe_flow
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.gan.portable import critique
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import build_critic
from ancestral.reports.run_page import write_run_page
from ancestral.runs.run import Run
from ancestral.training.checkpoint import under_prefix


def content(path: Path) -> dict[str, Any]:
    (text,) = re.findall(r'id="content">(.*?)</script>', path.read_text(), re.DOTALL)
    return json.loads(text)


@pytest.fixture
def runs(small_runs: SmallRuns, tmp_path: Path) -> Path:
    return small_runs.copied(["mixture", "made", "vae", "helmholtz"], tmp_path)


def test_a_page_holds_models_scores_and_images(runs: Path, capsys: Captured) -> None:
    _, told = printed(capsys, "explore", runs / "mixture", runs / "made", "--out", runs / "page.html")
    held = content(runs / "page.html")
    assert "page.html" in told and "MB" in told
    assert [model["name"] for model in held["models"]] == ["mixture", "made"]
    for model in held["models"]:
        scores = model["reference"]["scores"]
        assert scores == sorted(scores) and len(scores) == model["reference"]["count"]
    opened = Run(runs / "mixture")
    x = opened.data.held("test").first(len(scores))
    exact = sorted(opened.load().log_prob(x).tolist())
    assert held["models"][0]["reference"]["scores"] == pytest.approx(exact, abs=0.5)  # weights of half precision
    assert len(held["images"]["pixels"][0]) == 64 and max(map(max, held["images"]["pixels"])) == 255
    assert set(held["images"]["labels"]) == set(range(10))


def test_one_run_has_its_page_in_its_folder(runs: Path, capsys: Captured) -> None:
    printed(capsys, "explore", runs / "vae")
    assert content(runs / "vae" / "explorer.html")["models"][0]["likelihood"] == "bound"


def test_pages_of_the_same_runs_are_the_same(runs: Path) -> None:
    for name in ("a.html", "b.html"):
        explore([Run(runs / "made")], runs / name)
    assert (runs / "a.html").read_bytes() == (runs / "b.html").read_bytes()


def test_images_and_classes_of_private_data_are_left_out(tmp_path: Path, capsys: Captured) -> None:
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x=images, y=np.array(["ada", "bob"])[np.arange(120) % 2])
    brief = {"epochs": 1, "components": 3, "pixels": "threshold"}
    fit("mixture", tmp_path / "run", data=tmp_path / "own.npz", **brief)
    _, told = printed(capsys, "explore", tmp_path / "run")
    assert "--with-images" in told
    text = (tmp_path / "run" / "explorer.html").read_text()
    held = content(tmp_path / "run" / "explorer.html")
    assert held["images"] is None and held["models"][0]["reference"]["count"] > 0
    assert not re.search(r"\b(ada|bob)\b", text) and str(tmp_path) not in text
    printed(capsys, "explore", tmp_path / "run", "--with-images")
    held = content(tmp_path / "run" / "explorer.html")
    assert held["images"]["pixels"] and held["models"][0]["classes"] == ["ada", "bob"]


def test_what_cannot_be_made_is_refused_in_one_line_and_nothing_is_written(
    runs: Path, small_runs: SmallRuns, tmp_path: Path
) -> None:
    small_runs.copied(["moons"], tmp_path)
    out = tmp_path / "page.html"

    def refuse(*words: str, names: tuple[str, ...] = ("mixture",), **options: Any) -> None:
        refused(lambda: explore([Run(tmp_path / name) for name in names], out, **options), *words)
        assert not out.exists()

    refuse("one shape", "1 x 8 x 8", "2", names=("mixture", "moons"))
    refuse("--max-mb 0.01", "the largest model is", "parameters", max_mb=0.01)
    refuse("at least one run", names=())
    (tmp_path / "empty").mkdir()
    refuse("not a run folder", names=("empty",))
    for path in (tmp_path / "mixture" / "model").iterdir():
        path.unlink()
    refuse("mixture")


def test_bad_words_of_the_command_are_refused(runs: Path, capsys: Captured) -> None:
    for words in (["--out", runs / "page.png"], ["--max-mb", "0"], ["--max-mb", "nan"]):
        assert run("explore", runs / "mixture", *words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(runs.glob("*/explorer.html"))


def test_a_family_without_a_form_for_the_browser_is_named_with_the_reason(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from ancestral.families.catalogue import find

    without = {"made": replace(find("made"), explorer=None)}
    monkeypatch.setattr("ancestral.explorer.describe.find", lambda name: without.get(name) or find(name))
    made = explore([Run(runs / "mixture"), Run(runs / "made")], tmp_path / "page.html")
    assert len(made.notes) == 1 and "the family made has no form for the browser" in made.notes[0]
    assert "no form" in content(made.path)["models"][1]["reason"] and "spec" not in content(made.path)["models"][1]
    refused(lambda: explore([Run(runs / "made")], tmp_path / "other.html"), "no model of these", "no form")
    assert not (tmp_path / "other.html").exists()


def test_the_critic_of_a_gan_is_that_of_the_checkpoint_or_has_a_reason(small_runs: SmallRuns, tmp_path: Path) -> None:
    small_runs.copied(["gan", "classes"], tmp_path)
    for name, scores in (("gan", 1), ("classes", 10)):
        opened = Run(tmp_path / name)
        model = describe(opened)
        tensors, _ = opened.state()
        critic = build_critic(opened.settings.model, opened.data.event_shape).eval()  # without dropout
        critic.load_state_dict(under_prefix("step.critic", tensors))
        tests = [test for test in model["vectors"] if test["call"] == "criticise"]
        x = torch.tensor([test["args"][0] for test in tests]).unflatten(1, opened.data.event_shape)
        wanted = critic.network(2 * x - 1)
        assert wanted.shape == (3, scores) and model["spec"]["critic"]["has_probabilities"]
        found = torch.tensor([test["expect"] for test in tests])
        assert found.tolist() == [pytest.approx(row, abs=0.02) for row in wanted.tolist()]  # half precision
        reference = model["reference"]["scores"]
        assert reference == sorted(reference) and len(reference) == model["reference"]["count"]
        opened.checkpoint.unlink()
        without = describe(opened)
        assert "checkpoint" in without["spec"]["critic"]["reason"] and without["reference"] is None
        assert {test["call"] for test in without["vectors"]} == {"decode"}


def test_a_critic_with_spectral_normalisation_has_its_result_as_weights(tmp_path: Path) -> None:
    settings = GANSettings(critic_hidden=(4,), spectral_norm=True, loss="hinge")
    critic = build_critic(settings, (1, 3, 3)).eval()
    tensors = {f"critic.{name}": tensor for name, tensor in critic.state_dict().items()}
    found = critique(settings, (1, 3, 3), tensors)
    x = torch.rand(5, 1, 3, 3)
    assert torch.allclose(found.network(x)[:, 0], critic(x), atol=1e-6) and not found.has_probabilities
    assert not any("parametrizations" in name for name, _ in found.network.named_parameters())
    with pytest.raises(NotComputable, match="not the one that the settings describe"):
        critique(settings, (1, 3, 3), {"critic.network.weight": x})


def test_weights_that_a_made_does_not_use_take_little_space() -> None:
    model = in_half_precision(seeded(lambda: tiny_made((1, 8, 8), hidden=(100,))))  # half of the weights are used
    packing = Packing()
    packing.replace(autoregressive(model))
    stored = sum(2 * tensor.numel() for tensor in model.parameters())
    assert len(base64.b64decode(packing.text())) < 0.75 * stored


def test_classes_share_the_weights_of_a_page() -> None:
    """Of a VAE, a class has only its one-hot vector; of a MADE, one bias for each layer."""
    for family, name in (("made", "made, conditional"), ("vae", "vae, conditional")):
        first, *others = (_stored_in(given) for given in described(family, name)["spec"]["given"])
        assert {len(other - first) for other in others} == {{"made": 3, "vae": 1}[family]}


def _stored_in(value: Any) -> set[int]:
    """Where the tensors of a description lie."""
    if isinstance(value, dict):
        return {value["at"]} if "at" in value else _stored_in(list(value.values()))
    return set().union(*map(_stored_in, value)) if isinstance(value, list) else set()


def test_a_flow_of_a_table_has_all_its_layers_in_a_page() -> None:
    spec = DataSpec((2,), 0, "points", standardise=True)
    flow = build_flow(FlowSettings(depth=3, mixing="permute", actnorm=True, hidden=(4,)), spec)
    types = [step["type"] for step in describe_flow(flow)["bijection"]["steps"]]
    assert types == ["standardise", *["standardise", "spline-coupling", "linear"] * 3][:-1]


def test_weights_of_a_page_are_of_half_precision(runs: Path) -> None:
    model = describe(Run(runs / "vae"))
    kinds = set(re.findall(r'"type": "(float16|float32)"', json.dumps(model["spec"])))
    assert kinds == {"float16"}
    network = in_half_precision(Run(runs / "vae").load())
    (wanted,) = [test for test in model["vectors"] if test["call"] == "decode"][:1]
    found = network.decode(torch.tensor([wanted["args"][0]])).flatten()  # type: ignore[operator]
    assert found.tolist() == pytest.approx(wanted["expect"], abs=1e-6)


def test_the_functions_and_the_flag_write_the_page_and_the_run_page_links_to_it(tmp_path: Path) -> None:
    brief = {"epochs": 1, "train_size": 60, "valid_size": 20, "components": 3}
    trained = fit("mixture", tmp_path / "run", data="digits", explorer=True, **brief)
    assert 'href="explorer.html"' in write_run_page(trained, redraw=False).read_text()
    before = trained.explorer.read_bytes()
    trained.explorer.unlink()
    assert "explorer.html" not in write_run_page(trained, redraw=False).read_text()
    made = trained.explore()
    assert made.path == trained.explorer and made.path.read_bytes() == before and made.notes == []
    assert 'href="explorer.html"' in trained.page.read_text()
    both = ancestral.explore([trained, tmp_path / "run"], tmp_path / "both.html", title="Two")
    assert [model["name"] for model in content(both.path)["models"]] == ["run", "run"]
    assert content(both.path)["title"] == "Two" and both.megabytes == pytest.approx(len(both.path.read_bytes()) / 1e6)


def test_a_training_whose_model_has_no_page_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from ancestral.families.catalogue import find

    monkeypatch.setattr("ancestral.explorer.describe.find", lambda name: replace(find("made"), explorer=None))
    made = fit("made", tmp_path / "run", data="digits", explorer=True, epochs=1, train_size=60, hidden=(4,))
    assert made.finished and not made.explorer.exists()
