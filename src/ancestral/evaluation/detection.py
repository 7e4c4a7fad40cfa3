"""What does not belong to the data: scores of single images, and a test of whole batches that keeps its level.

Scores of images are turned so that higher is more anomalous. The batch test looks at the ranks of a batch's scores
among those of held-out natural images: under its null hypothesis all ranks are equally likely whatever the model and
the score, so that its level is exact and no constant is fitted.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
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
PNG_FRAME = 57  # bytes of a PNG file that say nothing of its pixels: signature, header, frames of data and end
NULL_DRAWS = 20_000  # the p-value of a batch is a multiple of 1 / (this + 1)
DRIFT_DRAWS = 1999  # for a batch of thousands
ROUNDING = 1e-12


def anomaly_scores(log_prob: Tensor, code_length: Tensor, background: Tensor, expected: float) -> dict[str, Tensor]:
    """Four scores of the same images, each higher where an image is more anomalous.

        log_prob     -log p(x)
        typicality   |log p(x) - E log p|, with E over held-out natural images, those of the calibration and others
        complexity   -log p(x) - L(x), where L is the length of a lossless code
        ratio        -[log p(x) - log b(x)], where b is a background that knows every pixel alone

    Args:      log_prob: log p(x) or its bound, shape (N,), nats. code_length: L, shape (N,), nats.
               background: log b(x), shape (N,), nats. expected: E log p, nats.
    Returns:   name to shape (N,), nats.
    Deviation: in the likelihood ratio the background is a model of independent pixels and not the same network
               trained on perturbed images.
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
    """How many nats a PNG file takes for the pixels of each image: its size without what every file has.

    Args:      images: grey values in [0, 1], shape (N, 1 or 3, H, W). levels: 2 makes files of one bit a pixel.
    Returns:   shape (N,), float64 nats: an upper bound on the complexity of an image, and a loose one.
    Reference: Serra et al., 2020, section 3, arXiv 1909.11480.
    """
    from PIL import Image

    pixels = (images * 255).round().to(torch.uint8).movedim(1, -1).numpy()
    lengths = []
    for image in pixels.squeeze(-1) if images.shape[1] == 1 else pixels:
        picture, buffer = Image.fromarray(image), io.BytesIO()
        if levels == 2 and picture.mode == "L":
            picture = picture.convert("1", dither=Image.Dither.NONE)
        picture.save(buffer, "png", optimize=True)
        lengths.append(buffer.tell() - PNG_FRAME)
    return torch.tensor(lengths, dtype=torch.float64) * (8 * math.log(2))


class PixelBackground:
    """Each pixel alone, with the frequencies of its levels: what an image is made of, without what it shows.

        b(x) = prod_d (1 + n_d(x_d)) / (levels + N)

    Args:      images: batches of training images as whole numbers 0..levels-1, shape (B, *event_shape).
               levels: values a pixel may take.
    Reference: Ren et al., 2019, section 3, arXiv 1906.02845.
    """

    def __init__(self, images: Iterable[Tensor], levels: int) -> None:
        count, self.levels, self.log_probs = 0, levels, torch.zeros(0)
        counts = torch.zeros(0)
        for x in images:
            at = self._places(x)
            if not count:
                counts = torch.ones(at.shape[1] * levels, dtype=torch.float64)
            counts += torch.bincount(at.flatten(), minlength=len(counts))
            count += len(x)
        self.log_probs = (counts / (levels + count)).log()

    def log_prob(self, x: Tensor) -> Tensor:
        """log b(x), shape (B,), float64 nats, exact. x: as the training images."""
        return self.log_probs[self._places(x)].sum(1)

    def _places(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).long()
        return flat + self.levels * torch.arange(flat.shape[1])


class Auroc(NamedTuple):
    """Area under the receiver operating characteristic and its standard error."""

    value: float
    stderr: float


def auroc(natural: Tensor, anomalous: Tensor) -> Auroc:
    """The probability that an anomalous image scores higher than a natural one, ties counted half.

    Args:      natural, anomalous: scores, higher is more anomalous, shapes (N,) and (M,), of different images.
    Returns:   the rank statistic U / (N M); 0.5 tells nothing, below it the score points the wrong way; and its
               standard error (0 where the two do not overlap).
    Raises:    InputError: fewer than two of either, or scores that are not a number.
    Reference: DeLong et al., 1988, eqs. 4-6.
    Example:
        >>> auroc(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0])).value
        0.75
    """
    if min(len(natural), len(anomalous)) < 2:
        raise InputError("an AUROC needs two natural and two anomalous images at least")
    above, below = placements(natural, anomalous) / len(natural), placements(anomalous, natural) / len(anomalous)
    variance = above.var() / len(anomalous) + below.var() / len(natural)
    return Auroc(above.mean().item(), variance.sqrt().item())


