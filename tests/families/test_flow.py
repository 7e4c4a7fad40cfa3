"""Flows of points and of images against sums and integrals over all there is."""

from __future__ import annotations

import math

import pytest
import torch
import zoo
from helpers import assert_bounds_in_order, prior_samples_fit
from scipy import stats
from torch import Tensor, nn

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.core.serialization import registered
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.distributions.bijections import ActNorm, Bijection, Chain, Logit, Permutation
from ancestral.distributions.conditional import Conditional, diagonal_gaussian
from ancestral.distributions.couplings import AffineCoupling, SplineCoupling
from ancestral.distributions.dequantisation import UniformDequantisation, VariationalDequantisation
from ancestral.distributions.priors import FlowPrior
from ancestral.evaluation import scoring
from ancestral.evaluation.enumeration import all_images
from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow, build_flow, vector_bijection
from ancestral.families.flow.settings import FlowSettings
from ancestral.networks.mlp import MLP

DOUBLE = torch.float64
LAYERS = pytest.mark.parametrize("layers", ["affine", "spline", "maf"])


def flow_of_points(layers: str, **settings: object) -> NormalizingFlow:
    """A flow of the plane with random weights, bent but not wild."""

    def make() -> NormalizingFlow:
        chosen = {"depth": 3, "hidden": (16,), "activation": "tanh", **settings}
        model = build_flow(FlowSettings(layers=layers, **chosen), DataSpec((2,), 0, "points"))  # type: ignore[arg-type]
        assert isinstance(model, NormalizingFlow)
        return zoo.perturbed(model, 0.12)

    model = zoo.seeded(make)
    assert isinstance(model, NormalizingFlow)
    return model


def density_of(model: NormalizingFlow, half_width: float = 10.0, points: int = 600) -> tuple[Tensor, float]:
    """Density at the middles of a square grid's cells, shape (points, points), and the area of a cell."""
    axis = (torch.arange(points, dtype=DOUBLE) + 0.5) * (2 * half_width / points) - half_width
    with torch.no_grad():
        log_p = torch.cat([model.log_prob(part) for part in torch.cartesian_prod(axis, axis).split(50_000)])
    return log_p.exp().view(points, points), (2 * half_width / points) ** 2


@LAYERS
def test_density_of_points_integrates_to_one(layers: str) -> None:
    density, area = density_of(flow_of_points(layers))
    assert density.sum().item() * area == pytest.approx(1, abs=2e-3)
    assert density.max() > 0.03


@LAYERS
def test_samples_of_points_have_the_scored_density(layers: str) -> None:
    """Pearson's chi-square over a grid of 20 x 20 cells, at a false alarm in 10,000."""
    model, draws = flow_of_points(layers, base_scale=0.8), 20_000
    density, area = density_of(model)
    cells = density.view(20, 30, 20, 30).sum((1, 3)) * area
    with seeded_noise(5):
        x = model.sample(draws)
    edges = torch.linspace(-10, 10, 21, dtype=DOUBLE)
    counts = torch.histogramdd(x, [edges, edges]).hist
    common = draws * cells >= 5
    expected = torch.cat([draws * cells[common], draws * (1 - cells[common].sum())[None]])
    seen = torch.cat([counts[common], (draws - counts[common].sum())[None]])
    statistic = ((seen - expected).square() / expected).sum().item()
    assert stats.chi2.sf(statistic, len(seen) - 1) > 1e-4


@LAYERS
def test_points_are_encoded_and_decoded(layers: str) -> None:
    model = flow_of_points(layers)
    x = model.sample(50)
    z = model.encode(x)
    assert torch.allclose(model.decode(z), x, atol=1e-8)
    assert z.shape == (50, 2)


