"""Each log-probability against an independent way of computing it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from ancestral.core.maths import bits_per_dimension
from ancestral.distributions.conditional import DiagonalGaussian, diagonal_gaussian, kl_parts
from ancestral.distributions.pixels import (
    BernoulliImage,
    BernoulliPixels,
    CategoricalImage,
    DiscretisedLogisticImage,
    GaussianPixels,
)
from ancestral.distributions.priors import GaussianMixture, MixturePrior, StandardNormal

DOUBLE = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_diagonal_gaussian_is_the_multivariate_normal_with_that_covariance() -> None:
    """log N(z; m, diag v): catches exp(log-variance) taken for the standard deviation."""
    mean, log_variance = torch.randn(2, 5, 3, dtype=DOUBLE, generator=generator())
    z = torch.randn(5, 3, dtype=DOUBLE, generator=generator(1))
    ours = diagonal_gaussian(mean, log_variance).log_prob(z)
    reference = MultivariateNormal(mean, torch.diag_embed(log_variance.exp())).log_prob(z)
    assert torch.allclose(ours, reference, atol=1e-12)


def test_encoder_reads_means_then_log_variances() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1.0, 2.0, math.log(4.0), math.log(9.0)]]).expand(len(x), -1)

    q = DiagonalGaussian(Fixed())(torch.zeros(3, 1))
    assert torch.allclose(q.mean, torch.tensor([1.0, 2.0]).expand(3, 2))
    assert torch.allclose(q.stddev, torch.tensor([2.0, 3.0]).expand(3, 2), rtol=0.02)  # smooth bound: 1% of log v


@pytest.mark.parametrize(("log_variance", "expected"), [(-12.0, None), (12.0, None), (0.0, 0.5)])
def test_divergence_from_the_standard_normal_in_closed_form(log_variance: float, expected: float | None) -> None:
    """KL(N(m, v) || N(0, 1)) = (v + m^2 - 1 - log v) / 2, tiny and huge."""
    mean = 1.0
    q = diagonal_gaussian(torch.tensor([[mean]], dtype=DOUBLE), torch.tensor([[log_variance]], dtype=DOUBLE))
    p = StandardNormal(1).double()()
    found = kl_parts(q, p, q.mean).item()
    formula = 0.5 * (math.exp(log_variance) + mean**2 - 1 - log_variance)
    assert found == pytest.approx(formula, rel=1e-12)
    assert expected is None or found == pytest.approx(expected)


def test_divergence_without_a_closed_form_is_unbiased() -> None:
    prior = MixturePrior(2, 3).double()
    q = diagonal_gaussian(torch.tensor([[0.3, -1.0]], dtype=DOUBLE), torch.tensor([[-1.0, 0.2]], dtype=DOUBLE))
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.cat([kl_parts(q, prior(), q.sample()) for _ in range(4000)])
        axis = torch.linspace(-12, 12, 801, dtype=DOUBLE)
        z = torch.cartesian_prod(axis, axis)
        log_q = q.log_prob(z)
        truth = (log_q.exp() * (log_q - prior().log_prob(z))).sum() * (axis[1] - axis[0]) ** 2
    assert draws.shape == (4000, 1)
    assert abs(draws.mean() - truth) < 5 * draws.std() / math.sqrt(4000)


def mixture(components: int = 4, latents: int = 3) -> GaussianMixture:
    g = generator(3)
    return GaussianMixture(
        torch.randn(components, dtype=DOUBLE, generator=g),
        3 * torch.randn(components, latents, dtype=DOUBLE, generator=g),
        torch.randn(components, latents, dtype=DOUBLE, generator=g),
    )


def torch_mixture(ours: GaussianMixture) -> MixtureSameFamily:
    parts = Independent(Normal(ours.means, (0.5 * ours.log_variances).exp()), 1)
    return MixtureSameFamily(Categorical(logits=ours.log_weights), parts)


def test_mixture_prior_mixes_whole_vectors() -> None:
    """Against torch's own mixture: catches one mixed per dimension, which is a density too, but another one."""
    ours = mixture()
    z = 3 * torch.randn(50, 3, dtype=DOUBLE, generator=generator(4))
    assert torch.allclose(ours.log_prob(z), torch_mixture(ours).log_prob(z), atol=1e-10)
    apart = MixtureSameFamily(
        Categorical(logits=ours.log_weights.expand(3, -1)),
        Normal(ours.means.T, (0.5 * ours.log_variances.T).exp()),
    )
    assert (ours.log_prob(z) - apart.log_prob(z).sum(-1)).abs().max() > 0.1  # the mistake would be seen


