"""Out-of-distribution detection: anomalies, scores and the batch test; and no image is used for two purposes."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import record_of, refused
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ancestral import fit
from ancestral.commands.main import main
from ancestral.core.errors import NotComputable
from ancestral.data.anomalies import ANOMALIES, frankenstein, noise, other_images, refuse_training_images
from ancestral.data.datasets import Split, load_dataset
from ancestral.evaluation.detection import (
    PNG_FRAME,
    SCORES,
    BatchTest,
    PixelBackground,
    Rate,
    anomaly_scores,
    auroc,
    broken_placements,
    code_lengths,
    drift,
    null_placements,
    placements,
    random_batches,
    rates,
    size_of_power,
)
from ancestral.evaluation.proportions import Proportion, _above, proportion_of_batches
from ancestral.reports.detection_tables import power_table
from ancestral.reports.pictures.detection import (
    detection_figure,
    frankenstein_sheet,
    level_bands,
    power_figure,
    power_note,
)
from ancestral.reports.run_page import write_run_page
from ancestral.runs import detect as detecting
from ancestral.runs.detect import Detection, detect_run, divided
from ancestral.runs.records import DETECTIONS
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings

TRIALS = 4000
SURE = 4.0  # standard errors: about one false alarm in 16,000 looks


def normal(n: int, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    return shift + scale * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numbered(count: int = 40, height: int = 4, width: int = 6, classes: int = 5) -> Split:
    """Images that can be told apart in every pixel: image i is full of i."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(count, 1, height, width).contiguous()
    return Split(images, torch.arange(count) % classes)


# ---- anomalies


@pytest.mark.parametrize("width", [1, 2, 5, 6, 9])
def test_frankenstein_halves_come_from_two_classes_and_meet_at_the_middle(width: int) -> None:
    source = numbered(width=width)
    assert source.labels is not None
    images, left, right = frankenstein(source, seed=3)
    assert images.dtype == torch.uint8 and images.shape == source.images.shape
    assert bool((source.labels[left] != source.labels[right]).all())
    middle = width // 2
    assert bool((images[..., :middle] == left.view(-1, 1, 1, 1)).all())
    assert bool((images[..., middle:] == right.view(-1, 1, 1, 1)).all())
    assert sorted(left.tolist()) == list(range(40))  # each image once before any twice


def test_frankenstein_images_are_a_function_of_their_seed() -> None:
    one, again, other = (frankenstein(numbered(), seed).images for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    longer = frankenstein(numbered(), 1, count=100)
    assert len(longer.images) == 100 and int(longer.left.bincount().max()) == 3


def test_right_halves_are_drawn_evenly_from_the_other_classes() -> None:
    source = Split(numbered(4).images, torch.tensor([0, 0, 1, 2]))
    right = frankenstein(source, count=4 * TRIALS).right[2::4]  # of lefts of class 1: images 0, 1 and 3
    assert stats.chisquare(right.bincount()[[0, 1, 3]].numpy()).pvalue > 1e-4


def test_frankenstein_needs_labels_of_two_classes() -> None:
    refused(lambda: frankenstein(Split(numbered().images, None)), "labels")
    refused(lambda: frankenstein(Split(numbered().images, torch.zeros(40))), "two classes")


def test_every_anomaly_keeps_shape_type_and_levels() -> None:
    source = load_dataset("digits").test
    for name, make in ANOMALIES.items():
        images = make(source, 17, 0)
        assert images.shape == source.images.shape and images.dtype == torch.uint8, name
        assert int(images.max()) <= 16, name
        assert not torch.equal(images, source.images), name
        assert torch.equal(images, make(source, 17, 0)), name
    colour = Split(torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8), torch.arange(5))
    assert all(make(colour, 256, 0).shape == (5, 3, 4, 4) for make in ANOMALIES.values())


def test_what_each_anomaly_keeps() -> None:
    source = load_dataset("digits").test
    turned = [ANOMALIES[name](source, 17, 0) for name in ("rotated", "upside-down")]
    assert torch.equal(turned[0].rot90(1, (2, 3)), turned[1])
    assert torch.equal(turned[1].flip(2, 3), source.images)
    mixed = ANOMALIES["shuffled"](source, 17, 0)
    assert torch.equal(mixed.flatten(1).sort(1).values, source.images.flatten(1).sort(1).values)
    flat = ANOMALIES["constant"](source, 17, 0).flatten(1)
    assert torch.equal(flat.amin(1), flat.amax(1)) and len(flat[:, 0].unique()) == 17
    drawn = noise(source, 17).flatten().bincount(minlength=17)
    assert stats.chisquare(drawn.numpy()).pvalue > 1e-4
    refused(lambda: ANOMALIES["rotated"](numbered(), 256, 0), "square")


