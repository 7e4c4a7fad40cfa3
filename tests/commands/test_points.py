"""Points in the plane on the command line: training, scores, figures, checks, resuming, and refused requests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Captured, printed, run, train_without_page
from torch import Tensor, nn

from ancestral import fit
from ancestral.core.errors import InputError, Interrupted, NotComputable
from ancestral.core.serialization import registered
from ancestral.data.toy import DENSITIES
from ancestral.evaluation.contract import check_model
from ancestral.families.catalogue import BUILT_IN
from ancestral.families.run_settings import settings_for
from ancestral.models.base import ExactModel
from ancestral.reports.pictures import density as drawings
from ancestral.runs.evaluate import entropy_in_words, target_score
from ancestral.runs.fit import fit_settings
from ancestral.runs.run import Run
from ancestral.training.loop import Reporter

FAST = ["--epochs", "1", "--train-size", "500", "--valid-size", "100", "--depth", "2", "--hidden", "8"]


def refused(capsys: Captured, *words: object) -> str:
    """The one-line error of a command that must be refused."""
    capsys.readouterr()
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("ancestral: ") and err.count("\n") == 1, err
    return err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on points and one on images; no test changes them."""
    folder = tmp_path_factory.mktemp("runs")
    assert run("train", "flow", "--data", "two-gaussians", *FAST, "--samples-at", 0, "--out", folder / "flow") == 0
    images = ["--epochs", "1", "--train-size", "200", "--components", "3"]
    train_without_page("mixture", *images, "--out", folder / "mixture")
    return folder


# ---- what is recorded


def test_the_records_of_a_run_on_points_are_complete(trained: Path) -> None:
    record = json.loads((trained / "flow" / "settings.json").read_text())
    assert record["data"]["counts"] == {"train": 500, "valid": 100, "test": 50_000}
    assert record["data"]["space"] == "two-gaussians, R^2" and record["data"]["event_shape"] == [2]
    assert len(record["data"]["sha256"]) == 64 and record["settings"]["data"]["pixels"] is None
    (score,) = json.loads((trained / "flow" / "scores.json").read_text())
    assert (score["kind"], score["dimensions"], score["discrete"], score["count"]) == ("exact", 2, False, 50_000)
    assert score["bits_per_dim"] == pytest.approx(-score["nats"] / (2 * np.log(2)))
    drawings = {path.name for path in (trained / "flow" / "figures").iterdir()}
    assert drawings == {"samples-epoch-0000.png", *(f"{name}.png" for name in ("samples", *DRAWN))}


DRAWN = ("curves", "density", "deformation", "latents", "split")


def test_the_page_shows_the_entropy_and_counts_points(trained: Path) -> None:
    page = (trained / "flow" / "report.html").read_text()
    assert "1.1231 nats = 0.8101 bits/dim" in page and "true density" in page
    assert "50,000 points" in page and "50,000 images" not in page


def test_the_score_of_the_true_density_is_near_its_entropy(trained: Path) -> None:
    data = Run(trained / "flow").data
    own = target_score(data)
    assert own is not None and abs(own.nats + DENSITIES["two-gaussians"].entropy) < 4 * own.stderr
    images = Run(trained / "mixture").data
    assert target_score(images) is None and entropy_in_words(images) is None and images.entropy is None


# ---- commands


def test_evaluate_and_compare_print_the_entropy(capsys: Captured, trained: Path, tmp_path: Path) -> None:
    before = (trained / "flow" / "scores.json").read_bytes()
    out, err = printed(capsys, "evaluate", trained / "flow", "--json")
    (score,) = json.loads(out)
    assert score["space"] == "two-gaussians, R^2" and (trained / "flow" / "scores.json").read_bytes() == before
    assert (
        err
        == "entropy of two-gaussians: 1.1231 nats = 0.8101 bits/dim, the entropy of the data: no model can be better\n"
    )
    out, err = printed(capsys, "compare", trained / "flow")
    assert f"{score['nats']:.4f}" in out and "0.8101" in err
    assert "Scored on: two-gaussians, R^2; test, 50,000 points." in " ".join(out.split())
    assert "not comparable" in refused(capsys, "compare", trained / "flow", trained / "mixture")


