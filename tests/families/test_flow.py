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
from ancestral.distributions.bijections import ActNorm, Bijection, Chain, Logit, Permutation, Standardise
from ancestral.distributions.conditional import Conditional, diagonal_gaussian
from ancestral.distributions.couplings import AffineCoupling, SplineCoupling
from ancestral.distributions.dequantisation import UniformDequantisation, VariationalDequantisation
from ancestral.distributions.priors import FlowPrior
from ancestral.evaluation import likelihood
from ancestral.evaluation.contract import all_images
from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow, build_flow, standardise, vector_bijection
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
        return zoo.shaken(model, 0.12)

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
def test_points_are_drawn_as_they_are_scored(layers: str) -> None:
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
def test_every_layer_goes_with_every_mixing(layers: str, mixing: str) -> None:
    settings = FlowSettings(layers=layers, mixing=mixing, depth=2, hidden=(4,))  # type: ignore[arg-type]
    model = build_flow(settings, DataSpec((5,), 0, "points"))
    x = 3 + 2 * torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
    model.train().log_prob(x).mean().backward()  # type: ignore[operator]
    assert torch.isfinite(model.eval().log_prob(model.sample(9))).all()  # type: ignore[operator]


@pytest.mark.parametrize("layers", ["affine", "maf"])
def test_layers_that_are_affine_in_one_dimension_are_refused(layers: str) -> None:
    with pytest.raises(InputError, match=r"normal density.*spline"):
        build_flow(FlowSettings(layers=layers), DataSpec((1,), 0, "points"))  # type: ignore[arg-type]


def test_a_flow_of_one_dimension_learns_two_modes() -> None:
    """An equal mixture of N(-2, 0.3^2) and N(2, 0.3^2): log 2 above the entropy of one, within 0.05 nats."""
    with seeded_noise(0):
        model = build_flow(FlowSettings(depth=2), DataSpec((1,), 0, "points"))
        assert isinstance(model, NormalizingFlow)
        x = 4.0 * torch.randint(0, 2, (4000, 1)) - 2 + 0.3 * torch.randn(4000, 1)
        optimizer = torch.optim.Adam(model.parameters(), 0.03)
        for step in range(200):
            loss = -model.log_prob(x[step * 256 % 3840 :][:256]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        drawn = model.eval().sample(4000)
    entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e * 0.3**2)
    assert -model.log_prob(x).mean().item() == pytest.approx(entropy, abs=0.05)
    assert (drawn.abs() - 2).abs().median() < 0.3 and 0.4 < (drawn > 0).double().mean() < 0.6
    z = model.encode(x)
    assert torch.allclose(model.decode(z), x, atol=1e-3)


def test_training_brings_the_density_near_the_truth() -> None:
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


def test_flow_prior_is_drawn_from_as_it_is_scored() -> None:
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
        return zoo.shaken(ImageFlow(bijection, dequantisation(), [2], 3), 0.12)

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
def test_bounds_of_an_image_flow_stand_in_order_below_the_truth(dequantisation: type[Conditional]) -> None:
    model = pair_flow(dequantisation)
    x = all_images(model)
    truth = log_prob_by_quadrature(model, x)
    assert truth.exp().sum().item() == pytest.approx(1, abs=1e-3)
    with seeded_noise(1), torch.no_grad():
        log_w = model.log_weights(x, 5000)
    assert_bounds_in_order(log_w, truth, gap=0.02)


@PAIRS
def test_noise_is_drawn_as_it_is_scored(dequantisation: type[Conditional]) -> None:
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
def test_scores_of_images_are_bounds_and_say_so(layers: str, dequantisation: str) -> None:
    model = tiny_images(layers=layers, dequantisation=dequantisation)
    images = PixelBatches(torch.randint(0, 17, (5, 1, 8, 8)).to(torch.uint8), PixelSpace("levels", 17))
    for samples in (0, 3):
        score = likelihood.score(model, images, dataset="digits", split="test", samples=samples)
        assert (score.kind, score.side) == ("bound", "lower")
        assert math.isfinite(score.nats)
    with pytest.raises(NotComputable):
        likelihood.score(model, images, dataset="digits", split="test", samples=3, from_prior=True)
    with pytest.raises(NotComputable):
        model.log_prob(torch.zeros(1, 1, 8, 8))


