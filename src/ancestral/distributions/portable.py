"""Distributions as descriptions of tensors and names, for programs other than PyTorch, such as the explorer's page."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.maths import bounded_log_variance
from ancestral.distributions.bijections import (
    ActNorm,
    Bijection,
    Chain,
    InvertibleConv1x1,
    Logit,
    Permutation,
    Standardise,
)
from ancestral.distributions.conditional import Conditional
from ancestral.distributions.couplings import (
    AffineCoupling,
    Coupling,
    MaskedAutoregressive,
    SplineCoupling,
)
from ancestral.distributions.multiscale import MultiScale, Squeeze
from ancestral.distributions.outputs import BernoulliOutput, CategoricalOutput, LogisticMixtureOutput, PixelOutput
from ancestral.distributions.pixels import (
    BernoulliPixels,
    CategoricalPixels,
    DiscretisedLogisticPixels,
    GaussianPixels,
    PixelLikelihood,
)
from ancestral.distributions.priors import FlowPrior, GaussianMixture, MixturePrior, StandardNormal, VampPrior
from ancestral.networks.layers import layers_given


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


def values_of(output: PixelOutput) -> dict[str, Any]:
    """`type` of the distribution of one value given the output of a network, with its constants.

    Raises:    NotComputable: a distribution that the page does not know.
    """
    if isinstance(output, BernoulliOutput):
        return {"type": "bernoulli"}
    if isinstance(output, CategoricalOutput):
        return {"type": "categorical", "levels": output.levels}
    if not isinstance(output, LogisticMixtureOutput):
        raise NotComputable(f"pixels with the distribution {type(output).__name__} cannot be shown in the browser")
    return {"type": "logistic-mixture", "levels": output.levels, "components": output.size // 3}


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


@prior_of.register
def _flow(prior: FlowPrior) -> dict[str, Any]:
    return {"type": "flow", "latents": prior.base.latents, "bijection": bijection_of(prior.bijection)}


@singledispatch
def bijection_of(bijection: Bijection, condition: Tensor | None = None) -> dict[str, Any]:
    """`type` of a bijection, with its constants and networks; of a conditional one for one condition, shape (1, K).

    Raises:    NotComputable: a bijection that the page does not know.
    """
    raise NotComputable(f"a layer of the class {type(bijection).__name__} cannot be shown in the browser")


@bijection_of.register
def _chain(bijection: Chain, condition: Tensor | None = None) -> dict[str, Any]:
    """The steps of a chain within the chain are steps of the chain, so that a page counts all layers."""
    steps = [bijection_of(step, condition) for step in bijection.steps]
    return {"type": "chain", "steps": [one for step in steps for one in step.get("steps", [step])]}


@bijection_of.register
def _permutation(bijection: Permutation, condition: Tensor | None = None) -> dict[str, Any]:
    """As a product with a matrix, which the page has anyway."""
    matrix = torch.eye(len(bijection.order))[bijection.order]
    return {"type": "linear", "weight": matrix, "inverse": matrix.T, "log_det": 0.0}


@bijection_of.register
def _conv1x1(bijection: InvertibleConv1x1, condition: Tensor | None = None) -> dict[str, Any]:
    features = len(bijection.log_scale)
    basis = torch.eye(features, dtype=bijection.log_scale.dtype)
    columns, back = bijection(basis)[0].T, bijection.inverse(basis)[0].T
    return {"type": "linear", "weight": columns, "inverse": back, "log_det": float(bijection.log_scale.sum())}


@bijection_of.register
def _actnorm(bijection: ActNorm, condition: Tensor | None = None) -> dict[str, Any]:
    return {"type": "standardise", "mean": bijection.mean, "scale": bijection.log_scale.exp()}


@bijection_of.register
def _standardise(bijection: Standardise, condition: Tensor | None = None) -> dict[str, Any]:
    return {"type": "standardise", "mean": bijection.mean, "scale": bijection.scale}


@bijection_of.register
def _logit(bijection: Logit, condition: Tensor | None = None) -> dict[str, Any]:
    return {"type": "logit", "alpha": bijection.alpha}


@bijection_of.register
def _affine(bijection: AffineCoupling, condition: Tensor | None = None) -> dict[str, Any]:
    return {"type": "affine-coupling", "limit": bijection.limit, **_coupling(bijection, condition)}


@bijection_of.register
def _spline(bijection: SplineCoupling, condition: Tensor | None = None) -> dict[str, Any]:
    numbers = {"bound": bijection.bound, "parameters": bijection.parameters_each}
    return {"type": "spline-coupling", **numbers, **_coupling(bijection, condition)}


def _coupling(bijection: Coupling, condition: Tensor | None) -> dict[str, Any]:
    return {"sizes": bijection.sizes, "flip": bijection.flip, "network": layers_given(bijection.network, condition)}


@bijection_of.register
def _masked(bijection: MaskedAutoregressive, condition: Tensor | None = None) -> dict[str, Any]:
    network = layers_given(bijection.network, condition)
    return {"type": "masked-autoregressive", "limit": bijection.limit, "network": network}


@bijection_of.register
def _squeeze(bijection: Squeeze, condition: Tensor | None = None) -> dict[str, Any]:
    return {"type": "squeeze"}


@bijection_of.register
def _multi_scale(bijection: MultiScale, condition: Tensor | None = None) -> dict[str, Any]:
    scales = [bijection_of(scale, condition) for scale in bijection.scales]
    return {"type": "multi-scale", "scales": scales, "shapes": [list(shape) for shape in bijection.shapes]}
