"""The contract tests catch common mistakes: each is made on purpose here, and a check of the contract must fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import zoo
from helpers import prior_samples_fit
from torch import Tensor
from torch.distributions import Independent, Normal, Uniform
from torch.nn import functional as F

from ancestral.distributions import bijections, conditional, dequantisation, pixels, priors
from ancestral.distributions.chains import BernoulliChain
from ancestral.evaluation import contract, enumeration
from ancestral.evaluation.contract import check_model
from ancestral.families.autoregressive import made, made_sampling, pixelcnn
from ancestral.families.autoregressive.made import MADE
from ancestral.families.belief_net import exact as belief_net
from ancestral.families.flow.images import ImageFlow
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.vae.vae import VAE
from ancestral.models.base import LatentModel
from ancestral.networks import causal, masked

Patch = pytest.MonkeyPatch


def broken_clauses(name: str) -> set[str]:
    return {check.name for check in check_model(zoo.seeded(zoo.ZOO[name])) if not check.passed}


SUM, FIT, ORDER = (
    "probabilities of all images sum to one",
    "samples fit the probabilities",
    "more importance samples never loosen the bound",
)


def variance_as_scale(patch: Patch) -> None:
    """exp(log-variance) used as the standard deviation in scoring, but not in sampling."""

    def log_prob(self: priors.GaussianMixture, z: Tensor) -> Tensor:
        parts = Independent(Normal(self.means, self.log_variances.exp(), validate_args=False), 1, validate_args=False)
        return (self.log_weights + parts.log_prob(z[..., None, :])).logsumexp(-1)

    patch.setattr(priors.GaussianMixture, "log_prob", log_prob)


def prior_mixed_per_dimension(patch: Patch) -> None:
    """Each latent chooses its component independently: a valid density, but not the one that is sampled."""

    def log_prob(self: priors.GaussianMixture, z: Tensor) -> Tensor:
        parts = Normal(self.means, (0.5 * self.log_variances).exp(), validate_args=False).log_prob(z[..., None, :])
        return (self.log_weights[:, None] + parts).logsumexp(-2).sum(-1)

    patch.setattr(priors.GaussianMixture, "log_prob", log_prob)


def missing_log_weights(patch: Patch) -> None:
    """The mixture's components summed without their weights."""
    original = priors.GaussianMixture.component_log_probs
    patch.setattr(priors.GaussianMixture, "component_log_probs", lambda self, z: original(self, z) - self.log_weights)


def missing_log_k(patch: Patch) -> None:
    """The sum of the importance weights in place of their mean."""
    for module in (contract, enumeration):
        patch.setattr(module, "log_mean_exp", lambda values, dim: torch.logsumexp(values, dim))


def mean_over_pixels(patch: Patch) -> None:
    """Reconstruction averaged over pixels, but KL divergence summed over latents."""
    original = pixels.BernoulliImage.log_prob
    patch.setattr(pixels.BernoulliImage, "log_prob", lambda self, x: original(self, x) / 9)


def clamped_probabilities(patch: Patch) -> None:
    """Probabilities clamped away from 0 and 1, so that those of the two values of a pixel do not sum to 1."""

    def log_prob(self: pixels.BernoulliImage, x: Tensor) -> Tensor:
        on, off = self.logits.sigmoid().clamp_min(0.2), (-self.logits).sigmoid().clamp_min(0.2)
        return torch.where(x > 0, on, off).log().flatten(-3).sum(-1)

    patch.setattr(pixels.BernoulliImage, "log_prob", log_prob)


def posterior_density_forgotten(patch: Patch) -> None:
    """log p(x, z) used as the log weight, without log q(z | x)."""
    patch.setattr(LatentModel, "log_weights", lambda self, x, k: self.importance_sample(x, k).log_joint.T)


def doubled_divergence(patch: Patch) -> None:
    """beta = 2 of training used in evaluation."""

    def log_weights(self: VAE, x: Tensor, k: int) -> Tensor:
        z, log_joint, log_q = self.importance_sample(x, k)
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
    """Bins of width 1 / L for levels with a distance of 1 / (L - 1)."""

    def log_prob(self: pixels.DiscretisedLogisticImage, x: Tensor) -> Tensor:
        half, inverse = 0.5 * (self.levels - 1) / self.levels, (-self.log_scale).exp()
        up, down = (x - self.location + half) * inverse, (x - self.location - half) * inverse
        last = x == self.levels - 1
        p = torch.where(x == 0, up.sigmoid(), torch.where(last, (-down).sigmoid(), up.sigmoid() - down.sigmoid()))
        return p.clamp_min(1e-300).log().flatten(-3).sum(-1)

    patch.setattr(pixels.DiscretisedLogisticImage, "log_prob", log_prob)


def sampled_through_the_wrong_prior(patch: Patch) -> None:
    """A learned mixture prior in scoring, but N(0, I) in sampling."""
    patch.setattr(priors.GaussianMixture, "sample", lambda self, shape: torch.randn(*shape, 2, dtype=self.means.dtype))


