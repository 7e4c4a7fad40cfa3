"""Filling in missing pixels: what families share that have no exact conditional at hand.

A state is a whole image whose observed pixels never change, and the latents behind it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from ancestral.core.errors import InputError
from ancestral.distributions.pixels import are_levels
from ancestral.models.base import LatentModel, Model

WARMING, SWEEPS = 50, 200
PROPOSALS = 4
CHAIN = "approximate: Metropolis within Gibbs, exact after enough sweeps"
MISFIT = 0.1  # standard deviation that observed pixels in [0, 1] are allowed around the image of a latent

Likelihood = Callable[[Tensor], Distribution]


def given_only(model: Model, x: Tensor, observed: Tensor) -> Tensor:
    """The observed pixels in the model's number format, and zeros for the others, whatever those hold.

    Args:      x, observed: shape (B, *event_shape); observed is boolean, a mask for each image.
    Raises:    InputError: shapes that are not those, a mask that is not boolean, observed pixels that the model
               has no probability for.
    """
    if x.shape[1:] != torch.Size(model.event_shape) or observed.shape != x.shape:
        raise InputError(
            f"to complete, give images of shape (B, {', '.join(map(str, model.event_shape))}) and a mask of the same "
            f"shape, not {tuple(x.shape)} and {tuple(observed.shape)}"
        )
    if observed.dtype != torch.bool:
        raise InputError(f"the mask of observed pixels must be boolean, not {observed.dtype}")
    given = torch.where(observed, x, torch.zeros_like(x)).to(model.dtype)
    if not bool(given.isfinite().all()):
        raise InputError("observed pixels must be finite: found NaN or infinite ones")
    if model.levels is not None and not are_levels(given, model.levels):
        raise InputError(f"observed pixels must be whole levels 0 to {model.levels - 1}: found others")
    return given


def filled(x: Tensor, observed: Tensor, drawn: Tensor) -> Tensor:
    """x where it was observed, to the bit, and what was drawn elsewhere."""
    return torch.where(observed, x, drawn.to(x.dtype))


def pseudo_gibbs(
    code: Callable[[Tensor], Tensor], likelihood: Likelihood, x: Tensor, observed: Tensor, sweeps: int
) -> tuple[Tensor, Tensor]:
    """Code and decode in turn, missing pixels drawn from p(x | z): as right as the codes are, no more.

    Args:      code: x to z, a draw or the one code there is. x: the start, whole images.
    Returns:   x and z of the last sweep.
    Reference: Rezende et al., 2014, section F, arXiv 1401.4082.
    """
    z = code(x)
    for _ in range(sweeps):
        x = filled(x, observed, likelihood(z).sample())
        z = code(x)
    return x, z


def metropolis_within_gibbs(
    model: LatentModel, likelihood: Likelihood, x: Tensor, observed: Tensor, warming: int, sweeps: int
) -> Tensor:
    """Images whose missing pixels are drawn by a chain for each image, whose limit is p(missing, z | observed) exactly.

    A sweep proposes latents from q(z | x) and keeps them or the present ones, each with probability proportional to
    p(x, z) / q(z | x); then it draws the missing pixels from p(x | z). Both leave the target as it is.

    Args:      x, observed: shape (B, *event_shape), observed boolean. warming: sweeps of `pseudo_gibbs` before,
               which bring the start, a draw of the model around the observed pixels, near them. sweeps: of the chain.
    Raises:    InputError: as `given_only`.
    Deviation: several proposals a sweep (iterated sampling importance resampling) where the paper has one that is
               accepted or not: fewer sweeps are then in vain.
    Reference: Mattei and Frellsen, 2018, algorithm 1, arXiv 1802.04826; Andrieu et al., 2010, section 2.
    """
    given = given_only(model, x, observed)
    start = filled(given, observed, model.sample(len(given)))
    now, z = pseudo_gibbs(lambda x: model.posterior(x).sample(), likelihood, start, observed, warming)
    rows = torch.arange(len(now), device=now.device)
    for _ in range(sweeps):
        q = model.posterior(now)
        tried = torch.cat([z[None], q.sample(torch.Size((PROPOSALS,)))])  # (1 + proposals, B, ...)
        log_weights = model.log_joint(now, tried) - q.log_prob(tried)
        z = tried[Categorical(logits=log_weights.T, validate_args=False).sample(), rows]
        now = filled(now, observed, likelihood(z).sample())
    return filled(x, observed, now)


def fit_latents(energy: Callable[[Tensor], Tensor], z: Tensor, steps: int, rate: float) -> Tensor:
    """Latents of low energy near each start, by Adam. z: (..., M) to energies (...); returns the shape of z."""
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=rate)
        for _ in range(steps):
            (z.grad,) = torch.autograd.grad(energy(z).sum(), z)
            optimiser.step()
    return z.detach()


def misfit_energy(images: Callable[[Tensor], Tensor], given: Tensor, observed: Tensor) -> Callable[[Tensor], Tensor]:
    """|images(z) - given|^2 / (2 s^2) + |z|^2 / 2 over the observed pixels, a function of z: (S, B, M) to (S, B).

    Up to a constant it is -log p(z, given) for normal noise of standard deviation s around the images, which no model
    here has: an aim of searches, and no likelihood.

    Args:      images: z (S, B, M) to images (S, B, *event_shape) in [0, 1]. given, observed: shape (B, *event_shape).
    """

    def energy(z: Tensor) -> Tensor:
        misfit = torch.where(observed, images(z) - given, 0).flatten(2).square().sum(2)
        return misfit / (2 * MISFIT**2) + z.square().sum(2) / 2

    return energy


def nearest_image(
    images: Callable[[Tensor], Tensor], z: Tensor, given: Tensor, observed: Tensor, steps: int, rate: float
) -> Tensor:
    """For each image one that comes near its observed pixels, of latents that are not too improbable.

    Adam goes from several latents down `misfit_energy`, and one of the ends is taken, the more readily the lower it
    lies. No distribution is drawn from.

    Args:      images, given, observed: as `misfit_energy`. z: the starts, shape (S, B, M).
    Reference: Yeh et al., 2017, section 3, arXiv 1607.07539.
    """
    energy = misfit_energy(images, given, observed)
    z = fit_latents(energy, z, steps, rate)
    chosen = Categorical(logits=-energy(z).T, validate_args=False).sample()
    return images(z)[chosen, torch.arange(len(given), device=given.device)]
