"""The experiments of the studies: each against what mathematics says it must find."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ancestral.experiments.belief_net_cost import cost_figure, growth, measure
from ancestral.experiments.gaussian_divergence import divergence_from_standard
from ancestral.experiments.prior_sampling import shortfall, shortfall_figure
from ancestral.experiments.underflow import underflow, underflow_figure
from ancestral.fitting import fit
from ancestral.models.vae import VAE
from ancestral.run import Run


def test_the_product_of_fair_coins_is_lost_where_the_number_formats_end() -> None:
    found = underflow(1500)
    assert found.first == {"32 bits": 150, "64 bits": 1075}
    for words, values in found.products.items():
        kept = values.isfinite()
        torch.testing.assert_close(values[kept], found.sums[kept], rtol=1e-12, atol=1e-9)
        assert kept.sum() == (found.first[words] or 0) - 1
    assert found.sums[-1].item() == pytest.approx(1500 * math.log(0.5), rel=1e-12)
    assert underflow_figure(found).axes


def test_a_short_product_is_not_lost() -> None:
    assert underflow(50).first == {"32 bits": None, "64 bits": None}


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.1, 1.05), (3.0, 0.5), (-20.0, 0.01), (0.0, 4.0)])
def test_the_closed_divergence_is_the_integral(mean: float, scale: float) -> None:
    found = divergence_from_standard(mean, scale)
    written_out = (mean**2 + scale**2 - 1) / 2 - math.log(scale)
    assert found.closed == pytest.approx(written_out, rel=1e-9, abs=1e-12)
    assert found.integral == pytest.approx(written_out, rel=1e-6, abs=1e-9)
    assert found.reverse == pytest.approx((1 + mean**2) / (2 * scale**2) - 0.5 + math.log(scale), rel=1e-9, abs=1e-12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit("vae", tmp_path_factory.mktemp("vae") / "run", latents=4, hidden=(32,), epochs=8, batch_size=50)


def test_draws_from_the_prior_fall_short_and_the_less_the_more_there_are(run: Run) -> None:
    model = run.load()
    assert isinstance(model, VAE)
    found = shortfall(model, run, 4, draws=(1, 30, 1000), images=50, tight=500)
    assert found.nats[0] > found.nats[1] + 3 * found.stderr[1] > found.nats[2]
    assert abs(found.nats[2]) < 0.05  # 1000 draws are many for four latents
    assert shortfall_figure({"4 latents": found}).axes


def test_where_z_says_nothing_one_draw_is_enough(run: Run) -> None:
    model = run.load()
    assert isinstance(model, VAE)
    with torch.no_grad():
        for name, weights in model.likelihood.named_parameters():
            if name.endswith("weight"):
                weights.zero_()
        for weights in model.encoder.parameters():
            weights.zero_()  # q is the prior then: both estimates are p(x) itself
    found = shortfall(model, run, 4, draws=(1, 10), images=20, tight=10)
    assert max(map(abs, found.nats)) < 1e-4


def test_the_shared_sum_of_a_belief_net_is_the_naive_one() -> None:
    rows = [measure(m, 16, 20, rounds=1, naive=True) for m in (3, 5)]
    assert all(row["difference"] < 1e-5 for row in rows)
    assert cost_figure({"M": rows, "N": rows, "D": rows}).axes


def test_growth_is_the_power_or_the_factor_that_made_the_times() -> None:
    powers = [{"N": n, "ours": {"ms": 3 * n**2}} for n in (10, 20, 40)]
    factors = [{"M": m, "ours": {"ms": 5 * 1.7**m}} for m in (4, 10, 12, 14)]
    assert growth(powers, "N", "ours", "ms") == pytest.approx(2)
    assert growth(factors, "M", "ours", "ms") == pytest.approx(1.7)
    assert growth(powers[:1], "N", "ours", "ms") is None


def test_experiments_leave_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    measure(3, 4, 5, rounds=1, naive=False)
    underflow(10)
    assert torch.equal(before, torch.get_rng_state())