@pytest.mark.parametrize("deviation", [1.0, 0.03, 0.003])
@pytest.mark.parametrize("far", [1.0, 30.0])
def test_mixture_prior_in_single_precision_stays_close(deviation: float, far: float) -> None:
    """The same numbers in both precisions, components narrow, far apart and far from the origin: within 1e-3 nats,
    under half-precision autocast too. Multiplied out in single precision this is off by up to 500 nats."""
    means = far * (1 + torch.randn(16, 20, generator=generator(3)))
    log_variances = torch.full((16, 20), 2 * math.log(deviation))
    z = means[torch.arange(64) % 16] + deviation * torch.randn(64, 20, generator=generator(4))
    single = GaussianMixture(torch.zeros(16), means, log_variances)
    exact = torch_mixture(GaussianMixture(*(part.double() for part in (torch.zeros(16), means, log_variances))))
    found = single.log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = single.log_prob(z)
    assert found.dtype == reduced.dtype == torch.float32
    assert (found.double() - exact.log_prob(z.double())).abs().max() < 1e-3
    assert torch.equal(reduced, found)
    z.requires_grad_()
    (slope,) = torch.autograd.grad(single.log_prob(z).sum(), z)
    (exact_slope,) = torch.autograd.grad(exact.log_prob(z.double()).sum(), z)
    assert slope.dtype == torch.float32 and torch.allclose(slope, exact_slope, rtol=1e-3, atol=1e-3 / deviation)


def test_samples_of_the_mixture_prior_have_its_moments() -> None:
    """Mean and full covariance: catches a wrong standard deviation and components mixed per dimension."""
    ours = mixture(3, 2)
    torch.manual_seed(5)
    z = ours.sample((200_000,))
    weights = ours.log_weights.exp()
    mean = weights @ ours.means
    second = torch.einsum("k,ki,kj->ij", weights, ours.means, ours.means) + torch.diag(
        weights @ ours.log_variances.exp()
    )
    covariance = second - mean.outer(mean)
    assert torch.allclose(z.mean(0), mean, atol=0.05)
    assert torch.allclose(z.T.cov(), covariance, atol=0.15)
    assert covariance[0, 1].abs() > 0.5  # the latents are really correlated
    assert torch.allclose(ours.mean, mean)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_image_is_exact_however_large_its_logits(dtype: torch.dtype) -> None:
    logits = torch.tensor([[[-200.0, -25.0, 0.0, 25.0, 200.0]]], dtype=dtype)
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    parts = [BernoulliImage(logits[..., d : d + 1], 2) for d in range(5)]
    for d, part in enumerate(parts):
        total = part.log_prob(ones[..., d : d + 1]).exp() + part.log_prob(zeros[..., d : d + 1]).exp()
        assert abs(total.item() - 1) <= (1e-14 if dtype == DOUBLE else 1e-6)
    reference = Independent(torch.distributions.Bernoulli(logits=logits), 2).log_prob(ones)
    assert torch.allclose(BernoulliImage(logits, 2).log_prob(ones), reference)


def test_bernoulli_raises_for_grey_pixels_in_evaluation_mode() -> None:
    """Binary cross-entropy of a grey pixel is a number, but not the log-probability of anything."""
    likelihood = BernoulliPixels(nn.Identity(), [1, 2, 2]).eval()
    logits = torch.zeros(1, 1, 2, 2)
    assert likelihood(logits).log_prob(torch.ones(1, 1, 2, 2)).item() == pytest.approx(4 * math.log(0.5))
    with pytest.raises(ValueError, match="support"):
        likelihood(logits).log_prob(torch.full((1, 1, 2, 2), 0.3))


