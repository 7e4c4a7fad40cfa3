"""Normalizing flows of real vectors, with exact densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.bijections import (
    ActNorm,
    Bijection,
    Chain,
    FlowDistribution,
    InvertibleConv1x1,
    Permutation,
    Standardise,
)
from ancestral.distributions.conditional import FixedNormal
from ancestral.distributions.couplings import ElementwiseSpline, MaskedAutoregressive
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.families.conditional import classes_of
from ancestral.families.family import NONE_GIVEN, DataSpec
from ancestral.families.flow.images import build_image_flow
from ancestral.families.flow.layers import build_coupling
from ancestral.families.flow.settings import FlowSettings
from ancestral.models.base import ExactModel, LatentScale, Model
from ancestral.models.classes import CodesClasses
from ancestral.models.completion import filled, given_only
from ancestral.models.hamiltonian import hamiltonian_chains
from ancestral.networks.masked_flow import MaskedMLP
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network

ROWS = 100_000  # points that are read at once
POOL, NEAR = 1000, 20  # a completion starts at one of the NEAR nearest among POOL samples
STEP_SIZES = (-2.0, 0.5)  # log10 of the proposal scales, in standard deviations of the model


@registered
class NormalizingFlow(CodesClasses, ExactModel):
    """Normalizing flow of real vectors; with affine couplings it is RealNVP.

        p(x) = N(f(x); 0, scale^2 I) |det df/dx|

    With classes, f depends on the class y, and p(x) = sum_y p(y) p(x | y).

    Args:      bijection: f, from data to latent, with the class as context if there are classes. event_shape: (D,).
               base_scale: standard deviation of the base. classes: number of classes, 0 for none. proportions: of the
               classes in the training data; None: equal. vector: mean and standard deviation of each entry of a
               condition vector, which is the context of f instead of classes; () for none.
    Reference: Rezende and Mohamed, 2015, arXiv 1505.05770; Dinh et al., 2017, arXiv 1605.08803.
    Example:
        >>> model = build_flow(FlowSettings(layers="affine"), DataSpec((2,), 0, "points"))
        >>> model.log_prob(torch.zeros(3, 2))
        tensor([-1.8379, -1.8379, -1.8379], grad_fn=<ViewBackward0>)
    """

    spaces = ("points",)
    levels = None
    takes_vectors: ClassVar[bool] = True
    completion: ClassVar[str] = "approximate: a Metropolis and Hamiltonian chain, exact after enough sweeps"
    inference: ClassVar[str] = "exact: z = f(x)"
    log_variance: Tensor

    def __init__(
        self,
        bijection: Bijection,
        event_shape: Sequence[int],
        base_scale: float = 1.0,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        self.bijection, self.event_shape = bijection, tuple(event_shape)
        log_variance = (2 * torch.tensor(base_scale, device="cpu").log()).item()  # no arithmetic on the device "meta"
        self._base: tuple[Tensor, Distribution] | None = None
        self.register_buffer("log_variance", torch.tensor(log_variance).expand(self.event_shape), persistent=False)

    def base(self) -> Distribution:
        """N(0, scale^2 I), the distribution of z."""
        known = self._base
        if known is None or known[0] is not self.log_variance:  # it moves to another device or precision
            scale = (0.5 * self.log_variance).exp()
            normal = FixedNormal(torch.zeros_like(scale), scale)
            known = self._base = self.log_variance, Independent(normal, len(self.event_shape), validate_args=False)
        return known[1]

    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the base, shape (D,)."""
        base = self.base()
        return LatentScale(base.mean, base.stddev, "the prior")

    def distribution(self) -> FlowDistribution:
        """p(x) as a `torch.distributions.Distribution` over one vector; for given classes p(x | y), one for each.

        Raises:    NotComputable: the model has classes and none is given.
        """
        self.refuse_without_class()
        return FlowDistribution(self.base(), self.bijection, self.condition)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density log p(x), exact. x: (B, D); returns (B,), nats."""
        return self.log_joint_classes(x).logsumexp(1) if self.sums_classes else self.distribution().log_prob(x)

    def encode(self, x: Tensor) -> Tensor:
        """z = f(x), shape (B, D): the only latent with decode(z) = x.

        With classes of which none is given, codes (B, D + classes), for the most probable class.
        """
        if not self.sums_classes:
            # the length of a tensor would fix the batch size of an exported program
            return self.bijection(x, self.conditions(x.shape[0]))[0]
        y = one_hot(self.log_joint_classes(x).argmax(1), self.classes)
        return torch.cat([self.under(y).encode(x), y.to(x)], 1)

    def decode(self, z: Tensor) -> Tensor:
        """x = f^-1(z), shape (B, D): the inverse of `encode`."""
        if not self.sums_classes:
            return self.bijection.inverse(z, self.conditions(z.shape[0]))[0]
        latents, y = z.split([z.shape[1] - self.classes, self.classes], 1)
        return self.under(y).decode(latents)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, sweeps: int = 200, hamiltonian_steps: int = 20) -> Tensor:
        """Fill in missing coordinates with one Markov chain per point; its limit is p(missing | observed), exactly.

        A chain starts at one of the samples of the model that are nearest to the observed coordinates. Metropolis
        proposals of several scales can cross gaps between modes. Hamiltonian proposals then use the gradient of log
        p(x) and change all coordinates at once. Both divide each coordinate by its standard deviation, so the result
        does not depend on units.

        Args:      x, observed: shape (B, D), observed boolean. sweeps: number of Metropolis proposals.
                   hamiltonian_steps: number of Hamiltonian proposals, after as many that adapt the step size.
        Raises:    InputError: as `given_only`.
        """
        given, pool = given_only(self, x, observed), self.sample(POOL)
        spread = pool.std(0)
        distance = torch.where(observed[:, None], (given[:, None] - pool) / spread, 0).square().sum(2)  # (B, POOL)
        near = distance.topk(NEAR, 1, largest=False).indices
        start = near.gather(1, torch.randint(NEAR, (len(x), 1), device=x.device))[:, 0]
        now = self._after_metropolis(filled(given, observed, pool[start]), observed, spread, sweeps)

        def log_density(v: Tensor) -> Tensor:
            return self.log_prob(filled(given, observed, v * spread))  # constant in the observed coordinates

        now = spread * hamiltonian_chains(log_density, now / spread, hamiltonian_steps, hamiltonian_steps)
        return filled(x, observed, now)

    def _after_metropolis(self, now: Tensor, observed: Tensor, spread: Tensor, sweeps: int) -> Tensor:
        """The points after Metropolis proposals for their missing coordinates.

        Args:      now: the starts, shape (B, D). spread: of each coordinate, shape (D,).
        """
        log_p = self.log_prob(now)
        for _ in range(sweeps):
            size = spread * 10 ** torch.empty_like(now[:, :1]).uniform_(*STEP_SIZES)
            proposed = filled(now, observed, now + size * torch.randn_like(now))
            log_p_proposed = self.log_prob(proposed)
            accepted = torch.rand_like(log_p).log() < log_p_proposed - log_p
            now = torch.where(accepted[:, None], proposed, now)
            log_p = torch.where(accepted, log_p_proposed, log_p)
        return now

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        if self.sums_classes:
            return self.sample_classes(self.draw_classes(n))
        each = self.conditions(n)
        if each is None:
            return self.distribution().sample((n,))
        return FlowDistribution(self.base(), self.bijection, each).sample()


def standardise(model: Model, train: PixelBatches) -> None:
    """Fit the standardisation of a flow of a table to the training points; other flows are not changed.

    Raises:    InputError: a column of the training points is constant.
    """
    steps = [module for module in model.modules() if isinstance(module, Standardise)]
    if not steps:
        return
    x = torch.cat(list(train.in_order(ROWS))).double()
    mean, scale = x.mean(0), x.std(0)
    if not bool((scale > 0).all()):
        constant = ", ".join(str(place + 1) for place in (scale <= 0).nonzero()[:, 0].tolist())
        raise InputError(
            f"these columns of the training points are constant: {constant} (counted from 1); leave them out"
        )
    for step in steps:
        step.fit(mean.to(step.mean), scale.to(step.scale))


def vector_bijection(
    settings: FlowSettings, features: int, networks: Mapping[str, Any] = NONE_GIVEN, classes: int = 0
) -> Chain:
    """The bijection that the settings describe, for vectors; untrained couplings are the identity.

    Args:      features: dimension of the vectors. networks: the user's own networks; may have a "conditioner".
               classes: number of classes, whose one-hot vector is the context of every layer; 0 for none.
    Raises:    InputError: layers other than splines, or classes, for a single dimension.
    """
    if features == 1 and classes:
        raise InputError("--conditional and --conditions need points with at least two dimensions, or images")
    if features < 2 and settings.layers != "spline":
        raise InputError(
            f"--layers {settings.layers} with one dimension can only give a normal density: choose --layers spline"
        )
    steps: list[Bijection] = []
    for i in range(settings.depth):
        if settings.actnorm:
            steps.append(ActNorm(features))
        steps.append(_layer(settings, features, i % 2 == 1, networks, classes))
        if i < settings.depth - 1:
            steps += _mixing(settings, features, seed=i)
    return Chain(steps)


def _layer(settings: FlowSettings, features: int, flip: bool, networks: Mapping[str, Any], classes: int) -> Bijection:
    hidden = list(settings.hidden)
    if networks and (features == 1 or settings.layers == "maf"):
        raise InputError(
            "your own conditioner needs --layers affine or spline, and points with at least two dimensions"
        )
    if features == 1:
        return ElementwiseSpline(features, settings.bins, settings.bound)
    if settings.layers == "maf":
        network = MaskedMLP(features, hidden, activation=settings.activation, condition=classes)
        return MaskedAutoregressive(network, features)

    def conditioner(kept: int, outputs: int) -> nn.Module:
        inputs = kept + classes
        own = given_network(networks, "conditioner", [inputs], [outputs], (inputs, outputs))
        return own or MLP([inputs], hidden, [outputs], settings.activation)

    return build_coupling(settings, features, flip, conditioner)


def _mixing(settings: FlowSettings, features: int, seed: int) -> list[Bijection]:
    if settings.mixing == "linear":
        return [InvertibleConv1x1(features, seed)]
    if settings.mixing == "permute":
        return [Permutation(features, seed)]
    return [Permutation(features)] if settings.layers == "maf" else []


def build_flow(settings: FlowSettings, spec: DataSpec) -> Model:
    """The flow that the settings describe.

    Raises:    InputError: the data are neither points nor images with integer levels, or have a wrong shape.
    """
    if spec.space == "points":
        (features,) = spec.event_shape
        classes, proportions = classes_of(settings, spec)
        layers = vector_bijection(settings, features, spec.networks, classes or len(spec.conditions))
        bijection = Chain([Standardise(features), layers]) if spec.standardise else layers
        shape, vector = list(spec.event_shape), spec.conditions
        return NormalizingFlow(bijection, shape, settings.base_scale, classes, proportions, vector)
    if spec.space in ("levels", *BINARY_SPACES):
        return build_image_flow(settings, spec)
    raise InputError(f"a flow needs points or integer pixels, not {spec.space}: use --pixels levels, for example")
