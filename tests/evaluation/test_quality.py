"""Sample quality: each measure against a formula or an independent loop, its properties, and known mistakes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import quality_of, refused
from scipy import linalg
from torch import Tensor

from ancestral import fit
from ancestral.commands.main import main
from ancestral.data.datasets import load_dataset
from ancestral.evaluation import neighbours, recogniser_training
from ancestral.evaluation.assess import assess
from ancestral.evaluation.diversity import covered_share
from ancestral.evaluation.kid import kernel_distance
from ancestral.evaluation.neighbours import Nearest, Neighbours, density_coverage, nearest, precision_recall
from ancestral.evaluation.pixel_features import PixelFeatures, Projection
from ancestral.evaluation.quality import (
    Measured,
    Quality,
    class_divergence,
    class_shares,
    covered_classes,
    frechet_distance,
    inception_score,
    near_copies,
    rank_quality,
)
from ancestral.models.base import Model
from ancestral.reports.quality_tables import quality_table
from ancestral.reports.run_page import write_run_page
from ancestral.runs.quality import View, measure_run
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run

CLOSE = 1e-3  # relative, of every metric to its reference


def gaussian(n: int, f: int = 8, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return shift + scale * torch.randn(n, f, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def correlated(n: int, f: int = 8, seed: int = 0) -> Tensor:
    """Features as a network gives them: not negative, correlated, far from zero mean."""
    mixing = gaussian(f, f, seed=99)
    return (gaussian(n, f, seed) @ mixing + 1).clamp(min=0) + seed % 3


# ---- FID, KID and IS against references in numpy


def numpy_fid(a: np.ndarray, b: np.ndarray) -> float:
    first, second = (np.atleast_2d(np.cov(x.T)) for x in (a, b))
    root = linalg.sqrtm(first @ second)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * np.real(root)))


def numpy_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD over all pairs, cubic kernel."""

    def kernel(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return (u @ v.T / u.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    within = (kernel(a, a).sum() - np.trace(kernel(a, a))) / (n * (n - 1))
    within += (kernel(b, b).sum() - np.trace(kernel(b, b))) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


@pytest.mark.parametrize("features", [1, 2, 8, 32])
def test_fid_agrees_with_a_reference(features: int) -> None:
    real, drawn = correlated(600, features, seed=1), correlated(500, features, seed=2)
    expected = numpy_fid(real.numpy(), drawn.numpy())
    assert frechet_distance(real, drawn) == pytest.approx(expected, rel=CLOSE)
    assert frechet_distance(real + 1e4, drawn + 1e4) == pytest.approx(expected, rel=CLOSE)
    assert frechet_distance(real.float(), drawn.float()) == pytest.approx(expected, rel=CLOSE)


def test_fid_of_shifted_and_scaled_gaussians_is_the_closed_form() -> None:
    """|m|^2 + F (s - 1)^2, exactly so for one set and its own affine image."""
    x = gaussian(1000, 8)
    assert frechet_distance(x, x + 3) == pytest.approx(8 * 9, rel=1e-9)
    white = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    assert frechet_distance(white, 2.5 * white) == pytest.approx(8 * 1.5**2, rel=1e-9)


@pytest.mark.parametrize(("features", "images", "decay"), [(64, (200, 200), 0.0), (16, (150, 400), 0.3)])
def test_fid_is_biased_as_its_documentation_says(features: int, images: tuple[int, int], decay: float) -> None:
    """Two sets from one Gaussian, 24 times: within 4 standard errors, and the 5 % that the next order may take."""
    variances = torch.arange(features, dtype=torch.float64).mul(-decay).exp()
    sets = [[gaussian(n, features, 2 * i + k) * variances.sqrt() for k, n in enumerate(images)] for i in range(24)]
    found = np.array([frechet_distance(*pair) for pair in sets])
    pairs = variances[:, None] * variances / (variances[:, None] + variances)
    expected = sum(1 / n for n in images) * (1.25 * variances.sum() + 0.5 * pairs.sum()).item()
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(24) + 0.05 * expected
    if not decay:
        assert expected == pytest.approx(11.04)


def test_kid_agrees_with_a_reference() -> None:
    real, drawn = correlated(400, 8, seed=1), correlated(400, 8, seed=2)
    whole = kernel_distance(real, drawn, subsets=1, subset_size=400)
    assert whole == pytest.approx(numpy_mmd(real.numpy(), drawn.numpy()), rel=CLOSE)
    many = kernel_distance(real, drawn, subsets=200, subset_size=200)
    assert many == pytest.approx(whole, rel=0.05)  # the mean over subsets is unbiased for the whole


def test_kid_is_unbiased() -> None:
    """Of two sets from one Gaussian it is 0 on average: within 4 standard errors over 200 pairs."""
    values = [
        kernel_distance(gaussian(60, 4, 2 * i), gaussian(60, 4, 2 * i + 1), subsets=1, subset_size=60)
        for i in range(200)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)


def test_inception_score_agrees_with_a_reference() -> None:
    logits = 3 * gaussian(500, 10, seed=3)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    assert inception_score(logits) == pytest.approx(expected, rel=CLOSE)


def test_inception_score_of_known_sets() -> None:
    sure = 100 * torch.eye(10, dtype=torch.float64)
    assert inception_score(sure.repeat(20, 1)) == pytest.approx(10)
    assert inception_score(sure[:1].repeat(200, 1)) == pytest.approx(1)  # one clear class: collapsed
    assert inception_score(torch.zeros(200, 10)) == pytest.approx(1)  # nothing clear
    assert inception_score(sure[:5].repeat(40, 1)) == pytest.approx(5)


# ---- precision, recall, density and coverage against loops


def naive_radius(x: np.ndarray, i: int, k: int) -> float:
    return sorted(float(np.linalg.norm(x[i] - x[j])) for j in range(len(x)) if j != i)[k - 1]


def naive_precision(real: np.ndarray, drawn: np.ndarray, k: int) -> float:
    radii = [naive_radius(real, i, k) for i in range(len(real))]
    inside = [any(np.linalg.norm(y - x) <= r for x, r in zip(real, radii, strict=True)) for y in drawn]
    return float(np.mean(inside))


def naive_density_coverage(real: np.ndarray, drawn: np.ndarray, k: int) -> tuple[float, float]:
    pairs, covered = 0, 0
    for i, x in enumerate(real):
        near = sum(bool(np.linalg.norm(y - x) <= naive_radius(real, i, k)) for y in drawn)
        pairs, covered = pairs + near, covered + (near > 0)
    return pairs / (k * len(drawn)), covered / len(real)


def test_the_covered_share_of_points_far_away_is_that_of_points_at_the_origin() -> None:
    """Distances multiplied out in single precision are noise of size one there: squares of 1e4 have 8 digits each."""
    data, draws = gaussian(200, 2, 1), gaussian(200, 2, 2, 0.5)
    shifted = [(x + 1e4).float() for x in (draws, data)]
    near = [x.double() - 1e4 for x in shifted]  # the same points, rounded alike
    assert 0.5 < covered_share(near[0], near[1]) < 0.95
    assert covered_share(shifted[0], shifted[1]) == covered_share(near[0], near[1])


@pytest.mark.parametrize(("shift", "k", "block"), [(0.0, 3, 1024), (0.7, 3, 7), (0.7, 5, 16), (1.5, 1, 7)])
def test_neighbourhoods_agree_with_loops(shift: float, k: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    real, drawn = gaussian(50, 3, 1), gaussian(40, 3, 2, shift)
    a, b = real.numpy(), drawn.numpy()
    assert precision_recall(real, drawn, k) == pytest.approx((naive_precision(a, b, k), naive_precision(b, a, k)))
    assert density_coverage(real, drawn, k) == pytest.approx(naive_density_coverage(a, b, k))


def test_nearest_agrees_with_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    images, pool = torch.rand(20, 1, 4, 4), torch.rand(30, 1, 4, 4)
    distances, found = nearest(images, pool)
    every = [[float((x.double() - y.double()).norm()) for y in pool] for x in images]
    assert found.tolist() == [int(np.argmin(row)) for row in every]
    assert distances.tolist() == pytest.approx([min(row) for row in every])
    assert nearest(pool[3:5], pool)[0].tolist() == [0, 0]


@pytest.mark.parametrize("steps", [1, 255, 0.0])
def test_the_nearest_of_a_pool_in_parts_is_that_of_the_whole_pool(
    steps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 8)
    images, pool = (torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)) for n in (20, 60))
    if steps:
        images, pool = ((steps * x).round() / steps for x in (images, pool))
    pool[45], pool[50], images[3] = pool[7], pool[20], pool[7]  # the first of equal images is the result
    search = Nearest(images)
    for part in pool.split([17, 1, 42]):
        search.among(part)
    distances, found = nearest(images, pool)
    assert torch.equal(search.distances, distances) and torch.equal(search.found, found) and found[3] == 7
    expected = torch.cdist(
        images.flatten(1).double(), pool.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    assert distances.tolist() == pytest.approx(expected.amin(1).tolist())


# ---- laws


@pytest.mark.parametrize("make", [gaussian, correlated])
def test_a_set_compared_with_itself_is_perfect(make: Callable[..., Tensor]) -> None:
    x = make(500, 8)
    assert abs(frechet_distance(x, x)) < 1e-6
    assert precision_recall(x, x) == (1, 1)
    assert density_coverage(x, x)[1] == 1
    assert kernel_distance(x, x, subsets=1, subset_size=500) < 0  # unbiased: the diagonal is left out


def test_repeated_images_are_in_their_own_neighbourhoods() -> None:
    """Binary images repeat, so radii are zero and distances tie: rounding must not decide."""
    x = correlated(100, 8).repeat(6, 1)
    assert precision_recall(x, x[torch.arange(599, -1, -1)]) == (1, 1)
    assert density_coverage(x, x)[1] == 1


def test_two_sets_of_one_distribution_are_nearly_so() -> None:
    a, b = gaussian(1500, 4, 1), gaussian(1500, 4, 2)
    assert all(share > 0.9 for share in precision_recall(a, b))
    density, coverage = density_coverage(a, b)
    assert abs(density - 1) < 0.1 and coverage > 0.93  # expected coverage 1 - 2^-5 = 0.97


def test_collapsed_samples_are_precise_and_cover_nothing() -> None:
    real, collapsed = gaussian(800, 4, 1), gaussian(800, 4, 2, scale=0.05)
    precision, recall = precision_recall(real, collapsed)
    density, coverage = density_coverage(real, collapsed)
    assert precision == 1 and recall < 0.05
    assert density > 1 and coverage < 0.1


def test_scattered_samples_recall_and_are_not_precise() -> None:
    real, scattered = gaussian(800, 4, 1), gaussian(800, 4, 2, scale=6)
    precision, recall = precision_recall(real, scattered)
    assert precision < 0.3 and recall > 0.7
    assert density_coverage(real, scattered)[0] < 0.2


def test_class_shares_and_their_divergence_by_hand() -> None:
    logits = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])]
    shares = class_shares(logits)
    assert shares.tolist() == pytest.approx([0.6, 0.2, 0.2])
    by_hand = 0.6 * math.log(0.6 / 0.5) + 0.2 * math.log(0.2 / 0.3) + 0.2 * math.log(0.2 / 0.2)
    assert class_divergence(shares, torch.tensor([0.5, 0.3, 0.2])) == pytest.approx(by_hand)
    one, even = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.full((4,), 0.25)
    assert class_divergence(one, even) == pytest.approx(math.log(4))
    assert class_divergence(even, even) == 0
    refused(lambda: class_divergence(even, one), "[1, 2, 3]")


