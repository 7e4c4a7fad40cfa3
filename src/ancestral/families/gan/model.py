"""Generative adversarial network: a generator and its prior. Its critic belongs to the training."""

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
from ancestral.models.completion import filled, fit_latents, given_only, misfit_energy, nearest_image
from ancestral.networks.conv import ConvDecoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network

ACTIVATION = "leaky-relu-0.2"
STARTS, STEPS, RATE = 8, 200, 0.1  # of the search for latents behind observed pixels
POOL, NEAR = 1000, 4  # draws among which the search for the code of a whole image starts, and at how many of them
FIRST, LAST = 30, 100  # its steps from all starts, and from the best of their ends


@registered
class GAN(ImplicitModel):
    """x = G(z) for z ~ N(0, I): images can be drawn, but no formula says how probable one is.

    A conditional GAN draws x = G(z, y) for a class y; where none is asked for, classes are drawn in the proportions
    of the training data. What enters the generator is called a code: z, and after it y as a one-hot vector.

    Args:      generator: codes (B, M + classes) to (B, *event_shape): through (1 + tanh) / 2 these are images,
               or they are points of the plane as they are. latents: M. event_shape: of one x. classes: of y,
               or 0. proportions: of the classes, for draws; None draws all alike.
    Reference: Goodfellow et al., 2014, arXiv 1406.2661; Mirza and Osindero, 2014, arXiv 1411.1784.
    Example:
        >>> model = build_gan(GANSettings(), DataSpec((1, 28, 28), 256, "unit"))
        >>> model.sample(3).shape
        torch.Size([3, 1, 28, 28])
    """

    levels = None
    completion: ClassVar[str] = "approximate: images from the latents that come nearest the observed pixels"
    inference: ClassVar[str] = "approximate: found by optimisation, the best of several starts"
    encodes_by_search: ClassVar[bool] = True
    origin: Tensor
    shares: Tensor

    def __init__(
        self,
        generator: nn.Module,
        latents: int,
        event_shape: Sequence[int],
        classes: int = 0,
        proportions: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.generator, self.latents, self.classes = generator, latents, classes
        self.event_shape, self.condition_width = tuple(event_shape), classes
        self.draws_images = len(self.event_shape) == 3
        self.spaces = ("unit",) if self.draws_images else ("points",)
        self.register_buffer("origin", torch.zeros(latents), persistent=False)
        shares = [1.0] * classes if proportions is None else list(proportions)
        if len(shares) != classes or any(share < 0 for share in shares) or (classes and not sum(shares) > 0):
            raise InputError(f"proportions {shares} are not those of {classes} classes")
        self.even = proportions is None
        self.register_buffer("shares", torch.tensor(shares), persistent=False)

    def codes(self, n: int, labels: Tensor | None = None) -> Tensor:
        """`n` draws of what enters the generator, shape (n, M + classes).

        Args:      labels: classes of the conditional GAN, shape (n,); None draws them.
        Raises:    InputError: classes asked of a GAN that knows none, or others than it knows.
        """
        z = torch.randn(n, self.latents, dtype=self.origin.dtype, device=self.origin.device)
        if not self.classes:
            if labels is not None:
                raise InputError("this GAN knows no classes: train one with --classes")
            return z
        return self._of_class(z, self.draw_classes(n) if labels is None else labels)

    def draw_classes(self, n: int) -> Tensor:
        """Classes in the proportions of the training data, shape (n,)."""
        if self.even:  # a model of an earlier version draws what it drew then
            return torch.randint(self.classes, (n,), device=self.shares.device)
        return torch.multinomial(self.shares, n, replacement=True) if n else self.shares[:0].long()

    def present_classes(self) -> Tensor:
        """Classes that there were training images of, in order."""
        return self.shares.nonzero()[:, 0]

    def _of_class(self, z: Tensor, labels: Tensor) -> Tensor:
        return torch.cat([z, one_hot(labels, self.classes).to(z)], 1)

    @torch.no_grad()
    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs of draws of z. Both draws of a pair have one class, the classes in turn, where there are any."""
        present = self.present_classes()
        labels = present[torch.arange(n).repeat_interleave(2) % len(present)] if self.classes else None
        z, classes = self.codes(2 * n, labels).split([self.latents, self.classes], 1)
        first, last = z.unflatten(0, (n, 2)).unbind(1)
        return CodePairs(first, last, classes[::2])

    def latent_scale(self) -> LatentScale:
        """Mean 0 and standard deviation 1 of each latent, shape (M,): the prior's."""
        return LatentScale(torch.zeros_like(self.origin), torch.ones_like(self.origin), "the prior")

    def to_pixels(self, raw: Tensor) -> Tensor:
        """What the generator's last layer gives, as pixels in [0, 1]; points stay what they are."""
        return (1 + raw.tanh()) / 2 if self.draws_images else raw

    def decode(self, z: Tensor) -> Tensor:
        """G(z). z: codes, shape (B, M + classes); returns (B, *event_shape)."""
        return self.to_pixels(self.generator(z))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self.decode(self.codes(n))

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, starts: int = STARTS, steps: int = STEPS) -> Tensor:
        """Missing pixels of G(z) for a z whose image comes near the observed ones, see `nearest_image`: no
        distribution is drawn from. Each start has its class.

        Args:      x, observed: shape (B, *event_shape), observed boolean. starts: draws of z for each image.
        Raises:    InputError: as `given_only`.
        Deviation: the prior on z in place of the critic, which is no part of the model.
        Reference: Yeh et al., 2017, section 3, arXiv 1607.07539.
        """
        given = given_only(self, x, observed)
        codes = self.codes(starts * len(x)).unflatten(0, (starts, -1))  # (starts, B, M + classes)
        z, classes = codes.split([self.latents, self.classes], -1)
        return filled(x, observed, nearest_image(self._images(classes), z, given, observed, steps, RATE))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Codes whose images come near x, shape (B, M + classes): the lowest `misfit_energy` of several searches.

        They start at those of many draws, always the same, that come nearest x, and keep their classes; all go some
        steps, and the best goes on. An image that G cannot draw has a code as well: that of one it can.

        Reference: Creswell and Bharath, 2016, algorithm 1, arXiv 1611.05644; Lipton and Tripathi, 2017,
                   arXiv 1702.04782.
        """
        x, whole = x.to(self.dtype), torch.ones((), dtype=torch.bool, device=x.device)
        noise = torch.Generator().manual_seed(seed_for("encode"))
        pool = torch.randn(POOL, self.latents, generator=noise).to(self.origin)
        if self.classes:  # each as often as the others
            pool = self._of_class(pool, torch.arange(POOL, device=pool.device) % self.classes)
        distances = torch.cdist(x.flatten(1), self.decode(pool).flatten(1))  # (B, POOL)
        codes = pool[distances.topk(NEAR, 1, largest=False).indices.T]  # (NEAR, B, M + classes)
        for steps in (FIRST, LAST):
            z, classes = codes.split([self.latents, self.classes], -1)
            energy = misfit_energy(self._images(classes), x, whole)
            z = fit_latents(energy, z, steps, RATE)
            best = energy(z).argmin(0)
            codes = torch.cat([z, classes], -1)[best, torch.arange(len(x), device=x.device)][None]
        return codes[0]

    def _images(self, classes: Tensor) -> Callable[[Tensor], Tensor]:
        """G as a function of z alone, (S, B, M) to (S, B, *event_shape). classes: shape (S, B, classes)."""
        return lambda z: self.decode(torch.cat([z, classes], -1).flatten(0, 1)).unflatten(0, z.shape[:2])

    @torch.no_grad()
    def sample_classes(self, labels: Tensor) -> Tensor:
        """One draw of each class named. labels: (n,), whole numbers; returns (n, *event_shape).

        Raises:    InputError: the GAN is not conditional, or knows no such class.
        """
        if self.classes and not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise InputError(f"this GAN knows the classes 0 to {self.classes - 1}")
        return self.decode(self.codes(len(labels), labels))


def build_gan(settings: GANSettings, spec: DataSpec) -> GAN:
    """The GAN that the command line's flags describe.

    Raises:    InputError: pixels of whole levels, whose draws would have no gradient; tables; convolutions of points.
    """
    if spec.standardise:
        raise InputError("a GAN learns images and points of the plane, not the columns of a table: take flow")
    if spec.space not in ("unit", "points"):
        raise InputError(
            f"a GAN draws real numbers, not {spec.space} pixels: leave --pixels out, or take --pixels unit"
        )
    shares = _shares(settings.classes, spec.proportions)
    generator = _generator(settings, spec)
    return GAN(generator, settings.latents, list(spec.event_shape), settings.classes, shares)


def _generator(settings: GANSettings, spec: DataSpec) -> nn.Module:
    """The generator that was given, or the one that the settings describe."""
    code, out_shape = [settings.latents + settings.classes], list(spec.event_shape)
    if own := given_network(spec.networks, "generator", code, out_shape):
        return own
    if settings.network == "mlp":
        return MLP(code, list(settings.hidden), out_shape, ACTIVATION, dropout=settings.dropout)
    if spec.space == "points":
        raise InputError("points of the plane have no neighbours to convolve: leave --network cnn out")
    channels = list(settings.channels)
    return ConvDecoder(code, channels, [2] * len(channels), out_shape, ACTIVATION, batch_norm=settings.batch_norm)


def _shares(classes: int, proportions: Sequence[float] | None) -> list[float] | None:
    """Proportions of the classes of a conditional GAN; it may know more classes than the data have."""
    if not classes or proportions is None:
        return None
    known = list(proportions[:classes])
    return known + [0.0] * (classes - len(known))
