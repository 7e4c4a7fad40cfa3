"""log p(x) of a model with two latents by quadrature over the latent plane: a reference for bounds and estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.distributions.pixels import BernoulliImage
from ancestral.families.vae.vae import VAE

REACH, STEP = 6.0, 0.01  # of the grid: distance of its ends from the origin, and spacing
ROWS = 4000  # points of the plane decoded together


@dataclass(frozen=True)
class Quadrature:
    """log p(x) of each image, shape (N,), float64 nats.

    Attributes: fine: on the full grid. change: the largest change of a value on a grid with every second point along
                each axis; if it is small, so is the error of `fine`, except for the prior's mass beyond the grid.
    """

    fine: Tensor
    change: float


@torch.no_grad()
def grid_log_prob(model: VAE, x: Tensor, reach: float = REACH, step: float = STEP) -> Quadrature:
    """log of the integral of p(x | z) p(z) over [-reach, reach]^2, by the sum over a grid of equal cells.

    If `step` is smaller than the width of the posterior, the error is at most of order step^2, also with ReLU units.

    Args:      model: two latents, binary pixels. x: images, shape (N, *event_shape).
    Raises:    ValueError: the pixels are not binary.
    """
    half = round(reach / step)
    whole = torch.arange(-half, half + 1)
    places = torch.cartesian_prod(whole, whole)  # (S^2, 2)
    images = x.flatten(1).to(model.dtype)
    fine = coarse = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for rows in places.split(ROWS):
        z = rows.to(model.dtype) * step
        p = model.likelihood(z)
        if not isinstance(p, BernoulliImage):
            raise ValueError("this quadrature is for binary pixels")
        logits = p.logits.flatten(1)
        log_p_x = images @ logits.T - F.softplus(logits, threshold=40).sum(1)  # (N, rows)
        joint = (log_p_x + model.prior().log_prob(z)).double()
        every_other = (rows % 2 == 0).all(1)
        fine = torch.logaddexp(fine, joint.logsumexp(1))
        coarse = torch.logaddexp(coarse, joint[:, every_other].logsumexp(1))
    fine, coarse = fine + 2 * math.log(step), coarse + 2 * math.log(2 * step)
    return Quadrature(fine, (fine - coarse).abs().max().item())