def test_images_are_encoded_and_decoded() -> None:
    model = zoo.shaken(tiny_images().double(), 0.1).eval()
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
def test_sides_that_can_be_halved_are_accepted_and_others_refused_in_words(channels: int) -> None:
    settings = FlowSettings(width=4, couplings=2)
    assert build_model("flow", settings, DataSpec((channels, 12, 4), 256, "levels")).sample(2).shape == (
        2,
        channels,
        12,
        4,
    )
    with pytest.raises(InputError, match=r"9x8 .*--pad-to"):
        build_model("flow", settings, DataSpec((channels, 9, 8), 256, "levels"))


def test_binary_pixels_are_two_levels_and_reals_are_refused() -> None:
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
def test_pixels_that_are_no_levels_are_refused(x: float) -> None:
    with pytest.raises(InputError, match="whole levels"):
        tiny_images().eval().elbo(torch.full((1, 1, 8, 8), x))


# --- tables ------------------------------------------------------------------------------------------------------


def flow_of_table(layers: str, points: Tensor, **settings: object) -> NormalizingFlow:
    """A flow with random weights that is standardised by some points."""

    def make() -> NormalizingFlow:
        chosen = FlowSettings(layers=layers, depth=2, hidden=(8,), activation="tanh", **settings)  # type: ignore[arg-type]
        model = build_flow(chosen, DataSpec((points.shape[1],), 0, "points", standardise=True))
        assert isinstance(model, NormalizingFlow)
        return zoo.shaken(model, 0.12)

    model = zoo.seeded(make)
    assert isinstance(model, NormalizingFlow)
    standardise(model, PixelBatches(points, PixelSpace("points", 0, points.shape[1])))
    return model


def measurements(columns: int) -> Tensor:
    """Correlated points whose columns have units of their own, float32."""
    with seeded_noise(1):
        mixed = torch.randn(500, columns, dtype=DOUBLE) @ (torch.eye(columns, dtype=DOUBLE) + 0.5)
    units = torch.tensor([100.0, 0.01, 3.0, 1.0, 20.0], dtype=DOUBLE)[:columns]
    return (units * (mixed + 4)).float()


@pytest.mark.parametrize(("layers", "columns"), [("spline", 1), ("affine", 2), ("spline", 2), ("maf", 2)])
def test_density_of_a_table_integrates_to_one_in_its_own_units(layers: str, columns: int) -> None:
    points = measurements(columns)
    model = flow_of_table(layers, points)
    mean, scale = points.double().mean(0), points.double().std(0)
    side = 600 if columns == 2 else 20_000
    axis = (torch.arange(side, dtype=DOUBLE) + 0.5) * (20 / side) - 10
    grid = axis[:, None] if columns == 1 else torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_p = torch.cat([model.log_prob(part) for part in (mean + scale * grid).split(50_000)])
    assert (log_p.exp().sum() * (20 / side) ** columns * scale.prod()).item() == pytest.approx(1, abs=1e-3)
    draws = model.sample(20_000).double()
    assert ((draws.mean(0) - mean).abs() < 3 * scale).all() and (draws.std(0) < 3 * scale).all()


@LAYERS
def test_units_of_a_column_change_the_score_by_their_logarithm_alone(layers: str) -> None:
    points = measurements(5)
    factors = torch.tensor([1.0, 1024.0, 1.0, 0.125, 1.0])
    with torch.no_grad():
        before, after = (flow_of_table(layers, x).log_prob(x.double()) for x in (points, points * factors + 8))
    assert torch.allclose(before - after, factors.double().log().sum(), atol=1e-4)


