"""Bijections compared with their inverses, with Jacobians from autograd, and with another library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import ROOT
from torch import Tensor
from torch.distributions import Distribution

from ancestral.core.random import seeded_noise
from ancestral.core.serialization import from_config, to_config
from ancestral.distributions.bijections import (
    ActNorm,
    Bijection,
    Chain,
    FlowDistribution,
    Inverse,
    InvertibleConv1x1,
    Logit,
    Permutation,
)
from ancestral.distributions.conditional import diagonal_gaussian
from ancestral.distributions.couplings import AffineCoupling, Coupling, MaskedAutoregressive, SplineCoupling
from ancestral.distributions.multiscale import MultiScale, Squeeze
from ancestral.distributions.splines import Knots, inverse_spline, knots_from, spline
from ancestral.networks.gated import GatedConvNet
from ancestral.networks.masked_flow import MaskedMLP
from ancestral.networks.mlp import MLP

DOUBLE = torch.float64
SPLINE = 3 * 5 - 1


def vector_coupling(kind: type[Coupling], features: int, flip: bool, each: int, **options: int) -> Coupling:
    sizes = [features // 2, features - features // 2]
    kept, changed = sizes[::-1] if flip else sizes
    return kind(MLP([kept], [8], [each * changed], "tanh"), features, flip, **options)


def image_coupling(kind: type[Coupling], channels: int, side: int, flip: bool, each: int, **options: int) -> Coupling:
    network = GatedConvNet(channels // 2, each * channels // 2, [side, side], width=4, blocks=1)
    return kind(network, channels, flip, **options)


def multiscale() -> MultiScale:
    first = [Squeeze(), ActNorm(4), image_coupling(AffineCoupling, 4, 2, True, 2)]
    second = [Squeeze(), InvertibleConv1x1(8, seed=1), image_coupling(SplineCoupling, 8, 1, False, SPLINE, bins=5)]
    return MultiScale([Chain(first), Chain(second)], [[4, 2, 2], [8, 1, 1]])


# name: (the bijection, the shape of an event, whether x must lie in the unit interval)
CASES: dict[str, tuple[Callable[[], Bijection], tuple[int, ...], bool]] = {
    "affine coupling": (lambda: vector_coupling(AffineCoupling, 2, False, 2), (2,), False),
    "affine coupling, odd, flipped": (lambda: vector_coupling(AffineCoupling, 5, True, 2), (5,), False),
    "affine coupling of channels": (lambda: image_coupling(AffineCoupling, 4, 2, False, 2), (4, 2, 2), False),
    "spline coupling": (lambda: vector_coupling(SplineCoupling, 3, False, SPLINE, bins=5, bound=2), (3,), False),
    "spline coupling of channels": (
        lambda: image_coupling(SplineCoupling, 2, 2, True, SPLINE, bins=5, bound=2),
        (2, 2, 2),
        False,
    ),
    "masked autoregressive": (lambda: MaskedAutoregressive(MaskedMLP(4, [9, 7]), 4), (4,), False),
    "masked autoregressive, one dimension": (lambda: MaskedAutoregressive(MaskedMLP(1, [3]), 1), (1,), False),
    "permutation": (lambda: Permutation(5, seed=3), (5,), False),
    "reversal of channels": (lambda: Permutation(3), (3, 2, 2), False),
    "invertible linear map": (lambda: InvertibleConv1x1(4, seed=2), (4,), False),
    "invertible 1x1 convolution": (lambda: InvertibleConv1x1(3, seed=2), (3, 2, 3), False),
    "actnorm": (lambda: ActNorm(4), (4,), False),
    "actnorm of channels": (lambda: ActNorm(3), (3, 2, 2), False),
    "squeeze": (Squeeze, (2, 4, 2), False),
    "unsqueeze": (lambda: Inverse(Squeeze()), (8, 2, 1), False),
    "logit": (lambda: Logit(0.05), (2, 2, 2), True),
    "logit that stays inside": (lambda: Logit(-0.05), (3,), False),
    "chain": (
        lambda: Chain(
            [ActNorm(3), vector_coupling(AffineCoupling, 3, False, 2), Permutation(3, 1), InvertibleConv1x1(3)]
        ),
        (3,),
        False,
    ),
    "multi-scale": (multiscale, (1, 4, 4), False),
    "image flow": (lambda: Chain([Logit(1e-5), multiscale()]), (1, 4, 4), True),
}
ALL = pytest.mark.parametrize("name", CASES)


def example(name: str, batch: int = 6) -> tuple[Bijection, Tensor]:
    """The bijection with random weights in double precision, and data it maps."""
    make, shape, unit = CASES[name]
    with seeded_noise(1):
        bijection = make().double().eval()
        with torch.no_grad():
            for parameter in bijection.parameters():
                parameter.add_(0.4 * torch.randn_like(parameter))
        x = torch.rand(batch, *shape, dtype=DOUBLE) if unit else 1.5 * torch.randn(batch, *shape, dtype=DOUBLE)
        return bijection, x * 0.9 + 0.05 if "inside" not in name else 0.1 + 0.8 * x.sigmoid()


@ALL
def test_inverse_undoes_forward_and_their_log_determinants_are_opposite(name: str) -> None:
    bijection, x = example(name, batch=50)
    with torch.no_grad():
        z, log_det = bijection(x)
        back, inverse_log_det = bijection.inverse(z)
    assert log_det.shape == inverse_log_det.shape == (50,)
    assert torch.allclose(back, x, rtol=0, atol=1e-8)
    assert torch.allclose(log_det, -inverse_log_det, rtol=0, atol=1e-8)


@ALL
def test_log_determinant_is_that_of_the_jacobian(name: str) -> None:
    bijection, x = example(name)
    _, log_det = bijection(x)
    for i, row in enumerate(x):
        jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0].flatten(), row)
        expected = torch.linalg.slogdet(jacobian.reshape(row.numel(), row.numel())).logabsdet  # type: ignore[union-attr]
        assert log_det[i].item() == pytest.approx(expected.item(), abs=1e-8)


@ALL
def test_a_bijection_built_from_its_description_is_the_same(name: str) -> None:
    bijection, x = example(name)
    again = from_config(to_config(bijection)).double().eval()
    again.load_state_dict(bijection.state_dict())
    for ours, theirs in zip(bijection(x), again(x), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", [name for name in CASES if "coupling" in name])
def test_a_new_coupling_is_the_identity(name: str) -> None:
    make, shape, _ = CASES[name]
    x = torch.randn(7, *shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    z, log_det = make().double()(x)
    assert torch.allclose(z, x, atol=1e-12)
    assert torch.allclose(log_det, torch.zeros_like(log_det), atol=1e-12)


def test_masked_autoregressive_jacobian_is_triangular_with_exact_zeros() -> None:
    bijection, x = example("masked autoregressive")
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0][0], x[0])
    assert torch.equal(jacobian.triu(1), torch.zeros(4, 4, dtype=DOUBLE))  # type: ignore[union-attr]
    assert (jacobian.tril() != 0).sum() == 10  # type: ignore[union-attr]  # and every earlier dimension matters


def test_a_coupling_sees_only_what_it_keeps() -> None:
    bijection, x = example("affine coupling, odd, flipped")
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0][0], x[0])
    assert torch.equal(jacobian[2:], torch.eye(5, dtype=DOUBLE)[2:])
    assert torch.equal(jacobian[:2, :2], jacobian[:2, :2].diag().diag())  # type: ignore[union-attr]


def test_halves_of_a_squeezed_image_are_the_colours_of_a_checkerboard() -> None:
    board = (torch.arange(4)[:, None] + torch.arange(6)) % 2
    squeezed, _ = Squeeze()(board.expand(1, 3, 4, 6).double())
    assert squeezed.shape == (1, 12, 2, 3)
    assert (squeezed[:, :6] == 0).all()
    assert (squeezed[:, 6:] == 1).all()


def test_half_of_the_channels_are_output_at_each_scale_and_not_changed_later() -> None:
    bijection, x = example("multi-scale")
    assert isinstance(bijection, MultiScale)
    z, _ = bijection(x)
    first, _ = bijection.scales[0](x)
    assert torch.equal(z[:, :8], first[:, :2].flatten(1))


def test_context_reaches_every_coupling() -> None:
    bijection = AffineCoupling(MLP([1 + 2], [8], [2], "tanh"), 2).double()
    with torch.no_grad():
        list(bijection.network.parameters())[-2].normal_()
    x, context = torch.zeros(3, 2, dtype=DOUBLE), torch.randn(3, 2, dtype=DOUBLE)
    z, _ = bijection(x, context)
    assert torch.allclose(bijection.inverse(z, context)[0], x)
    assert not torch.allclose(z[0], z[1])


def test_log_scales_are_bounded_smoothly() -> None:
    bijection = AffineCoupling(MLP([1], [], [2]), 2, limit=3.0)
    with torch.no_grad():
        list(bijection.network.parameters())[-1][0] = 1e6
    assert bijection(torch.ones(1, 2))[1].item() == pytest.approx(3.0)


# --- actnorm ---------------------------------------------------------------------------------------------------


def test_actnorm_standardises_its_first_training_batch_and_no_other() -> None:
    layer = ActNorm(3)
    g = torch.Generator().manual_seed(0)
    x = 5 + torch.tensor([1.0, 4.0, 0.1])[:, None, None] * torch.randn(64, 3, 4, 4, generator=g)
    layer.eval()
    assert torch.equal(layer(x)[0], x)  # scoring does not change the layer
    layer.train()
    z, log_det = layer(x)
    assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(z.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    assert torch.allclose(log_det, -16 * layer.log_scale.sum().expand(64))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(2 * x)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_actnorm_is_saved_and_loaded_with_its_flag() -> None:
    first, second = ActNorm(2), ActNorm(2)
    x = 3 + torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    second(x)  # a layer that has already read its flag must read it again
    first(10 * x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(x)[0], first(x)[0])
    fresh = ActNorm(2)
    second.load_state_dict(fresh.state_dict())
    assert torch.equal(second(x)[0], fresh(x)[0])
    assert second.initialised


def test_actnorm_leaves_the_scale_of_a_constant_dimension() -> None:
    layer = ActNorm(2)
    z, log_det = layer(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    assert torch.equal(z[:, 0], torch.zeros(2))
    assert torch.isfinite(log_det).all()


def test_actnorm_reads_its_flag_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, looks = ActNorm(2), []
    original = ActNorm._settle
    monkeypatch.setattr(ActNorm, "_settle", lambda self, x: (looks.append(1), original(self, x)))
    for _ in range(3):
        layer(torch.randn(4, 2))
    assert len(looks) == 1


# --- one dimension ---------------------------------------------------------------------------------------------


class Cube(Bijection):
    """z = x^3 of one variable."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x**3, (3 * x.square()).log().sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = z.sign() * z.abs().pow(1 / 3)
        return x, -(3 * x.square()).log().sum(1)


