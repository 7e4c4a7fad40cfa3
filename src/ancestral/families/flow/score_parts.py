"""The terms of the score of a flow."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.score_parts import ScoreParts
from ancestral.models.base import ImportanceSample


def score_parts(model: NormalizingFlow | ImageFlow, x: Tensor) -> ScoreParts:
    """The terms of log p(x), or of a one-sample estimate of its lower bound, nats.

    points  log N(f(x)) + log |det df/dx| = log p(x)
    images  log N(f(y)) + log |det df/dy| - D log L - log q(u | x) = ELBO,   y = (x + u) / L
    """
    if model.sums_classes:
        return _of_classes(model, x)
    return _image_flow(model, x, model.importance_sample(x, 1)) if isinstance(model, ImageFlow) else _flow(model, x)


def _of_classes(model: NormalizingFlow | ImageFlow, x: Tensor) -> ScoreParts:
    """The terms of each class, weighted with p(y | x), and -KL(p(y | x) || p(y)).

    With the joint probabilities r_y = p(y) p(x | y) (for images from the same terms), this is log sum_y r_y.
    """
    if isinstance(model, ImageFlow):
        sample = model.importance_sample(x, 1)  # the noise of an image is the same for all classes
        each = [_image_flow(model.given(label), x, sample) for label in range(model.classes)]
    else:
        each = [_flow(model.given(label), x) for label in range(model.classes)]
    values = torch.stack([part.values for part in each], 1)  # (B, K, P)
    log_prior = model.log_class_probs()
    log_posterior = (values.sum(2) + log_prior).log_softmax(1)
    posterior = log_posterior.exp()
    divergence = torch.where(posterior > 0, posterior * (log_posterior - log_prior), 0).sum(1, keepdim=True)
    values = torch.cat([(posterior[..., None] * values).sum(1), -divergence], 1)
    return ScoreParts([*each[0].names, "-KL(p(y | x) || p(y))"], values, values[:, :0])


def _image_flow(model: ImageFlow, x: Tensor, sample: ImportanceSample) -> ScoreParts:
    z, log_det = model.bijection((x + sample.z[0]) / model.levels, model.conditions(len(x)))
    volume = torch.full_like(log_det, -math.prod(model.event_shape) * math.log(model.levels))
    values = torch.stack([model.base().log_prob(z), log_det, volume, -sample.log_q[0]], 1)
    names = ["base, log N(f(y))", "log-determinant", "volume of a cell, -D log L", "dequantisation, -log q(u | x)"]
    return ScoreParts(names, values, values[:, :0])


def _flow(model: NormalizingFlow, x: Tensor) -> ScoreParts:
    z, log_det = model.bijection(x, model.conditions(len(x)))
    values = torch.stack([model.base().log_prob(z), log_det], 1)
    return ScoreParts(["base, log N(f(x))", "log-determinant"], values, values[:, :0])