def test_classes_covered() -> None:
    even = torch.full((4,), 0.25)
    assert covered_classes(even, even) == 4
    assert covered_classes(torch.tensor([0.5, 0.4, 0.1, 0.0]), even) == 3
    assert covered_classes(torch.tensor([0.5, 0.48, 0.02, 0.0]), even) == 2  # a stray sample covers no class
    assert covered_classes(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.5, 0.0])) == 2


def test_training_images_are_called_copies() -> None:
    torch.manual_seed(1)
    pool, fresh = torch.rand(300, 1, 6, 6), torch.rand(200, 1, 6, 6)
    fresh_distances = nearest(fresh, pool)[0]
    copies = (pool[:100] + 0.01 * torch.rand(100, 1, 6, 6)).clamp(0, 1)
    assert near_copies(nearest(copies, pool)[0], fresh_distances) == (1.0, pytest.approx(0.01))
    others = nearest(torch.rand(200, 1, 6, 6), pool)[0]
    assert near_copies(others, fresh_distances)[0] < 0.05


# ---- mistakes

TWO_SETS: list[Callable[[Tensor, Tensor], Any]] = [
    frechet_distance,
    kernel_distance,
    precision_recall,
    density_coverage,
]


@pytest.mark.parametrize("metric", TWO_SETS, ids=lambda metric: metric.__name__)
def test_mistakes_with_features_are_refused(metric: Callable[[Tensor, Tensor], Any]) -> None:
    real, drawn = gaussian(200, 8, 1), gaussian(200, 8, 2)
    refused(lambda: metric(real.T, drawn.T), "8 images are too few for 200 features", "swapped")
    refused(lambda: metric(real, drawn.T), "swapped")
    refused(lambda: metric(real[:8], drawn), "8 images are too few for 8 features")
    refused(lambda: metric(real, drawn[:3]), "too few")
    refused(lambda: metric(real, drawn[:, :7]), "same network")
    refused(lambda: metric(real, drawn[0]), "(N, F)")
    for wrong in (math.nan, math.inf):
        damaged = drawn.clone()
        damaged[3, 3] = wrong
        refused(lambda damaged=damaged: metric(real, damaged), "not finite")
        refused(lambda damaged=damaged: metric(damaged, drawn), "not finite")


