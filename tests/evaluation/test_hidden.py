"""log p(hidden | seen) of models without an exact value, compared with sums over all images."""

from __future__ import annotations

import math

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import seeded_noise
from ancestral.distributions.pixels import log_prob_of_seen
from ancestral.evaluation.enumeration import all_images, log_probs_of_all
from ancestral.evaluation.hidden import hidden_method
from ancestral.families.vae.vae import VAE
from ancestral.models.base import Model

REPEATS = 60


def masked(name: str) -> tuple[Model, Tensor, Tensor, Tensor]:
    """A tiny model, an image and a mask with seen pixels at the end, and the sum of p(x) over the hidden pixels."""
    model = zoo.seeded(zoo.ZOO[name])
    with seeded_noise(3), torch.no_grad():
        images, (log_p, _) = all_images(model), log_probs_of_all(model)
        x = model.sample(1)
    seen = (torch.arange(x.numel()) % 3 != 0).view_as(x)
    agrees = (torch.where(seen, images, 0) == torch.where(seen, x, 0)).flatten(1).all(1)
    return model, x, seen, log_p[agrees].logsumexp(0)


@pytest.mark.parametrize("name", ["made", "made, three orderings", "made, conditional", "pixelcnn"])
def test_particles_estimate_the_probability_of_the_seen_pixels_without_bias(name: str) -> None:
    """So log p(x) minus the logarithm of the estimate is an upper bound. Five standard errors."""
    model, x, seen, log_p_seen = masked(name)
    method = hidden_method(model, x, seen)
    assert (method.kind, method.side, method.slow) == ("bound", "upper", True)
    with seeded_noise(1), torch.no_grad():
        found = method.log_probs(x.expand(REPEATS, *x.shape[1:]), seen.expand(REPEATS, *x.shape[1:]))
        log_p = model.log_prob(x)  # type: ignore[operator]
    ratios = (log_p - found - log_p_seen).exp()
    assert (ratios.mean() - 1).abs() < 5 * ratios.std() / math.sqrt(REPEATS)
    assert ratios.std() > 1e-6  # it is an estimate


@pytest.mark.parametrize("name", ["vae", "vae, conditional"])
def test_importance_weighted_bounds_estimate_the_hidden_pixels_of_a_vae(name: str) -> None:
    """Compared with means over 20,000 samples of the prior of latents, and of classes if there are any."""
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, VAE)
    with seeded_noise(2), torch.no_grad():
        x = model.sample(1)
        seen = (torch.arange(x.numel()) % 3 != 0).view_as(x)
        method = hidden_method(model, x, seen)
        found = method.log_probs(x.expand(20, *x.shape[1:]), seen.expand(20, *x.shape[1:])).mean()
        pixels = model.pixels(model.prior().sample(torch.Size((20_000,))))
        exact = log_mean_exp(pixels.log_prob(x), 0) - log_mean_exp(log_prob_of_seen(pixels, x, seen), 0)
    assert (method.kind, method.side) == ("estimate", None)
    assert (found - exact).abs() < 0.05
    assert exact < -0.3


def test_the_exact_value_is_taken_where_there_is_one_and_others_say_why_not() -> None:
    made, mixture = zoo.seeded(zoo.ZOO["made"]), zoo.seeded(zoo.ZOO["mixture"])
    bottom = (torch.arange(9) < 6).view(1, 1, 3, 3)
    for model, seen in ((made, bottom), (mixture, bottom), (mixture, ~bottom)):
        assert hidden_method(model, model.sample(1), seen).kind == "exact"
    for name, words in (("gan", "no likelihood"), ("flow of images, binary, affine", "sum out")):
        model = zoo.seeded(zoo.ZOO[name])
        x = model.sample(1)
        with pytest.raises(NotComputable, match=words):
            hidden_method(model, x, torch.ones_like(x, dtype=torch.bool))
    with pytest.raises(InputError, match="boolean"), torch.no_grad():
        hidden_method(made, made.sample(1), bottom.float())