def test_other_images_are_stretched_to_the_levels_wanted(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0, 51, 255] * 20, np.uint8).reshape(-1, 1, 1).repeat(8, 1).repeat(8, 2))
    found = other_images(str(tmp_path / "a.npy"), (1, 8, 8), 17)
    assert len(found) == 60 and found.unique().tolist() == [0, 3, 16]  # all of the file: 51/255 of 16 is 3.2
    refused(lambda: other_images(str(tmp_path / "a.npy"), (1, 28, 28), 256), "1x8x8", "1x28x28")
    refused(lambda: other_images("frankenstien", (1, 8, 8), 17), "frankenstien", "unknown", "frankenstein")


def test_training_images_cannot_be_tested() -> None:
    train = numbered(30).images
    refuse_training_images(train + 100, Split(train, None), "x.npy")
    refused(
        lambda: refuse_training_images(torch.cat([train[7:9], train + 100]), Split(train, None), "x.npy"), "2 of its 32"
    )


# ---- scores of single images


@pytest.mark.parametrize("rounded", [False, True])
def test_auroc_agrees_with_scikit_learn(rounded: bool) -> None:
    natural, anomalous = normal(300, 1), normal(200, 2, shift=0.7)
    if rounded:  # many ties
        natural, anomalous = natural.round(), anomalous.round()
    expected = roc_auc_score([0] * 300 + [1] * 200, torch.cat([natural, anomalous]).numpy())
    assert auroc(natural, anomalous).value == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand() -> None:
    """Of 6 pairs the anomalous one is higher in 4 and equal in 1."""
    value, stderr = auroc(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert value == 4.5 / 6
    # DeLong: placements of the anomalous 1.5/3, 1; of the natural ones 1, 1.5/2, 1/2 (share above them)
    assert stderr == pytest.approx(math.sqrt(np.var([0.5, 1], ddof=1) / 2 + np.var([1, 0.75, 0.5], ddof=1) / 3))
    assert auroc(torch.zeros(3), torch.ones(2)) == (1.0, 0.0)
    assert auroc(torch.ones(3), torch.zeros(2)).value == 0.0
    refused(lambda: auroc(torch.ones(3), torch.zeros(1)), "two")
    refused(lambda: auroc(torch.tensor([1.0, math.nan]), torch.zeros(2)), "NaN")


def test_the_standard_error_of_the_auroc_is_that_of_repeated_draws() -> None:
    found = [auroc(normal(80, 2 * i), normal(60, 2 * i + 1, shift=1.0)) for i in range(500)]
    spread = float(np.std([value for value, _ in found]))
    assert np.mean([stderr for _, stderr in found]) == pytest.approx(spread, rel=SURE / math.sqrt(2 * 500))


def test_scores_are_higher_where_an_image_is_more_anomalous() -> None:
    log_prob = torch.tensor([-100.0, -150.0, -60.0])
    same = torch.full((3,), 80.0)
    scores = anomaly_scores(log_prob, same, -same, expected=-100.0)
    assert set(scores) == set(SCORES)
    assert scores["log_prob"].tolist() == [100, 150, 60]
    assert scores["typicality"].tolist() == [0, 50, 40]  # too probable is not typical either
    assert scores["complexity"].tolist() == [20, 70, -20]
    assert scores["ratio"].tolist() == [20, 70, -20]
    simple, rich = anomaly_scores(torch.full((2,), -100.0), torch.tensor([10.0, 90.0]), -same[:2], 0)["complexity"]
    assert simple > rich  # as probable as a rich image, a simple one is suspicious
    common, rare = anomaly_scores(torch.full((2,), -100.0), same[:2], torch.tensor([-50.0, -90.0]), 0)["ratio"]
    assert common > rare  # so is one that the background explains as well


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 256), (3, 256), (3, 2)])
def test_a_code_length_is_the_length_of_a_file(channels: int, levels: int) -> None:
    values = torch.tensor([0, 127, 128, 255]) / 255
    images = values[torch.randint(4, (6, channels, 11, 13), generator=torch.Generator().manual_seed(0))]
    lengths = code_lengths(images, levels) / (8 * math.log(2))
    for image, length in zip(images.mul(255).round().byte(), lengths.tolist(), strict=True):
        pixels = image.movedim(0, 2).numpy()
        picture = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
        if (channels, levels) == (1, 2):
            picture = picture.convert("1", dither=Image.Dither.NONE)
        picture.save(file := io.BytesIO(), "png", optimize=True)
        assert len(file.getvalue()) == round(length) + PNG_FRAME


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_code_lengths_grow_from_constants_to_digits_to_noise(levels: int) -> None:
    digits = load_dataset("digits", pad_to=16).test.images[:50].float() / 16
    grey = digits.round() if levels == 2 else digits
    drawn = torch.randint(levels, grey.shape, generator=torch.Generator().manual_seed(0)) / (levels - 1)
    flat, real, random = (code_lengths(x, levels) for x in (torch.ones_like(grey), grey, drawn))
    assert flat.shape == (50,) and flat.dtype == torch.float64
    assert flat.max() < real.min() and real.max() < random.min()
    assert random.mean() >= 256 * math.log(levels)  # no code is shorter than the entropy
    assert code_lengths(torch.rand(2, 3, 8, 8), 256).shape == (2,)


