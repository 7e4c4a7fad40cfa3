"""MADE defines a probability distribution: p(x) of a tiny model summed over all images, and its connections."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.core.random import seeded_noise
from ancestral.distributions.pixels import bernoulli_log_prob
from ancestral.families.autoregressive.made import MADE
from ancestral.figures.heat import HeatTable, heat_tables
from ancestral.networks.masked import MaskedLinear

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SIDE, HIDDEN = 3, 12


@dataclass(frozen=True)
class Chain:
    """Results of the sum over all binary images of D = 9 pixels.

    Attributes: states: number of images. total: sum of p(x). gap: the largest difference between a conditional of the
                network and that computed from the table of all p(x). unmasked_total: the sum for the same weights
                without masks. sees: mask from pixels to hidden units, shape (H, D). direct: mask from pixels directly
                to outputs, shape (D, D). reach: the largest |d output of pixel i / d pixel j| over all images, along
                both paths, shape (D, D).
    """

    states: int
    total: float
    gap: float
    unmasked_total: float
    sees: Tensor
    direct: Tensor
    reach: Tensor


def chain_rule_holds(seed: int = 0) -> Chain:
    """Sum a MADE with random weights over all images of 3 by 3 binary pixels, in double precision.

    Reference: Germain et al., 2015, section 3, arXiv 1502.03509.
    """
    with seeded_noise(seed):
        model = MADE([1, SIDE, SIDE], hidden=[HIDDEN]).double().eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
    pixels = SIDE * SIDE
    x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=pixels)), dtype=torch.float64)  # (2^D, D)
    images = x.view(-1, *model.event_shape)
    degrees, positions = model.layers[0].degrees[0], model.positions[0]  # type: ignore[union-attr, index]
    with torch.no_grad():
        p = model.log_prob(images).exp()
        on = model.conditionals(images).mean.flatten(1)  # p(x_d = 1 | x_<d)
        unmasked = bernoulli_log_prob(_unmasked_logits(model, x), x).sum(1).exp()
    return Chain(
        len(x),
        p.sum().item(),
        _largest_gap(p, on),
        unmasked.sum().item(),
        (positions[None, :] <= degrees[:, None]).double(),
        (positions[None, :] < positions[:, None]).double(),
        _reach(model, x),
    )


def masks_figure(found: Chain) -> Figure:
    """The masks of hidden units and outputs, and the derivative of each output with respect to each pixel."""
    outputs = [f"p(x{d + 1} | ...)" for d in range(len(found.reach))]
    units = [f"unit {h + 1}" for h in range(len(found.sees))]
    return heat_tables(
        [
            HeatTable("mask: input pixels of each hidden unit", found.sees, units),
            HeatTable("mask: direct input pixels of each output", found.direct, outputs),
            HeatTable("derivative of each output with respect to each pixel", found.reach / found.reach.max(), outputs),
        ],
        quantity="absolute value, divided by the maximum",
        xlabel="pixel",
        zeros="Grey: exactly 0.",
    )


def _unmasked_logits(model: MADE, x: Tensor) -> Tensor:
    """Logits of the same weights without masks, so that each output depends on all pixels. (B, D) to (B, D)."""
    (hidden,), seen = model.layers, model.seen(x)
    assert isinstance(hidden, MaskedLinear) and model.last is not None and model.direct is not None
    h = model.activation(F.linear(seen, hidden.weight, hidden.bias))
    return F.linear(h, model.last.weight, model.last.bias) + F.linear(seen, model.direct.weight)


def _largest_gap(p: Tensor, on: Tensor) -> float:
    """The largest difference between conditionals from the table of all p(x), in binary order, and the network's."""
    pixels, gaps = int(math.log2(len(p))), []
    for d in range(pixels):
        joint = p.view(2**d, 2, -1).sum(2)  # p(x_<d, x_d)
        expected = joint[:, 1] / joint.sum(1)
        gaps.append((on[:, d].view(2**d, -1) - expected[:, None]).abs().max().item())
    return max(gaps)


def _reach(model: MADE, x: Tensor) -> Tensor:
    def outputs(row: Tensor) -> Tensor:
        return model.predict(row.view(1, *model.event_shape)).flatten()

    slopes = torch.func.vmap(torch.func.jacrev(outputs))(x)  # (2^D, D, D)
    return slopes.detach().abs().amax(0)