def placements(reference: Tensor, values: Tensor) -> Tensor:
    """How many of the reference lie below each value, ties counted half. Shapes (m,) and (...); returns (...).

    Raises:    InputError: some are not a number, and so have no place (infinite ones have).
    """
    below, upto = counts_below(reference, values)
    return (below + upto).double() / 2


def broken_placements(reference: Tensor, values: Tensor, generator: torch.Generator) -> Tensor:
    """How many of the reference lie below each value, equal ones in random order. Shapes (m,), (...); returns (...).

    Each of the reference and of the values gets a uniform number, which decides between equals. So values that tie
    with each other too have one common order: exchangeable scores have the ranks of exchangeable scores without ties.

    Raises:    InputError: some are not a number.
    """
    below, upto = counts_below(reference, values)
    group = reference.double().unique(return_inverse=True)[1]
    # sorted by value, equal ones by their number: the group is the whole part of the key, the number its fraction
    keys = (group + torch.rand(len(reference), dtype=torch.float64, generator=generator)).sort().values
    number = torch.rand(values.shape, dtype=torch.float64, generator=generator)
    group_of_value = keys[below.clamp(max=len(keys) - 1)].trunc()  # keys are not negative
    own = group_of_value + number
    return torch.where(below < upto, torch.searchsorted(keys, own), below).double()


