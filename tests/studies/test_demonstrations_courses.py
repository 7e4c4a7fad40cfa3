"""Demonstrations of `tue2024` and `csds600`, compared with exact results."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Independent, Normal

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.data.datasets import load_dataset
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.distributions.priors import GaussianMixture
from ancestral.families.autoregressive.made import MADE
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import settings_for
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import VAE, build_vae
from ancestral.networks import masked
from ancestral.networks.masked import MaskedLinear, mask_of
from ancestral.runs.evaluate import score_run
from ancestral.runs.fit import fit_settings
from ancestral.runs.run import Run
from ancestral.studies.demonstrations import chain_rule, log_probabilities, prior_mistakes
from ancestral.studies.demonstrations.chain_rule import chain_rule_holds, masks_figure
from ancestral.studies.demonstrations.compositions import LIKELIHOODS, PRIORS, compositions
from ancestral.studies.demonstrations.divergence_by_draws import divergence_by_draws, divergence_figure
from ancestral.studies.demonstrations.log_probabilities import agreements
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.demonstrations.prior_mistakes import (
    draw_with,
    mistake_costs,
    mixed_per_dimension,
    mixture_prior,
    variance_as_scale,
)
from ancestral.studies.demonstrations.pushforward import MAPS, pushforward, pushforward_figure

Patch = pytest.MonkeyPatch
DOUBLE = torch.float64


# ---- log-probabilities written out


def test_every_log_probability_agrees_with_its_formula_and_sums_to_one() -> None:
    found = agreements(points=200)
    assert [one.name for one in found] == ["diagonal Gaussian", "categorical", "Bernoulli", "mixture of Gaussians"]
    for one in found:
        assert one.difference < 1e-10
        assert abs(one.total - 1) < 1e-9


def test_a_variance_used_as_standard_deviation_is_detected(monkeypatch: Patch) -> None:
    wrong = lambda mean, log_variance: Independent(Normal(mean, log_variance.exp()), 1)  # noqa: E731
    monkeypatch.setattr(log_probabilities, "diagonal_gaussian", wrong)
    assert agreements(points=50)[0].difference > 0.1


def test_a_mixture_mixed_per_dimension_is_detected(monkeypatch: Patch) -> None:
    original = GaussianMixture

    def wrong(*parameters: Tensor) -> object:
        return mixed_per_dimension(original(*parameters))

    monkeypatch.setattr(log_probabilities, "GaussianMixture", wrong)
    mixture = agreements(points=50)[3]
    assert mixture.difference > 0.1
    assert abs(mixture.total - 1) < 1e-9  # it is a density too; only the formula detects it


def test_the_formulas_written_out_equal_those_of_scipy() -> None:
    g = torch.Generator().manual_seed(0)
    mean, log_variance, z = torch.randn(3, 4, generator=g, dtype=DOUBLE)
    expected = stats.norm.logpdf(z, mean, (0.5 * log_variance).exp()).sum()
    assert log_probabilities.gaussian_written_out(mean, log_variance, z).item() == pytest.approx(expected, rel=1e-12)
    x = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=DOUBLE)
    expected = stats.bernoulli.logpmf(x, mean.sigmoid()).sum()
    assert log_probabilities.bernoulli_written_out(mean, x).item() == pytest.approx(expected, rel=1e-12)


# ---- what mistakes in the prior would do


def mixture(components: int, latents: int, seed: int = 0) -> GaussianMixture:
    g = torch.Generator().manual_seed(seed)
    means, log_variances = (torch.randn(components, latents, generator=g, dtype=DOUBLE) for _ in range(2))
    return GaussianMixture(torch.randn(components, generator=g, dtype=DOUBLE), 2 * means, log_variances)


@pytest.mark.parametrize(("components", "latents"), [(1, 3), (4, 1)])
def test_mixing_per_dimension_is_correct_for_one_component_or_one_latent(components: int, latents: int) -> None:
    prior = mixture(components, latents)
    z = torch.randn(50, latents, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixed_per_dimension(prior).log_prob(z), prior.log_prob(z))


def test_wrong_priors_are_densities() -> None:
    prior = mixture(3, 2)
    axis = torch.linspace(-25, 25, 401, dtype=DOUBLE)
    z = torch.cartesian_prod(axis, axis)
    for wrong in (mixed_per_dimension(prior), variance_as_scale(prior)):
        mass = wrong.log_prob(z).exp().sum() * (axis[1] - axis[0]) ** 2
        assert mass.item() == pytest.approx(1, abs=1e-6)
        assert (wrong.log_prob(z[::500]) - prior.log_prob(z[::500])).abs().max() > 0.1


def test_with_unit_variances_the_wrong_standard_deviation_is_correct() -> None:
    prior = mixture(3, 2)
    prior = GaussianMixture(prior.log_weights, prior.means, torch.zeros_like(prior.means))
    z = prior.means + 0.3
    torch.testing.assert_close(variance_as_scale(prior).log_prob(z), prior.log_prob(z))


def small_vae(components: int, latents: int) -> VAE:
    with seeded_noise(0):
        settings = VAESettings(latents=latents, hidden=(16,), prior="mixture", components=components)
        model = build_vae(settings, DataSpec((1, 8, 8), 17, "threshold"))
        for parameter in model.latent_prior.parameters():
            torch.nn.init.normal_(parameter, std=2.0)
    return model.eval()


def some_digits(count: int = 60) -> PixelBatches:
    return PixelBatches(load_dataset("digits").test.images[:count], PixelSpace("threshold", 17))


@pytest.mark.parametrize(("components", "latents", "differs"), [(1, 3, False), (5, 1, False), (5, 3, True)])
def test_mixing_per_dimension_changes_the_bound_only_with_several_components_and_latents(
    components: int, latents: int, differs: bool
) -> None:
    costs = {cost.name: cost for cost in mistake_costs(small_vae(components, latents), some_digits(), draws=3)}
    found = costs["mixed per dimension"]
    assert (abs(found.nats) > 0.01) == differs
    assert (found.stderr > 1e-4) == differs


def test_the_cost_equals_the_difference_of_two_bounds_with_the_same_noise() -> None:
    model, images = small_vae(5, 3), some_digits(40)
    cost = mistake_costs(model, images, draws=1)[1]
    right = mixture_prior(model)
    wrong = variance_as_scale(right)
    with seeded_noise(0), torch.no_grad():
        x = images.first(40)
        z = model.posterior(x).rsample((2000,))
        expected = (wrong.log_prob(z) - right.log_prob(z)).mean()
    assert cost.name == "variance used as standard deviation"
    assert abs(cost.nats - expected) < 5 * cost.stderr


def test_samples_with_another_prior_use_it() -> None:
    model = small_vae(4, 3)
    far = GaussianMixture(torch.zeros(1), torch.full((1, 3), 50.0), torch.full((1, 3), -10.0))
    with torch.no_grad():
        probabilities = model.decode(torch.full((1, 3), 50.0))
    drawn = draw_with(model, far, 400, seed=1)
    assert drawn.shape == (400, 1, 8, 8)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    assert (drawn.mean(0) - probabilities[0]).abs().max() < 0.15
    assert torch.equal(drawn, draw_with(model, far, 400, seed=1))


def test_mixing_per_dimension_loses_the_correlation_of_latents() -> None:
    """Samples of the wrong prior have the correct marginals, but no correlation between latents."""
    means = torch.tensor([[5.0, 5.0], [-5.0, -5.0]], dtype=DOUBLE)
    prior = GaussianMixture(torch.zeros(2, dtype=DOUBLE), means, torch.zeros(2, 2, dtype=DOUBLE))
    with seeded_noise(0):
        right, wrong = prior.sample((4000,)), mixed_per_dimension(prior).sample((4000,))
    assert right.T.corrcoef()[0, 1] > 0.9
    assert wrong.T.corrcoef()[0, 1].abs() < 0.1
    torch.testing.assert_close(wrong.std(0), right.std(0), rtol=0.05, atol=0)


# ---- parts that compose


def test_every_prior_can_be_combined_with_every_likelihood() -> None:
    found = compositions()
    assert [(one.likelihood, one.prior) for one in found] == [(a, b) for a in LIKELIHOODS for b in PRIORS]
    assert len(found) == 16
    for one in found:
        assert math.isfinite(one.negative_elbo) and one.learns and one.draws_in_space


# ---- the pushforward of a composition


@pytest.mark.parametrize("step", MAPS, ids=lambda step: step.name)
def test_each_map_has_its_inverse_and_its_slope(step: object) -> None:
    z = torch.linspace(-3, 3, 41, dtype=DOUBLE, requires_grad=True)
    x = step.forward(z)  # type: ignore[attr-defined]
    (slope,) = torch.autograd.grad(x.sum(), z)
    torch.testing.assert_close(slope.log(), step.log_slope(z))  # type: ignore[attr-defined]
    torch.testing.assert_close(step.inverse(x), z)  # type: ignore[attr-defined]


def test_the_pushforward_density_fits_the_samples() -> None:
    stages = pushforward(draws=40_000)
    assert len(stages) == 1 + len(MAPS)
    for stage in stages:
        assert stage.integral == pytest.approx(1, abs=1e-5)
        assert stage.fit > 1e-4  # p-value of the chi-square statistic, one false alarm in 10,000
    assert pushforward_figure(stages).axes


def test_a_missing_slope_is_detected(monkeypatch: Patch) -> None:
    broken = MAPS[1]._replace(log_slope=torch.zeros_like)
    monkeypatch.setattr("ancestral.studies.demonstrations.pushforward.MAPS", (MAPS[0], broken, MAPS[2]))
    stages = pushforward(draws=40_000)
    assert abs(stages[2].integral - 1) > 0.01
    assert stages[2].fit < 1e-12
    assert stages[1].fit > 1e-4


# ---- the divergence, three ways


def test_closed_form_quadrature_and_monte_carlo_agree() -> None:
    mean, scale = torch.tensor([0.5, -2.0, 0.0]), torch.tensor([0.3, 1.5, 1.0])
    found = divergence_by_draws(mean, scale)
    expected = sum(0.5 * (s * s + m * m - 1) - math.log(s) for m, s in zip(mean.tolist(), scale.tolist(), strict=True))
    assert found.closed == pytest.approx(expected, rel=1e-6)
    assert found.quadrature == pytest.approx(expected, rel=1e-6)
    for nats, stderr in zip(found.nats, found.stderr, strict=True):
        assert abs(nats - expected) < 5 * stderr
    assert found.stderr[-1] < found.stderr[0] / 30  # more than a hundred times as many samples
    apart = divergence_by_draws(mean, scale, draws=(100, 100))
    assert apart.nats[0] != apart.nats[1]  # each estimate uses its own samples
    assert divergence_figure(found).axes


def test_the_divergence_of_a_distribution_from_itself_is_zero() -> None:
    found = divergence_by_draws(torch.zeros(4), torch.ones(4), draws=(10, 100))
    assert found.closed == 0 and found.quadrature == pytest.approx(0, abs=1e-12)
    assert found.nats == pytest.approx((0, 0), abs=1e-9)


# ---- MADE's chain rule


def test_masked_conditionals_equal_those_of_the_joint() -> None:
    found = chain_rule_holds()
    assert found.states == 2**9
    assert abs(found.total - 1) < 1e-10
    assert found.gap < 1e-10
    assert abs(found.unmasked_total - 1) > 0.01
    assert not found.reach.triu().any()  # exact zeros: no output depends on its own or later pixels
    assert (found.reach.tril(-1) > 0).sum() == 36  # and each depends on all earlier pixels
    assert torch.equal(found.direct, torch.ones(9, 9, dtype=DOUBLE).tril(-1))
    assert masks_figure(found).axes


def test_a_mask_that_is_not_strict_is_detected(monkeypatch: Patch) -> None:
    monkeypatch.setattr(masked, "mask_of", lambda before, after, strict=False: mask_of(before, after))
    found = chain_rule_holds()
    assert abs(found.total - 1) > 0.01
    assert found.reach.diagonal().any()


def test_there_are_two_named_mistakes() -> None:
    assert set(prior_mistakes.MISTAKES) == {"mixed per dimension", "variance used as standard deviation"}


# ---- two runs on the same images


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("pair")
    sizes = {"data": "digits", "pixels": "threshold", "latents": 2, "hidden": (8,)}
    return tuple(  # type: ignore[return-value]
        fit_settings(settings_for("vae", **sizes, epochs=epochs), folder / str(epochs)) for epochs in (1, 4)
    )


def test_a_paired_difference_equals_the_difference_of_the_scores(two_runs: tuple[Run, Run]) -> None:
    first, second = two_runs
    found = paired_difference(second, first, samples=5, count=200)
    a, b = (score_run(run, samples=5, count=200) for run in (second, first))
    assert found.nats == pytest.approx(a.nats - b.nats, abs=1e-9)
    assert (found.method, found.count) == ("IWAE_5", 200)
    assert found.stderr < math.hypot(a.stderr, b.stderr)
    assert found.nats > 0 and found.clear
    assert paired_difference(first, first, 0, 50) == Difference(0.0, 0.0, "ELBO", 50)


def test_runs_with_different_pixels_are_not_compared(two_runs: tuple[Run, Run], tmp_path: Path) -> None:
    settings = settings_for("vae", data="digits", pixels="levels", latents=2, hidden=(8,), epochs=1)
    with pytest.raises(InputError, match="different spaces"):
        paired_difference(two_runs[0], fit_settings(settings, tmp_path / "grey"), 0, 10)


def test_the_unmasked_network_uses_the_same_weights_without_masks() -> None:
    with seeded_noise(0):
        model = MADE([1, 2, 2], hidden=[5]).eval()
        x = torch.bernoulli(torch.full((7, 4), 0.5))
    (hidden,), last, direct = model.layers, model.last, model.direct
    assert isinstance(hidden, MaskedLinear) and last is not None and direct is not None
    seen = 2 * x - 1
    expected = (seen @ hidden.weight.T + hidden.bias).relu() @ last.weight.T + last.bias + seen @ direct.weight.T
    torch.testing.assert_close(chain_rule._unmasked_logits(model, x), expected)
