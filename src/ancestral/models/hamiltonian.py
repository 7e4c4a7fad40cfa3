"""Hamiltonian Monte Carlo: proposals that follow the slope of a log-density far, and are hardly ever refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

LEAPS, FIRST_STEP, ACCEPTED, HASTE = 5, 0.1, 0.75, 0.3  # of a chain: its step adapts to accept so often


class _Place(Protocol):
    @property
    def z(self) -> Tensor: ...


Place = TypeVar("Place", bound=_Place)


def leapfrog(
    place: Place,
    momentum: Tensor,
    stride: Tensor,
    leaps: int,
    at: Callable[[Tensor], Place],
    slope: Callable[[Place], Tensor],
) -> tuple[Place, Tensor]:
    """A trajectory of the system with energy -log f(z) + |momentum|^2 / 2, in units of `stride` a step.

    It can be run backward (with the momentum turned round) to where it began, and keeps volumes; so a Metropolis step
    at its end makes a transition that leaves f as it is.

    Args:      place: where it begins, whatever is known there beside z. momentum, stride: as z, or of a shape that
               broadcasts with it. at: what is known at z. slope: the gradient of log f at a place.
    Reference: Neal, 2011, section 5.2, arXiv 1206.1901.
    """
    for _ in range(leaps):
        momentum = momentum + 0.5 * stride * slope(place)
        place = at(place.z + stride * momentum)
        momentum = momentum + 0.5 * stride * slope(place)
    return place, momentum


class Point(NamedTuple):
    """z, shape (B, *event), with log f(z), shape (B,), and its gradient, of the shape of z."""

    z: Tensor
    log_density: Tensor
    slope: Tensor


def hamiltonian_chains(
    log_density: Callable[[Tensor], Tensor], z: Tensor, warming: int, sweeps: int, leaps: int = LEAPS
) -> Tensor:
    """A draw of a density by Hamiltonian Monte Carlo, a chain for each start: exact in the limit of many sweeps.

    A sweep follows the slope for `leaps` steps of a fresh momentum and accepts or refuses where it arrives.

    Args:      log_density: z (B, *event) to (B,), nats, up to a constant. z: the starts. warming: sweeps in which each
               chain finds its step size. sweeps: of the chain proper, in which it keeps that size (but for a tenth, at
               random, so that no orbit closes).
    Reference: Neal, 2011, section 5.3, arXiv 1206.1901.
    """

    def at(z: Tensor) -> Point:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_f = log_density(z)
            (slope,) = torch.autograd.grad(log_f.sum(), z)
        return Point(z.detach(), log_f.detach(), slope)

    one_each = (-1, *[1] * (z.dim() - 1))
    now = at(z)
    step = torch.full_like(now.log_density, FIRST_STEP)
    for sweep in range(warming + sweeps):
        stride = (step * torch.empty_like(step).uniform_(0.9, 1.1)).view(one_each)
        momentum = torch.randn_like(z)
        there, after = leapfrog(now, momentum, stride, leaps, at, lambda point: point.slope)
        gain = there.log_density - now.log_density + (_energy(momentum) - _energy(after))
        chance = gain.clamp(max=0).exp().nan_to_num(0)  # a trajectory that ran away to NaN is refused
        accepted = torch.rand_like(chance) < chance
        now = Point(
            *(torch.where(accepted.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(there, now, strict=True))
        )
        if sweep < warming:
            step = step * (HASTE * (chance - ACCEPTED)).exp()
    return now.z


def _energy(momentum: Tensor) -> Tensor:
    return momentum.flatten(1).square().sum(1) / 2
