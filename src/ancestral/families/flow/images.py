"""Normalizing flows of images with integer levels: the latent is the dequantisation noise, so scores are bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.serialization import registered
from ancestral.distributions.bijections import ActNorm, Bijection, Chain, FlowDistribution, InvertibleConv1x1, Logit
from ancestral.distributions.conditional import Conditional
from ancestral.distributions.couplings import AffineCoupling
from ancestral.distributions.dequantisation import UniformDequantisation, VariationalDequantisation
from ancestral.distributions.multiscale import MultiScale, Squeeze
from ancestral.distributions.pixels import BINARY_SPACES, are_levels
from ancestral.distributions.priors import StandardNormal
from ancestral.families.conditional import classes_of
from ancestral.families.family import NONE_GIVEN, DataSpec
from ancestral.families.flow.layers import build_coupling
from ancestral.families.flow.settings import FlowSettings
from ancestral.models.base import ImportanceSample, LatentModel, LatentScale
from ancestral.models.classes import CodesClasses
from ancestral.models.completion import filled, given_only, nearest_image
from ancestral.models.hamiltonian import hamiltonian_chains
from ancestral.networks.gated import GatedConvNet
from ancestral.networks.own import given_network

ALPHA = 1e-5  # margin of the logits: much smaller than a level, much larger than rounding in single precision
STARTS, STEPS, RATE = 2, 200, 0.05  # of the search for latents behind observed pixels
WARMING, SWEEPS = 20, 30
EDGE = 1e-3  # a chain starts at least this share of a cell away from the edges of the cell


@registered
class ImageFlow(CodesClasses, LatentModel):
    """Normalizing flow of dequantised images: P(x) is the integral of a density over the cell of x.

        P(x) = integral of p_Y((x + u) / L) L^-D over u in [0, 1)^D
        log w = log p_Y((x + u) / L) - D log L - log q(u | x),   E_q[log w] <= log P(x)

    Args:      bijection: f, from (0, 1)^D, shape (B, C, H, W), to a vector z of N(0, I), shape (B, D).
               dequantisation: q(u | x). event_shape: (C, H, W). levels: L; 2 for binary pixels. classes: number of
               classes, which are the context of f; 0 for none. proportions: of the classes in the training data; None:
               equal. vector: mean and standard deviation of each entry of a condition vector, which is the context
               of f instead of classes; () for none. The noise does not depend on the condition, and for classes
               p_Y(y) = sum_c p(c) p_Y(y | c).
    Reference: Theis et al., 2016, eq. 8, arXiv 1511.01844; Ho et al., 2019, eq. 5, arXiv 1902.00275.
    Example:
        >>> model = build_image_flow(FlowSettings(width=8), DataSpec((1, 8, 8), 17, "levels"))
        >>> model.log_weights(torch.zeros(3, 1, 8, 8), k=5).shape
        torch.Size([3, 5])
    """

    levels: int
    takes_vectors: ClassVar[bool] = True
    completion: ClassVar[str] = "approximate: a Hamiltonian chain, exact after enough sweeps"
    inference: ClassVar[str] = "approximate: z = f(y) for the centre y of the cell of x"

    def __init__(
        self,
        bijection: Bijection,
        dequantisation: Conditional,
        event_shape: Sequence[int],
        levels: int,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        self.bijection, self.dequantisation = bijection, dequantisation
        self.event_shape, self.levels = tuple(event_shape), levels
        self.spaces = ("levels", *BINARY_SPACES) if levels == 2 else ("levels",)
        self.standard_normal = StandardNormal(math.prod(event_shape))

    def base(self) -> Distribution:
        """N(0, I), the distribution of z."""
        return self.standard_normal()

    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the base, shape (D,)."""
        base = self.base()
        return LatentScale(base.mean, base.stddev, "the prior")

    def distribution(self) -> FlowDistribution:
        """p_Y, the density of y = (x + u) / L in (0, 1)^D; for given classes one for each.

        Raises:    NotComputable: the model has classes and none is given.
        """
        self.refuse_without_class()
        return FlowDistribution(self.base(), self.bijection, self.condition, self.event_shape)

    def log_density(self, y: Tensor) -> Tensor:
        """log p_Y(y), exact, summed over the classes if none is given. y: (..., *event_shape); returns (...), nats."""
        if not self.sums_classes:
            return self.distribution().log_prob(y)
        each = torch.stack([self.given(label).log_density(y) for label in range(self.classes)], -1)
        return (each + self.log_class_probs()).logsumexp(-1)

    def prior(self) -> Distribution:
        raise NotComputable("an image flow has no prior: its latent is the dequantisation noise")

    def posterior(self, x: Tensor) -> Distribution:
        """q(u | x) over [0, 1)^D.

        Raises:    InputError: in evaluation mode, pixels that are not integer levels.
        """
        if not self.training and not are_levels(x, self.levels):
            raise InputError(
                f"a flow of {self.levels} levels needs integer pixels from 0 to {self.levels - 1}: found others"
            )
        return self.dequantisation(x)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p_Y((x + z) / L) - D log L; minus infinity for noise z outside [0, 1)^D."""
        dims = len(self.event_shape)
        inside = ((z >= 0) & (z < 1)).flatten(-dims).all(-1)
        density = self.log_density((x + z) / self.levels)
        return torch.where(inside, density - math.prod(self.event_shape) * math.log(self.levels), -math.inf)

    def importance_sample(self, x: Tensor, k: int) -> ImportanceSample:
        q = self.posterior(x)
        if isinstance(q, FlowDistribution):
            u, log_q = q.rsample_with_log_prob((k,))
            return ImportanceSample(u, self.log_joint(x, u), log_q)
        return super().importance_sample(x, k)

    def encode(self, x: Tensor) -> Tensor:
        """z = f((x + 1/2) / L), shape (B, D): the latent of the centre of the cell.

        With classes of which none is given, codes (B, D + classes), for the class that is most probable at the centre.
        """
        centre = (x + 0.5) / self.levels
        if not self.sums_classes:
            # the length of a tensor would fix the batch size of an exported program
            return self.bijection(centre, self.conditions(x.shape[0]))[0]
        each = torch.stack([self.given(label).log_density(centre) for label in range(self.classes)], 1)
        y = one_hot((each + self.log_class_probs()).argmax(1), self.classes)
        return torch.cat([self.under(y).encode(x), y.to(each)], 1)

    def decode(self, z: Tensor) -> Tensor:
        """The image whose cell contains f^-1(z), shape (B, C, H, W): the inverse of `encode`."""
        if self.sums_classes:
            latents, classes = z.split([z.shape[1] - self.classes, self.classes], 1)
            return self.under(classes).decode(latents)
        y = self.bijection.inverse(z, self.conditions(z.shape[0]))[0]
        return (self.levels * y).floor().clamp(0, self.levels - 1)

    @torch.no_grad()
    def complete(
        self, x: Tensor, observed: Tensor, warming: int = WARMING, sweeps: int = SWEEPS, steps: int = STEPS
    ) -> Tensor:
        """Fill in missing pixels with one Markov chain per image; its limit is p(missing | observed), exactly.

        The state of a chain is y = (x + u) / L in unbounded coordinates: the logit of u for observed pixels, so that y
        stays in its cell, and the logit of y for missing ones. The density is that of the flow; the missing pixels are
        the levels that contain y. Each chain starts at the decoded image of latents that were fitted to the observed
        pixels.

        The result depends on this start: on MNIST, a chain of 200 sweeps changed the level of one missing pixel in ten,
        nearly always by less than a quarter of the scale, and never the shape of a stroke.

        Args:      x, observed: shape (B, *event_shape), observed boolean. warming, sweeps: of the chain, see
                   `hamiltonian_chains`. steps: of the search for its start.
        Raises:    InputError: as `given_only`. NotComputable: the model has classes and none is given.
        """
        given = given_only(self, x, observed)
        if self.sums_classes:
            raise NotComputable("a conditional flow of images completes images of a given class only: give --label")
        each = self.conditions(x.shape[0])
        context = None if each is None else each.repeat(STARTS, 1)

        def images(z: Tensor) -> Tensor:
            return self.bijection.inverse(z.flatten(0, 1), context)[0].unflatten(0, z.shape[:2])

        z = torch.randn(STARTS, len(x), self.standard_normal.latents, dtype=self.dtype, device=given.device)
        found = nearest_image(images, z, (given + 0.5) / self.levels, observed, steps, RATE)
        start = filled(given, observed, (self.levels * found).floor().clamp(0, self.levels - 1))
        u = self.dequantisation(start).sample().clamp(EDGE, 1 - EDGE)
        v = torch.where(observed, u, (start + u) / self.levels).logit()

        def place(v: Tensor) -> Tensor:
            return torch.where(observed, (given + v.sigmoid()) / self.levels, v.sigmoid())

        def log_density(v: Tensor) -> Tensor:
            volume = (F.logsigmoid(v) + F.logsigmoid(-v)).flatten(1).sum(1)  # log dy/dv, up to a constant
            return self.log_density(place(v)) + volume

        y = place(hamiltonian_chains(log_density, v, warming, sweeps))
        return filled(x, observed, (self.levels * y).floor().clamp(0, self.levels - 1))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """z ~ N(0, I), then the level of each pixel of f^-1(z)."""
        if self.sums_classes:
            return self.sample_classes(self.draw_classes(n))
        like = self.standard_normal.origin
        return self.decode(torch.randn(n, len(like), dtype=self.dtype, device=like.device))


def image_bijection(
    settings: FlowSettings, event_shape: tuple[int, ...], networks: Mapping[str, Any] = NONE_GIVEN, classes: int = 0
) -> Chain:
    """The bijection from (0, 1)^D to N(0, I): logits, then squeeze and couplings at each scale.

    After each scale but the last, half of the channels are factored out. At the first scale, pixels are not mixed, so
    that the knots of the splines can fit the levels, and couplings alternate between the two parts of a checkerboard.
    At later scales, an actnorm and a 1x1 convolution mix the channels before each coupling. The channels that are
    factored out are standardised given the other half, which is a learned prior.
    """
    channels, *sides = event_shape
    scales: list[Bijection] = []
    shapes: list[list[int]] = []
    for scale in range(settings.scales):
        channels, sides = 4 * channels, [side // 2 for side in sides]
        steps: list[Bijection] = [Squeeze()]
        steps += [ActNorm(channels)] if scale == 0 else []
        for i in range(settings.couplings):
            steps += [ActNorm(channels), InvertibleConv1x1(channels, seed=i)] if scale else []
            steps.append(build_coupling(settings, channels, i % 2 == 1, _network(settings, sides, networks, classes)))
        if scale < settings.scales - 1:
            network = _network(settings, sides, networks, classes)(channels // 2, channels)
            steps.append(AffineCoupling(network, channels, flip=True))
        scales.append(Chain(steps))
        shapes.append([channels, *sides])
        channels //= 2
    return Chain([Logit(ALPHA), MultiScale(scales, shapes)])


def _network(
    settings: FlowSettings, sides: Sequence[int], networks: Mapping[str, Any], classes: int
) -> Callable[[int, int], nn.Module]:
    """A function that makes the network of a coupling from its numbers of channels: the user's own or a new one.

    The network gets the class as additional constant channels.
    """

    def conditioner(kept: int, outputs: int) -> nn.Module:
        inputs = kept + classes
        own = given_network(networks, "conditioner", [inputs, *sides], [outputs, *sides], (inputs, outputs))
        return own or GatedConvNet(inputs, outputs, sides, settings.width, settings.blocks, settings.activation)

    return conditioner


def variational_dequantisation(
    settings: FlowSettings, event_shape: tuple[int, ...], levels: int
) -> VariationalDequantisation:
    """Variational dequantisation: two affine couplings of the logits of the noise, given features of the image."""
    channels, *sides = event_shape
    channels, sides, features = 4 * channels, [side // 2 for side in sides], settings.width // 2
    network = GatedConvNet(channels, features, sides, settings.width, 1, settings.activation)
    steps: list[Bijection] = [Logit(-ALPHA), Squeeze()]
    for flip in (False, True):
        inner = GatedConvNet(channels // 2 + features, channels, sides, features, 0, settings.activation)
        steps.append(AffineCoupling(inner, channels, flip))
    return VariationalDequantisation(network, Chain(steps), [channels, *sides], levels)


def build_image_flow(settings: FlowSettings, spec: DataSpec) -> ImageFlow:
    """The flow of images that the settings describe.

    Raises:    InputError: masked autoregressive layers, or sides that cannot be halved once per scale.
    """
    if settings.layers == "maf":
        raise InputError("--layers maf applies to points only: for images choose affine or spline")
    factor = 2**settings.scales
    if len(spec.event_shape) != 3 or any(side % factor for side in spec.event_shape[1:]):
        shown = "x".join(map(str, spec.event_shape[1:]))
        raise InputError(
            f"--scales {settings.scales} needs images with sides divisible by {factor}, not {shown}: use --pad-to or "
            "fewer --scales"
        )
    dequantisation = (
        UniformDequantisation()
        if settings.dequantisation == "uniform"
        else variational_dequantisation(settings, spec.event_shape, 2 if spec.space in BINARY_SPACES else spec.levels)
    )
    levels = 2 if spec.space in BINARY_SPACES else spec.levels
    classes, proportions = classes_of(settings, spec)
    entries = classes or len(spec.conditions)
    bijection = image_bijection(settings, spec.event_shape, spec.networks, entries)
    return ImageFlow(bijection, dequantisation, list(spec.event_shape), levels, classes, proportions, spec.conditions)
