"""Completion of missing pixels, for families without an exact conditional distribution.

A state of a chain is a whole image, whose observed pixels never change, and its latents.
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
MISFIT = 0.1  # standard deviation of observed pixels in [0, 1] around the image of a latent

Likelihood = Callable[[Tensor], Distribution]


def given_only(model: Model, x: Tensor, observed: Tensor) -> Tensor:
    """The observed pixels in the model's number format, and zeros for the other pixels.

    Args:      x, observed: shape (B, *event_shape); observed is boolean, a mask for each image.
    Raises:    InputError: wrong shapes, a mask that is not boolean, or observed pixels outside the support of the
               model.
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
    """The observed pixels of x, unchanged, and the sampled pixels elsewhere."""
    return torch.where(observed, x, drawn.to(x.dtype))


def pseudo_gibbs(
    code: Callable[[Tensor], Tensor], likelihood: Likelihood, x: Tensor, observed: Tensor, sweeps: int
) -> tuple[Tensor, Tensor]:
    """Encode and decode in turn; the missing pixels are sampled from p(x | z). Approximate, because the codes are.

    Args:      code: x to z: a sample of q(z | x), or a deterministic code. x: initial whole images.
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
    """Complete images by a Markov chain for each image. Its limit is exactly p(missing, z | observed).

    A sweep proposes latents from q(z | x). It selects one of the proposals or the present latents, each with
    probability proportional to p(x, z) / q(z | x). Then it samples the missing pixels from p(x | z). Both steps leave
    the target distribution invariant.

    Args:      x, observed: shape (B, *event_shape), observed boolean. warming: number of sweeps of `pseudo_gibbs`
               before the chain; they start at a sample of the model with the observed pixels filled in. sweeps: number
               of sweeps of the chain.
    Returns:   whole images, shape (B, *event_shape).
    Raises:    InputError: as `given_only`.
    Deviation: several proposals per sweep (iterated sampling importance resampling); the paper has one, which is
               accepted or rejected. So fewer sweeps leave the state unchanged.
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
    """Minimise an energy by Adam from each initial z. energy: (..., M) to (...); returns latents, shape of z."""
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([z], lr=rate)
        for _ in range(steps):
            (z.grad,) = torch.autograd.grad(energy(z).sum(), z)
            optimiser.step()
    return z.detach()


def misfit_energy(images: Callable[[Tensor], Tensor], given: Tensor, observed: Tensor) -> Callable[[Tensor], Tensor]:
    """|images(z) - given|^2 / (2 s^2) + |z|^2 / 2 over the observed pixels, a function of z: (S, B, M) to (S, B).

    Up to a constant it is -log p(z, given) for normal noise of standard deviation s around the images. No model here
    has such noise: it is an objective for searches, not a likelihood.

    Args:      images: z (S, B, M) to images (S, B, *event_shape) in [0, 1]. given, observed: shape (B, *event_shape).
    """

    def energy(z: Tensor) -> Tensor:
        misfit = torch.where(observed, images(z) - given, 0).flatten(2).square().sum(2)
        return misfit / (2 * MISFIT**2) + z.square().sum(2) / 2

    return energy


def nearest_image(
    images: Callable[[Tensor], Tensor], z: Tensor, given: Tensor, observed: Tensor, steps: int, rate: float
) -> Tensor:
    """For each given image, an image of the model that is close to the observed pixels.

    Adam minimises `misfit_energy` from several initial latents. One of the results is selected at random, with
    probability proportional to exp(-energy). The result is not a sample of a posterior distribution.

    Args:      images, given, observed: as `misfit_energy`. z: initial latents, shape (S, B, M).
    Returns:   images in [0, 1], shape (B, *event_shape).
    Reference: Yeh et al., 2017, section 3, arXiv 1607.07539.
    """
    energy = misfit_energy(images, given, observed)
    z = fit_latents(energy, z, steps, rate)
    chosen = Categorical(logits=-energy(z).T, validate_args=False).sample()
    return images(z)[chosen, torch.arange(len(given), device=given.device)]
