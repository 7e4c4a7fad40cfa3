"""What is minimised: functions (model, batch) -> terms, each of shape (B,), nats per image.

The entry `loss` is minimised; the others are logged beside it. Everything is summed over the dimensions of
an image and averaged only over images, so that no term is weighed against another by its size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import log_mean_exp
from ancestral.data.pixels import Batch
from ancestral.models.base import ExactModel, LatentModel, Model, SplitsElbo


def with_gradient_of(surrogate: Tensor, value: Tensor) -> Tensor:
    """`value`, whose gradient is that of `surrogate`."""
    return value.detach() + (surrogate - surrogate.detach())


SCHEDULED = "scheduled_"
"""Beginning of the names of terms that are no losses: what an objective that follows a schedule has at a step."""
Terms = dict[str, Tensor]
# each objective asks for the kind of model it can be computed of, so the first argument is left open here
Objective = Callable[[Any, Batch], Terms]


def nll(model: ExactModel, batch: Batch) -> Terms:
    """Negative log-likelihood, -log p(x)."""
    x = batch.x
    return {"loss": -model.log_prob(x)}


def elbo(model: LatentModel, batch: Batch, beta: float = 1.0, free_bits: float = 0.0) -> Terms:
    """Negative evidence lower bound, -E_q[log p(x | z)] + KL(q(z | x) || p(z)), one draw of z.

    Args:      beta: weight of the divergence in the loss. free_bits: nats per latent below which the batch's
               mean divergence is not pushed (per latent where the divergence splits, else M times that in all).
    Returns:   loss; for models that can split it also reconstruction, kl and the bound itself
               (`negative_elbo`), which beta and free bits never touch.
    Reference: Kingma and Welling, 2014, eq. 10; beta: Higgins et al., 2017; free bits: Kingma et al., 2016,
               eq. 15, arXiv 1606.04934.
    """
    x = batch.x
    if not isinstance(model, SplitsElbo):
        if beta != 1.0 or free_bits:
            raise InputError(f"beta and free bits need a bound that splits; {type(model).__name__} has none")
        return {"loss": -model.elbo(x)}
    log_likelihood, parts = model.elbo_parts(x)
    divergence = parts.sum(1)
    charged = divergence
    if free_bits:
        latents = model.prior().event_shape.numel()
        allowance = free_bits * latents / parts.shape[1]
        charged = parts.mean(0).clamp_min(allowance).sum().expand_as(divergence)
    negative_elbo = divergence - log_likelihood
    return {
        "loss": beta * charged - log_likelihood if (beta != 1.0 or free_bits) else negative_elbo,
        "negative_elbo": negative_elbo,
        "reconstruction": -log_likelihood,
        "kl": divergence,
    }


def iwae(model: LatentModel, batch: Batch, k: int = 5) -> Terms:
    """Negative importance-weighted bound, -log (1/k) sum_i w_i. It is not the ELBO, and is not logged as one.

    Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
    """
    x = batch.x
    return {"loss": -log_mean_exp(model.log_weights(x, k), 1)}


def dreg(model: LatentModel, batch: Batch, k: int = 5) -> Terms:
    """The importance-weighted bound with the doubly reparameterised gradient for the encoder.

    Value as `iwae`. Gradient: normalised weights w_i for p, and w_i^2 along the path z_i(phi) alone for q, whose
    score term (a source of variance that grows with k) is gone: log q is taken at a copy of q that
    passes no gradient.

    Deviation: q is computed twice, once with and once without gradient, so that any encoder will do.
    Reference: Tucker et al., 2019, eq. 8, arXiv 1810.04152.
    """
    x = batch.x
    q = model.posterior(x)
    if not q.has_rsample:
        raise InputError("dreg needs a posterior that can be reparameterised; use iwae or vimco")
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


def objective_of_kind(model: Model) -> Objective:
    """The objective of a kind of model: the log-likelihood where it is exact, else the ELBO.

    Raises:    InputError: a model that can only be sampled has none.
    """
    if isinstance(model, ExactModel):
        return nll
    if isinstance(model, LatentModel):
        return elbo
    raise InputError(
        f"a {type(model).__name__} can only be sampled, so its kind has no objective: its family must give an "
        "objective or a step"
    )
