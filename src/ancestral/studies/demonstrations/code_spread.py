"""The distribution of codes of a VAE and of an autoencoder, compared with the standard normal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ancestral.core.errors import NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.evaluation.likelihood import distortion, elbo_parts
from ancestral.evaluation.quality import recognised_share
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.vae import VAE
from ancestral.figures.densities import Plane, draw_planes
from ancestral.runs.quality import recognised
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST = 0.95  # share of the standard normal inside the circle
SHOWN = 2000  # number of codes in the figure


@dataclass(frozen=True)
class Spread:
    """Statistics of codes of test images, and of images decoded from samples.

    Args:      loss: mean -log p(x | z), nats. least, most: smallest and largest standard deviation of a coordinate.
               length: mean |z|. from_normal, from_fitted: shares of mean images that are recognised, with z from the
               standard normal, and from a normal with the mean and covariance of codes of training images.
    """

    loss: float
    least: float
    most: float
    length: float
    from_normal: float
    from_fitted: float


@torch.no_grad()
def codes(run: Run, split: str, count: int) -> Tensor:
    """Codes of the first images of a split, shape (N, M), float64; for a VAE, samples of q(z | x)."""
    model = run.load()
    if not isinstance(model, (Autoencoder, VAE)):
        raise NotComputable(f"codes are compared for autoencoders and VAEs only, not for {type_in_words(model)}")
    x = run.data.held(split, count).first(count).to(model.dtype)
    with seeded_noise(seed_for("codes", split)):
        return (model.posterior(x).sample() if isinstance(model, VAE) else model.encode(x)).double()


def code_spread(run: Run, count: int) -> Spread:
    """Statistics of the codes of the first test images and of decoded samples. count: of images and of samples."""
    model, z, images = run.load(), codes(run, "test", count), run.data.held("test", count)
    assert isinstance(model, (Autoencoder, VAE))
    loss = distortion(model, images) if isinstance(model, Autoencoder) else -elbo_parts(model, images)[0]
    fitted, std = normal_fitted(codes(run, "train", count)), z.std(0)
    with torch.no_grad(), seeded_noise(seed_for("code spread")):
        shares = [
            recognised_share(recognised(run.data, model.decode(draws.to(model.dtype))))
            for draws in (torch.randn_like(z), fitted.sample((count,)))
        ]
    return Spread(loss.mean().item(), std.min().item(), std.max().item(), z.norm(dim=1).mean().item(), *shares)


def normal_fitted(z: Tensor) -> MultivariateNormal:
    """The normal with the mean and covariance of codes. z: shape (N, M), N > M."""
    return MultivariateNormal(z.mean(0), z.T.cov())


def normal_length(dimensions: int) -> float:
    """E|z| for z ~ N(0, I)."""
    return math.sqrt(2) * math.exp(math.lgamma((dimensions + 1) / 2) - math.lgamma(dimensions / 2))


def codes_figure(named: Mapping[str, Tensor]) -> Figure:
    """Codes of each kind, shape (N, M), along their two directions of largest variance, on the same axes.

    The circle contains the share `MOST` of the standard normal, in any such plane.
    """
    planes = {title: _two_main(z[:SHOWN]) for title, z in named.items()}
    extent = 1.05 * max(points.abs().max().item() for points in planes.values())
    angle = torch.linspace(0, 2 * math.pi, 200)
    circle = math.sqrt(-2 * math.log(1 - MOST)) * torch.stack([angle.cos(), angle.sin()], -1)
    return draw_planes(
        [Plane(title, extent, points=points, lines=[circle[None]]) for title, points in planes.items()],
        title="codes of test images: autoencoder and VAE",
    )


def _two_main(z: Tensor) -> Tensor:
    """The coordinates along the two directions of largest variance, from the origin: shape (N, 2)."""
    directions = torch.linalg.svd(z - z.mean(0), full_matrices=False).Vh[:2]
    return z @ directions.T
