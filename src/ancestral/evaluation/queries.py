"""Queries to a distribution beyond log p(x): the probability of some of the pixels, and the entropy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.maths import log_mean_exp, mean_and_error
from ancestral.core.random import seeded_noise
from ancestral.core.text import type_in_words
from ancestral.models.base import ExactModel, LatentModel, Model, ScoresMissing
from ancestral.models.completion import given_only
from ancestral.models.modes import in_evaluation_mode
from ancestral.models.orders import bound_samples
from ancestral.models.seen import InfersSeen, ScoresSeen, on_seen

BLOCK = 100  # images in one evaluation, for latent samples of each


@torch.no_grad()
def log_marginal(model: Model, x: Tensor, observed: Tensor, samples: int = 1000) -> Tensor:
    """log p(observed pixels), the other pixels summed out.

    Exact for models with an exact log p(x). An autoregressive model can compute it only if the observed pixels come
    first in its order. For a VAE it is the importance-weighted bound of the observed pixels.

    Args:      x: shape (B, *event_shape); its other pixels are not used. observed: boolean, the same shape. samples:
               latent samples for each image, if there are latents.
    Returns:   shape (B,), nats: exact, or an estimate whose expectation is a lower bound.
    Raises:    NotComputable: the model cannot compute it for these pixels. InputError: wrong shapes or values.
    Reference: Mattei and Frellsen, 2019, eq. 5, arXiv 1812.02633.
    """
    given = given_only(model, x, observed)
    if isinstance(model, ScoresSeen):
        return model.log_prob_seen(given, observed)
    if isinstance(model, LatentModel) and isinstance(model, InfersSeen) and not getattr(model, "classes", 0):
        parts = zip(given.split(BLOCK), observed.split(BLOCK), strict=True)
        return torch.cat([log_mean_exp(on_seen(model, seen).log_weights(rows, samples), 1) for rows, seen in parts])
    if isinstance(model, ExactModel) and isinstance(model, ScoresMissing):
        return model.log_prob(given) - model.log_prob_missing(given, observed)  # the same for all missing pixels
    raise NotComputable(f"this {type(model).__name__} cannot compute the probability of some of the pixels")


@dataclass(frozen=True)
class Entropy:
    """The entropy of a model, estimated from its own samples.

    Args:      nats: the estimate. stderr: its standard error. side: "upper" if its expectation is an upper bound; None
               if it is unbiased. count: number of samples.
    """

    nats: float
    stderr: float
    side: Literal["upper"] | None
    count: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@torch.no_grad()
def entropy(model: Model, count: int = 1000, samples: int = 100, seed: int = 0) -> Entropy:
    """The entropy -E log p(x) of a model, as the mean of -log p(x) of its own samples.

    For a model with latents, log p(x) is replaced by its importance-weighted lower bound, which gives an upper bound on
    the entropy. For a density it is the differential entropy, which may be negative.

    Args:      count: number of samples. samples: latent samples for each. seed: random seed.
    Raises:    NotComputable: the model has no likelihood. InputError: fewer than two samples.
    """
    if not isinstance(model, ExactModel | LatentModel):
        raise NotComputable(f"{type_in_words(model)} can only be sampled: it has no likelihood, so no entropy")
    if count < 2:
        raise InputError(f"count {count}: an entropy with a standard error needs at least 2 samples")
    with seeded_noise(seed), in_evaluation_mode(model):
        values = torch.cat([_log_prob(model, x, samples) for x in model.sample(count).split(BLOCK)])
    nats, stderr = mean_and_error(-values)
    return Entropy(nats, stderr, None if isinstance(model, ExactModel) else "upper", count)


def _log_prob(model: ExactModel | LatentModel, x: Tensor, samples: int) -> Tensor:
    """log p(x), or an estimate whose expectation is a lower bound, shape (B,), nats."""
    if isinstance(model, ExactModel):
        return model.log_prob(x)
    samples = bound_samples(model, samples)
    return log_mean_exp(model.log_weights(x, samples), 1) if samples else model.elbo(x)