@LAYERS
def test_the_log_determinant_of_a_table_is_that_of_the_jacobian(layers: str) -> None:
    points = measurements(3)
    model = flow_of_table(layers, points)
    x = points[:5].double()
    for row, log_det in zip(x, model.bijection(x)[1], strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda row: model.encode(row[None])[0], row)
        assert torch.allclose(jacobian.slogdet()[1], log_det, atol=1e-9)  # type: ignore[union-attr]
    assert torch.allclose(model.decode(model.encode(x)), x, rtol=1e-8)


def test_constants_among_the_training_points_are_refused() -> None:
    points = torch.cat([measurements(2), torch.full((500, 1), 7.0)], 1)
    with pytest.raises(InputError, match="number 3"):
        flow_of_table("maf", points)


@registered
class Linear(Bijection):
    """z = W x."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.weight: Tensor

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x @ self.weight.T, self.weight.slogdet()[1].expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z @ self.weight.inverse().T, -self.weight.slogdet()[1].expand(len(z))


def gaussian(mean: Tensor, units: Tensor, correlation: Tensor) -> NormalizingFlow:
    """The flow of a normal distribution with these means, standard deviations and correlations."""
    step = Standardise(len(mean)).double()
    step.fit(mean, units)
    whitening = Linear(torch.linalg.cholesky(correlation).inverse())
    return NormalizingFlow(Chain([step, whitening]), [len(mean)]).double()


def test_completions_start_near_the_observed_columns_whatever_their_units() -> None:
    """Two columns are seen, of which the one with small numbers tells the third."""
    correlation = torch.tensor([[1.0, 0, 0], [0, 1, 0.99], [0, 0.99, 1]], dtype=DOUBLE)
    model = gaussian(torch.zeros(3, dtype=DOUBLE), torch.tensor([1e4, 0.01, 1], dtype=DOUBLE), correlation)
    with seeded_noise(5):
        x = model.sample(300)
        start = model.complete(x, torch.tensor([True, True, False]).expand(300, 3), sweeps=0, slides=0)
    assert (start - x)[:, 2].abs().median() < 0.3  # two draws of the third column are 0.95 apart


@pytest.mark.parametrize(
    ("columns", "hidden", "sweeps", "slides"),
    [(2, [1], 200, 20), (5, [0, 3], 200, 0), (10, [1, 2, 3, 5, 6, 8, 9], 200, 20), (5, [0, 1, 3], 0, 100)],
)
def test_completed_columns_of_a_gaussian_have_its_conditional_mean_and_covariance(
    columns: int, hidden: list[int], sweeps: int, slides: int
) -> None:
    """The flow of N(m, S) with units from 0.01 to 10,000: whitened completions are N(0, I), five standard errors."""
    count = 3000
    correlation = 0.9 + 0.1 * torch.eye(columns, dtype=DOUBLE)
    units = 10 ** torch.linspace(4, -2, columns, dtype=DOUBLE)
    mean = 3 * units
    factor = torch.linalg.cholesky(correlation)
    model = gaussian(mean, units, correlation)
    seen = torch.tensor([place not in hidden for place in range(columns)])
    with seeded_noise(3):
        x = mean + units * (factor @ torch.randn(columns, dtype=DOUBLE))
        drawn = model.complete(x.expand(count, columns), seen.expand(count, columns), sweeps=sweeps, slides=slides)
    assert torch.equal(drawn[:, seen], x.expand(count, columns)[:, seen])
    gain = correlation[~seen][:, seen] @ correlation[seen][:, seen].inverse()
    covariance = correlation[~seen][:, ~seen] - gain @ correlation[seen][:, ~seen]
    centred = ((drawn - mean) / units)[:, ~seen] - gain @ ((x - mean) / units)[seen]
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred.T, upper=False).T
    assert white.mean(0).abs().max() < 5 / math.sqrt(count)
    assert (white.T @ white / count - torch.eye(len(hidden))).abs().max() < 5 * math.sqrt(2 / count)