@pytest.mark.parametrize("log_scale", [-6.0, -1.0, 1.0, 5.0])
@pytest.mark.parametrize("mean", [-40.0, 0.2, 7.5, 300.0])
def test_discretised_logistic_sums_to_one_over_its_levels(mean: float, log_scale: float) -> None:
    levels = 16
    x = torch.arange(levels, dtype=DOUBLE).reshape(levels, 1)
    shape = torch.full((levels, 1), 1.0, dtype=DOUBLE)
    distribution = DiscretisedLogisticImage(mean * shape, log_scale * shape, levels, 1)
    log_p = distribution.log_prob(x)
    assert log_p.isfinite().all()
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_discretised_logistic_bins_are_one_level_wide() -> None:
    """Against the distribution function itself: catches bins of 1/255 beside levels of 1/256."""
    levels, mean, scale = 256, 100.3, 9.0
    x = torch.arange(1, levels - 1, dtype=DOUBLE).reshape(-1, 1)
    one = torch.ones_like(x)
    found = DiscretisedLogisticImage(mean * one, math.log(scale) * one, levels, 1).log_prob(x).exp()
    cdf = torch.sigmoid((x + 0.5 - mean) / scale) - torch.sigmoid((x - 0.5 - mean) / scale)
    assert torch.allclose(found, cdf[:, 0], atol=1e-14)


def test_discretised_logistic_samples_agree_with_its_probabilities() -> None:
    levels = 5
    distribution = DiscretisedLogisticImage(torch.tensor([1.2]), torch.tensor([0.1]), levels, 1)
    torch.manual_seed(6)
    counts = torch.bincount(distribution.sample((40_000,)).flatten().long(), minlength=levels).double()
    x = torch.arange(levels, dtype=torch.float32)[:, None]
    probs = torch.stack([distribution.log_prob(row) for row in x]).double().exp()
    statistic = ((counts - 40_000 * probs).square() / (40_000 * probs)).sum()
    assert statistic < 23.5  # chi-square with 4 degrees of freedom, one in 10,000


def test_a_uniform_model_of_256_levels_scores_8_bits_per_dimension() -> None:
    logits = torch.zeros(2, 1, 28, 28, 256)
    x = torch.randint(0, 256, (2, 1, 28, 28), generator=generator()).float()
    nats = CategoricalImage(logits, 3).log_prob(x).mean().item()
    assert bits_per_dimension(nats, 784) == pytest.approx(8, abs=1e-5)


def test_categorical_image_against_a_sum_over_pixels() -> None:
    logits = torch.randn(2, 1, 3, 3, 5, dtype=DOUBLE, generator=generator())
    x = torch.randint(0, 5, (2, 1, 3, 3), generator=generator())
    found = CategoricalImage(logits, 3).log_prob(x.double())
    by_hand = logits.log_softmax(-1).gather(-1, x[..., None])[..., 0].sum((1, 2, 3))
    assert torch.allclose(found, by_hand)
    expected_level = (logits.softmax(-1) * torch.arange(5)).sum(-1)
    assert torch.allclose(CategoricalImage(logits, 3).mean, expected_level)


@pytest.mark.parametrize("variance", [1.0, 0.04])
def test_gaussian_pixels_integrate_to_one(variance: float) -> None:
    likelihood = GaussianPixels(nn.Identity(), [1, 1, 1], variance).double()
    x = torch.linspace(-10, 10, 40_001, dtype=DOUBLE).reshape(-1, 1, 1, 1)
    log_p = likelihood(torch.full((1, 1, 1, 1), 0.3, dtype=DOUBLE)).log_prob(x)
    assert (log_p.exp().sum() * (x[1] - x[0])).item() == pytest.approx(1, abs=1e-9)


def test_a_learned_variance_learns() -> None:
    likelihood = GaussianPixels(nn.Identity(), [1, 1, 1], 0.5, learned=True)
    assert likelihood(torch.zeros(1, 1, 1, 1)).variance.item() == pytest.approx(0.5, rel=1e-2)
    likelihood(torch.zeros(1, 1, 1, 1)).log_prob(torch.ones(1, 1, 1, 1)).backward()
    assert likelihood.log_variance.grad is not None