def test_mistakes_with_logits_are_refused() -> None:
    for action in (inception_score, class_shares):
        refused(lambda action=action: action(gaussian(100, 10).T), "swapped")
        refused(lambda action=action: action(torch.full((100, 10), math.nan)), "not finite")


def test_subsets_and_neighbourhoods_that_do_not_fit_are_refused() -> None:
    real, drawn = gaussian(30, 2, 1), gaussian(20, 2, 2)
    refused(lambda: kernel_distance(real, drawn, subset_size=21), "2 to 20")
    refused(lambda: kernel_distance(real, drawn, subset_size=1), "2 to 20")
    refused(lambda: precision_recall(real, drawn, k=20), "20 images are too few")
    refused(lambda: density_coverage(real, drawn, k=0), "neighbourhoods of 0")
    refused(lambda: nearest(torch.rand(3, 1, 4, 4), torch.rand(3, 1, 5, 5)), "same shape")


def test_metrics_leave_the_random_numbers_of_the_caller_alone() -> None:
    before = torch.get_rng_state()
    x, y = gaussian(200, 8, 1), gaussian(200, 8, 2)
    values = [[metric(x, y) for metric in TWO_SETS] + [inception_score(x)] for _ in range(2)]
    assert values[0] == values[1]
    assert torch.equal(before, torch.get_rng_state())


