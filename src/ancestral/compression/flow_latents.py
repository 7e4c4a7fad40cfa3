"""Coding of latents with a flow prior, p(z) = N(f(z); 0, I) |det df/dz|.

The latents on the grid are u = f(z), whose prior is N(0, I), and z = f^-1(u). The posterior q(z | x) = N(m, diag s^2)
becomes a distribution of u without a closed form. It is replaced by the normal distribution of a linear map: its mean
is f(m), and column i of its factor is [f(m + s_i e_i) - f(m - s_i e_i)] / 2. Decoding is exact with any posterior; the
difference to q(z | x) costs bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ancestral.compression.latents import NARROWEST, Coding, pop, push, unknown
from ancestral.distributions.bijections import FlowDistribution


@dataclass
class Correlated:
    """N(mean, L L^T). mean: shape (n, M). factor: L, lower triangular, shape (n, M, M)."""

    mean: Tensor
    factor: Tensor


def in_base(prior: FlowDistribution, posterior: Distribution, coding: Coding) -> Correlated:
    """The distribution of u = f(z) for z from the posterior, approximated by a linear map."""
    if not (isinstance(posterior, Independent) and isinstance(posterior.base_dist, Normal)):
        raise unknown(posterior)
    mean, scale = posterior.base_dist.loc, posterior.base_dist.scale
    moves = torch.diag_embed(scale).movedim(1, 0)  # (M, n, M): one latent moved by its standard deviation
    with coding.exact():
        centre = prior.bijection(mean)[0]
        ends = [prior.bijection(torch.cat([mean + move, mean - move]))[0].chunk(2) for move in moves]
    return Correlated(centre, _factor(torch.stack([(ahead - behind) / 2 for ahead, behind in ends], 2)))


def _factor(columns: Tensor) -> Tensor:
    """L with L L^T = B B^T for B of shape (n, M, M), by elementwise operations, which are the same everywhere."""
    left = torch.zeros_like(columns)
    for column in columns.unbind(2):
        left = left + column[:, :, None] * column[:, None, :]
    parts = []
    for i in range(left.shape[1]):
        diagonal = left[:, i, i].clamp_min(NARROWEST * NARROWEST).sqrt()
        part = left[:, :, i] / diagonal[:, None]
        part[:, :i] = 0
        part[:, i] = diagonal
        parts.append(part)
        left = left - part[:, :, None] * part[:, None, :]
    return torch.stack(parts, 2)


def latents_of(prior: FlowDistribution, u: Tensor, coding: Coding) -> Tensor:
    """z = f^-1(u)."""
    with coding.exact():
        return prior.bijection.inverse(u)[0]


@pop.register
def _pop_correlated(distribution: Correlated, coding: Coding, n: int) -> Tensor:
    means, found = distribution.mean.clone(), []
    for i in range(means.shape[1]):
        one = _of_latent(distribution, means, i)
        found.append(pop(one, coding, n))
        _condition(distribution, means, i, found[-1])
    return torch.cat(found, 1)


@push.register
def _push_correlated(distribution: Correlated, coding: Coding, z: Tensor) -> None:
    means, steps = distribution.mean.clone(), []
    for i in range(means.shape[1]):
        steps.append(_of_latent(distribution, means, i))
        _condition(distribution, means, i, z[:, i : i + 1])
    for i in range(len(steps) - 1, -1, -1):
        push(steps[i], coding, z[:, i : i + 1])


def _of_latent(distribution: Correlated, means: Tensor, i: int) -> Independent:
    """Latent i given those before it."""
    scale = distribution.factor[:, i, i, None]
    return Independent(Normal(means[:, i, None].clone(), scale, validate_args=False), 1, validate_args=False)


def _condition(distribution: Correlated, means: Tensor, i: int, value: Tensor) -> None:
    """Move the means of all later latents, given the value of latent i."""
    column = distribution.factor[:, :, i]
    step = (value[:, 0] - means[:, i]) / column[:, i]
    means[:, i + 1 :] += column[:, i + 1 :] * step[:, None]
