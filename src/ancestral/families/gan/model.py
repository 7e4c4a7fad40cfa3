"""Generative adversarial network: a generator and its prior. The critic is part of the training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for
from ancestral.core.serialization import registered
from ancestral.families.family import DataSpec
from ancestral.families.gan.settings import GANSettings
from ancestral.models.base import CodePairs, ImplicitModel, LatentScale
from ancestral.models.classes import CodesClasses, refuse_without_classes
from ancestral.models.completion import filled, fit_latents, given_only, misfit_energy, nearest_image
from ancestral.networks.conv import ConvDecoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network

ACTIVATION = "leaky-relu-0.2"
STARTS, STEPS, RATE = 8, 200, 0.1  # of the search for latents that fit the observed pixels
POOL, NEAR = 1000, 4  # the search for the code of an image starts at the NEAR nearest of POOL samples
FIRST, LAST = 30, 100  # its steps from each start, then from the best result


@registered
class GAN(CodesClasses, ImplicitModel):
    """Generative adversarial network: x = G(z) for z ~ N(0, I); sampling only, no likelihood.

    A conditional GAN samples x = G(z, y) for a class y. If no class is given, classes are drawn in the proportions of
    the training data. The input of the generator is called a code: z, followed by y as a one-hot vector.

    Args:      generator: codes (B, M + classes) to (B, *event_shape); for images, (1 + tanh) / 2 is applied to its
               output. latents: M. event_shape: of one x. classes: number of classes of y, 0 for none. proportions: of
               the classes when y is drawn; None means equal proportions.
    Reference: Goodfellow et al., 2014, arXiv 1406.2661; Mirza and Osindero, 2014, arXiv 1411.1784.
    Example:
        >>> model = build_gan(GANSettings(), DataSpec((1, 28, 28), 256, "unit"))
        >>> model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """

    levels = None
    completion: ClassVar[str] = "approximate: images from latents that fit the observed pixels best"
    inference: ClassVar[str] = "approximate: found by optimisation, the best of several starts"
    encodes_by_search: ClassVar[bool] = True
    origin: Tensor

    def __init__(
        self,
        generator: nn.Module,
        latents: int,
        event_shape: Sequence[int],
        classes: int = 0,
        proportions: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.generator, self.latents, self.event_shape = generator, latents, tuple(event_shape)
        self.draws_images = len(self.event_shape) == 3
        self.spaces = ("unit",) if self.draws_images else ("points",)
        self.register_buffer("origin", torch.zeros(latents), persistent=False)
        self.even = proportions is None

    def codes(self, n: int, labels: Tensor | None = None) -> Tensor:
        """`n` random codes, shape (n, M + classes); if a class is given, only z, shape (n, M).

        Args:      labels: classes for a conditional GAN, shape (n,); None draws them at random.
        Raises:    InputError: labels for a GAN without classes.
        """
        z = torch.randn(n, self.latents, dtype=self.origin.dtype, device=self.origin.device)
        if labels is not None:
            refuse_without_classes(self)
        elif not self.sums_classes:
            return z
        return self._of_class(z, self.draw_classes(n) if labels is None else labels)

    def draw_classes(self, n: int) -> Tensor:
        """`n` random classes in the proportions of the training data, shape (n,)."""
        if self.even:  # the draws of models of earlier versions must not change
            return torch.randint(self.classes, (n,), device=self.shares.device)
        return torch.multinomial(self.shares, n, replacement=True) if n else self.shares[:0].long()

    def _of_class(self, z: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([z, one_hot(labels, self.classes).to(z)], 1)

    @torch.no_grad()
    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs of draws of z. Both draws of a pair have the same class; pairs use the classes in turn."""
        z = torch.randn(2 * n, self.latents, dtype=self.origin.dtype, device=self.origin.device)
        first, last = z.unflatten(0, (n, 2)).unbind(1)
        return CodePairs(first, last, self.classes_in_turn(n))

    def latent_scale(self) -> LatentScale:
        """Mean 0 and standard deviation 1 of each latent under the prior, shape (M,)."""
        return LatentScale(torch.zeros_like(self.origin), torch.ones_like(self.origin), "the prior")

    def to_pixels(self, raw: Tensor) -> Tensor:
        """Map the output of the last layer to pixels in [0, 1]; points are not changed."""
        return (1 + raw.tanh()) / 2 if self.draws_images else raw

    def decode(self, z: Tensor) -> Tensor:
        """G(z). z: codes, shape (B, M + classes), or (B, M) if a class is given; returns (B, *event_shape)."""
        return self.to_pixels(self.generator(self.code(z)))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self.decode(self.codes(n))

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, starts: int = STARTS, steps: int = STEPS) -> Tensor:
        """Fill in missing pixels from G(z) for a z that fits the observed pixels, see `nearest_image`.

        The result is not a draw from a distribution. In a conditional GAN, each start keeps its class.

        Args:      x, observed: shape (B, *event_shape), observed boolean. starts: number of initial z for each image.
        Raises:    InputError: as `given_only`.
        Deviation: a prior on z instead of the critic, which is not part of the model.
        Reference: Yeh et al., 2017, section 3, arXiv 1607.07539.
        """
        given = given_only(self, x, observed)
        codes = self.codes(starts * len(x)).unflatten(0, (starts, -1))  # (starts, B, M + classes)
        z, classes = codes.split([self.latents, self.condition_width], -1)
        return filled(x, observed, nearest_image(self._images(classes), z, given, observed, steps, RATE))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Codes whose images are near x, shape (B, M + classes): the lowest `misfit_energy` of several searches.

        The searches start at the nearest of many fixed samples and keep their classes. Each runs for a few steps; the
        best one is continued. If G cannot generate x, the result is the code of a similar image.

        Reference: Creswell and Bharath, 2016, algorithm 1, arXiv 1611.05644; Lipton and Tripathi, 2017,
                   arXiv 1702.04782.
        """
        x, whole = x.to(self.dtype), torch.ones((), dtype=torch.bool, device=x.device)
        noise = torch.Generator().manual_seed(seed_for("encode"))
        pool = torch.randn(POOL, self.latents, generator=noise).to(self.origin)
        if self.sums_classes:  # each class equally often
            pool = self._of_class(pool, torch.arange(POOL, device=pool.device) % self.classes)
        distances = torch.cdist(x.flatten(1), self.decode(pool).flatten(1))  # (B, POOL)
        codes = pool[distances.topk(NEAR, 1, largest=False).indices.T]  # (NEAR, B, M + classes)
        for steps in (FIRST, LAST):
            z, classes = codes.split([self.latents, self.condition_width], -1)
            energy = misfit_energy(self._images(classes), x, whole)
            z = fit_latents(energy, z, steps, RATE)
            best = energy(z).argmin(0)
            codes = torch.cat([z, classes], -1)[best, torch.arange(len(x), device=x.device)][None]
        return codes[0]

    def _images(self, classes: Tensor) -> Callable[[Tensor], Tensor]:
        """G as a function of z with fixed classes (S, B, classes): (S, B, M) to (S, B, *event_shape)."""
        return lambda z: self.decode(torch.cat([z, classes], -1).flatten(0, 1)).unflatten(0, z.shape[:2])


def build_gan(settings: GANSettings, spec: DataSpec) -> GAN:
    """The GAN that the settings describe.

    Raises:    InputError: discrete pixels, which have no gradient; tables; convolutions for points.
    """
    if spec.standardise:
        raise InputError("a GAN cannot model tables, only images and points of the plane: choose the family flow")
    if spec.space not in ("unit", "points"):
        raise InputError(
            f"a GAN generates real numbers, not {spec.space} pixels: leave --pixels out, or use --pixels unit"
        )
    shares = _shares(settings.classes, spec.proportions)
    generator = _generator(settings, spec)
    return GAN(generator, settings.latents, list(spec.event_shape), settings.classes, shares)


def _generator(settings: GANSettings, spec: DataSpec) -> nn.Module:
    """The user's own generator, or the one that the settings describe."""
    code, out_shape = [settings.latents + settings.classes], list(spec.event_shape)
    if own := given_network(spec.networks, "generator", code, out_shape):
        return own
    if settings.network == "mlp":
        return MLP(code, list(settings.hidden), out_shape, ACTIVATION, dropout=settings.dropout)
    if spec.space == "points":
        raise InputError("--network cnn needs images; these data are points: leave --network cnn out")
    channels = list(settings.channels)
    return ConvDecoder(code, channels, [2] * len(channels), out_shape, ACTIVATION, batch_norm=settings.batch_norm)


def _shares(classes: int, proportions: Sequence[float] | None) -> list[float] | None:
    """The proportions of the classes of a conditional GAN; classes that the data do not have get 0."""
    if not classes or proportions is None:
        return None
    known = list(proportions[:classes])
    return known + [0.0] * (classes - len(known))