# ---- a run

SMALL: dict[str, Any] = {"train_size": 300, "valid_size": 50, "epochs": 1}


@pytest.fixture(scope="module", autouse=True)
def quick_recogniser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A poor recogniser, soon trained, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(recogniser_training, "IMAGES_SEEN", 6000)
        patch.setattr(recogniser_training, "EPOCHS", 1)
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Three runs on digits; no test changes their models."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "mixture": fit("mixture", folder / "mixture", components=20, method="em", **{**SMALL, "epochs": 4}),
        "levels": fit("vae", folder / "levels", pixels="levels", latents=2, hidden=(8,), **SMALL),
        "drawn": fit("made", folder / "drawn", pixels="binary", hidden=(8,), **SMALL),
    }


def test_a_run_is_measured_and_the_record_is_kept(runs: dict[str, Run]) -> None:
    run = runs["mixture"]
    record = measure_run(run, seed=0)
    assert QUALITY.of(run) == [record]
    assert measure_run(run, seed=0) == record and len(QUALITY.of(run)) == 1
    stored = json.loads((run.path / "quality.json").read_text())
    assert stored[0]["fid"] == {"value": record.fid.value, "real": record.fid.real}
    assert record.count == 447 and record.space == "digits, binary, threshold 0.5" and record.drawn == "draws"
    assert len(record.network_sha256) == 64 and set(record.network_accuracy) == {"grey", "threshold", "drawn"}
    # a mixture after four rounds draws what looks like digits, and worse than digits do
    assert record.steps is None
    assert 0 < record.fid.real < record.fid.value and record.class_kl.value > 0
    assert record.recall.value < record.recall.real and record.coverage.value < record.coverage.real
    assert measure_run(run, 100).count == 100 and len(QUALITY.of(run)) == 2


