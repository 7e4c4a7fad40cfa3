"""The terms of the score of a mixture."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.score_parts import ScoreParts


def score_parts(model: MixtureOfBernoullis, x: Tensor) -> ScoreParts:
    """The terms of log p(x) = E log p(x | k) - KL(p(k | x) || p(k)), with the exact p(k | x); nats."""
    posterior, log_prior = model.posterior(x), model.log_prior()
    given_k = (posterior.probs * (model.joint(x) - log_prior)).sum(1)
    divergence = (posterior.probs * (posterior.logits - log_prior)).sum(1)
    values = torch.stack([given_k, -divergence], 1)
    return ScoreParts(["E log p(x | k)", "-KL(p(k | x) || p(k))"], values, values[:, :0])
