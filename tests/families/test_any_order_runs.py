"""Any-order models as runs: scores in named orders, parallel steps, completions, compression, own networks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import printed, refused
from small_runs import SmallRuns
from torch import nn

import ancestral
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.models.orders import bound_samples
from ancestral.reports.pictures.detection import frankenstein_sheet
from ancestral.runs.complete import complete_runs
from ancestral.runs.evaluate import score_orders
from ancestral.runs.run import Run
from ancestral.runs.sample import cost_of_steps
from ancestral.runs.verify import verify_run

BRIEF: dict[str, Any] = {"data": "digits", "epochs": 2, "train_size": 400, "valid_size": 50, "batch_size": 40}
SMALL: dict[str, Any] = {"width": 8, "dense": 16}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    folder = tmp_path_factory.mktemp("any-order") / "run"
    return ancestral.fit("any-order", folder, **SMALL, **{**BRIEF, "epochs": 8}, clip_norm=100.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"network": "mlp", "hidden": (16,)},
        {"pixels": "levels"},
        {"pixels": "levels", "output": "logistic", "components": 3},
        {"pixels": "levels", "output": "zero-flag", "average_weights": 0.9},
        {"precision": "bf16-mixed", "scan_share": 0.0, "half_share": 0.0},
    ],
    ids=str,
)
def test_every_kind_trains_and_is_loaded_as_it_was(tmp_path: Path, settings: dict[str, Any]) -> None:
    small = {} if settings.get("network") == "mlp" else SMALL
    run = ancestral.fit("any-order", tmp_path / "run", **small, **settings, **BRIEF)
    values = [line.value for line in run.log() if (line.split, line.name) == ("valid", "negative_elbo")]
    assert len(values) == 2
    assert values[-1] < 64 * math.log(run.data.spec.levels if settings.get("pixels") else 2) - 5  # uniform pixels
    assert isinstance(run.load(), AnyOrderModel)


def test_a_run_passes_its_own_verification(trained: ancestral.Run) -> None:
    score_orders(trained, ["random:1"], count=10)
    ancestral.evaluate(trained, count=20, steps=4)
    assert all(check.passed for check in verify_run(trained.path))


def test_what_is_drawn_without_being_asked_for_needs_the_elbo_only(trained: ancestral.Run) -> None:
    """One importance sample of an order needs an evaluation of the network for each pixel."""
    drawn = frankenstein_sheet(trained, count=4)
    words = " ".join(" ".join(text.get_text() for text in drawn.texts).split())
    assert "with ELBO in nats (a lower bound on log p(x))" in words
    assert bound_samples(trained.load(), 100) == 0 and bound_samples(ancestral.build("vae", data="digits"), 100) == 100


def test_orders_are_printed_with_paired_differences(trained: ancestral.Run, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, "evaluate", trained.path, "--order", "raster", "confidence", "--count", 20)
    assert "log p(x), raster order" in out
    assert out.count("exact") == 2
    assert "raster minus confidence: " in err
    found = score_orders(trained, ["raster", "confidence"], count=20)
    first, second = found.scores
    difference = found.differences["raster", "confidence"]
    assert difference.nats == pytest.approx(first.nats - second.nats, abs=1e-5)
    assert difference.stderr < first.stderr  # paired by image


def test_fewer_steps_cost_nats(trained: ancestral.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = [cost_of_steps(trained, steps) for steps in (64, 8, 1)]
    assert costs[0].nats == 0
    assert costs[1].nats + 2 * costs[1].stderr < costs[2].nats
    assert costs[2].nats > 1
    _, err = printed(capsys, "sample", trained.path, "--n", 4, "--steps", 8, "--out", tmp_path / "x.npy")
    assert f"8 parallel steps cost {costs[1].nats:.2f} nats per image" in err
    drawn = ancestral.sample(trained, 5, steps=64)
    assert torch.equal(drawn, ancestral.sample(trained, 5))


def test_completions_state_their_order(trained: ancestral.Run) -> None:
    found = ancestral.complete(trained, "bottom", count=4, draws=2)
    assert found.score is not None
    assert (found.how, found.score.kind) == ("exact in the raster order of the hidden pixels", "exact")
    assert found.score.method == "log p(bottom half | the rest), raster order"
    assert found.score.count == 100  # of a slow model, few images are scored
    assert torch.equal(found.drawn[:, found.seen], found.x[found.seen].expand(2, -1))


def test_completions_of_several_runs_are_scored_on_equally_many_images(
    trained: ancestral.Run, small_runs: SmallRuns, tmp_path: Path
) -> None:
    mixture = Run(small_runs.copied(["mixture"], tmp_path) / "mixture")
    both = complete_runs([("any-order", trained), ("mixture", mixture)], "bottom", scored=200)
    assert [one.score and one.score.count for one in both] == [100, 100]
    (alone,) = complete_runs([("mixture", mixture)], "bottom", scored=200)
    assert alone.score is not None and alone.score.count == 200


def test_compression_is_exact(trained: ancestral.Run, tmp_path: Path) -> None:
    images = trained.data.held("test").first(6)
    ancestral.compress(trained, tmp_path / "file.anc", data=images.numpy())
    back = ancestral.decompress(tmp_path / "file.anc", trained)
    assert torch.equal(torch.as_tensor(back).float().view(images.shape), images)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_an_own_network_predicts_the_pixels(tmp_path: Path) -> None:
    run = ancestral.fit("any-order", tmp_path / "run", predictor=Own(), average_weights=0.9, **BRIEF)
    assert ancestral.evaluate(run, count=50).nats < 0
    again = ancestral.load(run.path, predictor=Own())
    assert torch.equal(again.bias, run.load().bias)  # type: ignore[arg-type]


def test_what_a_model_cannot_do_is_one_line(trained: ancestral.Run, tmp_path: Path) -> None:
    vae = ancestral.fit("mixture", tmp_path / "mixture", components=3, **BRIEF)
    refused(lambda: ancestral.evaluate(vae, order="raster"), "orders")
    refused(lambda: ancestral.evaluate(vae, steps=3), "parallel steps")
    refused(lambda: ancestral.sample(vae, 3, steps=3), "parallel steps")
    refused(lambda: ancestral.evaluate(trained, order="diagonal"), "unknown order", "raster")
    refused(lambda: ancestral.evaluate(trained, steps=65), "from 1 to 64")
    refused(lambda: ancestral.sample(trained, 3, steps=0), "from 1 to 64")
    refused(lambda: score_orders(trained, ["raster", "raster"]), "once")
    refused(lambda: ancestral.infer(trained), "no latents")
    refused(lambda: ancestral.fit("any-order", tmp_path / "p", data="pinwheel"), "flow")
    refused(lambda: ancestral.fit("any-order", tmp_path / "s", scan_share=0.6, half_share=0.4), "below 1")


def test_missing_values_are_left_out_of_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = np.where(
        rng.random((200, 1, 4, 4)) < 0.8, rng.integers(0, 2, (200, 1, 1, 1)), rng.integers(0, 2, (200, 1, 4, 4))
    )
    seen = rng.random(images.shape) < 0.7
    data = {"train": images.astype(np.uint8) * seen, "train_seen": seen, "test": images[:50].astype(np.uint8)}
    options: dict[str, Any] = {"network": "mlp", "hidden": (24,), "learning_rate": 0.02, "epochs": 8, "missing": True}
    scores = []
    for name, unknown in (("zeros", 0), ("ones", 1)):  # what is under the mask has no effect
        data["train"] = np.where(seen, images, unknown).astype(np.uint8)
        found = ancestral.fit("any-order", tmp_path / name, data=dict(data), **options)
        scores.append(ancestral.evaluate(found).nats)
    assert scores[0] == scores[1] > -9.5  # of 11.1 for independent pixels
