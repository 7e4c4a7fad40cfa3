"""Demonstrations of `uva2020`, compared with exact results."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ancestral import fit
from ancestral.data.toy import density_of
from ancestral.distributions.bijections import Bijection
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import NormalizingFlow, build_flow
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.gan.model import build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.studies.demonstrations.change_of_variables import (
    against_autograd,
    change_of_variables,
    change_of_variables_figure,
)
from ancestral.studies.demonstrations.code_spread import codes_figure, normal_fitted, normal_length
from ancestral.studies.demonstrations.dequantised import dequantised, dequantised_figure
from ancestral.studies.demonstrations.equilibrium import equilibrium, equilibrium_figure
from ancestral.studies.demonstrations.midway import midway
from ancestral.studies.demonstrations.paired_scores import target_difference
from ancestral.studies.demonstrations.sampling_pace import draws_per_second


@pytest.mark.parametrize(("low", "high"), [(-1.0, 8.0), (-1.0, 1.0), (8.0, 27.0)])
def test_the_density_of_a_cube_root_equals_its_formula_and_integrates_to_one(low: float, high: float) -> None:
    found = change_of_variables(low, high)
    x = torch.tensor(found.x, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(found.density, dtype=torch.float64), 3 * x**2 / (high - low))
    assert abs(found.mass - 1) < 1e-6
    assert found.mass_without == pytest.approx((math.cbrt(high) - math.cbrt(low)) / (high - low), abs=1e-9)


def test_draws_of_a_cube_root_fit_its_density() -> None:
    # fixed seeds; for a correct density, p is below 0.001 for one seed in a thousand
    assert min(change_of_variables(-1.0, 8.0, seed=seed).p_value for seed in range(5)) > 1e-3
    found = change_of_variables(-1.0, 8.0)
    widths = torch.tensor(found.edges).diff()
    assert (torch.tensor(found.heights) * widths).sum().item() == pytest.approx(1.0, abs=1e-6)
    assert change_of_variables_figure(found).axes


def test_a_flow_agrees_with_autograd_and_a_wrong_layer_does_not() -> None:
    torch.manual_seed(0)
    flow = build_flow(FlowSettings(layers="affine"), DataSpec((2,), levels=0, space="points")).double()
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


def test_the_log_density_is_bounded_only_with_noise() -> None:
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


def test_the_value_of_the_game_is_minus_two_log_two_at_equilibrium() -> None:
    found = equilibrium([0.0, 1.0, 3.0, 8.0])
    assert found.values[0] == pytest.approx(-2 * math.log(2), abs=1e-9)
    assert found.fake_prob[0] == pytest.approx(0.5, abs=1e-9) and found.real_prob[0] == pytest.approx(0.5, abs=1e-9)
    # V = -2 log 2 + 2 JS, and JS is at most log 2
    for value, divergence in zip(found.values, found.divergences, strict=True):
        assert value == pytest.approx(-2 * math.log(2) + 2 * divergence, abs=1e-9)
        assert -1e-9 <= divergence <= math.log(2)
    assert found.values == sorted(found.values) and -1e-3 < found.values[-1] < 0


def test_no_other_critic_has_a_higher_value() -> None:
    for distance in (0.0, 1.5):
        best = equilibrium([distance]).values[0]
        others = [equilibrium([distance], scale=scale, shift=shift).values[0]
                  for scale, shift in ((1.1, 0.0), (0.9, 0.0), (1.0, 0.1), (1.0, -0.1))]  # fmt: skip
        assert all(other <= best + (1e-12 if distance == 0 else 0) for other in others)
        assert any(other < best - 1e-4 for other in others)


def test_gradients_equal_the_formulas_and_only_the_saturating_one_vanishes() -> None:
    # p = N(0, 1), draws N(m, 1): the best critic's score is m^2/2 - m x, so d loss / dm = m E[D] against m E[1 - D]
    found = equilibrium([0.5, 2.0, 8.0])
    for i, distance in enumerate(found.distances):
        assert found.gradients["saturating"][i] == pytest.approx(distance * found.fake_prob[i], rel=1e-6)
        assert found.gradients["non-saturating"][i] == pytest.approx(distance * (1 - found.fake_prob[i]), rel=1e-6)
    assert found.gradients["saturating"][2] < 1e-3 * found.gradients["saturating"][1]
    assert found.gradients["non-saturating"][2] > found.gradients["non-saturating"][1]
    assert equilibrium_figure(found).axes


def test_the_sampling_speed_is_positive_and_does_not_change_the_generator() -> None:
    model = build_gan(GANSettings(hidden=(8,)), DataSpec((1, 8, 8), levels=17, space="unit")).eval()
    before = torch.get_rng_state()
    assert draws_per_second(model, 20, rounds=2) > 0
    assert torch.equal(before, torch.get_rng_state())


def test_the_paired_difference_from_the_true_density_is_minus_the_kl(tmp_path: Path) -> None:
    # an affine flow left as the identity is its base, N(0, s^2 I): the mean difference is minus a KL divergence
    run = fit("flow", tmp_path / "run", data="two-gaussians", layers="affine", actnorm=False, base_scale=1.0,
              epochs=1, learning_rate=1e-12, train_size=200, valid_size=50)  # fmt: skip
    found, density = target_difference(run), density_of("two-gaussians")
    axis = torch.arange(-6 + 0.025, 6, 0.05, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    log_p, log_q = density.log_prob(x), -(x**2).sum(1) / 2 - math.log(2 * math.pi)
    divergence = (log_p.exp() * (log_p - log_q)).sum().item() * 0.05**2
    assert abs(found.nats + divergence) < 4 * found.stderr < 0.05 * divergence
    assert found.clear and found.nats < 0 and found.count == 50_000


def test_a_normal_is_fitted_to_codes_and_the_circle_holds_its_share() -> None:
    torch.manual_seed(0)
    mixing, mean = torch.tensor([[2.0, 0.0], [1.0, 0.5]]).double(), torch.tensor([3.0, -1.0]).double()
    fitted = normal_fitted(torch.randn(50_000, 2, dtype=torch.float64) @ mixing.T + mean)
    torch.testing.assert_close(fitted.mean, mean, atol=0.05, rtol=0)
    torch.testing.assert_close(fitted.covariance_matrix, mixing @ mixing.T, atol=0.1, rtol=0)
    z = torch.randn(50_000, 7, dtype=torch.float64)
    assert z.norm(dim=1).mean().item() == pytest.approx(normal_length(7), abs=0.01)
    first, second = codes_figure({"narrow": z, "wide": 3 * z}).axes
    assert first.get_xlim() == second.get_xlim() == first.get_ylim()
    circle = np.asarray(first.lines[0].get_xydata())
    radii = np.hypot(circle[[0, 50], 0], circle[[0, 50], 1]).tolist()
    assert radii[0] == pytest.approx(radii[1])
    assert (z[:, :2].norm(dim=1) < radii[0]).double().mean().item() == pytest.approx(0.95, abs=0.005)


def test_the_middle_of_an_arc_keeps_the_norm_and_that_of_a_line_does_not(tmp_path: Path) -> None:
    run = fit("gan", tmp_path / "run", data="digits", epochs=1, hidden=(8,), critic_hidden=(8,), train_size=200)
    found = midway(run, 50)
    assert found.count == 50 and set(found.shares) == {"ends", "line", "arc"}
    ends, line, arc = (found.lengths[where] for where in ("ends", "line", "arc"))
    assert arc == pytest.approx(ends, rel=0.05)
    assert line == pytest.approx(ends / math.sqrt(2), rel=0.1)