def counts_below(reference: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """How many of the reference lie below each value, and how many below or at it.

    Raises:    InputError: some are not a number.
    """
    if bool(reference.isnan().any() | values.isnan().any()):
        raise InputError("this model gives scores that are not a number (NaN): train it anew")
    ordered, values = reference.double().sort().values, values.double().contiguous()
    below, upto = (torch.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return below, upto


class BatchTest:
    """Does a batch of n images come from the data? Decided by the ranks of their scores among natural ones.

        T = |(1/n) sum_i F((r_i + 1/2) / (m + 1))|,   F the standard normal's quantile function

    with r_i the number of calibration scores below the i-th of the batch. Equal scores are put in a random order, by
    the seed: ranks with ties counted half would have another distribution under H0. Two-sided, since images that are
    too probable are out-of-distribution too. H0: the n scores of the batch and the m of the calibration are
    exchangeable. Then T has a distribution that depends on n and m alone; it is drawn, and the p-value
    (1 + draws at least as large) / (1 + draws) is exact: P(p <= alpha) <= alpha, over draws of batch, calibration and
    order of ties together. Nothing
    is fitted, and no score is too skewed or too coarse for it.

    Of the tests tried on log p of Frankenstein digits this one has the power of the mean of log p itself, whose level
    is only approximate; plain ranks (Mann and Whitney) lose what lies in the tails, and Kolmogorov and Smirnov's
    distance spends itself on differences of every kind.

    Args:      calibration: scores of held-out natural images, shape (m,). size: n. alpha: false-positive rate.
               seed: of the statistic and of the order of ties. draws: of the statistic under H0.
    Raises:    InputError: alpha outside (0, 1), size below 1, or so few calibration images that not even the most
               extreme batch of one could be found out.
    Reference: van der Waerden, 1952 (normal scores); Dwass, 1957 (drawn p-values).
    """

    def __init__(
        self, calibration: Tensor, size: int, alpha: float = 0.05, seed: int = 0, draws: int = NULL_DRAWS
    ) -> None:
        if not 0 < alpha < 1:
            raise InputError(f"--alpha {alpha}: a false-positive rate lies between 0 and 1, both excluded")
        if size < 1:
            raise InputError(f"a batch of {size} images cannot be tested: give at least 1")
        if (len(calibration) + 1) * alpha < 2:
            raise InputError(
                f"{len(calibration)} images are too few to calibrate a test of level {alpha:g}: "
                f"it takes {math.ceil(2 / alpha) - 1}"
            )
        self.calibration, self.size, self.alpha = calibration.double().sort().values, size, alpha
        self._ties = seed_for(seed, "ties", size)
        drawn = null_placements(len(calibration), size, draws, seed_for(seed, "null", size))
        self._null = self._statistic(drawn).sort().values

    def p_values(self, batches: Tensor) -> Tensor:
        """Of each batch. batches: scores, shape (T, n); returns (T,). Equal scores have the same order at each call."""
        order = torch.Generator().manual_seed(self._ties)
        found = self._statistic(broken_placements(self.calibration, batches, order))
        # sums of the same numbers in another order differ in their last digits, and are no less extreme for that
        below = torch.searchsorted(self._null, found - ROUNDING)
        return (1 + len(self._null) - below) / (1 + len(self._null))

    def rejects(self, batches: Tensor) -> Tensor:
        """Which batches do not come from the data, at level alpha: boolean, shape (T,)."""
        return self.p_values(batches) <= self.alpha

    def _statistic(self, places: Tensor) -> Tensor:
        return torch.special.ndtri((places + 0.5) / (len(self.calibration) + 1)).mean(1).abs()


def null_placements(reference: int, size: int, draws: int, seed: int) -> Tensor:
    """Where `size` values lie among `reference` others if all come from one distribution, shape (draws, size).

    Drawn by Polya's urn: a value falls into each of the m + 1 gaps with probability proportional to 1 + the values
    there already, which is the law of ranks without drawing any of the m.
    """
    generator = torch.Generator().manual_seed(seed)
    places = torch.empty(size, draws, dtype=torch.long)
    columns = torch.arange(draws)
    for k in range(size):
        at = torch.randint(reference + 1 + k, (draws,), generator=generator)
        earlier = places[(at - reference - 1).clamp(min=0), columns] if k else at
        places[k] = torch.where(at <= reference, at, earlier)
    return places.T.double()


def random_batches(scores: Tensor, size: int, trials: int, seed: int) -> Tensor:
    """`trials` batches of `size` different images each, shape (trials, size).

    Without replacement, so that a batch of independent images is one again. Batches share images with each other:
    while a batch is a small part of them all, that is next to nothing.
    """
    generator = np.random.default_rng(seed)
    chosen = np.stack([generator.choice(len(scores), size, replace=False, shuffle=False) for _ in range(trials)])
    return scores[torch.from_numpy(chosen)]


def largest_batch(natural: Tensor, anomalous: Tensor) -> int:
    """The size up to which random batches of these images are still nearly independent of each other."""
    return min(len(natural), len(anomalous)) // 10


@dataclass(frozen=True)
class Rate:
    """How a test of batches of one size does: rejected natural batches and rejected anomalous ones."""

    size: int
    false_positives: Proportion
    power: Proportion

    @classmethod
    def counted(cls, size: int, rejected: tuple[int, int], trials: int, pools: tuple[int, int, int]) -> Rate:
        """Of counts of rejected natural and anomalous batches. pools: images of calibration, natural and anomalous.

        The interval of false positives is of any such calibration, whose level is asked for; that of the power is of
        this one, on other anomalous images.
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
               sizes: of the batches. alpha: level asked for. trials: batches of each kind and size.
    Returns:   one a size. They are of these calibration and natural images: with others in their place the level is
               alpha on average, and by luck of the draw as if batches were shifted by about
               sqrt(n / m + n / N) of their standard deviation, which their intervals allow for.
    Raises:    InputError: as `BatchTest`; no trials; or batches of more than a tenth of the natural or of the
               anomalous images, which would be too much alike.
    """
    if trials < 1:
        raise InputError(f"--trials {trials}: give a number of batches")
    found, pools = [], (len(calibration), len(natural), len(anomalous))
    for size in sizes:
        if size > largest_batch(natural, anomalous):
            raise InputError(
                f"batches of {size} images cannot be drawn from {len(natural)} natural and {len(anomalous)} anomalous "
                "ones: a batch may take a tenth of them"
            )
        test = BatchTest(calibration, size, alpha, seed)
        rejected = [
            int(test.rejects(random_batches(scores, size, trials, seed_for(seed, use, size))).sum())
            for use, scores in (("natural", natural), ("anomalous", anomalous))
        ]
        found.append(Rate.counted(size, (rejected[0], rejected[1]), trials, pools))
    return found


def drift(calibration: Tensor, natural: Tensor, seed: int = 0) -> float:
    """The p-value of all natural images as one batch: small if calibration and natural images differ among themselves.

    Then the level holds for small batches only, where the difference does not show.
    """
    return BatchTest(calibration, len(natural), seed=seed, draws=DRIFT_DRAWS).p_values(natural[None]).item()


def size_of_power(found: Iterable[Rate], power: float = 0.95) -> int | None:
    """The smallest batch size tried that has this power, or None."""
    return min((rate.size for rate in found if rate.power.value >= power), default=None)