def test_models_with_parallel_steps_are_sampled_in_few_and_labelled(tmp_path: Path) -> None:
    """By default in 64 steps of at most 100 pixels: an exact sample would need 100."""
    run = fit("any-order", tmp_path / "run", network="mlp", hidden=(4,), pad_to=10, **SMALL)
    record = measure_run(run, 100, features="pixels")
    assert record.steps == 64 and Quality.from_json(record.to_json()) == record
    assert measure_run(run, 100, features="pixels", steps=100).steps is None  # as many as there are pixels: exact
    few = measure_run(run, 100, features="pixels", steps=2)
    assert few.steps == 2 and few.fid != record.fid
    assert quality_table([("model", few)]).header[-1] == "model (2 parallel steps)"
    refused(lambda: measure_run(run, 100, steps=0), "--steps 0")


def test_means_are_labelled_and_exist_for_latent_models_only(runs: dict[str, Run]) -> None:
    means = measure_run(runs["mixture"], 200, means=True)
    assert means.drawn == "E[x | z], not draws"
    assert means.nearest.value < measure_run(runs["mixture"], 200).nearest.value  # smooth images lie nearer
    assert measure_run(runs["drawn"], 200, means=True).drawn == "draws"  # a MADE has nothing but draws


def test_grey_samples_are_thresholded_for_comparison_with_binary_ones(runs: dict[str, Run]) -> None:
    grey, cut = measure_run(runs["levels"], 200), measure_run(runs["levels"], 200, threshold=True)
    other = measure_run(runs["mixture"], 200, threshold=True)
    assert grey.space == "digits, 17 levels"
    assert cut.space == other.space == "digits, binary, threshold 0.5"
    view = View(runs["levels"].data, threshold=True)
    assert set(view.drawn(runs["levels"].load(), 20).unique().tolist()) == {0, 1}
    # the real images are cut as well: both runs have the same reference values
    assert (cut.fid.real, cut.recognised.real) == (other.fid.real, other.recognised.real)
    assert grey.fid.real != cut.fid.real
    refused(lambda: rank_quality([grey, other]), "17 levels", "threshold")
    assert rank_quality([cut, other]) == [1, 0]
    refused(lambda: measure_run(runs["drawn"], threshold=True), "--threshold")


def test_a_model_that_copies_the_training_images_is_detected(runs: dict[str, Run], tmp_path: Path) -> None:
    run = fit("mixture", tmp_path / "copy", components=2, **SMALL)

    class Remembers(Model):
        def sample(self, n: int) -> Tensor:
            return run.data.space.convert(run.data.dataset.train.images[torch.randint(300, (n,))])

    run.load = lambda: Remembers()  # type: ignore[method-assign]
    copied, honest = measure_run(run, 200), measure_run(runs["mixture"], 200)
    assert copied.near_copies.value == 1 and copied.nearest.value == 0
    assert copied.near_copies.real < 0.1 and honest.near_copies.value < 0.5
    assert copied.fid.value < honest.fid.value


def test_records_that_differ_in_anything_are_not_ranked(runs: dict[str, Run]) -> None:
    record = measure_run(runs["mixture"], 200)
    for change in ({"count": 100}, {"network_sha256": "0" * 64}, {"drawn": "E[x | z], not draws"}, {"space": "x"}):
        refused(lambda change=change: rank_quality([record, replace(record, **change)]), "cannot be ranked")
    better = replace(record, fid=record.fid._replace(value=0.0), recall=record.recall._replace(value=1.0))
    assert rank_quality([record, better]) == rank_quality([record, better], "recall") == [1, 0]
    refused(lambda: rank_quality([record], "near_copies"), "near_copies")
    assert Quality.from_json(json.loads(json.dumps(record.to_json()))) == record
    refused(lambda: Quality.from_json({"fid": 3}), "not a record")


