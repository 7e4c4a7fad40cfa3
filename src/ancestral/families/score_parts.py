"""The parts that the score of an image is a sum of: by name, by latent, by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasConditionals, ImplicitModel, Model, SplitsElbo

STRETCHES = 4  # of the order of an autoregressive model, as its parts
STATES = 1 << 22  # of a belief net times images, at once


class Parts(NamedTuple):
    """What the score of each image is a sum of.

    Attributes: names: P of them. values: shape (B, P), nats; their sum over P is log p(x), or one draw of its lower
                bound. divergences: of each latent by itself, shape (B, J), nats; J = 0 where there are none.
    """

    names: list[str]
    values: Tensor
    divergences: Tensor


def score_parts(model: Model, x: Tensor) -> Parts:
    """The parts of the score of each image: every family's own identity.

        VAE               log p(x | z) - KL(q(z | x) || p(z)) = ELBO
        Helmholtz machine log p(x | z) + [log p(z) - log q(z | x)] = ELBO
        image flow        log N(f(y)) + log |det df/dy| - D log L - log q(u | x) = ELBO,   y = (x + u) / L
        flow              log N(f(x)) + log |det df/dx| = log p(x)
        mixture           E log p(x | k) - KL(p(k | x) || p(k)) = log p(x)
        belief net        E log p(x | z) - sum_m KL(p(z_m | x) || p(z_m)) - total correlation of p(z | x) = log p(x)
        autoregressive    sums of log p(x_d | x_<d) over stretches of the order = log p(x), in the first ordering

    Args:      x: shape (B, *event_shape), in the model's pixel space.
    Raises:    NotComputable: no likelihood, or no parts known of it.
    Reference: Kingma and Welling, 2014, eq. 3; Hoffman and Johnson, 2016, "ELBO surgery"; Watanabe, 1960.
    """
    for family, parts in FAMILIES.items():
        if isinstance(model, family):
            return parts(model, x)
    if isinstance(model, ImplicitModel):
        raise NotComputable(f"a {type(model).__name__} has no likelihood, and so nothing of it to explain")
    raise NotComputable(f"no parts are known of the score of a {type(model).__name__}")


def surprise_maps(model: Model, x: Tensor) -> Tensor:
    """-log p(x_d | x_<d) of every pixel, shape of x, nats; in the first ordering where a model averages several.

    Raises:    NotComputable: the model does not give pixels one after the other.
    """
    if not isinstance(model, HasConditionals):
        raise NotComputable(
            f"a {type(model).__name__} gives no pixels one after the other, so none has a surprise of its own: "
            "that takes a MADE or a PixelCNN"
        )
    return -model.conditionals(x).log_prob(x)


def _vae(model: SplitsElbo, x: Tensor) -> Parts:
    reconstruction, divergences = model.elbo_parts(x)
    values = torch.stack([reconstruction, -divergences.sum(1)], 1)
    whole = divergences.shape[1] == 1  # all latents in one, by a draw
    return Parts(["log p(x | z)", "-KL(q(z | x) || p(z))"], values, divergences[:, :0] if whole else divergences)


def _helmholtz(model: HelmholtzMachine, x: Tensor) -> Parts:
    sample = model.importance_sample(x, 1)
    log_prior = model.prior().log_prob(sample.z)
    values = torch.cat([sample.log_joint - log_prior, log_prior - sample.log_q]).T
    return Parts(["log p(x | z)", "log p(z) - log q(z | x)"], values, values[:, :0])


def _image_flow(model: ImageFlow, x: Tensor) -> Parts:
    sample = model.importance_sample(x, 1)
    z, log_det = model.bijection((x + sample.z[0]) / model.levels)
    volume = torch.full_like(log_det, -math.prod(model.event_shape) * math.log(model.levels))
    values = torch.stack([model.base().log_prob(z), log_det, volume, -sample.log_q[0]], 1)
    names = ["base, log N(f(y))", "log-determinant", "volume of a cell, -D log L", "dequantisation, -log q(u | x)"]
    return Parts(names, values, values[:, :0])


def _flow(model: NormalizingFlow, x: Tensor) -> Parts:
    z, log_det = model.bijection(x)
    values = torch.stack([model.distribution().base.log_prob(z), log_det], 1)
    return Parts(["base, log N(f(x))", "log-determinant"], values, values[:, :0])


def _mixture(model: MixtureOfBernoullis, x: Tensor) -> Parts:
    posterior, log_prior = model.posterior(x), model.b.log_softmax(0)
    given_k = (posterior.probs * (model.joint(x) - log_prior)).sum(1)
    divergence = (posterior.probs * (posterior.logits - log_prior)).sum(1)
    values = torch.stack([given_k, -divergence], 1)
    return Parts(["E log p(x | k)", "-KL(p(k | x) || p(k))"], values, values[:, :0])


def _belief_net(model: SigmoidBeliefNet, x: Tensor) -> Parts:
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
    names = ["E log p(x | z)", "-KL of each latent by itself", "-what latents share (total correlation)"]
    return Parts(names, torch.cat([given_z, -each.sum(1, keepdim=True), shared], 1), each)


def _autoregressive(model: AutoregressiveModel, x: Tensor) -> Parts:
    model.output.check(x)
    stretches = (-surprise_maps(model, x)).flatten(1)[:, model.order].tensor_split(STRETCHES, 1)
    ends = torch.tensor([part.shape[1] for part in stretches]).cumsum(0).tolist()
    names = [f"pixels {end - part.shape[1] + 1}-{end} in order" for part, end in zip(stretches, ends, strict=True)]
    values = torch.stack([part.sum(1) for part in stretches], 1)
    return Parts(names, values, values[:, :0])


FAMILIES: dict[type, Callable[[Any, Tensor], Parts]] = {
    ImageFlow: _image_flow,
    HelmholtzMachine: _helmholtz,
    SplitsElbo: _vae,
    NormalizingFlow: _flow,
    MixtureOfBernoullis: _mixture,
    SigmoidBeliefNet: _belief_net,
    AutoregressiveModel: _autoregressive,
}
