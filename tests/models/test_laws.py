"""The laws of every kind of model, over the zoo: the package's own contract, and what only a known answer can show."""

from __future__ import annotations

import math

import pytest
import torch
import zoo
from helpers import assert_bounds_in_order, prior_samples_fit

from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation import likelihood, scoring
from ancestral.evaluation.contract import check_model
from ancestral.evaluation.enumeration import all_images
from ancestral.models.base import ExactModel, LatentModel

# with one component p(Z) = 1, so the parameter b has no gradient: this model cannot pass this check
EXCUSED = {("mixture of one", "every parameter gets a gradient")}


SLOW = {
    "vae, convolutional",
    "flow of images, given a vector",
    "any-order, unet",
    "any-order, unet, conditional",
    "any-order, logistic, colour",
}
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in zoo.EVERY]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_keeps_the_contract(name: str) -> None:
    checks = check_model(zoo.seeded(zoo.EVERY[name]))
    broken = [check for check in checks if not check.passed and (name, check.name) not in EXCUSED]
    assert len(checks) >= 3
    assert not broken


def latent_grid(half_width: float = 10.0, points: int = 81) -> tuple[torch.Tensor, float]:
    """Points of a square grid over two latents, shape (points^2, 2), and the log of a cell's area."""
    axis = torch.linspace(-half_width, half_width, points, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    return z, 2 * math.log((axis[1] - axis[0]).item())


def log_prob_by_quadrature(model: LatentModel, x: torch.Tensor) -> torch.Tensor:
    """log p(x) as the sum of p(x, z) over a fine grid of the two latents, shape (B,)."""
    z, log_area = latent_grid()
    with torch.no_grad():
        totals = [model.log_joint(x, part[:, None].expand(-1, len(x), -1)).logsumexp(0) for part in z.split(8192)]
    return torch.stack(totals).logsumexp(0) + log_area


@pytest.mark.parametrize("name", ["vae", "vae, mixture prior", "vae, VampPrior"])
def test_samples_of_the_prior_agree_with_its_density(name: str) -> None:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, LatentModel)
    assert prior_samples_fit(model)


QUADRATURE = ["vae", "vae, mixture prior", "vae, VampPrior", "vae, categorical"]


@pytest.mark.parametrize("name", QUADRATURE)
def test_bounds_are_in_order_below_the_true_log_probability(name: str) -> None:
    """E[ELBO] <= E[IWAE_10] <= log p(x), and IWAE_5000 within 0.02 nat of it, on every image there is."""
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, LatentModel)
    x = all_images(model)[::7]
    truth = log_prob_by_quadrature(model, x)
    torch.manual_seed(1)
    with torch.no_grad():
        log_w = model.log_weights(x, 5000)
    assert_bounds_in_order(log_w, truth, gap=0.05)


@pytest.mark.parametrize("name", QUADRATURE)
def test_probabilities_by_quadrature_sum_to_one(name: str) -> None:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, LatentModel)
    assert log_prob_by_quadrature(model, all_images(model)).exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["vae", "vae, mixture prior"])
def test_elbo_with_closed_form_divergence_agrees_with_the_weights(name: str) -> None:
    """Two ways to the same bound: reconstruction minus KL, and the mean log weight."""
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, zoo.VAE)
    x = all_images(model)[::19]
    torch.manual_seed(2)
    with torch.no_grad():
        parts = torch.stack([model.elbo(x) for _ in range(4000)])
        weights = model.log_weights(x, 4000)
    error = (parts.var(0) + weights.var(1)).sqrt() / math.sqrt(4000)
    assert ((parts.mean(0) - weights.mean(1)).abs() <= 5 * error).all()


def test_prior_monte_carlo_finds_the_true_log_probability() -> None:
    model = zoo.seeded(zoo.ZOO["vae"])
    assert isinstance(model, LatentModel)
    images = PixelBatches((all_images(model)[::37]).to(torch.uint8), PixelSpace("levels", 2))
    found = likelihood.prior_monte_carlo(model, images, samples=20_000)
    truth = log_prob_by_quadrature(model, all_images(model)[::37])
    assert (found - truth).abs().max() < 0.1


@pytest.mark.parametrize("name", ["mixture", "vae", "vae, mixture prior"])
def test_scores_do_not_depend_on_how_images_are_grouped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last short block weighs as much per image as the others, exactly."""
    model = zoo.seeded(zoo.ZOO[name])
    images = PixelBatches(all_images(model)[:130].to(torch.uint8), PixelSpace("levels", 2))
    if isinstance(model, ExactModel):
        whole = likelihood.exact_log_prob(model, images)
        monkeypatch.setattr(likelihood, "BLOCK", 1)
        parts = likelihood.exact_log_prob(model, images)
        assert torch.equal(whole, parts)
        return
    whole = likelihood.importance_weighted(model, images, 5000)
    monkeypatch.setattr(likelihood, "ROWS", 700)
    parts = likelihood.importance_weighted(model, images, 5000)
    assert whole.shape == parts.shape == (130,)
    assert (whole - parts).abs().mean() < 0.05
    assert (whole - parts).mean().abs() < 0.01


def test_a_score_is_the_plain_mean_over_images_and_its_standard_error() -> None:
    model = zoo.seeded(zoo.ZOO["mixture"])
    x = all_images(model)[:45]
    images = PixelBatches(x.to(torch.uint8), PixelSpace("threshold", 2))
    score = scoring.score(model, images, dataset="tiny", split="test")
    values = model.log_prob(x)
    assert score.nats == pytest.approx(values.mean().item(), abs=1e-12)
    assert score.stderr == pytest.approx((values.std() / math.sqrt(45)).item(), abs=1e-12)
    assert (score.kind, score.side, score.count, score.samples) == ("exact", None, 45, 0)
    assert score.bits_per_dim == pytest.approx(-score.nats / 9 / math.log(2))


def test_scoring_is_repeatable_and_does_not_change_the_callers_generator() -> None:
    model = zoo.seeded(zoo.ZOO["vae"])
    images = PixelBatches(all_images(model)[:50].to(torch.uint8), PixelSpace("threshold", 2))
    model.train()
    before = torch.get_rng_state()
    first = likelihood.importance_weighted(model, images, 100)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert torch.equal(first, likelihood.importance_weighted(model, images, 100))  # type: ignore[arg-type]
