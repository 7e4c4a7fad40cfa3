"""The laws catch the mistakes of the field: each is made on purpose here, and a clause of the contract must break."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import zoo
from test_laws import prior_samples_fit
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from ancestral.distributions import conditional, pixels, priors
from ancestral.evaluation import contract
from ancestral.evaluation.contract import check_model
from ancestral.models.kinds import LatentModel
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.vae import VAE

Patch = pytest.MonkeyPatch


def broken_clauses(name: str) -> set[str]:
    return {check.name for check in check_model(zoo.seeded(zoo.ZOO[name])) if not check.passed}


SUM, FIT, ORDER = (
    "probabilities of all images sum to one",
    "samples fit the probabilities",
    "more importance samples never loosen the bound",
)


def variance_as_scale(patch: Patch) -> None:
    """exp(log-variance) taken for the standard deviation, when scoring but not when drawing."""

    def log_prob(self: priors.GaussianMixture, z: Tensor) -> Tensor:
        parts = Independent(Normal(self.means, self.log_variances.exp(), validate_args=False), 1, validate_args=False)
        return (self.log_weights + parts.log_prob(z[..., None, :])).logsumexp(-1)

    patch.setattr(priors.GaussianMixture, "log_prob", log_prob)


def prior_mixed_per_dimension(patch: Patch) -> None:
    """Each latent mixed apart: a proper density, but not the one that is sampled."""

    def log_prob(self: priors.GaussianMixture, z: Tensor) -> Tensor:
        parts = Normal(self.means, (0.5 * self.log_variances).exp(), validate_args=False).log_prob(z[..., None, :])
        return (self.log_weights[:, None] + parts).logsumexp(-2).sum(-1)

    patch.setattr(priors.GaussianMixture, "log_prob", log_prob)


def missing_log_weights(patch: Patch) -> None:
    """The mixture's components added without their weights."""
    original = priors.GaussianMixture.component_log_probs
    patch.setattr(priors.GaussianMixture, "component_log_probs", lambda self, z: original(self, z) - self.log_weights)


def missing_log_k(patch: Patch) -> None:
    """The sum of the importance weights taken for their mean."""
    patch.setattr(contract, "log_mean_exp", lambda values, dim: torch.logsumexp(values, dim))


def mean_over_pixels(patch: Patch) -> None:
    """Reconstruction averaged over pixels beside a divergence summed over latents."""
    original = pixels.BernoulliImage.log_prob
    patch.setattr(pixels.BernoulliImage, "log_prob", lambda self, x: original(self, x) / 9)


def clamped_probabilities(patch: Patch) -> None:
    """Probabilities clamped away from 0 and 1, so that the two outcomes of a pixel no longer share one."""

    def log_prob(self: pixels.BernoulliImage, x: Tensor) -> Tensor:
        on, off = self.logits.sigmoid().clamp_min(0.2), (-self.logits).sigmoid().clamp_min(0.2)
        return torch.where(x > 0, on, off).log().flatten(-3).sum(-1)

    patch.setattr(pixels.BernoulliImage, "log_prob", log_prob)


def posterior_density_forgotten(patch: Patch) -> None:
    """log p(x, z) alone called a log weight."""
    patch.setattr(LatentModel, "log_weights", lambda self, x, k: self.weigh(x, k).log_joint.T)


def doubled_divergence(patch: Patch) -> None:
    """The training's beta = 2 kept in evaluation."""

    def log_weights(self: VAE, x: Tensor, k: int) -> Tensor:
        z, log_joint, log_q = self.weigh(x, k)
        return (log_joint + self.prior().log_prob(z) - 2 * log_q).T

    patch.setattr(LatentModel, "log_weights", log_weights)


def edge_bins_closed(patch: Patch) -> None:
    """The first and last level of the discretised logistic without their tails."""

    def log_prob(self: pixels.DiscretisedLogisticImage, x: Tensor) -> Tensor:
        inverse = (-self.log_scale).exp()
        upper = F.logsigmoid((x - self.location + 0.5) * inverse)
        lower = F.logsigmoid((self.location - x + 0.5) * inverse)
        return (upper + lower + torch.log(-torch.expm1(-inverse))).flatten(-3).sum(-1)

    patch.setattr(pixels.DiscretisedLogisticImage, "log_prob", log_prob)


