"""Demonstrations of the studies, compared with exact results."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused

from ancestral import fit
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import seeded_noise
from ancestral.evaluation.enumeration import all_images
from ancestral.evaluation.likelihood import elbo, importance_weighted, prior_monte_carlo
from ancestral.families.family import DataSpec
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import VAE, build_vae
from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve
from ancestral.runs.run import Run
from ancestral.studies.demonstrations import belief_net_cost
from ancestral.studies.demonstrations.belief_net_cost import (
    cost_figure,
    cost_table,
    counted_growth,
    growth,
    growth_table,
    measure,
    measure_all,
    times_faster,
)
from ancestral.studies.demonstrations.gaussian_divergence import divergence_from_standard, nats_in_words
from ancestral.studies.demonstrations.isolated_pixels import isolated_pixels
from ancestral.studies.demonstrations.latent_grid import grid_log_prob
from ancestral.studies.demonstrations.prior_sampling import (
    effective_size,
    model_table,
    prior_weights,
    shortfall,
    shortfall_figure,
    shortfall_table,
)
from ancestral.studies.demonstrations.tighter_bound import tightening
from ancestral.studies.demonstrations.underflow import underflow, underflow_figure
from ancestral.studies.demonstrations.whole_course import course_figure, whole_course


def test_the_product_underflows_at_the_limit_of_each_number_format() -> None:
    found = underflow(1500)
    assert found.first == {"32 bits": 150, "64 bits": 1075}
    n = torch.arange(1, 1501).double() * math.log(0.5)
    for words, values in found.products.items():
        kept = values.isfinite()
        torch.testing.assert_close(values[kept], n[kept], rtol=1e-12, atol=1e-9)
        assert kept.sum() == (found.first[words] or 0) - 1
        torch.testing.assert_close(found.sums[words], n, rtol=1e-5, atol=1e-5)
    assert found.errors["64 bits"] < 1e-9 < found.errors["32 bits"] < 0.1
    assert found.errors["32 bits"] == abs(found.sums["32 bits"][-1].item() - 1500 * math.log(0.5))


def test_the_figure_marks_where_each_product_underflows() -> None:
    figure = underflow_figure(underflow(1500))
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words == ["the product is 0 from n = 150", "the product is 0 from n = 1,075"]
    ends = [np.max(axes.lines[1].get_xdata()) for axes in figure.axes]
    assert ends[0] < 150 and ends[1] < 1075  # the lines of the products end before


def test_a_short_product_does_not_underflow() -> None:
    assert underflow(50).first == {"32 bits": None, "64 bits": None}
    assert underflow_figure(underflow(50)).axes


def test_a_pixel_is_isolated_if_no_neighbour_is_ink_including_diagonals() -> None:
    sheet = torch.zeros(1, 1, 5, 7)
    sheet[0, 0, 0, 0] = sheet[0, 0, 4, 6] = 1  # two dots, at the edges
    assert isolated_pixels(sheet) == 1.0
    sheet[0, 0, 2, 2] = sheet[0, 0, 3, 3] = 1  # and two that touch at a corner
    assert isolated_pixels(sheet) == 0.5
    for row, column in [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]:
        pair = torch.zeros(1, 1, 5, 5)
        pair[0, 0, 2, 2] = pair[0, 0, 2 + row, 2 + column] = 1
        assert isolated_pixels(pair) == 0.0
    with pytest.raises(ValueError, match="no ink"):
        isolated_pixels(torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.1, 1.05), (3.0, 0.5), (-20.0, 0.01), (0.0, 4.0)])
def test_the_closed_form_of_the_divergence_equals_the_integral(mean: float, scale: float) -> None:
    found = divergence_from_standard(mean, scale)
    written_out = (mean**2 + scale**2 - 1) / 2 - math.log(scale)
    assert found.closed == pytest.approx(written_out, rel=1e-9, abs=1e-12)
    assert found.integral == pytest.approx(written_out, rel=1e-6, abs=1e-9)
    assert found.reverse == pytest.approx((1 + mean**2) / (2 * scale**2) - 0.5 + math.log(scale), rel=1e-9, abs=1e-12)


def test_divergences_of_any_size_are_formatted() -> None:
    assert [nats_in_words(value) for value in (0.0, 0.000149669, 56.40776, 5.05e7)] == [
        "0",
        "1.497 × 10⁻⁴",
        "56.408",
        "5.050 × 10⁷",
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings: dict[str, Any] = {"hidden": (32,), "epochs": 8, "batch_size": 50, "watch": ("train", "test")}
    return fit("vae", tmp_path_factory.mktemp("vae") / "run", latents=4, **settings)


def test_the_shortfall_decreases_with_the_number_of_samples(run: Run) -> None:
    found = shortfall(run, draws=(1, 30, 1000), images=50, tight=500, explained=100)
    assert found.nats[0] > found.nats[1] + 3 * found.stderr[1] > found.nats[2]
    assert abs(found.nats[2]) < 0.1  # 1000 draws are many for four latents
    assert found.reference == found.bound and found.change is None
    assert found.latents == 4 >= found.active > 0 and found.kl > 0 and found.epochs == 8
    assert 1 <= found.effective[0] < 1000 and 1 <= found.effective[1] < 500
    assert shortfall_figure({"4 latents": found}).axes
    assert len(shortfall_table([found]).rows[0]) == 4 and model_table([found]).rows[0][0] == "4"


def test_weights_of_the_prior_give_the_plain_monte_carlo_estimate(run: Run) -> None:
    model, images = run.load(), run.data.held("test", 200)
    assert isinstance(model, VAE)
    ours = log_mean_exp(prior_weights(model, images, 300), 1)
    gap = ours - prior_monte_carlo(model, images, 300, seed=1)  # other draws, the same expectation
    assert abs(gap.mean()) < 3 * gap.std() / math.sqrt(len(gap))


def test_if_x_is_independent_of_z_all_weights_are_equal(run: Run) -> None:
    model, images = run.load(), run.data.held("test", 20)
    assert isinstance(model, VAE)
    with torch.no_grad():
        for name, weights in model.likelihood.named_parameters():
            if name.endswith("weight"):
                weights.zero_()
    found = prior_weights(model, images, 10)
    assert (found - found[:, :1]).abs().max() < 1e-4
    torch.testing.assert_close(effective_size(found), torch.full((20,), 10.0).double(), rtol=1e-3, atol=0)


def test_the_gain_of_samples_is_the_difference_of_the_bounds(run: Run) -> None:
    model, images = run.load(), run.data.held("test", 60)
    assert isinstance(model, VAE)
    gaps = importance_weighted(model, images, 20) - elbo(model, images)
    found = tightening(run, 20, 60).difference
    assert found.nats == pytest.approx(gaps.mean().item()) and found.nats > 0
    assert found.stderr == pytest.approx(gaps.std().item() / math.sqrt(60)) and found.method == "IWAE_20"


def test_the_curves_of_a_whole_training_equal_the_log(run: Run) -> None:
    found, log = whole_course(run, "negative_elbo"), run.log()

    def values(split: str) -> list[float]:
        return [-line.value for line in log if (line.split, line.name) == (split, "negative_elbo")]

    assert found.first == values("train")[0] and found.later == values("train-set")[0]
    assert found.last == (values("train-set")[-1], values("test")[-1])
    lines = course_figure(found, [("asked", -20.0, 1, 8)]).axes[0].lines
    assert len(lines) == 4 and np.min(lines[0].get_xdata()) < 0.1 < 1 == np.min(lines[1].get_xdata())


def test_the_quadrature_of_two_latents_sums_to_one_over_all_images() -> None:
    with seeded_noise(3):
        model = build_vae(VAESettings(latents=2, hidden=(8,)), DataSpec((1, 2, 2), levels=2, space="threshold")).eval()
    with torch.no_grad():
        for weights in model.likelihood.parameters():
            weights.mul_(4)  # posteriors that differ from the prior
    images = all_images(model)
    found = grid_log_prob(model, images, step=0.05)
    assert found.fine.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert 0 < found.change < 2e-3
    z = model.prior().sample(torch.Size((40_000, len(images))))
    drawn = log_mean_exp((model.log_joint(images, z) - model.prior().log_prob(z)).detach().double(), 0)
    torch.testing.assert_close(found.fine, drawn, rtol=0, atol=0.05)


def test_the_shared_sum_of_a_belief_net_equals_the_naive_sum() -> None:
    rows = [measure(m, 16, 20, rounds=2, naive=m < 5) for m in (3, 4, 5)]
    assert all(row["difference"] < 1e-5 for row in rows[:2]) and "naive" not in rows[2]
    assert len(times_faster(rows[0])) == 2
    series = {"M": rows, "N": rows[:1], "D": rows[:1]}
    assert len(cost_figure(series).axes) == 3
    table = cost_table(series)
    assert len(table.rows) == 3 and table.rows[2][4] == "–" and "beyond M = 4" in table.caption  # each size once


def test_a_size_on_several_grids_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(latents: int, images: int, pixels: int, rounds: int, naive: bool) -> dict[str, Any]:
        asked.append((latents, images, pixels, naive))
        return {"M": latents, "N": images, "D": pixels}

    monkeypatch.setattr(belief_net_cost, "measure", measured)
    rows = measure_all({"M": (4, 6), "N": (64, 128), "D": (784,)}, at=4, most_naive=5)
    assert asked == [(4, 128, 784, True), (6, 128, 784, False), (4, 64, 784, True)]
    assert rows["N"][1] is rows["M"][0] is rows["D"][0]


def test_theoretical_growth_follows_from_the_counts() -> None:
    def rows(along: str, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
        usual = {"M": 10, "N": 128, "D": 784}
        return [{**usual, along: n, **{way: {"ms": 1.0} for way in belief_net_cost.WAYS}} for n in sizes]

    series = {along: rows(along, sizes) for along, sizes in belief_net_cost.GRIDS.items()}
    for along in "ND":
        assert counted_growth(series[along], along, "naive") == pytest.approx(1)
        assert counted_growth(series[along], along, "mixture") == pytest.approx(1)
    assert counted_growth(series["M"], "M", "mixture") == pytest.approx(1)
    assert counted_growth(rows("M", (10, 12)), "M", "naive") == pytest.approx(2 * math.sqrt(12 / 10))
    halves = math.log2((128 * 10 * 784 + 1024 * 912) / (64 * 10 * 784 + 1024 * 848))
    assert counted_growth(rows("N", (64, 128)), "N", "ours") == pytest.approx(halves)
    assert growth_table(series).rows[0][1:] == ["× 1.00 (1.00)", "N^{0.00} (1.00)", "D^{0.00} (1.00)"]


def test_panels_with_log_axes_refuse_values_that_are_not_positive() -> None:
    refused(lambda: panel_figure([Panel("p", [Curve("c", [1, 2], [1.0, 0.0])], log_y=True)]), "positive")
    refused(lambda: panel_figure([]), "every panel")
    figure = panel_figure([Panel("p", [Curve("c", [1, 2], [1.0, 8.0])], log_x=True, log_y=True, ticks=(1, 2))])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1", "2"]


def test_the_fit_recovers_the_power_or_factor_of_the_times() -> None:
    powers = [{"N": n, "ours": {"ms": 3 * n**2}} for n in (10, 20, 40)]
    factors = [{"M": m, "ours": {"ms": 5 * 1.7**m}} for m in (4, 10, 12, 14)]
    assert growth(powers, "N", "ours", "ms") == pytest.approx(2)
    assert growth(factors, "M", "ours", "ms") == pytest.approx(1.7)
    assert growth(powers[:1], "N", "ours", "ms") is None


def test_demonstrations_do_not_change_the_global_generator(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    measure(3, 4, 5, rounds=1, naive=False)
    underflow(10)
    assert torch.equal(before, torch.get_rng_state())
