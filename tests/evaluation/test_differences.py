"""Differences of scores: their errors; and equal models have no best score."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Captured, printed, refused
from torch import Tensor

from ancestral import fit
from ancestral.evaluation.differences import (
    Difference,
    best_in_words,
    paired_difference,
    unpaired_difference,
)
from ancestral.evaluation.score import Score
from ancestral.runs.compare import compare_runs
from ancestral.runs.evaluate import score_run
from ancestral.runs.run import Run

IMAGES, TRIALS = 200, 1500


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def score_of(values: Tensor, side: str | None = None) -> Score:
    what = {"method": "m", "space": "digits, 2 levels", "split": "test", "samples": 0, "dimensions": 64}
    return Score.of(values, kind="bound" if side else "exact", side=side, **what)


def differences_of(values: Sequence[Tensor]) -> list[Difference]:
    return [paired_difference(values[0], other) for other in values[1:]]


def test_a_paired_difference_has_the_error_of_repeated_draws() -> None:
    """Images differ by 30 nats, two models by 2 on each: the error is 2 sqrt(2) / sqrt(N), and not 42 / sqrt(N)."""
    hard, own = 30 * drawn(1, TRIALS, IMAGES), 2 * drawn(2, 2, TRIALS, IMAGES)
    found = [paired_difference(h + a + 0.5, h + b) for h, a, b in zip(hard, *own, strict=True)]
    spread = np.std([one.nats for one in found])
    assert np.mean([one.stderr for one in found]) == pytest.approx(spread, rel=4 / math.sqrt(2 * TRIALS))
    assert np.mean([one.nats for one in found]) == pytest.approx(0.5, abs=4 * float(spread) / math.sqrt(TRIALS))
    apart = unpaired_difference(score_of(hard[0] + own[0, 0]), score_of(hard[0] + own[1, 0]))
    assert not apart.paired and apart.stderr > 10 * found[0].stderr
    assert apart.nats == pytest.approx((own[0, 0] - own[1, 0]).mean().item())


def test_equal_models_differ_significantly_at_the_rate_of_the_interval() -> None:
    """Of two equal models 5 % of the differences leave the interval, within 4 binomial standard errors."""
    a, b = 2 * drawn(3, 2, TRIALS, IMAGES)
    wrong = np.mean([paired_difference(*pair).certain for pair in zip(a, b, strict=True)])
    assert abs(wrong - 0.05) < 4 * math.sqrt(0.05 * 0.95 / TRIALS)


def test_the_highest_score_of_many_equal_models_is_not_called_best() -> None:
    """Of ten equal models one always has the highest score; it is named in few of 200 comparisons."""
    named = 0
    for trial in range(200):
        values = sorted(10 * drawn(trial, 10, IMAGES) - 90, key=lambda one: -one.mean())
        line = best_in_words("abcdefghij", [score_of(one) for one in values], differences_of(values))[0]
        named += line.startswith("best score: a")
        assert line.startswith(("best score: a, ", "no best score: a is not distinguishable from b ("))
    assert named < 0.1 * 200


def test_a_best_score_is_named_with_its_distance() -> None:
    hard = 30 * drawn(1, IMAGES)
    values = [hard - 90, hard - 91 - drawn(2, IMAGES).square(), hard - 95]
    scores = [score_of(one) for one in values]
    (line,) = best_in_words(["x", "y", "z"], scores, differences_of(values))
    assert line.startswith("best score: x, 1.8") and line.endswith("nats, image by image above y")
    (line,) = best_in_words(["x", "y", "z"], scores, [unpaired_difference(scores[0], one) for one in scores[1:]])
    assert line.startswith("no best score: x is not distinguishable from y (1.8") and ", z (5" in line
    assert best_in_words(["x"], scores[:1], []) == []
    bounds = [scores[0], score_of(values[1], "lower"), scores[2]]
    assert best_in_words(["x", "y", "z"], bounds, differences_of(values))[1].startswith("lower bounds: y;")


def test_nan_is_not_the_best_score_and_probability_zero_is_worse() -> None:
    good = drawn(1, IMAGES)
    impossible, broken = good.clone(), good.clone()
    impossible[3], broken[3] = -math.inf, math.nan
    assert paired_difference(good, impossible).certain
    assert not paired_difference(good, broken).certain and not paired_difference(good, good).certain
    assert not paired_difference(good[:1], good[:1] - 5).certain  # one image has no error
    with pytest.raises(ValueError, match="paired"):
        paired_difference(good, good[1:])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differences")
    for name, seed in (("a", 0), ("b", 1)):
        score_run(fit("mixture", folder / name, components=10, epochs=4, seed=seed))
    score_run(fit("vae", folder / "vae", epochs=1, latents=2, hidden=(16,), pixels="threshold"), samples=3)
    return folder


def test_runs_are_compared_image_by_image(trained: Path) -> None:
    runs = [Run(trained / name) for name in ("b", "a", "vae")]
    rough, exact = compare_runs(runs), compare_runs(runs, paired=True)
    assert rough.names == exact.names and rough.names[-1] == "vae"
    assert [one.nats for one in exact.differences] == pytest.approx([one.nats for one in rough.differences], abs=1e-5)
    assert all(one.stderr < other.stderr for one, other in zip(exact.differences, rough.differences, strict=True))
    assert any("--paired" in line for line in rough.lines) and not any("--paired" in line for line in exact.lines)
    assert any(line.startswith("lower bounds: vae;") for line in exact.lines)


def test_other_images_cannot_be_paired(trained: Path, tmp_path: Path) -> None:
    """Two files of one name have scores in one space, which are ranked, but of other images."""
    runs = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        images = np.random.default_rng(seed).integers(0, 2, (90, 4, 4), dtype=np.uint8) * 255
        np.savez(folder / "mine.npz", train=images, valid=images[:20], test=images[:30])
        runs.append(fit("mixture", folder / "run", data=str(folder / "mine.npz"), components=2, epochs=1))
        score_run(runs[-1])
    assert not compare_runs(runs).differences[0].paired
    refused(lambda: compare_runs(runs, paired=True), "not scored on the same images")


def test_the_command_says_whether_there_is_a_best_score(capsys: Captured, trained: Path) -> None:
    before = (trained / "a" / "scores.json").read_bytes()
    out, err = printed(capsys, "compare", trained / "a", trained / "b", "--paired", "--json")
    assert [score["run"] for score in json.loads(out)] in (["a", "b"], ["b", "a"])
    assert "image by image" in err and "best score: " in err
    assert (trained / "a" / "scores.json").read_bytes() == before
    _, err = printed(capsys, "compare", trained / "a", trained / "b")
    assert "not paired" in err and "--paired" in err


def test_errors_of_different_images_add_in_squares() -> None:
    values = torch.tensor([-1.0, -3.0, -5.0])
    first, second = (
        Score.of(
            scale * values,
            method="ELBO",
            kind="bound",
            side="lower",
            samples=1,
            space="x",
            split="test",
            dimensions=4,
            discrete=True,
        )
        for scale in (3.0, 4.0)
    )
    found = unpaired_difference(first, second)
    assert found.stderr == pytest.approx(5 / 3 * first.stderr) and found.nats == pytest.approx(3.0)
