"""Differences between scores of the same images, with their standard errors, and whether one score is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ancestral.core.maths import mean_and_error
from ancestral.evaluation.proportions import NORMAL_95
from ancestral.evaluation.score import Score


@dataclass(frozen=True)
class Difference:
    """How far one mean lies above another, nats.

    Args:      nats: the difference. stderr: its standard error over images. paired: found image by image; else from the
               standard errors of the two, as if of different images.
    """

    nats: float
    stderr: float
    paired: bool

    @property
    def certain(self) -> bool:
        """Whether 0 lies outside the 95 % interval of the difference."""
        if math.isinf(self.nats):  # one of them finds an image impossible
            return True
        return abs(self.nats) > NORMAL_95 * self.stderr  # never so where either is not a number


def paired_difference(first: Tensor, second: Tensor) -> Difference:
    """The mean difference of two values for each of the same images.

    Args:      first, second: log p(x) or its bound, shape (N,), nats, of the same images in the same order.
    Example:
        >>> import torch
        >>> paired_difference(torch.tensor([-10.0, -50.0, -90.0]), torch.tensor([-11.0, -52.0, -93.0])).nats
        2.0
    """
    if first.shape != second.shape:
        raise ValueError(f"values of {len(first)} and of {len(second)} images cannot be paired")
    return Difference(*mean_and_error(first.double() - second.double()), paired=True)


def unpaired_difference(first: Score, second: Score) -> Difference:
    """The difference of two stored scores, and the error it would have for two different sets of images.

    Of one set it is too large where an image that is hard for one model is hard for the other, as is usual.
    """
    return Difference(first.nats - second.nats, math.hypot(first.stderr, second.stderr), paired=False)


def best_in_words(names: Sequence[str], scores: Sequence[Score], differences: Sequence[Difference]) -> list[str]:
    """Which score is the best, in lines; none is where the differences are within their errors.

    Args:      names, scores: of the models, the highest score first. differences: of the first from each of the others,
               one fewer.
    Returns:   no line for a single score.
    """
    others = list(zip(names[1:], scores[1:], differences, strict=True))
    if not others:
        return []
    close = [(name, difference) for name, _, difference in others if not difference.certain]
    if close:
        rivals = ", ".join(f"{name} ({_in_words(difference)})" for name, difference in close)
        lines = [f"no best score: {names[0]} is not distinguishable from {rivals}"]
    else:
        lines = [f"best score: {names[0]}, {_in_words(differences[0])} above {names[1]}"]
    bounds = [name for name, score, _ in others if score.side == "lower"]
    if bounds:
        lines.append(f"lower bounds: {', '.join(bounds)}; log p(x) of these models may be higher than that")
    return lines


def _in_words(difference: Difference) -> str:
    how = "image by image" if difference.paired else "not paired"
    return f"{difference.nats:.3g} ± {difference.stderr:.2g} nats, {how}"
