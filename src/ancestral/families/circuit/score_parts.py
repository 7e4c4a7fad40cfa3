"""The terms of the score of a circuit."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.families.circuit.model import Circuit
from ancestral.families.score_parts import STRETCHES, ScoreParts


def score_parts(model: Circuit, x: Tensor) -> ScoreParts:
    """log p(x) as the sum over stretches of pixels of log p(stretch | pixels before it), in reading order; nats."""
    before, totals, names = torch.zeros_like(x, dtype=torch.bool), [x.new_zeros(len(x))], []
    for stretch in torch.arange(x[0].numel(), device=x.device).tensor_split(STRETCHES):
        if len(stretch):
            before = before.flatten(1).index_fill(1, stretch, True).view_as(x)
            totals.append(model.log_prob_observed(x, before))
            names.append(f"pixels {int(stretch[0]) + 1}-{int(stretch[-1]) + 1} given those before")
    values = torch.stack(totals, 1).diff(dim=1)
    return ScoreParts(names, values, values[:, :0])