def test_padding_is_not_compared(runs: dict[str, Run], tmp_path: Path) -> None:
    padded = fit("mixture", tmp_path / "padded", components=2, pad_to=12, **SMALL)
    record, plain = measure_run(padded, 200), measure_run(runs["mixture"], 200)
    assert record.space == "digits padded to 12x12, binary, threshold 0.5"
    assert record.fid.real == plain.fid.real and record.network_sha256 == plain.network_sha256


def test_samples_that_cannot_be_measured_raise(runs: dict[str, Run], tmp_path: Path) -> None:
    points = fit("flow", tmp_path / "points", data="moons", train_size=100, valid_size=10, epochs=1, width=4)
    refused(lambda: measure_run(points), "points")
    images = load_dataset("digits").train.images[:200, 0].numpy()
    np.savez(tmp_path / "nameless.npz", images=images)
    nameless = fit("mixture", tmp_path / "nameless", data=str(tmp_path / "nameless.npz"), components=2, epochs=1)
    refused(lambda: measure_run(nameless, features="recogniser"), "no labels")
    refused(lambda: measure_run(nameless), "20 images of nameless are too few", "at least 54")
    refused(lambda: measure_run(runs["mixture"], 448), "choose at most 447")
    refused(lambda: measure_run(runs["mixture"], 0), "choose at most 447")
    refused(lambda: measure_run(runs["mixture"], 30), "too few")
    broken = fit("mixture", tmp_path / "broken", components=2, **SMALL)
    broken.load = lambda: _DrawsNothing()  # type: ignore[method-assign]
    refused(lambda: measure_run(broken, 200), "not finite")
    assert not (broken.path / "quality.json").exists()
    (broken.path / "quality.json").write_text("{}")
    refused(lambda: QUALITY.of(broken), "quality.json")


class _DrawsNothing(Model):
    def sample(self, n: int) -> Tensor:
        return torch.full((n, 1, 8, 8), math.nan)


# ---- the command, the page and the drawing


