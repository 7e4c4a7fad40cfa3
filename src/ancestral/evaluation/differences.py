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
    """The difference of two mean scores, nats.

    Args:      nats: the difference. stderr: its standard error over images. paired: whether it is computed from
               differences per image; otherwise from the two standard errors, as for different images.
    """

    nats: float
    stderr: float
    paired: bool

    @property
    def certain(self) -> bool:
        """Whether 0 is outside the 95 % confidence interval of the difference."""
        if math.isinf(self.nats):  # one model gives an image probability 0
            return True
        return abs(self.nats) > NORMAL_95 * self.stderr  # False if a value is NaN


def paired_difference(first: Tensor, second: Tensor) -> Difference:
    """The mean difference of two values per image.

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
    """The difference of two stored scores, with the standard error for two different sets of images.

    For one set of images this error is usually too large, because images that are improbable under one model are often
    improbable under the other.
    """
    return Difference(first.nats - second.nats, math.hypot(first.stderr, second.stderr), paired=False)


def best_in_words(names: Sequence[str], scores: Sequence[Score], differences: Sequence[Difference]) -> list[str]:
    """The best score, as lines of text. If a difference is within its error, there is no best score.

    Args:      names, scores: of the models, the highest score first. differences: between the first and each of the
               others, so one fewer.
    Returns:   no lines for a single score.
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
        lines.append(f"lower bounds: {', '.join(bounds)}; log p(x) of these models may be higher than the bound")
    return lines


def _in_words(difference: Difference) -> str:
    how = "image by image" if difference.paired else "not paired"
    return f"{difference.nats:.3g} ± {difference.stderr:.2g} nats, {how}"