def test_an_untrained_flow_is_its_base() -> None:
    """The coursework's: six affine couplings and N(0, 0.3^2 I)."""
    model = build_flow(
        FlowSettings(layers="affine", actnorm=False, base_scale=0.3), DataSpec((2,), 0, "points")
    ).double()
    x = torch.randn(20, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    expected = diagonal_gaussian(torch.zeros(2, dtype=DOUBLE), torch.full((2,), 2 * math.log(0.3), dtype=DOUBLE))
    assert torch.allclose(model.log_prob(x), expected.log_prob(x), atol=1e-6)  # type: ignore[operator]
    assert sum(isinstance(module, AffineCoupling) for module in model.modules()) == 6


@pytest.mark.parametrize("mixing", ["alternate", "permute", "linear"])
@LAYERS
def test_every_layer_works_with_every_mixing(layers: str, mixing: str) -> None:
    settings = FlowSettings(layers=layers, mixing=mixing, depth=2, hidden=(4,))  # type: ignore[arg-type]
    model = build_flow(settings, DataSpec((5,), 0, "points"))
    x = 3 + 2 * torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    model.train().log_prob(x).mean().backward()  # type: ignore[operator]
    assert torch.isfinite(model.eval().log_prob(model.sample(9))).all()  # type: ignore[operator]


def test_training_reduces_the_divergence_from_the_true_density() -> None:
    """Two Gaussians at (1, 1) and (-1, -1) with sigma 0.3: within 0.1 bit per dimension of their entropy soon."""
    with seeded_noise(0):
        model = build_flow(FlowSettings(depth=2, hidden=(16,)), DataSpec((2,), 0, "points"))
        centres = 2.0 * torch.randint(0, 2, (4000, 1)) - 1
        x = centres + 0.3 * torch.randn(4000, 2)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for step in range(150):
            loss = -model.log_prob(x[step * 256 % 3840 :][:256]).mean()  # type: ignore[operator]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert -model.eval().log_prob(x).mean().item() / 2 / math.log(2) < 0.81 + 0.1  # type: ignore[operator]


# --- a prior ----------------------------------------------------------------------------------------------------


def test_samples_of_a_flow_prior_have_the_scored_density() -> None:
    model = zoo.seeded(zoo.ZOO["vae, flow prior"])
    assert prior_samples_fit(model)  # type: ignore[arg-type]


def test_flow_prior_scores_any_leading_shape() -> None:
    prior = FlowPrior(3, vector_bijection(FlowSettings(layers="affine", mixing="permute", depth=2), 3)).eval()()
    z = prior.sample((4, 5))
    assert z.shape == (4, 5, 3)
    assert torch.equal(prior.log_prob(z)[2, 3], prior.log_prob(z[2:3, 3])[0])
    assert prior.log_prob(z[0, 0]).shape == ()


# --- images -----------------------------------------------------------------------------------------------------


@registered
class _Probit(Bijection):
    """(0, 1) to the line through the normal distribution function: a uniform density in the unit cube."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = torch.special.ndtri(x)
        return z, (0.5 * z.square() + 0.5 * math.log(2 * math.pi)).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.special.ndtr(z), -(0.5 * z.square() + 0.5 * math.log(2 * math.pi)).sum(1)


class _Features(nn.Module):
    """What the tiny dequantiser's layers see of two pixels: the squeezing is for images only."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class _PairDequantisation(VariationalDequantisation):
    """The variational noise for two pixels in a row, which cannot be squeezed."""

    def __init__(self) -> None:
        layers = [AffineCoupling(MLP([3], [8], [2], "tanh"), 2, flip) for flip in (False, True)]
        super().__init__(_Features(), Chain([Logit(-1e-9), *layers]), [2], 3)
        self.squeeze = nn.Identity()  # type: ignore[assignment]
        self.squeeze.forward = lambda x: (x, None)  # type: ignore[assignment]


def pair_flow(dequantisation: type[Conditional]) -> ImageFlow:
    """A flow of two pixels of three levels: small enough to integrate over all noise there is."""

    def make() -> ImageFlow:
        layers = [SplineCoupling(MLP([1], [8], [8], "tanh"), 2, flip, bins=3) for flip in (False, True)]
        bijection = Chain([Logit(1e-9), ActNorm(2), layers[0], Permutation(2, 1), layers[1]])
        return zoo.perturbed(ImageFlow(bijection, dequantisation(), [2], 3), 0.12)

    model = zoo.seeded(make)
    assert isinstance(model, ImageFlow)
    return model


def noise_grid(points: int = 240) -> tuple[Tensor, Tensor]:
    """Noise of two pixels at equal steps of its logit, shape (points^2, 2), and the log of the area each stands for.

    A density of logits may rise without limit towards the ends of a cell; in the logit it is smooth.
    """
    axis = torch.linspace(-20, 20, points, dtype=DOUBLE)
    log_width = (axis[1] - axis[0]).log() + torch.nn.functional.logsigmoid(torch.stack([axis, -axis])).sum(0)
    return torch.cartesian_prod(axis, axis).sigmoid(), torch.cartesian_prod(log_width, log_width).sum(1)


def log_prob_by_quadrature(model: ImageFlow, x: Tensor) -> Tensor:
    """log P(x) as the integral of the density over each image's cell, shape (B,)."""
    u, log_area = noise_grid()
    with torch.no_grad():
        log_p = torch.stack([model.log_joint(row.expand(len(u), -1), u) for row in x])
    return (log_p + log_area).logsumexp(1)


PAIRS = pytest.mark.parametrize("dequantisation", [UniformDequantisation, _PairDequantisation])


@PAIRS
def test_bounds_of_an_image_flow_rise_with_samples_and_stay_below_log_p(dequantisation: type[Conditional]) -> None:
    model = pair_flow(dequantisation)
    x = all_images(model)
    truth = log_prob_by_quadrature(model, x)
    assert truth.exp().sum().item() == pytest.approx(1, abs=1e-3)
    with seeded_noise(1), torch.no_grad():
        log_w = model.log_weights(x, 5000)
    assert_bounds_in_order(log_w, truth, gap=0.02)


@PAIRS
def test_samples_of_the_noise_have_the_scored_density(dequantisation: type[Conditional]) -> None:
    """q(u | x) integrates to 1 over the cell, and a draw comes with the log-probability that `log_prob` gives it."""
    model = pair_flow(dequantisation)
    x = all_images(model)
    u, log_area = noise_grid()
    u = u[:, None].expand(-1, len(x), -1)
    with torch.no_grad(), seeded_noise(0):
        q = model.posterior(x)
        mass = (q.log_prob(u) + log_area[:, None]).exp()
        assert torch.allclose(mass.sum(0), torch.ones(9, dtype=DOUBLE), atol=1e-3)
        weighing = model.importance_sample(x, 7)
        assert torch.allclose(weighing.log_q, q.log_prob(weighing.z), atol=1e-6)
        many = q.sample(torch.Size((20_000,)))
        middle = (mass[..., None] * u).sum(0)
    assert ((many >= 0) & (many < 1)).all()
    assert (many.mean(0) - middle).abs().max() < 5 * 0.3 / math.sqrt(20_000)


def test_a_uniform_density_scores_log_levels_for_each_pixel() -> None:
    model = ImageFlow(_Probit(), UniformDequantisation(), [2], 256).double().eval()
    with seeded_noise(0):
        log_w = model.log_weights(torch.tensor([[0.0, 255.0], [3.0, 100.0]], dtype=DOUBLE), 50)
    assert torch.allclose(log_w, torch.full_like(log_w, -2 * math.log(256)), atol=1e-12)


def test_noise_outside_the_cell_has_probability_zero() -> None:
    model = pair_flow(UniformDequantisation)
    x = torch.tensor([[1.0, 2.0]], dtype=DOUBLE)
    u = torch.tensor([[[0.0, 0.5]], [[1.0, 0.5]], [[-0.1, 0.5]], [[0.5, 3.0]]], dtype=DOUBLE)
    log_p = model.log_joint(x, u)[:, 0]
    assert torch.isfinite(log_p[0])
    assert (log_p[1:] == -math.inf).all()


def tiny_images(**settings: object) -> ImageFlow:
    chosen = {"width": 4, "couplings": 2, "bins": 3, **settings}
    model = build_model("flow", FlowSettings(**chosen), DataSpec((1, 8, 8), 17, "levels"))  # type: ignore[arg-type]
    assert isinstance(model, ImageFlow)
    return model


@pytest.mark.parametrize("dequantisation", ["uniform", "variational"])
@pytest.mark.parametrize("layers", ["affine", "spline"])
def test_scores_of_images_are_labelled_as_lower_bounds(layers: str, dequantisation: str) -> None:
    model = tiny_images(layers=layers, dequantisation=dequantisation)
    images = PixelBatches(torch.randint(0, 17, (5, 1, 8, 8)).to(torch.uint8), PixelSpace("levels", 17))
    for samples in (0, 3):
        score = scoring.score(model, images, dataset="digits", split="test", samples=samples)
        assert (score.kind, score.side) == ("bound", "lower")
        assert math.isfinite(score.nats)
    with pytest.raises(NotComputable):
        scoring.score(model, images, dataset="digits", split="test", samples=3, from_prior=True)
    with pytest.raises(NotComputable):
        model.log_prob(torch.zeros(1, 1, 8, 8))


def test_images_are_encoded_and_decoded() -> None:
    model = zoo.perturbed(tiny_images().double(), 0.1).eval()
    x = torch.randint(0, 17, (5, 1, 8, 8)).double()
    z = model.encode(x)  # type: ignore[operator]
    assert z.shape == (5, 64)
    assert torch.equal(model.decode(z), x)  # type: ignore[operator]


@pytest.mark.parametrize("dequantisation", ["uniform", "variational"])
def test_black_and_white_images_give_finite_gradients_in_single_precision(dequantisation: str) -> None:
    """The ends of the unit interval: logits are finite there, and noise stays inside its cell."""
    model = tiny_images(dequantisation=dequantisation).train()
    x = torch.tensor([0.0, 16.0])[:, None, None, None].expand(2, 1, 8, 8)
    loss = -model.elbo(x.repeat(200, 1, 1, 1)).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_sizes_that_cannot_be_halved_are_refused(channels: int) -> None:
    settings = FlowSettings(width=4, couplings=2)
    assert build_model("flow", settings, DataSpec((channels, 12, 4), 256, "levels")).sample(2).shape == (
        2,
        channels,
        12,
        4,
    )
    with pytest.raises(InputError, match=r"9x8.*--pad-to"):
        build_model("flow", settings, DataSpec((channels, 9, 8), 256, "levels"))


def test_binary_pixels_are_accepted_and_real_values_refused() -> None:
    settings = FlowSettings(width=4, couplings=2)
    model = build_model("flow", settings, DataSpec((1, 8, 8), 256, "threshold"))
    assert model.levels == 2
    assert "threshold" in model.spaces
    assert set(model.sample(3).unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(InputError, match="levels"):
        build_model("flow", settings, DataSpec((1, 8, 8), 256, "unit"))
    with pytest.raises(InputError, match="maf"):
        build_model("flow", FlowSettings(layers="maf"), DataSpec((1, 8, 8), 256, "levels"))


@pytest.mark.parametrize("x", [0.5, 17.0, -1.0, math.nan])
def test_pixels_that_are_not_levels_are_refused(x: float) -> None:
    with pytest.raises(InputError, match="needs integer pixels"):
        tiny_images().eval().elbo(torch.full((1, 1, 8, 8), x))