def test_the_background_is_the_frequencies_of_each_pixel_alone() -> None:
    x = torch.tensor([[0, 2], [1, 2], [0, 2]])
    background = PixelBackground(iter([x[:2], x[2:]]), levels=3)
    expected = [math.log(3 / 6) + math.log(4 / 6), math.log(2 / 6) + math.log(1 / 6)]
    assert background.log_prob(torch.tensor([[0, 2], [1, 0]])).tolist() == pytest.approx(expected)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    assert background.log_prob(every).exp().sum().item() == pytest.approx(1, abs=1e-12)
    binary = PixelBackground([torch.tensor([[0, 1], [1, 1], [0, 1]])], levels=2)
    expected = [math.log(3 / 5) + math.log(4 / 5), math.log(2 / 5) + math.log(1 / 5)]
    assert binary.log_prob(torch.tensor([[0, 1], [1, 0]])).tolist() == pytest.approx(expected)


# ---- the test of batches


def test_null_placements_are_the_ranks_of_exchangeable_values() -> None:
    """All multisets of 2 out of the 4 gaps around 3 values are equally likely: 10 of them."""
    drawn = null_placements(3, 2, 10 * TRIALS, seed=1).long().sort(1).values
    counts = (4 * drawn[:, 0] + drawn[:, 1]).bincount()
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-4 and int((counts > 0).sum()) == 10


def test_placements_count_ties_half() -> None:
    assert placements(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([[0.0, 1.0], [2.0, 3.0]])).tolist() == [
        [0, 0.5],
        [2, 3],
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 30])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_batch_test_holds_its_level(size: int, alpha: float) -> None:
    """Fresh calibration and batch each time, of a skewed score: within 4 binomial standard errors of alpha, or below it
    by the step of p-values of single images; and (a two-sided test is symmetric) each side takes its half."""
    generator = torch.Generator().manual_seed(5)
    calibration = torch.randn(TRIALS, 399, generator=generator).exp()
    batches = torch.randn(TRIALS, size, generator=generator).exp()
    places = torch.stack([placements(c, b) for c, b in zip(calibration, batches, strict=True)])
    # the test sees ranks only, so that one calibration of whole numbers can stand for each fresh one
    rejected = BatchTest(torch.arange(399.0), size, alpha).rejects(places - 0.5)
    error, step = SURE * math.sqrt(alpha * (1 - alpha) / TRIALS), 2 / 400 if size == 1 else 0.0
    assert alpha - step - error < rejected.double().mean().item() < alpha + error
    high = (rejected & (torch.special.ndtri((places + 0.5) / 400).mean(1) > 0)).double().mean().item()
    assert (alpha - step) / 2 - error < high < alpha / 2 + error


@pytest.mark.parametrize(("kinds", "size"), [(1, 3), (2, 1), (2, 10), (4, 20)])
def test_the_batch_test_holds_its_level_for_scores_of_few_values(kinds: int, size: int) -> None:
    """Scores that tie: a fresh calibration and a fresh batch each time, both sides of the level within 4 binomial
    standard errors. Ranks with ties counted half reject almost nothing here."""
    trials, alpha, m = 1000, 0.2, 59
    generator = torch.Generator().manual_seed(kinds + size)
    shares = torch.tensor([0.7, 0.2, 0.07, 0.03])[:kinds]
    scores = torch.multinomial(shares, trials * (m + size), replacement=True, generator=generator).view(trials, -1)
    rejected = [
        bool(BatchTest(row[:m], size, alpha, seed, draws=399).rejects(row[None, m:])) for seed, row in enumerate(scores)
    ]
    error, step = SURE * math.sqrt(alpha * (1 - alpha) / trials), 2 / (m + 1) if size == 1 else 0.0
    assert alpha - step - error < np.mean(rejected) < alpha + error