def unnormalised_components(patch: Patch) -> None:
    """p(Z) without the normaliser of its softmax."""

    def joint(self: MixtureOfBernoullis, x: Tensor) -> Tensor:
        return self.b + x.flatten(1) @ self.logits.T - F.softplus(self.logits).sum(1)

    patch.setattr(MixtureOfBernoullis, "joint", joint)


def flipped_sign(patch: Patch) -> None:
    """The Bernoulli's normaliser at -l instead of l."""

    def joint(self: MixtureOfBernoullis, x: Tensor) -> Tensor:
        return self.b.log_softmax(0) + x.flatten(1) @ self.logits.T - F.softplus(-self.logits).sum(1)

    patch.setattr(MixtureOfBernoullis, "joint", joint)


def orderings_averaged_as_logits(patch: Patch) -> None:
    """Parameters of several orderings averaged: a pixel depends on itself through other orderings."""

    def log_prob(self: MADE, x: Tensor) -> Tensor:
        each = torch.arange(len(self.positions)).split(1)
        mean = torch.stack([self.predict_under(x, ordering) for ordering in each]).mean(0)
        return self.output.log_prob(mean, x).flatten(1).sum(1)

    patch.setattr(MADE, "log_prob", log_prob)


def orderings_summed(patch: Patch) -> None:
    """Probabilities of several orderings summed without division by their number."""
    patch.setattr(made, "log_mean_exp", lambda values, dim: values.logsumexp(dim))


def mask_not_strict(patch: Patch) -> None:
    """The last mask connects a pixel to units that depend on it."""
    original = masked.mask_of
    for module in (made, masked):
        patch.setattr(module, "mask_of", lambda before, after, strict=False: original(before, after))


def first_kernel_sees_its_pixel(patch: Patch) -> None:
    """Mask B in place of mask A."""
    original = causal.CausalConv2d.__init__
    patch.setattr(
        causal.CausalConv2d, "__init__", lambda self, i, o, kernel, current: original(self, i, o, kernel, True)
    )


def normalised_over_the_image(patch: Patch) -> None:
    """Features normalised by their mean over all pixels, including later ones (as in batch normalisation)."""
    original = causal.GatedBlock.forward
    patch.setattr(causal.GatedBlock, "forward", lambda self, x: F.instance_norm(original(self, x)))


def channels_at_once(patch: Patch) -> None:
    """Each colour depends on all other colours of its pixel, including later ones."""

    def forward(self: pixelcnn.ChannelHead, features: Tensor, x: Tensor) -> Tensor:
        hidden = self.before(features.relu()) + F.conv2d(x, self.beside)
        return self.out(hidden.relu()).unflatten(1, (self.colours, -1)).movedim(2, -1)

    patch.setattr(pixelcnn.ChannelHead, "forward", forward)


def cache_one_pixel_late(patch: Patch) -> None:
    """Cached activations stored in the wrong column: sampling and scoring use different distributions."""
    original = causal.PixelCache.put
    patch.setattr(causal.PixelCache, "put", lambda self, i, j, value: original(self, i, max(j - 1, 0), value))


def hidden_units_drawn_late(patch: Patch) -> None:
    """Sampling omits the units whose last input is the newest pixel."""
    original = made_sampling.Stage.so_far
    patch.setattr(made_sampling.Stage, "so_far", lambda self, m: original(self, max(m - 1, 0)))


def normaliser_of_the_other_sign(patch: Patch) -> None:
    """A(z) of the belief net with logits of the wrong sign."""
    original = belief_net.sum_of_softplus
    patch.setattr(belief_net, "sum_of_softplus", lambda a, b: original(-a, -b))


def half_the_state_forgotten(patch: Patch) -> None:
    """The pixels' normaliser without the second half of the latents."""
    original = belief_net.sum_of_softplus
    patch.setattr(belief_net, "sum_of_softplus", lambda a, b: original(a, 0 * b))


def layers_upside_down(patch: Patch) -> None:
    """The layers scored in reverse order: a valid distribution, but not the one that is sampled."""
    original = BernoulliChain.log_prob

    def log_prob(self: BernoulliChain, z: Tensor) -> Tensor:
        return original(self, z.flip(-1) if self.backwards else z)

    patch.setattr(BernoulliChain, "log_prob", log_prob)


def noise_of_half_a_level(patch: Patch) -> None:
    """Dequantisation noise in [0, 1/2)^D: half of each cell is ignored."""

    def forward(self: dequantisation.UniformDequantisation, x: Tensor) -> Independent:
        return Independent(Uniform(torch.zeros_like(x), 0.5 * torch.ones_like(x), validate_args=False), 3)

    patch.setattr(dequantisation.UniformDequantisation, "forward", forward)


def noise_around_the_level(patch: Patch) -> None:
    """Dequantisation noise in [-1/2, 1/2)^D, but samples are rounded down."""

    def forward(self: dequantisation.UniformDequantisation, x: Tensor) -> Independent:
        half = 0.5 * torch.ones_like(x)
        return Independent(Uniform(-half, half, validate_args=False), 3)

    patch.setattr(dequantisation.UniformDequantisation, "forward", forward)


