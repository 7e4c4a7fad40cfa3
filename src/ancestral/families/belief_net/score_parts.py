"""The terms of the score of a belief net."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.score_parts import ScoreParts

STATES = 1 << 22  # at once, number of states times number of images


def score_parts(model: SigmoidBeliefNet | HelmholtzMachine, x: Tensor) -> ScoreParts:
    """The terms of log p(x), or of a one-sample estimate of its lower bound, nats.

        exact              E log p(x | z) - sum_m KL(p(z_m | x) || p(z_m)) - total correlation of p(z | x) = log p(x)
        Helmholtz machine  log p(x | z) + [log p(z) - log q(z | x)] = ELBO

    Reference: Hoffman and Johnson, 2016, "ELBO surgery"; Watanabe, 1960.
    """
    return _helmholtz(model, x) if isinstance(model, HelmholtzMachine) else _belief_net(model, x)


def _helmholtz(model: HelmholtzMachine, x: Tensor) -> ScoreParts:
    sample = model.importance_sample(x, 1)
    log_prior = model.prior().log_prob(sample.z)
    values = torch.cat([sample.log_joint - log_prior, log_prior - sample.log_q]).T
    return ScoreParts(["log p(x | z)", "log p(z) - log q(z | x)"], values, values[:, :0])


def _belief_net(model: SigmoidBeliefNet, x: Tensor) -> ScoreParts:
    states = model.states
    log_prior = states @ model.b - torch.nn.functional.softplus(model.b).sum()
    rows = []
    for some in x.split(max(1, STATES // len(states))):
        posterior = model.posterior(some)
        whole = (posterior.probs * (posterior.logits - log_prior)).sum(1)
        marginals = torch.distributions.Bernoulli(probs=(posterior.probs @ states).clamp(0, 1), validate_args=False)
        prior = torch.distributions.Bernoulli(logits=model.b.expand(len(some), -1), validate_args=False)
        each = torch.distributions.kl_divergence(marginals, prior)
        rows.append(torch.cat([(model.log_prob(some) + whole)[:, None], (each.sum(1) - whole)[:, None], each], 1))
    given_z, shared, each = torch.cat(rows).tensor_split([1, 2], 1)
    names = ["E log p(x | z)", "-KL of each latent by itself", "-total correlation of the latents"]
    return ScoreParts(names, torch.cat([given_z, -each.sum(1, keepdim=True), shared], 1), each)
