"""Distributions as descriptions of tensors and names, for programs other than PyTorch, such as the explorer's page."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.core.maths import bounded_log_variance
from ancestral.distributions.conditional import Conditional
from ancestral.distributions.pixels import (
    BernoulliPixels,
    CategoricalPixels,
    DiscretisedLogisticPixels,
    GaussianPixels,
    PixelLikelihood,
)
from ancestral.distributions.priors import GaussianMixture, MixturePrior, StandardNormal, VampPrior


@singledispatch
def pixels_of(likelihood: PixelLikelihood) -> dict[str, Any]:
    """`type` of p(x | z), with its constants.

    Raises:    NotComputable: a likelihood that the page does not know.
    """
    raise NotComputable(f"pixels of the class {type(likelihood).__name__} cannot be shown in the browser")


@pixels_of.register
def _bernoulli(likelihood: BernoulliPixels) -> dict[str, Any]:
    return {"type": "bernoulli"}


@pixels_of.register
def _categorical(likelihood: CategoricalPixels) -> dict[str, Any]:
    return {"type": "categorical", "levels": likelihood.levels, "channels": likelihood.event_shape[0]}


@pixels_of.register
def _logistic(likelihood: DiscretisedLogisticPixels) -> dict[str, Any]:
    return {"type": "discretised-logistic", "levels": likelihood.levels}


@pixels_of.register
def _gaussian(likelihood: GaussianPixels) -> dict[str, Any]:
    raw = likelihood.log_variance
    return {"type": "gaussian", "log_variance": float(bounded_log_variance(raw) if raw.requires_grad else raw)}


@singledispatch
def prior_of(prior: Conditional) -> dict[str, Any]:
    """`type` of p(z), with its constants.

    Raises:    NotComputable: a prior that the page does not know.
    """
    raise NotComputable(f"a prior of the class {type(prior).__name__} cannot be shown in the browser")


@prior_of.register
def _normal(prior: StandardNormal) -> dict[str, Any]:
    return {"type": "normal", "latents": prior.latents}


@prior_of.register(MixturePrior)
@prior_of.register(VampPrior)
def _mixture(prior: Conditional) -> dict[str, Any]:
    mixture = prior()
    assert isinstance(mixture, GaussianMixture)
    parts = {"log_weights": mixture.log_weights, "means": mixture.means, "log_variances": mixture.log_variances}
    return {"type": "mixture", **parts}
