"""Flows of tables: standardised by the training rows, scored in the units of the columns, with columns completed."""

from __future__ import annotations

import math

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.core.serialization import registered
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.distributions.bijections import Bijection, Chain, Standardise
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import NormalizingFlow, build_flow, standardise
from ancestral.families.flow.settings import FlowSettings

DOUBLE = torch.float64
LAYERS = pytest.mark.parametrize("layers", ["affine", "spline", "maf"])


def flow_of_table(layers: str, points: Tensor, **settings: object) -> NormalizingFlow:
    """A flow with random weights that is standardised by some points."""

    def make() -> NormalizingFlow:
        chosen = FlowSettings(layers=layers, depth=2, hidden=(8,), activation="tanh", **settings)  # type: ignore[arg-type]
        model = build_flow(chosen, DataSpec((points.shape[1],), 0, "points", standardise=True))
        assert isinstance(model, NormalizingFlow)
        return zoo.perturbed(model, 0.12)

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
def test_rescaling_a_column_changes_the_score_by_the_log_of_the_factor(layers: str) -> None:
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
    with pytest.raises(InputError, match="constant: 3"):
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
        start = model.complete(x, torch.tensor([True, True, False]).expand(300, 3), sweeps=0, hamiltonian_steps=0)
    assert (start - x)[:, 2].abs().median() < 0.3  # two draws of the third column are 0.95 apart


@pytest.mark.parametrize(
    ("columns", "hidden", "sweeps", "hamiltonian_steps"),
    [(2, [1], 200, 20), (5, [0, 3], 200, 0), (10, [1, 2, 3, 5, 6, 8, 9], 200, 20), (5, [0, 1, 3], 0, 60)],
)
def test_completed_columns_of_a_gaussian_have_its_conditional_mean_and_covariance(
    columns: int, hidden: list[int], sweeps: int, hamiltonian_steps: int
) -> None:
    """The flow of N(m, S) with units from 0.01 to 10,000: whitened completions are N(0, I), five standard errors."""
    count = 1500
    correlation = 0.9 + 0.1 * torch.eye(columns, dtype=DOUBLE)
    units = 10 ** torch.linspace(4, -2, columns, dtype=DOUBLE)
    mean = 3 * units
    factor = torch.linalg.cholesky(correlation)
    model = gaussian(mean, units, correlation)
    seen = torch.tensor([place not in hidden for place in range(columns)])
    with seeded_noise(3):
        x = mean + units * (factor @ torch.randn(columns, dtype=DOUBLE))
        drawn = model.complete(
            x.expand(count, columns), seen.expand(count, columns), sweeps=sweeps, hamiltonian_steps=hamiltonian_steps
        )
    assert torch.equal(drawn[:, seen], x.expand(count, columns)[:, seen])
    gain = correlation[~seen][:, seen] @ correlation[seen][:, seen].inverse()
    covariance = correlation[~seen][:, ~seen] - gain @ correlation[seen][:, ~seen]
    centred = ((drawn - mean) / units)[:, ~seen] - gain @ ((x - mean) / units)[seen]
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred.T, upper=False).T
    assert white.mean(0).abs().max() < 5 / math.sqrt(count)
    assert (white.T @ white / count - torch.eye(len(hidden))).abs().max() < 5 * math.sqrt(2 / count)


@pytest.mark.parametrize("layers", ["affine", "maf"])
def test_layers_that_are_affine_in_one_dimension_are_refused(layers: str) -> None:
    with pytest.raises(InputError, match=r"normal density.*spline"):
        build_flow(FlowSettings(layers=layers), DataSpec((1,), 0, "points"))  # type: ignore[arg-type]


def test_a_flow_of_one_dimension_learns_two_modes() -> None:
    """An equal mixture of N(-2, 0.3^2) and N(2, 0.3^2): log 2 above the entropy of one, within 0.1 nats.

    A normal density is 1.2 nats below.
    """
    with seeded_noise(0):
        model = build_flow(FlowSettings(depth=2), DataSpec((1,), 0, "points"))
        assert isinstance(model, NormalizingFlow)
        x = 4.0 * torch.randint(0, 2, (4000, 1)) - 2 + 0.3 * torch.randn(4000, 1)
        optimizer = torch.optim.Adam(model.parameters(), 0.03)
        for step in range(100):
            loss = -model.log_prob(x[step * 256 % 3840 :][:256]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        drawn = model.eval().sample(4000)
    entropy = math.log(2) + 0.5 * math.log(2 * math.pi * math.e * 0.3**2)
    assert -model.log_prob(x).mean().item() == pytest.approx(entropy, abs=0.1)
    assert (drawn.abs() - 2).abs().median() < 0.3 and 0.4 < (drawn > 0).double().mean() < 0.6
    z = model.encode(x)
    assert torch.allclose(model.decode(z), x, atol=1e-3)
