"""Out-of-distribution detection: scores of single images, and a test of whole batches with an exact level.

The sign of all scores is such that higher means more anomalous. The batch test uses the ranks of a batch's scores among
the scores of held-out natural images. Under the null hypothesis all ranks are equally likely, for any model and any
score. So the level is exact, and no constant is fitted.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for
from ancestral.evaluation.proportions import Proportion, proportion_of_batches

SCORES = {
    "log_prob": "-log p(x)",
    "typicality": "typicality",
    "complexity": "complexity-corrected",
    "ratio": "likelihood ratio",
}
PNG_FRAME = 57  # bytes of a PNG file without pixel data: signature, header, frames of data and end
NULL_DRAWS = 20_000  # samples of the statistic; p-values are multiples of 1 / (this + 1)
DRIFT_DRAWS = 1999  # for a batch of thousands
ROUNDING = 1e-12


def anomaly_scores(log_prob: Tensor, code_length: Tensor, background: Tensor, expected: float) -> dict[str, Tensor]:
    """Four scores of the same images. Each is higher for more anomalous images.

        log_prob     -log p(x)
        typicality   |log p(x) - E log p|, with E over held-out natural images (those of the calibration and others)
        complexity   -log p(x) - L(x), where L is the length of a lossless code
        ratio        -[log p(x) - log b(x)], where b is a background model of independent pixels

    Args:      log_prob: log p(x) or its bound, shape (N,), nats. code_length: L, shape (N,), nats.
               background: log b(x), shape (N,), nats. expected: E log p, nats.
    Returns:   for each name, scores of shape (N,), nats.
    Deviation: the background of the likelihood ratio is a model of independent pixels; in the paper it is the same
               network, trained on perturbed images.
    Reference: Nalisnick et al., 2019, arXiv 1906.02994 (typicality); Serra et al., 2020, arXiv 1909.11480, eq. 2
               (complexity); Ren et al., 2019, arXiv 1906.02845 (ratio).
    """
    return {
        "log_prob": -log_prob,
        "typicality": (log_prob - expected).abs(),
        "complexity": -log_prob - code_length,
        "ratio": background - log_prob,
    }


def code_lengths(images: Tensor, levels: int) -> Tensor:
    """Length of each image as a PNG file, without the constant parts of such a file.

    Args:      images: grey values in [0, 1], shape (N, 1 or 3, H, W). levels: 2 makes files with one bit per pixel.
    Returns:   shape (N,), float64, nats: a loose upper bound on the complexity of an image.
    Reference: Serra et al., 2020, section 3, arXiv 1909.11480.
    """
    from PIL import Image

    pixels = (images * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    mode = "RGB" if images.shape[1] == 3 else "1" if levels == 2 else "L"
    if mode == "1":
        pixels = np.packbits(pixels[..., 0] > 127, axis=-1)
    picture = Image.new(mode, (images.shape[3], images.shape[2]))  # one for all: making it takes a fourth of the time
    lengths = []
    for image in pixels:
        buffer = io.BytesIO()
        picture.frombytes(image.tobytes())
        picture.save(buffer, "png", optimize=True)
        lengths.append(buffer.tell() - PNG_FRAME)
    return torch.tensor(lengths, dtype=torch.float64) * (8 * math.log(2))


class PixelBackground:
    """A model of independent pixels, with the frequencies of the levels at each pixel.

        b(x) = prod_d (1 + n_d(x_d)) / (levels + N)

    Args:      images: batches of training images as whole numbers 0..levels-1, shape (B, *event_shape).
               levels: number of values of a pixel.
    Reference: Ren et al., 2019, section 3, arXiv 1906.02845.
    """

    def __init__(self, images: Iterable[Tensor], levels: int) -> None:
        count, self.levels, self.log_probs = 0, levels, torch.zeros(0)
        counts = torch.zeros(0)
        for x in images:
            if not count:
                counts = torch.ones(x[0].numel() * levels, dtype=torch.float64)
            if levels == 2:  # a sum is much faster than counting each value
                ones = x.flatten(1).sum(0, dtype=torch.float64)
                counts += torch.stack([len(x) - ones, ones], 1).flatten()
            else:
                counts += torch.bincount(self._places(x).flatten(), minlength=len(counts))
            count += len(x)
        self.log_probs = (counts / (levels + count)).log()

    def log_prob(self, x: Tensor) -> Tensor:
        """log b(x), shape (B,), float64, nats, exact. x: in the format of the training images."""
        return self.log_probs[self._places(x)].sum(1)

    def _places(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).long()
        return flat + self.levels * torch.arange(flat.shape[1])


class Auroc(NamedTuple):
    """Area under the receiver operating characteristic and its standard error."""

    value: float
    stderr: float


def auroc(natural: Tensor, anomalous: Tensor) -> Auroc:
    """The probability that an anomalous image has a higher score than a natural one. Ties count one half.

    Args:      natural, anomalous: scores, higher is more anomalous, shapes (N,) and (M,), of different images.
    Returns:   the rank statistic U / (N M) and its standard error (0 if the scores do not overlap). 0.5 means that the
               score does not separate the images; below 0.5, natural images have the higher scores.
    Raises:    InputError: fewer than two natural or anomalous images, or a score is NaN.
    Reference: DeLong et al., 1988, eqs. 4-6.
    Example:
        >>> auroc(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0])).value
        0.75
    """
    if min(len(natural), len(anomalous)) < 2:
        raise InputError("an AUROC needs at least two natural and two anomalous images: give more images")
    above, below = placements(natural, anomalous) / len(natural), placements(anomalous, natural) / len(anomalous)
    variance = above.var() / len(anomalous) + below.var() / len(natural)
    return Auroc(above.mean().item(), variance.sqrt().item())


def placements(reference: Tensor, values: Tensor) -> Tensor:
    """Number of reference values below each value. Ties count one half. Shapes (m,) and (...); returns (...).

    Raises:    InputError: a value is NaN. Infinite values are allowed.
    """
    below, upto = counts_below(reference, values)
    return (below + upto).double() / 2


def broken_placements(reference: Tensor, values: Tensor, generator: torch.Generator) -> Tensor:
    """Number of reference values below each value, with ties in random order. Shapes (m,), (...); returns (...).

    Each reference value and each value gets a uniform random number, which orders ties. So ties between values are also
    ordered consistently, and the ranks have the same distribution as for exchangeable scores without ties.

    Raises:    InputError: a value is NaN.
    """
    below, upto = counts_below(reference, values)
    group = reference.double().unique(return_inverse=True)[1]
    # sorted by value, then by random number: the key is the group (whole part) plus the random number (fraction)
    keys = (group + torch.rand(len(reference), dtype=torch.float64, generator=generator)).sort().values
    number = torch.rand(values.shape, dtype=torch.float64, generator=generator)
    group_of_value = keys[below.clamp(max=len(keys) - 1)].trunc()  # keys are not negative
    own = group_of_value + number
    return torch.where(below < upto, torch.searchsorted(keys, own), below)


def counts_below(reference: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Number of reference values below each value, and number below or equal to it.

    Raises:    InputError: a value is NaN.
    """
    if bool(reference.isnan().any() | values.isnan().any()):
        raise InputError("some scores of this model are NaN (not a number): train the model again")
    ordered, values = reference.double().sort().values, values.double().contiguous()
    below, upto = (torch.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return below, upto


class BatchTest:
    """Tests whether a batch of n images is in-distribution, with the ranks of its scores among natural images.

        T = |(1/n) sum_i F((r_i + 1/2) / (m + 1))|,   F the standard normal's quantile function

    where r_i is the number of calibration scores below score i of the batch. Ties are in random order, by the seed:
    with ties counted as one half, T would have another distribution under H0. The test is two-sided, because images
    that are too probable are also out-of-distribution.

    H0: the n scores of the batch and the m scores of the calibration are exchangeable. Then the distribution of T
    depends on n and m only. It is sampled, and the p-value (1 + samples at least as large) / (1 + samples) is exact:
    P(p <= alpha) <= alpha, jointly over random batches, calibrations and orders of ties. Nothing is fitted, and the
    scores may have any distribution.

    In trials on log p of Frankenstein digits, this test has the power of a test of mean log p, whose level is only
    approximate. Plain ranks (Mann-Whitney) lose information in the tails, and the Kolmogorov-Smirnov test loses power
    because it tests for all kinds of differences.

    Args:      calibration: scores of held-out natural images, shape (m,). size: n. alpha: false-positive rate.
               seed: random seed of the null distribution and of the order of ties. draws: number of samples of the
               statistic under H0.
    Raises:    InputError: alpha outside (0, 1), size below 1, or too few calibration images to reject any batch of one
               image.
    Reference: van der Waerden, 1952 (normal scores); Dwass, 1957 (sampled p-values).
    """

    def __init__(
        self, calibration: Tensor, size: int, alpha: float = 0.05, seed: int = 0, draws: int = NULL_DRAWS
    ) -> None:
        if not 0 < alpha < 1:
            raise InputError(f"--alpha {alpha}: give a false-positive rate above 0 and below 1")
        if size < 1:
            raise InputError(f"a batch of {size} images cannot be tested: give a batch size of at least 1")
        if (len(calibration) + 1) * alpha < 2:
            raise InputError(
                f"{len(calibration)} images are too few to calibrate a test of level {alpha:g}: "
                f"give at least {math.ceil(2 / alpha) - 1}"
            )
        self.calibration, self.size, self.alpha = calibration.double().sort().values, size, alpha
        self._ties = seed_for(seed, "ties", size)
        self._null = _null_statistics(len(calibration), size, draws, seed_for(seed, "null", size))

    def p_values(self, batches: Tensor) -> Tensor:
        """The p-value of each batch. batches: scores, shape (T, n); returns (T,). The order of ties is fixed."""
        order = torch.Generator().manual_seed(self._ties)
        found = _statistic(broken_placements(self.calibration, batches, order), len(self.calibration))
        # the order of a sum changes its last digits; such values count as equally extreme
        below = torch.searchsorted(self._null, found - ROUNDING)
        return (1 + len(self._null) - below) / (1 + len(self._null))

    def rejects(self, batches: Tensor) -> Tensor:
        """Whether each batch is rejected as out-of-distribution at level alpha: boolean, shape (T,)."""
        return self.p_values(batches) <= self.alpha


def _statistic(places: Tensor, reference: int) -> Tensor:
    """T of each batch from the ranks of its scores among `reference` others; shapes (T, n) and (T,)."""
    return _normal_scores(reference)[places].mean(1).abs()


@lru_cache(maxsize=4)
def _normal_scores(reference: int) -> Tensor:
    """F((r + 1/2) / (m + 1)) of each rank r from 0 to m, shape (m + 1,). Do not change the tensor in place."""
    return torch.special.ndtri((torch.arange(reference + 1, dtype=torch.float64) + 0.5) / (reference + 1))


@lru_cache(maxsize=32)  # the scores of one calibration have the same null distribution: it is sampled once for all
def _null_statistics(reference: int, size: int, draws: int, seed: int) -> Tensor:
    """Samples of T under H0, ascending, shape (draws,). Do not change the tensor in place."""
    return _statistic(null_placements(reference, size, draws, seed), reference).sort().values


def null_placements(reference: int, size: int, draws: int, seed: int) -> Tensor:
    """Samples of the ranks of `size` values among `reference` others, if all have one distribution; (draws, size).

    By Polya's urn: a value falls into each of the m + 1 gaps with probability proportional to 1 + the number of values
    that are already there. This is the distribution of the ranks; the m others need not be sampled.
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.empty(size, draws, dtype=torch.long)
    for k in range(size):
        at = torch.randint(reference + 1 + k, (draws,), generator=generator, out=places[k])
        again = (at > reference).nonzero()[:, 0]  # in the gap of an earlier value
        at[again] = places[at[again] - reference - 1, again]
    return places.T


def random_batches(scores: Tensor, size: int, trials: int, seed: int) -> Tensor:
    """`trials` batches of `size` different images each, shape (trials, size).

    Images are chosen without replacement within a batch, so a batch consists of independent images. Two batches may
    share images; this has little effect if a batch is a small part of all images.
    """
    return scores[_random_rows(len(scores), size, trials, seed)]


@lru_cache(maxsize=32)  # all scores of the same images are tested on the same batches: they are chosen once for all
def _random_rows(count: int, size: int, trials: int, seed: int) -> Tensor:
    """`trials` times `size` different numbers below `count`, shape (trials, size). Do not change it in place."""
    generator = np.random.default_rng(seed)
    chosen = np.stack([generator.choice(count, size, replace=False, shuffle=False) for _ in range(trials)])
    return torch.from_numpy(chosen)


def largest_batch(natural: Tensor, anomalous: Tensor) -> int:
    """The largest size for which random batches of these images are nearly independent of each other."""
    return min(len(natural), len(anomalous)) // 10


@dataclass(frozen=True)
class Rate:
    """Result of the batch test for one size: shares of rejected natural batches and of rejected anomalous batches."""

    size: int
    false_positives: Proportion
    power: Proportion

    @classmethod
    def counted(cls, size: int, rejected: tuple[int, int], trials: int, pools: tuple[int, int, int]) -> Rate:
        """The rates from numbers of rejected natural and anomalous batches.

        The interval of false positives allows for other natural and calibration images. The interval of the power
        allows for other anomalous images, with this calibration.

        Args:      pools: numbers of calibration, natural and anomalous images.
        """
        calibration, natural, anomalous = pools
        return cls(
            size,
            proportion_of_batches(rejected[0], trials, size, (natural, calibration), two_sided=True),
            proportion_of_batches(rejected[1], trials, size, (anomalous,)),
        )


def rates(
    calibration: Tensor,
    natural: Tensor,
    anomalous: Tensor,
    sizes: Iterable[int],
    alpha: float = 0.05,
    trials: int = 1000,
    seed: int = 0,
) -> list[Rate]:
    """False-positive rate and power of the batch test, measured on images that it was not calibrated on.

    Args:      calibration, natural, anomalous: scores, shapes (m,), (N,), (M,), of different images.
               sizes: sizes of the batches. alpha: required level. trials: number of batches of each kind and size.
    Returns:   one `Rate` for each size, for these calibration and natural images. The level is alpha on average over
               such images. For one choice of images, it is as if batches were shifted by about sqrt(n / m + n / N) of
               their standard deviation; the intervals allow for this.
    Raises:    InputError: as `BatchTest`; no trials; or batches of more than a tenth of the natural or of the
               anomalous images, which would share too many images.
    """
    if trials < 1:
        raise InputError(f"--trials {trials}: give a number of at least 1")
    found, pools = [], (len(calibration), len(natural), len(anomalous))
    for size in sizes:
        if size > largest_batch(natural, anomalous):
            raise InputError(
                f"batches of {size} images are too large for {len(natural)} natural and {len(anomalous)} anomalous "
                f"images: a batch may have a tenth of them, {largest_batch(natural, anomalous)}"
            )
        test = BatchTest(calibration, size, alpha, seed)
        rejected = [
            int(test.rejects(random_batches(scores, size, trials, seed_for(seed, use, size))).sum())
            for use, scores in (("natural", natural), ("anomalous", anomalous))
        ]
        found.append(Rate.counted(size, (rejected[0], rejected[1]), trials, pools))
    return found


def drift(calibration: Tensor, natural: Tensor, seed: int = 0) -> float:
    """The p-value of all natural images as one batch. It is small if calibration and natural images differ.

    Then the level is right for small batches only, in which the difference cannot be detected.
    """
    return BatchTest(calibration, len(natural), seed=seed, draws=DRIFT_DRAWS).p_values(natural[None]).item()


def size_of_power(found: Iterable[Rate], power: float = 0.95) -> int | None:
    """The smallest tested batch size with this power, or None."""
    return min((rate.size for rate in found if rate.power.value >= power), default=None)
