"""log p(hidden pixels | seen pixels) for any mask: exact if the model can, otherwise a bound or an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.maths import log_mean_exp
from ancestral.core.text import with_article
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model, ScoresMissing
from ancestral.models.completion import given_only
from ancestral.models.orders import HasOrders
from ancestral.models.seen import EstimatesSeen, InfersSeen, on_seen

SAMPLES, ROWS = 500, 20  # latent samples of each image for an estimate, and images at once


@dataclass(frozen=True)
class HiddenMethod:
    """How a model computes log p(hidden | seen).

    Attributes: log_probs: images and masks (True: seen), shape (B, *event_shape), to values of shape (B,), nats. kind,
                side: of the values, as in `Score`. how: the order of the hidden pixels, or the samples, in words; empty
                if there are none. samples: their number for each image. slow: a value takes many evaluations of a
                network.
    """

    log_probs: Callable[[Tensor, Tensor], Tensor]
    kind: Literal["exact", "bound", "estimate"]
    side: Literal["upper"] | None = None
    how: str = ""
    samples: int = 0
    slow: bool = False


def hidden_method(model: Model, x: Tensor, seen: Tensor) -> HiddenMethod:
    """The best way to compute log p(hidden | seen) for masks like these.

    Exact if the model can. Otherwise log p(x) - log p(seen). If log p(x) is exact and the estimate of p(seen) has no
    bias, the difference is in expectation an upper bound. For a model with latents, both terms are importance-weighted
    bounds, and their difference is an estimate that may be too high or too low.

    Args:      x: a few images, shape (B, *event_shape), in the pixel space of the model. seen: boolean, same shape.
    Raises:    NotComputable: the model has none of these; the message says why.
    """
    if isinstance(model, ScoresMissing):
        try:
            model.log_prob_missing(x.to(model.dtype), seen)
            slow, how = (True, f"{model.default_order} order") if isinstance(model, HasOrders) else (False, "")
            return HiddenMethod(model.log_prob_missing, "exact", how=how, slow=slow)
        except NotComputable:  # an autoregressive model whose hidden pixels do not come last in its order
            pass
    name = type(model).__name__
    if isinstance(model, ExactModel) and isinstance(model, EstimatesSeen):
        estimate = _by_particles(model)
        how = f"{model.seen_samples} particles"
        return HiddenMethod(estimate, "bound", "upper", how, model.seen_samples, slow=True)
    if isinstance(model, LatentModel) and isinstance(model, InfersSeen):
        return HiddenMethod(_by_latents(model), "estimate", None, f"IWAE_{SAMPLES}", SAMPLES, slow=True)
    if isinstance(model, ImplicitModel):
        raise NotComputable(f"{with_article(name)} has no likelihood")
    raise NotComputable(
        f"{with_article(name)} cannot sum out the hidden pixels, so it has no probability of the seen pixels alone"
    )


def _by_particles(model: ExactModel) -> Callable[[Tensor, Tensor], Tensor]:
    def log_probs(x: Tensor, seen: Tensor) -> Tensor:
        assert isinstance(model, EstimatesSeen)
        return model.log_prob(x) - model.estimate_log_prob_seen(x, seen)

    return log_probs


def _by_latents(model: LatentModel) -> Callable[[Tensor, Tensor], Tensor]:
    def log_probs(x: Tensor, seen: Tensor) -> Tensor:
        given_only(model, x, seen)
        found = []
        for rows, masks in zip(x.split(ROWS), seen.split(ROWS), strict=True):
            whole, part = (one.log_weights(rows, SAMPLES) for one in (model, on_seen(model, masks)))
            found.append(log_mean_exp(whole, 1) - log_mean_exp(part, 1))
        return torch.cat(found)

    return log_probs
