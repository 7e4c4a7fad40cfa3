"""Coding of latents: real latents on a grid, and layers of binary latents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ancestral.compression.functions import exp, normal_cdf
from ancestral.compression.pixels import BitTable
from ancestral.compression.stack import Array, Stack
from ancestral.compression.tables import edges_from_cumulative, edges_of
from ancestral.core.errors import NotComputable
from ancestral.distributions.chains import BernoulliChain
from ancestral.distributions.priors import GaussianMixture

COARSE = FINE = 64  # intervals, and parts of each: 4,096 values of a latent
REACH = 8.0  # the least reach of the grid; a standard normal prior has 1e-15 of its mass outside
SPREAD = 4.0  # standard deviations of a component of the prior that the grid covers on each side
NARROWEST = 2.0**-16  # standard deviation
SMALLEST_MASS = 1e-6


class Grid:
    """The values that a real latent can take: the middles of `COARSE * FINE` intervals of equal width.

    Args:      reach: the grid covers -reach to reach, a power of two; the outermost intervals go to infinity.
    """

    def __init__(self, reach: float) -> None:
        self.reach, self.step = reach, 2 * reach / (COARSE * FINE)

    def values(self, index: Array) -> Tensor:
        """The middle of each interval."""
        return torch.from_numpy((index + 0.5) * self.step - self.reach)

    def index(self, z: Tensor) -> Array:
        return np.floor((z.numpy() + self.reach) / self.step).astype(np.int64)


def grid_for(prior: Distribution) -> Grid:
    """A grid that covers the prior, with a reach that is a power of two."""
    reach = REACH
    if isinstance(prior, GaussianMixture):
        farthest = (prior.means.abs() + SPREAD * exp(0.5 * prior.log_variances)).max().item()
        while reach < farthest:
            reach *= 2
    return Grid(reach)


@dataclass
class Coding:
    """What the coding of latents needs: the stack, the grid, and a context in which a model's functions are exact."""

    stack: Stack
    grid: Grid
    exact: Callable[[], AbstractContextManager[object]]


@singledispatch
def pop(distribution: Distribution, coding: Coding, n: int) -> Tensor:
    """Pop `n` events, shape (n, M). The batch shape is (n,), or () for a prior.

    Others become known by `pop.register` and `push.register`.
    """
    raise unknown(distribution)


@singledispatch
def push(distribution: Distribution, coding: Coding, z: Tensor) -> None:
    """Push the events z, shape (n, M), which `pop` returns."""
    raise unknown(distribution)


def unknown(distribution: Distribution) -> NotComputable:
    """The error for a distribution whose coding is not known."""
    name = type(distribution).__name__
    return NotComputable(f"there is no coding of latents with the distribution {name}: the model cannot compress")


@pop.register
def _pop_independent(distribution: Independent, coding: Coding, n: int) -> Tensor:
    mean, scale = _normal(distribution, n)
    return _pop_normal(mean, scale, coding)


@push.register
def _push_independent(distribution: Independent, coding: Coding, z: Tensor) -> None:
    mean, scale = _normal(distribution, len(z))
    _push_normal(mean, scale, z, coding)


