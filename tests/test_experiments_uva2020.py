"""The experiments of `uva2020`: each against what mathematics says it must find."""

from __future__ import annotations

import math

import pytest
import torch

from ancestral.data.toy import density_of
from ancestral.distributions.bijections import Bijection
from ancestral.experiments.change_of_variables import (
    against_autograd,
    change_of_variables,
    change_of_variables_figure,
)
from ancestral.experiments.dequantised import dequantised, dequantised_figure
from ancestral.experiments.equilibrium import equilibrium, equilibrium_figure
from ancestral.experiments.sampling_pace import draws_per_second
from ancestral.models.flow import NormalizingFlow, build_flow
from ancestral.models.gan import build_gan
from ancestral.settings.flow import FlowSettings
from ancestral.settings.gan import GANSettings


@pytest.mark.parametrize(("low", "high"), [(-1.0, 8.0), (-1.0, 1.0), (8.0, 27.0)])
def test_the_density_of_a_cube_root_is_its_formula_and_integrates_to_one(low: float, high: float) -> None:
    found = change_of_variables(low, high)
    x = torch.tensor(found.x, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(found.density, dtype=torch.float64), 3 * x**2 / (high - low))
    assert abs(found.mass - 1) < 1e-6
    assert found.mass_without == pytest.approx((math.cbrt(high) - math.cbrt(low)) / (high - low), abs=1e-9)


def test_draws_of_a_cube_root_fit_its_density() -> None:
    # fixed seeds; a right density is below 0.001 in one seed of a thousand
    assert min(change_of_variables(-1.0, 8.0, seed=seed).p_value for seed in range(5)) > 1e-3
    found = change_of_variables(-1.0, 8.0)
    widths = torch.tensor(found.edges).diff()
    assert (torch.tensor(found.heights) * widths).sum().item() == pytest.approx(1.0, abs=1e-6)
    assert change_of_variables_figure(found).axes


def test_a_flow_agrees_with_autograd_and_a_wrong_layer_does_not() -> None:
    torch.manual_seed(0)
    flow = build_flow(FlowSettings(layers="affine"), (2,), levels=0, space="points").double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    assert isinstance(flow, NormalizingFlow)
    x = density_of("moons").sample(50).double()
    found = against_autograd(flow.bijection, x)
    assert found.round_trip < 1e-9 and found.log_determinant < 1e-9

    class Forgetful(Bijection):
        def forward(self, x, context=None):
            return 2 * x, torch.zeros(len(x), dtype=x.dtype)

        def inverse(self, z, context=None):
            return z / 2 + 1e-3, torch.zeros(len(z), dtype=z.dtype)

    wrong = against_autograd(Forgetful(), x)
    assert wrong.round_trip == pytest.approx(1e-3)
    assert wrong.log_determinant == pytest.approx(2 * math.log(2))


def test_a_density_on_points_grows_without_bound_and_on_cells_does_not() -> None:
    found = dequantised()
    shares = torch.tensor(found.shares, dtype=torch.float64)
    ceiling = (shares * shares.log()).sum().item()
    points, noisy, cells = (torch.tensor(values) for values in (found.points, found.noisy, found.cells))
    # the width falls by a constant factor an update, so the log-density rises by as much in every hundred
    late = points[101::100].diff()
    assert found.ceiling == pytest.approx(ceiling) and points[-1] > ceiling + 10
    assert ((late > 3) & (late < 7)).all()
    # Jensen in each cell, and Gibbs over cells, at every update
    assert (noisy <= cells + 1e-9).all() and (cells <= ceiling + 1e-9).all()
    assert cells[-1] - noisy[-1] > 0.01  # Jensen's gap is there, as the density is not flat in its cells
    assert noisy[-1] > noisy[0] + 0.1 and (noisy[-100:].diff().abs() < 1e-3).all()
    assert ceiling - noisy[-1] < 0.35
    assert dequantised_figure(found).axes


def test_the_learned_density_integrates_to_one() -> None:
    found = dequantised(updates=50)
    step = found.x[1] - found.x[0]
    assert sum(found.density) * step == pytest.approx(1.0, abs=1e-3)


def test_the_game_is_worth_minus_two_log_two_where_the_draws_are_right() -> None:
    found = equilibrium([0.0, 1.0, 3.0, 8.0])
    assert found.values[0] == pytest.approx(-2 * math.log(2), abs=1e-9)
    assert found.fake_prob[0] == pytest.approx(0.5, abs=1e-9) and found.real_prob[0] == pytest.approx(0.5, abs=1e-9)
    # V = -2 log 2 + 2 JS, and JS is at most log 2
    for value, divergence in zip(found.values, found.divergences, strict=True):
        assert value == pytest.approx(-2 * math.log(2) + 2 * divergence, abs=1e-9)
        assert -1e-9 <= divergence <= math.log(2)
    assert found.values == sorted(found.values) and -1e-3 < found.values[-1] < 0


def test_no_other_critic_gets_more_out_of_the_game() -> None:
    for distance in (0.0, 1.5):
        best = equilibrium([distance]).values[0]
        others = [equilibrium([distance], scale=scale, shift=shift).values[0]
                  for scale, shift in ((1.1, 0.0), (0.9, 0.0), (1.0, 0.1), (1.0, -0.1))]  # fmt: skip
        assert all(other <= best + (1e-12 if distance == 0 else 0) for other in others)
        assert any(other < best - 1e-4 for other in others)


def test_the_gradients_are_those_of_the_formulas_and_only_one_starves() -> None:
    # p = N(0, 1), draws N(m, 1): the best critic's score is m^2/2 - m x, so d loss / dm = m E[D] against m E[1 - D]
    found = equilibrium([0.5, 2.0, 8.0])
    for i, distance in enumerate(found.distances):
        assert found.gradients["saturating"][i] == pytest.approx(distance * found.fake_prob[i], rel=1e-6)
        assert found.gradients["non-saturating"][i] == pytest.approx(distance * (1 - found.fake_prob[i]), rel=1e-6)
    assert found.gradients["saturating"][2] < 1e-3 * found.gradients["saturating"][1]
    assert found.gradients["non-saturating"][2] > found.gradients["non-saturating"][1]
    assert equilibrium_figure(found).axes


def test_the_pace_of_drawing_is_a_positive_number_and_leaves_the_generator_alone() -> None:
    model = build_gan(GANSettings(hidden=(8,)), (1, 8, 8), levels=17, space="unit").eval()
    before = torch.get_rng_state()
    assert draws_per_second(model, 20, rounds=2) > 0
    assert torch.equal(before, torch.get_rng_state())