class UnitInterval(Distribution):
    """A uniform base over (0, 1) of one dimension."""

    def __init__(self) -> None:
        super().__init__(torch.Size(), torch.Size([1]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.where((value > 0) & (value < 1), 0.0, -math.inf).sum(-1)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        return torch.rand(*sample_shape, 1, dtype=DOUBLE)


def test_change_of_variables_of_the_cube_of_a_uniform_variable() -> None:
    """z = x^3 uniform on (0, 1): p(x) = 3 x^2 there, which integrates to 1; the coursework's own example."""
    p = FlowDistribution(UnitInterval(), Cube())
    middles = (torch.arange(100_000, dtype=DOUBLE)[:, None] + 0.5) / 50_000 - 0.5
    density = p.log_prob(middles).exp()
    assert torch.allclose(density, torch.where((middles > 0) & (middles < 1), 3 * middles.square(), 0.0).squeeze(1))
    assert density.sum().item() / 50_000 == pytest.approx(1, abs=1e-8)
    with seeded_noise(0):
        assert p.sample((50_000,)).mean().item() == pytest.approx(0.75, abs=5 * 0.194 / math.sqrt(50_000))


# --- splines ---------------------------------------------------------------------------------------------------


def raw_spline(batch: int = 2000, bins: int = 7) -> Tensor:
    return 1.5 * torch.randn(batch, 3 * bins - 1, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(4))


def test_spline_is_increasing_continuous_and_the_identity_outside() -> None:
    knots = knots_from(raw_spline(1).expand(4001, -1, -1), bound=3.0)
    x = torch.linspace(-4, 4, 4001, dtype=DOUBLE)[:, None].requires_grad_()
    y, log_slope = spline(x, knots)
    assert (y.diff(dim=0) > 0).all()
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.allclose(slope, log_slope.exp(), rtol=1e-9)
    outside = x.abs() > 3
    assert torch.equal(y[outside], x[outside])
    assert not log_slope[outside].any()


def test_spline_is_exact_at_its_own_knots() -> None:
    knots = knots_from(raw_spline(50), bound=3.0)
    for k in range(knots.x.shape[1]):
        y, log_slope = spline(knots.x[:, k], knots)
        assert torch.allclose(y, knots.y[:, k], atol=1e-12)
        assert torch.allclose(log_slope.exp(), knots.table[:, 2, k], rtol=1e-9)
        assert torch.allclose(inverse_spline(knots.y[:, k], knots)[0], knots.x[:, k], atol=1e-9)


def test_gradients_of_a_spline_are_finite_inside_and_outside() -> None:
    raw, x = raw_spline().requires_grad_(), torch.linspace(-50, 50, 2000, dtype=DOUBLE)[:, None].requires_grad_()
    for function in (spline, inverse_spline):
        y, log_slope = function(x, knots_from(raw, 3.0))
        (y.sum() + log_slope.sum()).backward()
        assert raw.grad is not None and x.grad is not None
        assert torch.isfinite(raw.grad).all() and torch.isfinite(x.grad).all()


# --- zuko: the same parameters, another author ------------------------------------------------------------------


@pytest.fixture
def zuko_transforms() -> Any:
    validation = Distribution._validate_args
    zuko = pytest.importorskip("zuko.transforms")  # importing it switches argument checks off for everyone
    Distribution.set_default_validate_args(validation)
    return zuko


def test_spline_agrees_with_zuko(zuko_transforms: Any) -> None:
    bins, bound = 7, 3.0
    raw = raw_spline(bins=bins).squeeze(-1)
    theirs = zuko_transforms.MonotonicRQSTransform(*raw.split([bins, bins, bins - 1], 1), bound=bound)
    knots = Knots(torch.stack([theirs.horizontal, theirs.vertical, theirs.derivatives], 1))
    x = torch.linspace(-3.5, 3.5, len(raw), dtype=DOUBLE)
    for ours, reference in ((spline, theirs), (inverse_spline, theirs.inv)):
        y, log_slope = ours(x, knots)
        expected, expected_log_slope = reference.call_and_ladj(x)
        assert torch.allclose(y, expected, atol=1e-6)
        assert torch.allclose(log_slope, expected_log_slope, atol=1e-6)


def affine_for(zuko: Any, parameters: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[Tensor], object]:
    """zuko's y = x e^s + t with our t and s: its soft clip of s is undone beforehand."""

    def meta(x: Tensor) -> object:
        shift, log_scale = parameters(x)
        limit = abs(math.log(1e-3))
        unclipped = log_scale / (1 - log_scale.abs() / limit)
        return zuko.DependentTransform(zuko.MonotonicAffineTransform(shift, unclipped), 1)

    return meta


def agrees(ours: Bijection, theirs: Any, x: Tensor) -> None:
    base = diagonal_gaussian(torch.zeros_like(x[0]), torch.zeros_like(x[0]))
    z, _ = ours(x)
    expected, expected_log_det = theirs.call_and_ladj(x)
    assert torch.allclose(z, expected, atol=1e-6)
    density = FlowDistribution(base, ours).log_prob(x)
    assert torch.allclose(density, base.log_prob(expected) + expected_log_det, atol=1e-6)
    assert torch.allclose(ours.inverse(z)[0], theirs.inv(z), atol=1e-6)


def test_affine_coupling_agrees_with_zuko(zuko_transforms: Any) -> None:
    bijection, x = example("affine coupling", batch=200)
    assert isinstance(bijection, AffineCoupling)

    def parameters(kept: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = bijection.network(kept).chunk(2, 1)
        log_scale = 3 * torch.tanh(raw / 3)
        return shift * log_scale.exp(), log_scale  # ours shifts first

    mask = torch.tensor([True, False])
    agrees(bijection, zuko_transforms.CouplingTransform(affine_for(zuko_transforms, parameters), mask), x)


def test_masked_autoregressive_layer_agrees_with_zuko(zuko_transforms: Any) -> None:
    bijection, x = example("masked autoregressive", batch=200)
    assert isinstance(bijection, MaskedAutoregressive)

    def parameters(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = bijection.network(x).chunk(2, 1)
        log_scale = 3 * torch.tanh(raw / 3)
        return -mean * (-log_scale).exp(), -log_scale

    agrees(bijection, zuko_transforms.AutoregressiveTransform(affine_for(zuko_transforms, parameters), passes=4), x)


def test_nothing_in_the_package_imports_zuko() -> None:
    source = ROOT / "src"
    assert not [path for path in source.rglob("*.py") if "zuko" in path.read_text()]