def volume_of_the_cell_forgotten(patch: Patch) -> None:
    """The density of x / L reported as that of x: D log L nats too high."""
    original = ImageFlow.log_joint
    patch.setattr(ImageFlow, "log_joint", lambda self, x, z: original(self, x, z) + 4 * math.log(self.levels))


def log_determinant_counted_once_per_dimension(patch: Patch) -> None:
    """The summed log-determinant added to the log-probability of each dimension before the sum."""

    def log_prob(self: bijections.FlowDistribution, x: Tensor) -> Tensor:
        z, log_det = self.bijection(x.reshape(-1, *self.event_shape))
        each = Normal(0.0, 1.0).log_prob(z) + log_det[:, None]
        return each.sum(1).view(x.shape[: x.dim() - len(self.event_shape)])

    patch.setattr(bijections.FlowDistribution, "log_prob", log_prob)


def logit_without_its_determinant(patch: Patch) -> None:
    """Pixels passed through a logit without its log-determinant."""
    patch.setattr(bijections.Logit, "_log_det", lambda self, z: torch.zeros_like(z[:, 0, 0, 0]))


def noise_scored_the_wrong_way_round(patch: Patch) -> None:
    """The learned noise's log-determinant with the wrong sign."""
    original = bijections.FlowDistribution.rsample_with_log_prob

    def draw(self: bijections.FlowDistribution, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        u, log_q = original(self, shape)
        base = self.base.log_prob(self.bijection(u.flatten(0, 1), self._context(len(u) * u.shape[1]))[0])
        return u, 2 * base.view_as(log_q) - log_q

    patch.setattr(bijections.FlowDistribution, "rsample_with_log_prob", draw)


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
    (noise_of_half_a_level, "flow of images, binary, affine", {SUM}),
    (noise_around_the_level, "flow of images, binary, affine", {SUM, ORDER}),
    (volume_of_the_cell_forgotten, "flow of images, binary, affine", {SUM}),
    (log_determinant_counted_once_per_dimension, "flow of images, binary, affine", {FIT}),
    (logit_without_its_determinant, "flow of images, binary, affine", {SUM}),
    (noise_scored_the_wrong_way_round, "flow of images, variational", {FIT}),
    (normaliser_of_the_other_sign, "belief net", {SUM, FIT}),
    (half_the_state_forgotten, "belief net", {SUM, FIT}),
    (layers_upside_down, "Helmholtz machine, two layers", {FIT}),
    (posterior_density_forgotten, "Helmholtz machine", {SUM}),
    (orderings_averaged_as_logits, "made, three orderings", {SUM}),
    (orderings_summed, "made, three orderings", {SUM}),
    (mask_not_strict, "made", {SUM}),
    (first_kernel_sees_its_pixel, "pixelcnn", {SUM}),
    (normalised_over_the_image, "pixelcnn", {SUM}),
    (channels_at_once, "pixelcnn, logistic, colour", {SUM}),
    (cache_one_pixel_late, "pixelcnn", {FIT}),
    (hidden_units_drawn_late, "made, deep", {FIT}),
]


@pytest.mark.parametrize(("make", "name", "caught_by"), MISTAKES, ids=[make.__name__ for make, _, _ in MISTAKES])
def test_mistake_is_caught(make: Callable[[Patch], None], name: str, caught_by: set[str], monkeypatch: Patch) -> None:
    """`test_every_model_keeps_the_contract` checks that the same models pass without the mistake."""
    make(monkeypatch)
    assert caught_by <= broken_clauses(name)


@pytest.mark.parametrize("make", [variance_as_scale, prior_mixed_per_dimension, sampled_through_the_wrong_prior])
def test_mistake_in_the_prior_is_caught(make: Callable[[Patch], None], monkeypatch: Patch) -> None:
    """These mistakes leave a valid density, but not the one that is sampled."""
    model = zoo.seeded(zoo.ZOO["vae, mixture prior"])
    assert isinstance(model, VAE)
    assert prior_samples_fit(model)
    make(monkeypatch)
    assert not prior_samples_fit(model)


def test_a_parameter_without_gradient_is_caught() -> None:
    model = zoo.seeded(zoo.ZOO["vae"])
    assert isinstance(model, VAE)
    model.register_parameter("forgotten", torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    assert "every parameter gets a gradient" in {check.name for check in check_model(model) if not check.passed}


def test_a_nan_image_makes_the_mean_nan() -> None:
    from ancestral.data.pixels import PixelBatches, PixelSpace
    from ancestral.evaluation import scoring

    model = zoo.seeded(zoo.ZOO["mixture"])
    images = PixelBatches(torch.ones(5, 1, 3, 3, dtype=torch.uint8), PixelSpace("threshold", 2))
    with torch.no_grad():
        model.c[0] = math.nan  # type: ignore[union-attr]
    assert math.isnan(scoring.score(model, images, dataset="tiny", split="test").nats)


def test_the_encoder_halves_the_log_variance_in_the_exponent() -> None:
    q = conditional.diagonal_gaussian(torch.zeros(1), torch.log(torch.tensor([9.0])))
    assert q.stddev.item() == pytest.approx(3.0)