def test_the_command_prints_one_table_with_reference_values(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(runs[name].path) for name in ("levels", "mixture")]
    picture = tmp_path / "rows.png"
    assert main(["quality", *paths, "--count", "200", "--threshold", "--picture", str(picture)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["measure", "real", "images", "mixture", "levels"]  # of the runs the better one first
    assert [line.split()[0] for line in lines[1:4]] == ["FID", "KID", "IS"] and len(lines) == 13
    assert "digits recogniser" in err and "threshold 0.5" in err and "each" in err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["quality", *paths, "--count", "200", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["run"] for record in records] == ["levels", "mixture"]
    assert {"value", "real"} == set(records[0]["coverage"])


def test_the_command_reports_records_that_are_not_comparable(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(runs[name].path) for name in ("levels", "mixture")]
    assert main(["quality", *paths, "--count", "200"]) == 0
    assert "cannot be ranked" in capsys.readouterr().err
    for flag, value, words in (
        ("--count", "0", "--count 0"),
        ("--picture", "rows.bmp", ".png"),
        ("--count", "9999", "at most 447"),
    ):
        assert main(["quality", *paths, flag, value]) == 2
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1 and words in err


def test_real_images_of_two_kinds_have_two_rows_in_a_table() -> None:
    cut = quality_of(fid=3.0)
    drawn = replace(cut, space="digits, binary, each pixel drawn with probability = its grey value")
    assert quality_table([("a", cut), ("b", cut)]).header == ["measure", "real images", "a", "b"]
    other = replace(drawn, fid=Measured(4.0, 0.7))  # other reference values: other real images
    both = quality_table([("a", cut), ("b", other)])
    assert both.header == ["measure", "real images, cut", "real images, drawn", "a", "b"]
    assert ["pixels", "cut", "drawn", "cut", "drawn"] in both.rows
    assert ["FID", "0.500", "0.700", "3.000", "4.000"] in both.rows


def test_own_reference_values_are_in_brackets_only_if_they_differ() -> None:
    one = quality_of(nearest=3.0)
    other = replace(one, nearest=Measured(4.0, 0.6))
    assert ["nearest", "0.500", "3.000", "3.000"] in quality_table([("a", one), ("b", one)]).rows
    assert ["nearest", "", "3.000 (0.500)", "4.000 (0.600)"] in quality_table([("a", one), ("b", other)]).rows


def test_columns_that_are_equal_for_all_runs_are_omitted() -> None:
    named = [(str(i), quality_of(classes=0.5, fid=i)) for i in range(6)]
    table = quality_table(named)
    assert "classes" not in table.header and "FID" in table.header and len(table.rows) == 7
    assert ["classes", "0", "0"] in quality_table(named[:1]).rows


def test_the_page_of_a_run_shows_its_quality(runs: dict[str, Run]) -> None:
    measure_run(runs["drawn"], 200)
    page = write_run_page(runs["drawn"], redraw=False).read_text()
    for word in ("Sample quality", "FID", "coverage", "digits recogniser", "real images"):
        assert word in page


def test_samples_above_their_neighbours(runs: dict[str, Run], tmp_path: Path) -> None:
    out = tmp_path / "neighbours.png"
    assert main(["draw", "neighbours", str(runs["mixture"].path), "--out", str(out), "--count", "5"]) == 0
    assert out.exists()


def test_shared_distances_give_the_same_measures() -> None:
    real = gaussian(120, 3, 1)
    near = Neighbours(real)
    for samples in (gaussian(90, 3, 2), 0.3 * gaussian(150, 3, 3)):
        (precision, recall), (density, coverage) = precision_recall(real, samples), density_coverage(real, samples)
        expected = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
        assert near.of(samples) == expected
        assert len(set(expected.values())) > 1


def test_samples_and_training_images_are_compared_with_the_test_images() -> None:
    samples, test, training = (gaussian(80, 3, seed) * scale for seed, scale in ((1, 1.0), (2, 1.3), (3, 0.8)))
    network = PixelFeatures("none", "", (1, 1, 3), torch.zeros(3), torch.eye(3))
    far = torch.ones(80)
    found = assess(Projection(samples), Projection(test), Projection(training), far, far, network=network, space="")
    for name, part in (("value", samples), ("real", training)):
        expected = (*precision_recall(test, part), *density_coverage(test, part))
        measured = (found.precision, found.recall, found.density, found.coverage)
        assert tuple(getattr(one, name) for one in measured) == expected


def test_the_nearest_image_with_constant_pixels_in_the_pool() -> None:
    """They are left out of the search, and they count in the distance."""
    generator = torch.Generator().manual_seed(1)
    pool, images = (torch.rand(n, 1, 4, 4, generator=generator) for n in (50, 30))
    pool[:, :, 0], pool[1:, :, 1, 0] = 1.0, 0.5
    pool[0, :, 1, 0] = 0.9
    images[:, :, 0] = 0.0
    distances, found = nearest(images, pool)
    every = (images[:, None] - pool[None]).flatten(2).double().norm(dim=2)
    assert torch.equal(found, every.argmin(1))
    assert torch.allclose(distances, every.min(1).values)


MEMORY = """
from resource import RUSAGE_SELF, getrusage  # torch's memory is not Python's: the system knows the peak
import torch
from ancestral.core.threads import keep_large_blocks
from ancestral.evaluation.neighbours import density_coverage, precision_recall

keep_large_blocks()  # as where quality is measured: freed memory stays in the process
generator = torch.Generator().manual_seed(1)
x, y = (torch.randn(10_000, 64, generator=generator) for _ in range(2))
precision_recall(x[:100], y[:100])
before = getrusage(RUSAGE_SELF).ru_maxrss
precision_recall(x, y)
density_coverage(x, y)
print(getrusage(RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_ten_thousand_samples_need_little_memory() -> None:
    """Blocks of distances (82 MB) in the same memory, never a matrix of 10,000 by 10,000 (800 MB).

    In a process of its own: what other tests have freed or kept changes its peak.
    """
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 240_000  # kB