def _normal(distribution: Independent, n: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations, shape (n, M)."""
    base = distribution.base_dist
    if not isinstance(base, Normal):
        raise unknown(base)
    shape = (n, *distribution.event_shape)
    return base.loc.expand(shape), base.scale.expand(shape).clamp_min(NARROWEST)


def _pop_normal(mean: Tensor, scale: Tensor, coding: Coding) -> Tensor:
    coarse = coding.stack.pop(_coarse_edges(mean, scale, coding.grid))
    fine = coding.stack.pop(_fine_edges(mean, scale, coarse, coding.grid))
    return coding.grid.values(coarse * FINE + fine).view_as(mean)


def _push_normal(mean: Tensor, scale: Tensor, z: Tensor, coding: Coding) -> None:
    coarse, fine = np.divmod(coding.grid.index(z).ravel(), FINE)
    coding.stack.push_symbols(fine, _fine_edges(mean, scale, coarse, coding.grid))
    coding.stack.push_symbols(coarse, _coarse_edges(mean, scale, coding.grid))


def _coarse_edges(mean: Tensor, scale: Tensor, grid: Grid) -> Array:
    """Edges of the coarse intervals of each latent, shape (n M, COARSE + 1)."""
    places = torch.arange(COARSE + 1, dtype=torch.float64) * (FINE * grid.step) - grid.reach
    cumulative = normal_cdf((places - mean.reshape(-1, 1)) / scale.reshape(-1, 1))
    return edges_from_cumulative(cumulative.numpy())


def _fine_edges(mean: Tensor, scale: Tensor, coarse: Array, grid: Grid) -> Array:
    """Edges of the parts of one coarse interval of each latent, shape (n M, FINE + 1). The parts are equal where the
    probability of the interval is too small for the table of the normal distribution."""
    within = torch.arange(FINE + 1, dtype=torch.float64)
    places = (torch.from_numpy(coarse).double()[:, None] * FINE + within) * grid.step - grid.reach
    cumulative = normal_cdf((places - mean.reshape(-1, 1)) / scale.reshape(-1, 1))
    low, mass = cumulative[:, :1], cumulative[:, -1:] - cumulative[:, :1]
    inside = torch.where(mass > SMALLEST_MASS, (cumulative - low) / mass.clamp_min(SMALLEST_MASS), within / FINE)
    return edges_from_cumulative(inside.numpy())


@pop.register
def _pop_mixture(distribution: GaussianMixture, coding: Coding, n: int) -> Tensor:
    """First the component, then the latents given it; the bits of the component come back from p(k | z)."""
    weights = edges_of(distribution.log_weights.numpy())
    component = coding.stack.pop(np.broadcast_to(weights, (n, len(weights))))
    z = _pop_normal(*_of_component(distribution, component), coding)
    coding.stack.push_symbols(component, _component_edges(distribution, z, coding))
    return z


@push.register
def _push_mixture(distribution: GaussianMixture, coding: Coding, z: Tensor) -> None:
    component = coding.stack.pop(_component_edges(distribution, z, coding))
    _push_normal(*_of_component(distribution, component), z, coding)
    weights = edges_of(distribution.log_weights.numpy())
    coding.stack.push_symbols(component, np.broadcast_to(weights, (len(z), len(weights))))


def _of_component(distribution: GaussianMixture, component: Array) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of a component for each row, shape (n, M)."""
    scale = exp(distribution.log_variances * 0.5).clamp_min(NARROWEST)
    return distribution.means[component], scale[component]


def _component_edges(distribution: GaussianMixture, z: Tensor, coding: Coding) -> Array:
    with coding.exact():
        log_probs = distribution.component_log_probs(z)
    return edges_of(log_probs.numpy())


@pop.register
def _pop_chain(distribution: BernoulliChain, coding: Coding, n: int) -> Tensor:
    first = distribution.first_logits
    layers = [_pop_bits(first.expand(n, first.shape[-1]), coding)]
    for logits_of in distribution.maps:
        layers.append(_pop_bits(_exactly(logits_of, layers[-1], coding), coding))
    return distribution.joined(layers)


@push.register
def _push_chain(distribution: BernoulliChain, coding: Coding, z: Tensor) -> None:
    layers = distribution.layers(z)
    steps = list(zip(distribution.maps, pairwise(layers), strict=True))
    for logits_of, (before, after) in reversed(steps):
        BitTable.of(_exactly(logits_of, before, coding)).push(coding.stack, after.numpy())
    BitTable.of(distribution.first_logits.expand_as(layers[0])).push(coding.stack, layers[0].numpy())


def _pop_bits(logits: Tensor, coding: Coding) -> Tensor:
    return torch.from_numpy(BitTable.of(logits).pop(coding.stack)).double()


def _exactly(function: Callable[[Tensor], Tensor], x: Tensor, coding: Coding) -> Tensor:
    with coding.exact():
        return function(x)