def test_ties_are_ordered_at_random_by_the_seed() -> None:
    """Without ties the ranks are those of the scores; one tied value has each place among its equals alike often."""
    reference = torch.tensor([1.0, 2.0, 2.0, 3.0, math.inf], dtype=torch.float64)
    distinct = torch.tensor([[0.0, 1.5, 2.5, 9.0, -math.inf]], dtype=torch.float64)
    assert broken_placements(reference, distinct, torch.Generator()).tolist() == [[0, 1, 3, 4, 0]]
    drawn = torch.cat(
        [
            broken_placements(reference, torch.full((1, 1), 2.0), torch.Generator().manual_seed(seed))
            for seed in range(900)
        ]
    )
    assert stats.chisquare(drawn.flatten().long().bincount()[1:].numpy()).pvalue > 1e-4  # below 1, 2, 2: 1 to 3
    assert drawn.min() == 1 and drawn.max() == 3
    tied = torch.zeros(30, 4)
    one, again, other = (BatchTest(torch.zeros(99), 4, seed=seed).p_values(tied) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    refused(lambda: broken_placements(reference, torch.tensor([[math.nan]]), torch.Generator()), "NaN")


def test_a_p_value_is_exact_in_the_smallest_case() -> None:
    """One image among 3 calibrating ones: the outer two gaps of four have p = 1/2, the inner two p = 1."""
    test = BatchTest(torch.tensor([1.0, 2.0, 3.0]), 1, alpha=0.5)
    p = test.p_values(torch.tensor([[0.0], [1.5], [2.5], [9.0]]))
    assert p.tolist() == pytest.approx([0.5, 1, 1, 0.5], abs=0.02)


@pytest.mark.parametrize("shift", [-0.8, 0.8])
def test_batches_shifted_in_either_direction_are_detected(shift: float) -> None:
    found = rates(normal(2000, 1), normal(2000, 2), normal(2000, 3, shift), (1, 5, 20, 50), trials=1000)
    powers = [rate.power.value for rate in found]
    assert powers == sorted(powers) and powers[0] < 0.3 and powers[-1] > 0.99
    assert size_of_power(found) == 50 if powers[2] < 0.95 else size_of_power(found) == 20
    # the mean of n normal values, were mean and variance known, has power Phi(|d| sqrt(n) - 1.96) + ...: none has more
    for rate in found:
        best = stats.norm.sf(1.96 - 0.8 * math.sqrt(rate.size)) + stats.norm.cdf(-1.96 - 0.8 * math.sqrt(rate.size))
        assert best - 0.06 < rate.power.value < best + 0.06


def test_the_level_holds_on_images_it_was_not_calibrated_on() -> None:
    for rate in rates(normal(3000, 1).exp(), normal(3000, 2).exp(), normal(3000, 3), (1, 2, 10, 50), trials=2000):
        low, high = rate.false_positives.interval
        assert low - 0.02 < 0.05 < high + 0.02  # fixed images shift the level by about a tenth of a batch's error


def test_calibration_of_another_distribution_is_noticed() -> None:
    assert drift(normal(1000, 1), normal(1000, 2)) > 0.01
    assert drift(normal(1000, 1), normal(1000, 2, shift=0.3)) < 0.01


def test_batches_hold_different_images_and_follow_their_seed() -> None:
    batches = random_batches(torch.arange(30), 10, 200, seed=1)
    assert batches.shape == (200, 10) and all(len(row.unique()) == 10 for row in batches)
    assert torch.equal(batches, random_batches(torch.arange(30), 10, 200, seed=1))
    counts = batches.flatten().bincount(minlength=30)
    assert counts.min() > 30 and counts.max() < 110  # 66.7 each, standard deviation 6.7


def test_shares_have_wilson_intervals() -> None:
    for count, trials in ((0, 20), (50, 1000), (1000, 1000)):
        interval = stats.binomtest(count, trials).proportion_ci(0.95, "wilson")
        assert Proportion(count, trials).interval == pytest.approx((interval.low, interval.high), abs=1e-6)


@pytest.mark.parametrize("correlation", [-0.9, -0.3, 0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("height", [-1.5, 0.4, 2.0])
def test_joint_probability_of_two_normal_variables_agrees_with_quadrature(correlation: float, height: float) -> None:
    p = stats.norm.cdf(height)
    cov: Any = [[1, correlation], [correlation, 1]]
    both = stats.multivariate_normal.cdf([height, height], cov=cov, allow_singular=True)
    assert _above(height, np.array([correlation])).item() == pytest.approx(both - p * p, abs=2e-4)


def test_single_images_are_drawn_again_as_often_as_there_are_few() -> None:
    """Two batches of one image are the same image once in N times, and then of one verdict."""
    assert proportion_of_batches(300, 1000, 1, (50,)).alike == pytest.approx(1 - math.exp(-1 / 50), abs=1e-6)
    assert proportion_of_batches(300, 1000, 1, (10**9,)).interval == pytest.approx(
        Proportion(300, 1000).interval, abs=1e-6
    )
    wide, narrow = (proportion_of_batches(300, 1000, 20, (pool,)).interval for pool in (200, 20_000))
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]
    both, natural = (proportion_of_batches(50, 1000, 20, pools, two_sided=True).alike for pools in ((400, 400), (400,)))
    assert both > 1.5 * natural  # the calibration counts too


@pytest.mark.parametrize(
    ("size", "shift"),
    [
        *((1, 0.0), (5, 0.0), (1, 1.0), (5, 1.0)),
        *(pytest.param(20, shift, marks=pytest.mark.slow) for shift in (0.0, 0.5)),
    ],
)
def test_intervals_hold_the_true_share_19_times_in_20(size: int, shift: float) -> None:
    """Of a known model, over 200 draws of all images: level for any calibration, power for the one there is. Intervals
    that took batches for independent would hold it in about four draws of five."""
    images, trials, draws = 200, 400, 200
    test = BatchTest(torch.arange(float(images)), size, draws=4000)
    generator = torch.Generator().manual_seed(size)

    def rejected(calibration: Tensor, batches: Tensor) -> Tensor:
        return test.rejects(placements(calibration, batches) - 0.5)  # it sees ranks only

    held, within, values = 0, 0, []
    for _ in range(draws):
        calibration, pool = torch.randn(2, images, generator=generator).double()
        chosen = torch.rand(trials, images, generator=generator).topk(size, 1).indices
        count = int(rejected(calibration, (pool + shift)[chosen]).sum())
        fresh = torch.randn(4000, size, generator=generator).double() + shift
        true = float(rejected(calibration, fresh).double().mean()) if shift else test.alpha
        found = proportion_of_batches(
            count, trials, size, (images,) if shift else (images, images), two_sided=not shift
        )
        held += found.interval[0] <= true <= found.interval[1]
        values.append(found.value)
        level = proportion_of_batches(round(true * trials), trials, size, (images, images), two_sided=True)
        within += level.band[0] <= found.value <= level.band[1]
    assert 0.9 * draws < held
    if not shift:
        scatter = math.sqrt(level.value * (1 - level.value) / level.independent)
        assert 0.9 * draws < within and 0.75 < np.std(values) / scatter < 1.3


def test_the_smallest_size_of_enough_power() -> None:
    share = Proportion(5, 100)
    found = [Rate(size, share, Proportion(power, 100)) for size, power in ((1, 10), (5, 95), (10, 100))]
    assert size_of_power(found) == 5 and size_of_power(found[:1]) is None


def test_wrong_tests_are_refused() -> None:
    scores = normal(1000)
    for alpha in (0.0, 1.0, -0.1, math.nan):
        refused(lambda alpha=alpha: BatchTest(scores, 1, alpha), "--alpha", "above 0 and below 1")
    refused(lambda: BatchTest(scores, 0), "at least 1")
    refused(lambda: BatchTest(scores[:38], 1, 0.05), "too few to calibrate", "39")
    BatchTest(scores[:39], 1, 0.05)
    refused(lambda: rates(scores, scores[:100], scores, (11,)), "batches of 11", "100 natural")
    refused(lambda: rates(scores, scores, scores, (1,), trials=0), "--trials 0")


# ---- of a run


def test_images_for_different_purposes_are_different_and_held_out() -> None:
    for valid_size in (300, 0):
        data = RunData(DataSettings(valid_size=valid_size, pixels="levels"))
        for calibrate in ("valid", "test"):
            pools = divided(data, calibrate)
            seen = [
                {row.tobytes() for row in images.numpy()}
                for images in (pools.calibration.images, pools.natural.images, pools.source.images)
            ]
            known = {row.tobytes() for row in data.dataset.train.images.numpy()}
            for i, one in enumerate(seen):
                assert not one & known
                assert not any(one & other for other in seen[:i])
            of_test = sum(map(len, seen)) - (valid_size if calibrate == "valid" else 0)
            assert of_test == len(data.dataset.test) == 447  # all are used, once
            words = "validation" if calibrate == "valid" and valid_size else "test"
            assert f"calibrated on {len(pools.calibration)} {words} images" in pools.words


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    fit("mixture", folder / "mixture", components=20, epochs=3, valid_size=300)
    fit("vae", folder / "vae", epochs=1, latents=2, hidden=(16,))
    fit("autoencoder", folder / "autoencoder", epochs=1, latents=2, hidden=(16,))
    fit("flow", folder / "flow", pixels="levels", epochs=1, scales=1, couplings=2, width=4, train_size=100)
    fit("flow", folder / "points", data="moons", train_size=200, valid_size=100, epochs=1)
    return folder


@pytest.fixture(scope="module")
def found(trained: Path) -> Detection:
    return detect_run(trained / "mixture", "noise", trials=400)


def test_noise_is_detected_among_digits(found: Detection) -> None:
    assert found.method == "log p(x)" and found.kind == "exact"
    assert found.auroc["log_prob"].value > 0.99
    assert found.natural.mean() > found.anomalous.mean() and len(found.natural) == 223
    assert [rate.size for rate in found.rates["log_prob"]] == [1, 2, 5, 10, 20]
    assert size_of_power(found.rates["log_prob"]) in (1, 2)


def test_typicality_uses_the_mean_of_calibration_and_natural_images(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean of the calibration alone lies nearer to its images than to others, whose ranks would not be exchangeable
    then: the mean is over both, so that no swap of the two changes it."""
    seen: list[tuple[Tensor, float]] = []
    scored = anomaly_scores

    def spy(log_prob: Tensor, code: Tensor, background: Tensor, expected: float) -> dict[str, Tensor]:
        seen.append((log_prob, expected))
        return scored(log_prob, code, background, expected)

    monkeypatch.setattr(detecting, "anomaly_scores", spy)
    found = detect_run(trained / "mixture", "noise", trials=10)
    ((log_prob, expected),) = seen
    assert expected == pytest.approx(log_prob[: found.calibration + len(found.natural)].mean().item())


def test_a_calibration_that_does_not_fit_is_named(found: Detection, trained: Path) -> None:
    """The test images of digits were written by other people than the validation images, and a model can tell."""
    assert found.drift < 0.01 and found.rates["log_prob"][-1].false_positives.value > 0.1
    assert "--calibrate test" in found.conditions[-1]
    fitting = detect_run(trained / "mixture", "noise", trials=400, calibrate="test")
    assert fitting.drift > 0.01 and "--calibrate" not in " ".join(fitting.conditions)
    assert "calibrated on 223 test images; natural: 112 other" in fitting.conditions[0]


def test_all_scored_images_are_held_out(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the anomalies are made of, and whatever is scored as natural, is held out."""
    seen: list[Tensor] = []
    looked_at = detecting.PixelBatches

    def spy(images: Tensor, *rest: object) -> object:
        seen.append(images)
        return looked_at(images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(detecting, "PixelBatches", spy)
    run = Run(trained / "mixture")
    detect_run(run, "upside-down", trials=10)
    known = {row.tobytes() for row in run.data.dataset.train.images.numpy()}
    (images,) = seen
    calibration, natural, turned = images.split([300, 223, 224])
    back = turned.flip(2, 3).contiguous()
    parts = [{row.tobytes() for row in part.contiguous().numpy()} for part in (calibration, natural, back)]
    assert not any(part & known for part in parts)
    assert not parts[0] & parts[1] and not parts[1] & parts[2] and not parts[0] & parts[2]


def test_a_bound_is_labelled_as_a_bound(trained: Path) -> None:
    bound = detect_run(trained / "vae", trials=20, count=60)
    assert (bound.method, bound.kind) == ("ELBO", "lower bound") and len(bound.anomalous) == 60
    tighter = detect_run(trained / "vae", trials=20, count=60, samples=30)
    assert tighter.method == "IWAE_30" and tighter.natural.mean() > bound.natural.mean()
    assert tighter.auroc == detect_run(trained / "vae", trials=20, count=60, samples=30).auroc


def test_impossible_detections_raise(trained: Path, tmp_path: Path) -> None:
    refused(lambda: detect_run(trained / "autoencoder"), "Autoencoder", "no likelihood", kind=NotComputable)
    refused(lambda: detect_run(trained / "points"), "points", kind=NotComputable)
    refused(lambda: detect_run(trained / "mixture", "digits"), "the model was trained on these data")
    train = load_dataset("digits", valid_size=300).train.images
    np.savez(tmp_path / "known.npz", images=train[:20].numpy(), levels=np.array(17))
    refused(lambda: detect_run(trained / "mixture", str(tmp_path / "known.npz")), "20 of its 20")
    np.save(tmp_path / "few.npy", np.zeros((5, 8, 8), np.uint8))
    refused(lambda: detect_run(trained / "mixture", str(tmp_path / "few.npy")), "5 anomalous")
    np.save(tmp_path / "large.npy", np.zeros((50, 9, 9), np.uint8))
    refused(lambda: detect_run(trained / "mixture", str(tmp_path / "large.npy")), "1x9x9")
    refused(lambda: detect_run(trained / "mixture", "frankenstien"), "unknown")


def test_other_images_of_a_file_are_detected(trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (100, 8, 8), np.uint8))
    there = detect_run(trained / "mixture", str(tmp_path / "grey.npy"), trials=20)
    assert len(there.anomalous) == 100 and there.auroc["log_prob"].value > 0.99


def test_a_record_is_read_back_as_it_was_and_the_newest_of_a_kind_is_kept(trained: Path) -> None:
    run = Run(trained / "vae")
    first = detect_run(run, "noise", trials=33, count=80)
    (stored,) = [record for record in DETECTIONS.of(run) if (record.against, record.method) == ("noise", "ELBO")]
    assert stored.to_json() == first.to_json() and stored.conditions == first.conditions
    assert (stored.rates, stored.auroc) == (first.rates, first.auroc)
    assert (stored.calibration, stored.counts) == (first.calibration, (80, 80))
    assert stored.nats[0] == pytest.approx(first.natural.mean().item())
    again = detect_run(run, "noise", trials=22, count=80)
    tighter = detect_run(run, "noise", trials=22, count=80, samples=5)
    kept = {record.method: record.trials for record in DETECTIONS.of(run) if record.against == "noise"}
    assert kept == {"ELBO": again.trials, "IWAE_5": tighter.trials}
    assert "Out-of-distribution images" in write_run_page(run, redraw=False).read_text()


@pytest.mark.parametrize("damage", ["{}", "[1]", '[{"against": "noise"}]', "[{"])
def test_a_damaged_file_of_records_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "detections.json").write_text(damage)
    refused(lambda: DETECTIONS.of(Run(tmp_path)), "")


def test_power_of_several_runs_is_in_one_picture_and_table() -> None:
    named = [(f"run {i}", record_of({1: 10, 5: 96 - 10 * (i > 5), 20: 99}, alarms=3 + i)) for i in range(8)]
    assert any("run 7" in text.get_text() for text in power_figure(named).texts)
    lines = {(line.get_color(), line.get_linestyle()) for line in power_figure(named).axes[0].lines[1:]}
    assert len(lines) == 8  # an eighth curve takes a colour again, and is dashed
    drawn = [[list(line.get_ydata()) for line in axes.lines] for axes in power_figure(named[:1]).axes[:2]]
    assert [0.1, 0.96, 0.99] in drawn[0] and [0.03] * 3 in drawn[1]  # power above, false positives beneath
    table = power_table([*named[:1], named[7], ("weak", record_of({1: 10, 5: 50}, alarms=20))])
    size, power, alarms = (table.header.index(name) for name in ("batch", "power", "false positives"))
    assert [row[size] for row in table.rows] == ["5", "20", "> 5"]
    assert [row[power].split()[0] for row in table.rows] == ["96.0%", "99.0%", "50.0%"]
    assert [row[alarms].split()[0] for row in table.rows] == ["3.0%", "10.0%", "20.0%"]
    assert "10.0% of 20" in table.rows[1]
    assert "against" not in table.header  # the same for all
    assert power_table(named[:2]).header[-1] == "of 20"
    other = power_table([named[0], ("other", record_of({1: 10}, against="frankenstein"))])
    assert [row[1] for row in other.rows] == ["noise", "frankenstein"]


def test_the_band_of_the_level_is_as_wide_as_the_fewest_images_make_it() -> None:
    few, many = record_of({1: 10, 20: 99}), replace(record_of({1: 10, 20: 99}), calibration=9000, counts=(9000, 9000))
    named = [("many", many), ("few", few)]
    texts = [text.get_text() for text in power_figure(named).texts]
    assert any("200 images" in text.replace("\n", " ") for text in texts) and "200 images" in power_note(named)
    assert not any("Shaded" in text.get_text() for text in power_figure(named, noted=False).texts)
    assert any("detection of noise images" in text for text in texts)
    drawn = np.asarray(power_figure(named).axes[1].collections[0].get_paths()[0].vertices)
    for (low, high), (inner, outer) in zip(level_bands(few), level_bands(many), strict=True):
        assert low <= inner < 0.05 < outer < high
        assert np.isclose(drawn[:, 1], high).any()


def test_records_that_cannot_be_in_one_picture_of_power_raise() -> None:
    one = record_of({1: 10})
    refused(lambda: power_figure([]), "same anomalies")
    refused(lambda: power_figure([("a", one), ("b", record_of({1: 10}, against="frankenstein"))]), "same anomalies")
    refused(lambda: power_figure([("a", one), ("b", record_of({1: 10}, alpha=0.1))]), "level")


def test_command_for_several_runs(capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path) -> None:
    runs = [trained / name for name in ("mixture", "vae", "flow")]  # of two pixel spaces
    words = ["detect", *runs, "--against", "noise", "--trials", 50, "--batches", 1, 5, "--count", 60]
    code, out, err = printed(capsys, *words, "--out", tmp_path / "a.png")
    assert code == 0 and all(name in out for name in ("mixture", "vae", "flow", "AUROC", "false positives"))
    assert "vae: ELBO" in err and "17 levels" in err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = printed(capsys, *words, "--json")
    assert code == 0 and [record["run"] for record in json.loads(out)] == ["mixture", "vae", "flow"]


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_command(capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path) -> None:
    words = ["detect", trained / "mixture", "--against", "frankenstein", "--trials", 200, "--batches", 1, 10]
    code, out, err = printed(capsys, *words, "--out", tmp_path / "a.png")
    assert code == 0 and "AUROC" in out and "false positives" in out and "likelihood ratio" in out
    assert "Table(" not in out
    assert "calibrated on 300 validation images" in err
    assert "difference between calibration and natural images: p = " in err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    code, out, _ = printed(capsys, *words, "--json")
    (record,) = json.loads(out)
    assert code == 0 and [score["score"] for score in record["scores"]] == list(SCORES)
    batches = record["scores"][0]["batches"]
    assert [batch["size"] for batch in batches] == [1, 10]
    assert all(batch["false_positives_95"][0] <= batch["false_positives"] for batch in batches)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--alpha", "1.5"), "above 0 and below 1"),
        (("--batches", "500"), "batches of 500"),
        (("--count", "0"), "--count 0"),
        (("--samples", "-1"), "--samples -1"),
        (("--out", "a.bmp"), ".png"),
        (("--against", "nothing.npy"), "nothing.npy"),
    ],
)
def test_wrong_requests_are_one_line(
    capsys: pytest.CaptureFixture[str], trained: Path, words: tuple[str, ...], complaint: str
) -> None:
    against = () if "--against" in words else ("--against", "noise")
    code, out, err = printed(capsys, "detect", trained / "mixture", *against, *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and complaint in err


def test_pictures(found: Detection, trained: Path) -> None:
    texts = " ".join(text.get_text() for text in detection_figure(found).texts)
    assert "noise" in texts and "images in a batch" in texts and "exact" in texts
    sheet = frankenstein_sheet(Run(trained / "mixture"), count=4)
    captions = [text.get_text() for text in sheet.texts]
    assert sum(caption.startswith("-") for caption in captions) == 8
    assert "natural" in captions and "Frankenstein" in captions
    refused(lambda: frankenstein_sheet(Run(trained / "autoencoder")), "no likelihood", kind=NotComputable)


def test_a_drawn_p_value_counts_the_batch_itself() -> None:
    """The most extreme batch there can be has 1 / (1 + draws), never 0."""
    test = BatchTest(torch.arange(200.0), 5, draws=99)
    assert test.p_values(torch.full((1, 5), 1e9)).item() == pytest.approx(1 / 100)
    assert test.p_values(torch.full((1, 5), 99.5)).item() <= 1
