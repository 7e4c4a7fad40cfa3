"""Normalizing flows of images of whole grey levels: the noise of dequantisation is the latent, so scores are bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.serialization import registered
from ancestral.distributions.bijections import ActNorm, Bijection, Chain, FlowDistribution, InvertibleConv1x1, Logit
from ancestral.distributions.conditional import Conditional
from ancestral.distributions.couplings import AffineCoupling
from ancestral.distributions.dequantisation import UniformDequantisation, VariationalDequantisation
from ancestral.distributions.multiscale import MultiScale, Squeeze
from ancestral.distributions.pixels import BINARY_SPACES, are_levels
from ancestral.distributions.priors import StandardNormal
from ancestral.families.family import NONE_GIVEN, DataSpec
from ancestral.families.flow.layers import build_coupling
from ancestral.families.flow.settings import FlowSettings
from ancestral.models.base import ImportanceSample, LatentModel, LatentScale
from ancestral.models.completion import filled, given_only, nearest_image
from ancestral.models.hamiltonian import hamiltonian_chains
from ancestral.networks.gated import GatedConvNet
from ancestral.networks.own import given_network

ALPHA = 1e-5  # of the logits: far below a level, far above rounding in single precision
STARTS, STEPS, RATE = 2, 200, 0.05  # of the search for latents behind observed pixels
WARMING, SWEEPS = 20, 30
EDGE = 1e-3  # of a cell, between which and the other edge a chain starts


@registered
class ImageFlow(LatentModel):
    """P(x) = integral of p_Y((x + u) / L) L^-D over the cell u in [0, 1)^D of each image x of whole levels.

        log w = log p_Y((x + u) / L) - D log L - log q(u | x),   E_q[log w] <= log P(x)

    Args:      bijection: f, from (0, 1)^D, shape (B, C, H, W), to a vector z of N(0, I), shape (B, D).
               dequantisation: q(u | x). event_shape: (C, H, W). levels: L; two for binary pixels.
    Reference: Theis et al., 2016, eq. 8, arXiv 1511.01844; Ho et al., 2019, eq. 5, arXiv 1902.00275.
    Example:
        >>> model = build_image_flow(FlowSettings(width=8), DataSpec((1, 8, 8), 17, "levels"))
        >>> model.log_weights(torch.zeros(3, 1, 8, 8), k=5).shape
        torch.Size([3, 5])
    """

    levels: int
    completion: ClassVar[str] = "approximate: a Hamiltonian chain, exact after enough sweeps"
    inference: ClassVar[str] = "approximate: z = f(y) for y in the middle of the cell of x"

    def __init__(
        self, bijection: Bijection, dequantisation: Conditional, event_shape: Sequence[int], levels: int
    ) -> None:
        super().__init__()
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
        """p_Y, the density of y = (x + u) / L in (0, 1)^D."""
        return FlowDistribution(self.base(), self.bijection, event_shape=self.event_shape)

    def prior(self) -> Distribution:
        raise NotComputable("the latent of an image flow is its dequantisation noise, which has no prior of its own")

    def posterior(self, x: Tensor) -> Distribution:
        """q(u | x) over [0, 1)^D.

        Raises:    InputError, while not training, for pixels that are no whole levels.
        """
        if not self.training and not are_levels(x, self.levels):
            raise InputError(
                f"a flow of {self.levels} levels gives a probability to whole levels 0 to {self.levels - 1}"
            )
        return self.dequantisation(x)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log of p_Y at x + u times the volume of its cell, minus infinity for noise u = z outside [0, 1)^D."""
        dims = len(self.event_shape)
        inside = ((z >= 0) & (z < 1)).flatten(-dims).all(-1)
        density = self.distribution().log_prob((x + z) / self.levels)
        return torch.where(inside, density - math.prod(self.event_shape) * math.log(self.levels), -math.inf)

    def importance_sample(self, x: Tensor, k: int) -> ImportanceSample:
        q = self.posterior(x)
        if isinstance(q, FlowDistribution):
            u, log_q = q.rsample_with_log_prob((k,))
            return ImportanceSample(u, self.log_joint(x, u), log_q)
        return super().importance_sample(x, k)

    def encode(self, x: Tensor) -> Tensor:
        """z = f((x + 1/2) / L), shape (B, D): the latent of the middle of the cell."""
        return self.bijection((x + 0.5) / self.levels)[0]

    def decode(self, z: Tensor) -> Tensor:
        """The image whose cell f^-1(z) lies in, shape (B, C, H, W): `encode` undone."""
        y = self.bijection.inverse(z)[0]
        return (self.levels * y).floor().clamp(0, self.levels - 1)

    @torch.no_grad()
    def complete(
        self, x: Tensor, observed: Tensor, warming: int = WARMING, sweeps: int = SWEEPS, steps: int = STEPS
    ) -> Tensor:
        """Missing pixels by a chain for each image, whose limit is p(missing | observed) exactly.

        Its state is y = (x + u) / L in coordinates without edges: the logit of u where a pixel is observed, so that y
        stays in its cell, and of y itself elsewhere. Its density is that of the flow, and the missing levels of its
        draws are those that y lies in. Each chain starts at the image of latents that come near the observed pixels,
        and it is this start that makes a digit: on MNIST a chain of 200 sweeps changed the grey of one missing pixel
        in ten, by less than a quarter of the scale in nearly all, and never the course of a stroke.

        Args:      x, observed: shape (B, *event_shape), observed boolean. warming, sweeps: of the chain, see
                   `hamiltonian_chains`. steps: of the search for its start.
        Raises:    InputError: as `given_only`.
        """
        given = given_only(self, x, observed)

        def images(z: Tensor) -> Tensor:
            return self.bijection.inverse(z.flatten(0, 1))[0].unflatten(0, z.shape[:2])

        z = torch.randn(STARTS, len(x), self.standard_normal.latents, dtype=self.dtype, device=given.device)
        found = nearest_image(images, z, (given + 0.5) / self.levels, observed, steps, RATE)
        start = filled(given, observed, (self.levels * found).floor().clamp(0, self.levels - 1))
        u = self.dequantisation(start).sample().clamp(EDGE, 1 - EDGE)
        v = torch.where(observed, u, (start + u) / self.levels).logit()

        def place(v: Tensor) -> Tensor:
            return torch.where(observed, (given + v.sigmoid()) / self.levels, v.sigmoid())

        def log_density(v: Tensor) -> Tensor:
            volume = (F.logsigmoid(v) + F.logsigmoid(-v)).flatten(1).sum(1)  # dy/dv, up to a constant
            return self.distribution().log_prob(place(v)) + volume

        y = place(hamiltonian_chains(log_density, v, warming, sweeps))
        return filled(x, observed, (self.levels * y).floor().clamp(0, self.levels - 1))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """z ~ N(0, I), then the level of each pixel of f^-1(z)."""
        like = self.standard_normal.origin
        return self.decode(torch.randn(n, len(like), dtype=self.dtype, device=like.device))


