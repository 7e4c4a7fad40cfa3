"""Training objectives: functions (model, batch) -> terms, each of shape (B,), nats per image.

The term `loss` is minimised; the other terms are logged. All terms are summed over the dimensions of an image and
averaged over images only, so that their relative weights do not depend on the number of dimensions. For images with
missing pixels (`batch.seen`), they are those of the seen pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import log_mean_exp
from ancestral.core.text import type_in_words
from ancestral.data.pixels import Batch
from ancestral.models.base import ExactModel, LatentModel, Model, SplitsElbo
from ancestral.models.classes import HasClasses, split_divergences
from ancestral.models.seen import on_seen
from ancestral.models.vectors import given_batch


def with_gradient_of(surrogate: Tensor, value: Tensor) -> Tensor:
    """The number `value` with the gradient of `surrogate`."""
    return value.detach() + (surrogate - surrogate.detach())


SCHEDULED = "scheduled_"
"""Prefix of terms that are not losses but values of a schedule, such as the weight beta at a step."""
Terms = dict[str, Tensor]
# each objective needs another kind of model, so the type of the first argument is not specified here
Objective = Callable[[Any, Batch], Terms]


def nll(model: ExactModel, batch: Batch) -> Terms:
    """Negative log-likelihood, -log p(x), exact, nats."""
    return {"loss": -on_seen(model, batch.seen).log_prob(batch.x)}


def elbo(model: LatentModel, batch: Batch, beta: float = 1.0, free_bits: float = 0.0) -> Terms:
    """Negative evidence lower bound, -E_q[log p(x | z)] + KL(q(z | x) || p(z)), estimated with one sample of z.

    Args:      beta: weight of the divergence in the loss. free_bits: nats per latent that are not penalised, for the
               mean divergence of the batch. If the divergence does not split by latent, M times that in total.
    Returns:   `loss`. Models that can split the bound also return `reconstruction`, `kl` and `negative_elbo`, the bound
               without beta and free bits.
    Raises:    InputError: beta or free bits for a model that cannot split its bound.
    Reference: Kingma and Welling, 2014, eq. 10; beta: Higgins et al., 2017; free bits: Kingma et al., 2016,
               eq. 15, arXiv 1606.04934.
    """
    x, model = batch.x, on_seen(model, batch.seen)
    if not isinstance(model, SplitsElbo):
        if beta != 1.0 or free_bits:
            raise InputError(f"{type(model).__name__} cannot split its bound: use beta = 1 and free_bits = 0")
        return {"loss": -model.elbo(x)}
    log_likelihood, parts = model.elbo_parts(x)
    divergence = parts.sum(1)
    charged = divergence
    if free_bits:
        of_latents, of_class = split_divergences(model, parts)
        codes = model.prior().event_shape.numel()
        latents = codes - model.classes if isinstance(model, HasClasses) and of_class.shape[1] else codes
        allowance = free_bits * latents / of_latents.shape[1]
        charged = of_latents.mean(0).clamp_min(allowance).sum() + of_class.sum(1)
    negative_elbo = divergence - log_likelihood
    return {
        "loss": beta * charged - log_likelihood if (beta != 1.0 or free_bits) else negative_elbo,
        "negative_elbo": negative_elbo,
        "reconstruction": -log_likelihood,
        "kl": divergence,
    }


def iwae(model: LatentModel, batch: Batch, k: int = 5) -> Terms:
    """Negative importance-weighted bound, -log (1/k) sum_i w_i. It is not the ELBO and has another name in the log.

    Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
    """
    return {"loss": -log_mean_exp(on_seen(model, batch.seen).log_weights(batch.x, k), 1)}


def dreg(model: LatentModel, batch: Batch, k: int = 5) -> Terms:
    """The importance-weighted bound with the doubly reparameterised gradient for the encoder.

    The value is that of `iwae`. The gradient for p has the normalised weights w_i. The gradient for q has w_i^2 and
    follows the path z_i(phi) only. The score term of q, whose variance grows with k, is removed: log q is evaluated
    with a copy of q without gradient.

    Deviation: q is computed twice, with and without gradient, so that any encoder can be used.
    Raises:    InputError: the posterior cannot be reparameterised.
    Reference: Tucker et al., 2019, eq. 8, arXiv 1810.04152.
    """
    x, model = batch.x, on_seen(model, batch.seen)
    q = model.posterior(x)
    if not q.has_rsample:
        raise InputError("dreg needs a posterior that can be reparameterised: use iwae or vimco")
    z = q.rsample((k,))
    with torch.no_grad():
        fixed_q = model.posterior(x)
    log_w = model.log_joint(x, z) - fixed_q.log_prob(z)  # (k, B)
    weights = log_w.detach().softmax(0)
    if z.requires_grad:
        latent_axes = (1,) * (z.dim() - 2)
        z.register_hook(lambda gradient: gradient * weights.unflatten(1, (-1, *latent_axes)))
    surrogate = -(weights * log_w).sum(0)
    return {"loss": with_gradient_of(surrogate, -log_mean_exp(log_w, 0))}


def terms_of_labels(model: Model, objective: Objective, batch: Batch) -> Terms:
    """The terms of an objective; for a model with classes, of the joint probability of an image and its label.

        label y      loss of p(x | y) - log p(y)
        label -1     loss of p(x): the class is summed out
        vector c     loss of p(x | c)

    So images without a label are used too (semi-supervised learning). Without labels, all classes are summed out.

    Returns:   shape (B,) each, nats; `loss` includes -log p(y), which the other terms do not.
    Reference: Kingma et al., 2014, eqs. 6 to 8, arXiv 1406.5298 (there q(y | x) is a network of its own).
    """
    model = given_batch(model, batch.conditions)
    if batch.labels is None or not isinstance(model, HasClasses) or not model.classes:
        return objective(model, batch)
    known = batch.labels >= 0
    if bool(known.all()):
        terms = objective(model.given(batch.labels), batch)
        return terms | {"loss": terms["loss"] - model.log_class_probs()[batch.labels]}
    if not bool(known.any()):
        return objective(model, batch)
    rows = [known.nonzero()[:, 0], (~known).nonzero()[:, 0]]
    both = [terms_of_labels(model, objective, batch.rows(part)) for part in rows]
    order = torch.cat(rows).argsort()
    return {name: torch.cat([terms[name] for terms in both])[order] for name in both[0] if name in both[1]}


def objective_of_kind(model: Model) -> Objective:
    """The default objective of a kind of model: the negative log-likelihood if it is exact, otherwise the negative
    ELBO.

    Raises:    InputError: the model can only be sampled.
    """
    if isinstance(model, ExactModel):
        return nll
    if isinstance(model, LatentModel):
        return elbo
    raise InputError(
        f"{type_in_words(model)} can only be sampled, so there is no default objective: set objective or step in the "
        "family's record"
    )