def test_sample(capsys: Captured, trained: Path, tmp_path: Path) -> None:
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        _, err = printed(
            capsys, "sample", trained / "flow", "-n", 1001, "--seed", seed, "--out", tmp_path / f"{name}.npy"
        )
        assert err.startswith("1,001 points: ")
    a, b, c = (np.load(tmp_path / f"{name}.npy", allow_pickle=False) for name in "abc")
    assert a.shape == (1001, 2) and (a == b).all() and (a != c).any() and np.isfinite(a).all()
    printed(capsys, "sample", trained / "flow", "--out", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", ["samples", *DRAWN])
def test_draw(capsys: Captured, trained: Path, tmp_path: Path, what: str) -> None:
    words = ["draw", what, trained / "flow", "--count", 20]
    _, err = printed(capsys, *words, "--out", tmp_path / "a.png")
    assert err == f"{what}: {tmp_path / 'a.png'}\n"
    printed(capsys, *words, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("what", "name", "holds"),
    [
        ("reconstructions", "flow", "images"),
        ("interpolations", "flow", "images"),
        ("manifold", "flow", "2 latents"),
        ("components", "flow", "mixture"),
        ("density", "mixture", "points"),
        ("deformation", "mixture", "points"),
    ],
)
def test_drawings_for_the_other_kind_of_data_are_refused(
    capsys: Captured, trained: Path, tmp_path: Path, what: str, name: str, holds: str
) -> None:
    assert holds in refused(capsys, "draw", what, trained / name, "--out", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_verify(capsys: Captured, trained: Path) -> None:
    _, err = printed(capsys, "verify", trained / "flow")
    assert "FAILED" not in err and "its score can be repeated: log p(x) on test" in err


def test_data(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path))
    out, _ = printed(capsys, "data", "checkerboard", "--json")
    (status,) = json.loads(out)
    assert status["state"] == "ready" and "2.5000 bits/dim" in status["detail"]
    assert status["counts"] == {"train": 10_000, "valid": 2_000, "test": 50_000}
    assert "nothing to download" in refused(capsys, "data", "moons", "--fetch")
    assert "spirals" in refused(capsys, "data", "circles")


@pytest.mark.parametrize("family", [name for name in BUILT_IN if name not in ("circuit", "flow", "gan")])
def test_families_of_images_refuse_points(capsys: Captured, tmp_path: Path, family: str) -> None:
    out = tmp_path / "run"
    said = refused(capsys, "train", family, "--data", "moons", "--epochs", 1, "--out", out)
    assert "images" in said or "pixels" in said
    assert not out.exists()


def test_compare_refuses_a_model_without_likelihood_and_suggests_samples(capsys: Captured, tmp_path: Path) -> None:
    """`evaluate` cannot help, and `quality` is for images only."""
    words = ["--epochs", 1, "--train-size", 100, "--valid-size", 50, "--hidden", 8, "--tolerate"]
    train_without_page("gan", "--data", "two-gaussians", *words, "--out", tmp_path / "gan")
    err = refused(capsys, "compare", tmp_path / "gan")
    assert "a GAN has no likelihood" in err and f"ancestral sample {tmp_path / 'gan'} --out samples.png" in err
    assert "evaluate" not in err


@pytest.mark.parametrize("words", [["--pixels", "unit"], ["--protocol", "uva2020"], ["--pad-to", "4"]])
def test_points_have_no_pixels(capsys: Captured, tmp_path: Path, words: list[str]) -> None:
    said = refused(capsys, "train", "flow", "--data", "rings", *words, "--out", tmp_path / "run")
    assert "has points, not images" in said and not (tmp_path / "run").exists()


# ---- resuming, and other models


class Stop(Reporter):
    """Interrupts the training at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def begin(self, total_steps: int, step: int) -> None:
        pass

    def advance(self, step: int, readings: object) -> None:
        if step >= self.step:
            raise KeyboardInterrupt


def test_a_run_on_points_resumes_exactly(tmp_path: Path) -> None:
    small = {"train_size": 500, "valid_size": 100, "depth": 2, "hidden": (8,), "epochs": 3, "batch_size": 100}
    settings = settings_for("flow", data="moons", **small)
    whole = fit_settings(settings, tmp_path / "whole")
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        fit_settings(settings, tmp_path / "parts", reporter=Stop(7), checkpoint_seconds=0.0)
    parts = fit_settings(settings, tmp_path / "parts", resume=True)
    for name in ("log.jsonl", "model/model.safetensors"):
        assert (whole.path / name).read_bytes() == (parts.path / name).read_bytes()
    with pytest.raises(InputError, match="split_seed"):
        fit("flow", tmp_path / "parts", resume=True, data="moons", split_seed=1, **small)


@registered
class OneGaussian(ExactModel):
    """N(x; mean, I): a minimal model of points, without encode and decode."""

    spaces, levels, event_shape = ("points",), None, (2,)

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(self.mean, 1.0).log_prob(x).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self.mean + torch.randn(n, 2)


def test_the_density_of_any_exact_model_is_drawn(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, model = Run(trained / "flow"), OneGaussian()
    assert all(check.passed for check in check_model(model))
    monkeypatch.setattr(opened, "load", lambda: model)
    target, learned, drawn, bar = drawings.density(opened, count=50).axes
    assert len(target.images) == len(learned.images) == len(bar.images) == 1 and len(drawn.collections) == 1
    table = np.asarray(learned.images[0].get_array())
    assert np.unravel_index(table.argmax(), table.shape) in [(i, j) for i in (24, 25) for j in (24, 25)]
    with pytest.raises(NotComputable, match="encodes"):
        drawings.deformation(opened)


def test_the_lines_of_a_deformation_are_mapped_by_the_model(trained: Path) -> None:
    opened = Run(trained / "flow")
    before, after, *_ = drawings.deformation(opened, count=5).axes
    model = opened.load()
    for straight, bent in zip(before.lines, after.lines, strict=True):
        z, x = (torch.from_numpy(np.asarray(line.get_xydata())).float() for line in (straight, bent))
        torch.testing.assert_close(model.decode(z), x, rtol=1e-4, atol=1e-4)  # type: ignore[operator]


@pytest.mark.slow
def test_the_coursework_flow_comes_near_the_entropy(tmp_path: Path) -> None:
    course = {"layers": "affine", "base_scale": 0.3, "batch_size": 256, "epochs": 40}
    opened = fit("flow", tmp_path / "run", data="two-gaussians", **course)
    score = -opened.load().log_prob(opened.data.held("test").raw).mean().item()  # type: ignore[operator]
    assert score / (2 * np.log(2)) < 0.86