def bins_of_another_width(patch: Patch) -> None:
    """Bins of width 1 / L beside levels that are 1 / (L - 1) apart."""

    def log_prob(self: pixels.DiscretisedLogisticImage, x: Tensor) -> Tensor:
        half, inverse = 0.5 * (self.levels - 1) / self.levels, (-self.log_scale).exp()
        up, down = (x - self.location + half) * inverse, (x - self.location - half) * inverse
        last = x == self.levels - 1
        p = torch.where(x == 0, up.sigmoid(), torch.where(last, (-down).sigmoid(), up.sigmoid() - down.sigmoid()))
        return p.clamp_min(1e-300).log().flatten(-3).sum(-1)

    patch.setattr(pixels.DiscretisedLogisticImage, "log_prob", log_prob)


def sampled_through_the_wrong_prior(patch: Patch) -> None:
    """A learned mixture prior that is scored, and N(0, I) that is sampled."""
    patch.setattr(priors.GaussianMixture, "sample", lambda self, shape: torch.randn(*shape, 2, dtype=self.means.dtype))


def unnormalised_components(patch: Patch) -> None:
    """p(Z) without its softmax's normaliser."""

    def joint(self: MixtureOfBernoullis, x: Tensor) -> Tensor:
        return self.b + x.flatten(1) @ self.logits.T - F.softplus(self.logits).sum(1)

    patch.setattr(MixtureOfBernoullis, "joint", joint)


def flipped_sign(patch: Patch) -> None:
    """The Bernoulli's normaliser at -l instead of l."""

    def joint(self: MixtureOfBernoullis, x: Tensor) -> Tensor:
        return self.b.log_softmax(0) + x.flatten(1) @ self.logits.T - F.softplus(-self.logits).sum(1)

    patch.setattr(MixtureOfBernoullis, "joint", joint)


MISTAKES: list[tuple[Callable[[Patch], None], str, set[str]]] = [
    (missing_log_weights, "vae, mixture prior", {SUM}),
    (missing_log_k, "vae", {SUM}),
    (mean_over_pixels, "vae", {SUM}),
    (clamped_probabilities, "vae", {SUM}),
    (posterior_density_forgotten, "vae", {SUM}),
    (doubled_divergence, "vae", {SUM}),
    (edge_bins_closed, "vae, discretised logistic", {SUM}),
    (bins_of_another_width, "vae, discretised logistic", {SUM}),
    (sampled_through_the_wrong_prior, "vae, mixture prior", {FIT}),
    (unnormalised_components, "mixture", {SUM}),
    (flipped_sign, "mixture", {SUM, FIT}),
]


@pytest.mark.parametrize(("make", "name", "caught_by"), MISTAKES, ids=[make.__name__ for make, _, _ in MISTAKES])
def test_mistake_is_caught(make: Callable[[Patch], None], name: str, caught_by: set[str], monkeypatch: Patch) -> None:
    assert not broken_clauses(name)
    make(monkeypatch)
    assert caught_by <= broken_clauses(name)


@pytest.mark.parametrize("make", [variance_as_scale, prior_mixed_per_dimension, sampled_through_the_wrong_prior])
def test_mistake_in_the_prior_is_caught(make: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """These leave a proper density, only not the one that is drawn from."""
    model = zoo.seeded(zoo.ZOO["vae, mixture prior"])
    assert isinstance(model, VAE)
    assert prior_samples_fit(model)
    make(monkeypatch)
    assert not prior_samples_fit(model)


def test_a_parameter_out_of_reach_is_caught() -> None:
    model = zoo.seeded(zoo.ZOO["vae"])
    assert isinstance(model, VAE)
    model.register_parameter("forgotten", torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    assert "every parameter gets a gradient" in {check.name for check in check_model(model) if not check.passed}


def test_a_nan_image_shows_in_the_mean_and_is_not_dropped() -> None:
    from ancestral.data.pixels import PixelBatches, PixelSpace
    from ancestral.evaluation import likelihood

    model = zoo.seeded(zoo.ZOO["mixture"])
    images = PixelBatches(torch.ones(5, 1, 3, 3, dtype=torch.uint8), PixelSpace("threshold", 2))
    with torch.no_grad():
        model.c[0] = math.nan  # type: ignore[union-attr]
    assert math.isnan(likelihood.score(model, images, dataset="tiny", split="test").nats)


def test_exponent_of_the_log_variance_is_halved_in_the_encoder_too() -> None:
    q = conditional.diagonal_gaussian(torch.zeros(1), torch.log(torch.tensor([9.0])))
    assert q.stddev.item() == pytest.approx(3.0)
