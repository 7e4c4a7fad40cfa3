"""Hamiltonian Monte Carlo: distant proposals from the gradient of a log-density, with a high acceptance rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

LEAPS, FIRST_STEP, ACCEPTED, HASTE = 5, 0.1, 0.75, 0.3  # steps, initial step size, target rate, speed of adaptation


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
    """A leapfrog trajectory for the energy -log f(z) + |momentum|^2 / 2, with step size `stride`.

    The trajectory is reversible (with the momentum negated) and preserves volume. So a Metropolis step at its end
    leaves f invariant.

    Args:      place: start of the trajectory: z and the values computed there. momentum, stride: shape of z, or a shape
               that broadcasts with it. at: computes the place for z. slope: the gradient of log f at a place.
    Returns:   the last place and the last momentum.
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
    """Sample a density by Hamiltonian Monte Carlo, one chain for each start. Exact in the limit of many sweeps.

    A sweep samples a new momentum, makes `leaps` leapfrog steps, and accepts or rejects the result.

    Args:      log_density: z (B, *event) to (B,), nats, up to a constant. z: starts of the chains. warming: sweeps in
               which each chain adapts its step size. sweeps: sweeps with the adapted step size, varied at random by up
               to 10 %, so that trajectories are not periodic.
    Returns:   the last state of each chain, shape of z.
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
        chance = gain.clamp(max=0).exp().nan_to_num(0)  # a trajectory that diverged to NaN is rejected
        accepted = torch.rand_like(chance) < chance
        now = Point(
            *(torch.where(accepted.view(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(there, now, strict=True))
        )
        if sweep < warming:
            step = step * (HASTE * (chance - ACCEPTED)).exp()
    return now.z


def _energy(momentum: Tensor) -> Tensor:
    return momentum.flatten(1).square().sum(1) / 2