def image_bijection(
    settings: FlowSettings, event_shape: tuple[int, ...], networks: Mapping[str, Any] = NONE_GIVEN
) -> Chain:
    """From (0, 1)^D to N(0, I): logits, then at each scale a squeeze and couplings, half of the channels leaving.

    At the first scale pixels stay apart, so that the splines' bends can lie where the levels are, and couplings take
    the two colours of a checkerboard in turn. Later ones mix channels by actnorm and a 1x1 convolution before each.
    Before half of the channels leave, they are standardised given the half that stays: a learned prior.
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
            steps.append(build_coupling(settings, channels, i % 2 == 1, _network(settings, sides, networks)))
        if scale < settings.scales - 1:
            network = _network(settings, sides, networks)(channels // 2, channels)
            steps.append(AffineCoupling(network, channels, flip=True))
        scales.append(Chain(steps))
        shapes.append([channels, *sides])
        channels //= 2
    return Chain([Logit(ALPHA), MultiScale(scales, shapes)])


def _network(
    settings: FlowSettings, sides: Sequence[int], networks: Mapping[str, Any]
) -> Callable[[int, int], nn.Module]:
    """What makes the conditioner of a coupling, from its numbers of channels: given, or as the settings say."""

    def conditioner(inputs: int, outputs: int) -> nn.Module:
        own = given_network(networks, "conditioner", [inputs, *sides], [outputs, *sides], (inputs, outputs))
        return own or GatedConvNet(inputs, outputs, sides, settings.width, settings.blocks, settings.activation)

    return conditioner


def variational_dequantisation(
    settings: FlowSettings, event_shape: tuple[int, ...], levels: int
) -> VariationalDequantisation:
    """Two affine couplings of the noise's logits on a checkerboard, given features of the image."""
    channels, *sides = event_shape
    channels, sides, features = 4 * channels, [side // 2 for side in sides], settings.width // 2
    network = GatedConvNet(channels, features, sides, settings.width, 1, settings.activation)
    steps: list[Bijection] = [Logit(-ALPHA), Squeeze()]
    for flip in (False, True):
        inner = GatedConvNet(channels // 2 + features, channels, sides, features, 0, settings.activation)
        steps.append(AffineCoupling(inner, channels, flip))
    return VariationalDequantisation(network, Chain(steps), [channels, *sides], levels)


def build_image_flow(settings: FlowSettings, spec: DataSpec) -> ImageFlow:
    """The flow of images that the command line's flags describe.

    Raises:    InputError: masked autoregressive layers, or sides that cannot be halved as often as asked.
    """
    if settings.layers == "maf":
        raise InputError("--layers maf is for points: images take affine or spline")
    factor = 2**settings.scales
    if len(spec.event_shape) != 3 or any(side % factor for side in spec.event_shape[1:]):
        shown = "x".join(map(str, spec.event_shape[1:]))
        raise InputError(
            f"a flow of {settings.scales} scales halves the sides as often, and {shown} cannot be: use --pad-to or "
            "fewer --scales"
        )
    dequantisation = (
        UniformDequantisation()
        if settings.dequantisation == "uniform"
        else variational_dequantisation(settings, spec.event_shape, 2 if spec.space in BINARY_SPACES else spec.levels)
    )
    levels = 2 if spec.space in BINARY_SPACES else spec.levels
    bijection = image_bijection(settings, spec.event_shape, spec.networks)
    return ImageFlow(bijection, dequantisation, list(spec.event_shape), levels)
