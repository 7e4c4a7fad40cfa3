"""The terms of the score of a flow."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.score_parts import ScoreParts


def score_parts(model: NormalizingFlow | ImageFlow, x: Tensor) -> ScoreParts:
    """The terms of log p(x), or of a one-sample estimate of its lower bound, nats.

    points  log N(f(x)) + log |det df/dx| = log p(x)
    images  log N(f(y)) + log |det df/dy| - D log L - log q(u | x) = ELBO,   y = (x + u) / L
    """
    return _image_flow(model, x) if isinstance(model, ImageFlow) else _flow(model, x)


def _image_flow(model: ImageFlow, x: Tensor) -> ScoreParts:
    sample = model.importance_sample(x, 1)
    z, log_det = model.bijection((x + sample.z[0]) / model.levels)
    volume = torch.full_like(log_det, -math.prod(model.event_shape) * math.log(model.levels))
    values = torch.stack([model.base().log_prob(z), log_det, volume, -sample.log_q[0]], 1)
    names = ["base, log N(f(y))", "log-determinant", "volume of a cell, -D log L", "dequantisation, -log q(u | x)"]
    return ScoreParts(names, values, values[:, :0])


def _flow(model: NormalizingFlow, x: Tensor) -> ScoreParts:
    z, log_det = model.bijection(x)
    values = torch.stack([model.distribution().base.log_prob(z), log_det], 1)
    return ScoreParts(["base, log N(f(x))", "log-determinant"], values, values[:, :0])
