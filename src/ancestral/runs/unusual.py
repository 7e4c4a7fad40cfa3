"""Rank new images or points by how unusual they are for a trained model, with p-values from validation data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.text import type_in_words
from ancestral.core.threads import keep_large_blocks
from ancestral.evaluation.detection import counts_below
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.models.base import ExactModel, LatentModel
from ancestral.runs.run import Run

FEW = 20  # calibration images; with fewer, the smallest possible p-value is above 0.05
LEVEL = 0.05


@dataclass(frozen=True)
class Ranking:
    """New data, ranked from the most to the least unusual.

    Args:      log_prob: log p(x) or its bound, shape (N,), nats. p_low: one-sided p-value, the share of the run's
               held-out data with a log-probability as low, shape (N,). p_value: two-sided p-value, shape (N,). order:
               rows by p-value, the smallest first, then by log-probability. method: of `log_prob`. calibration: number
               of held-out data behind the p-values. split: of the new data.
    """

    log_prob: Tensor
    p_low: Tensor
    p_value: Tensor
    order: Tensor
    method: str
    calibration: int
    split: str

    @property
    def columns(self) -> dict[str, Tensor]:
        """The columns of a table, in the order of the data."""
        rank = torch.empty_like(self.order)
        rank[self.order] = torch.arange(1, len(self.order) + 1)
        return {"rank": rank, "log_prob": self.log_prob, "p_low": self.p_low, "p_value": self.p_value}

    @property
    def found(self) -> int:
        """The number of unusual data at a false discovery rate of `LEVEL`.

        Reference: Benjamini and Hochberg, 1995.
        """
        p, _ = self.p_value.sort()
        limits = LEVEL * torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
        below = (p <= limits).nonzero()
        return int(below[-1]) + 1 if len(below) else 0

    @property
    def in_words(self) -> list[str]:
        """Sentences that explain the numbers and state how many data are unusual."""
        low = int((self.p_value <= LEVEL).sum())
        lines = [
            f"{self.method}; p-values compare with {self.calibration:,} validation data of the run, not used "
            f"for training: at most {LEVEL:.0%} of similar data have a p-value of {LEVEL} or less",
            f"{low:,} of {len(self.p_value):,} have a p-value of {LEVEL} or less ({LEVEL * len(self.p_value):,.1f} "
            f"expected for data like the run's); {self.found:,} at a false discovery rate of {LEVEL:.0%}",
        ]
        smallest = 2 / (self.calibration + 1)
        if smallest > LEVEL / max(1, len(self.p_value)):
            lines.append(f"the smallest possible p-value is {smallest:.2g}: more validation data allow smaller ones")
        return lines


def p_values(natural: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """The one-sided and two-sided p-values of new data among natural data, shapes (M,).

        p_low = (1 + #{natural <= new}) / (N + 1),    p = min(1, 2 min(p_low, p_high))

    Under exchangeability P(p <= a) is at most a for every a, ties or not.

    Args:      natural, new: log-probabilities, shapes (N,) and (M,).
    Reference: Laxhammar and Falkman, 2011 (conformal anomaly detection).
    """
    below, upto = counts_below(natural, new)
    p_low, p_high = ((1 + count).double() / (len(natural) + 1) for count in (upto, len(natural) - below))
    return p_low, (2 * torch.minimum(p_low, p_high)).clamp(max=1)


def rank_run(
    run: Run,
    split: str,
    samples: int = 0,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Rank data by how unusual they are for the model of a run.

    Args:      run: with its data replaced, see `runs.new_data.on_data`. split: of the data. samples: latent samples per
               image for the importance-weighted bound; 0 gives the ELBO. count: use only the first `count` data.
               progress: called with (images scored, total images).
    Raises:    NotComputable: the model has no likelihood. InputError: too few validation data.
    """
    keep_large_blocks()
    model, data = run.load(), run.data
    if not isinstance(model, (ExactModel, LatentModel)):
        raise NotComputable(f"{type_in_words(model)} has no likelihood, so it cannot rank unusual data")
    natural, new = data.held("valid"), data.held(split, count)
    if len(natural) < FEW:
        raise InputError(
            f"{run.path} has {len(natural)} validation {data.space.noun}, and p-values need at least {FEW}: train with "
            "--valid-size"
        )
    if not len(new):
        raise InputError(f"{data.name} has no {split} {data.space.noun}")
    advance = counted(progress, len(natural) + len(new))
    (known, method), (found, _) = (log_probs(model, x, samples, progress=advance) for x in (natural, new))
    # a probability of zero is the most unusual value, for new and for held-out data
    known, found = (values.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf) for values in (known, found))
    p_low, p_value = p_values(known, found)
    order = torch.from_numpy(np.lexsort((found.numpy(), p_value.numpy())))
    return Ranking(found, p_low, p_value, order, method, len(natural), split)
