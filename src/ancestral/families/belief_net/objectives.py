"""Objectives for latents that cannot be reparameterised; their gradients use log-probabilities of samples.

As in `training.objectives`, each is (model, batch) -> terms of shape (B,), nats per image. `loss` has the value of the
negative bound and the gradient of the estimator.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch
from ancestral.families.belief_net.helmholtz import Centred, HelmholtzMachine
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.models.base import ImportanceSample, LatentModel, Model
from ancestral.networks.mlp import MLP
from ancestral.training.objectives import Objective, with_gradient_of


def importance_sample_fixed(model: LatentModel, x: Tensor, k: int) -> ImportanceSample:
    """As `model.importance_sample`, but z has no gradient, so gradients of q come from log q alone."""
    q = model.posterior(x)
    z = q.sample(torch.Size((k,)))
    return ImportanceSample(z, model.log_joint(x, z), q.log_prob(z))


def vimco(model: LatentModel, batch: Batch, k: int = 5) -> dict[str, Tensor]:
    """Negative importance-weighted bound of k draws, L = log (1/k) sum_i w_i, with an unbiased gradient for q.

        grad E[L] = E[sum_i (L - L_i) grad log q(z_i | x) + sum_i w_i / (sum_j w_j) grad log w_i]

    L_i is L with log w_i replaced by the mean of the other log-weights. It does not depend on z_i, so it lowers the
    variance and leaves the expectation unchanged.

    Args:      k: samples per image, at least 2.
    Returns:   loss: -L, shape (B,), nats; it is not the negative ELBO and is not logged as such.
    Reference: Mnih and Rezende, 2016, eqs. 10 to 12, arXiv 1602.06725.
    """
    x = batch.x
    _, log_joint, log_q = importance_sample_fixed(model, x, k)
    log_w = log_joint - log_q  # (k, B)
    bound = log_mean_exp(log_w, 0)
    with torch.no_grad():
        signal = bound - bounds_without_each(log_w)
    return {"loss": with_gradient_of(-bound - (signal * log_q).sum(0), -bound)}


def bounds_without_each(log_w: Tensor) -> Tensor:
    """The k-sample bound with each log-weight in turn replaced by the mean of the others.

    Args:      log_w: shape (k, B), k at least 2.
    Returns:   shape (k, B), nats; row i does not depend on row i of `log_w`.
    Example:
        >>> bounds_without_each(torch.tensor([[5.0], [2.0]]))
        tensor([[2.],
                [5.]])
    """
    k = len(log_w)
    if k < 2:
        raise InputError("vimco needs at least 2 samples per image: increase --particles")
    others = (log_w.sum(0) - log_w) / (k - 1)
    itself = torch.eye(k, dtype=torch.bool, device=log_w.device)[:, :, None]
    return log_mean_exp(torch.where(itself, others[:, None], log_w), 1)  # (k, k, B); row i has entry i replaced


def wake_sleep(model: HelmholtzMachine, batch: Batch, k: int = 5, phase: str = "wake") -> dict[str, Tensor]:
    """Reweighted wake-sleep: p is trained on the k-sample bound, q on KL(p(z | x) || q(z | x)). Gradients:

        p:             sum_i w_i / (sum_j w_j) grad log p(x, z_i)
        q, wake:       sum_i w_i / (sum_j w_j) grad log q(z_i | x)
        q, sleep:      grad log q(z' | x'),  (x', z') ~ p

    Self-normalised weights make the first two biased by O(1/k). The sleep gradient is unbiased, for images that the
    model samples. With k = 1 and sleep this is the wake-sleep algorithm.

    Args:      k: samples per image. phase: wake, sleep, or both (the mean of the two gradients of q).
    Returns:   loss: the negative k-sample bound, shape (B,), nats. Its gradient is as above; it is not the gradient of
               a single function.
    Reference: Bornschein and Bengio, 2015, eqs. 6 to 9, arXiv 1406.2751; Hinton et al., 1995.
    """
    x = batch.x
    _, log_joint, log_q = importance_sample_fixed(model, x, k)
    log_w = (log_joint - log_q).detach()
    shares = log_w.softmax(0)
    q_terms = [(shares * log_q).sum(0)] if phase != "sleep" else []
    if phase != "wake":
        sampled, latents = model.sample_joint(len(x))
        q_terms.append(model.posterior(sampled).log_prob(latents))
    surrogate = -(shares * log_joint).sum(0) - torch.stack(q_terms).mean(0)
    return {"loss": with_gradient_of(surrogate, -log_mean_exp(log_w, 0))}


class ScoreFunction(nn.Module):
    """Negative ELBO from one sample, with the score-function gradient for q and two baselines that lower its variance.

        p:   grad log p(x, z)
        q:   ((log w - c) / s - B(x)) grad log q(z | x)

    c and s are the running mean and standard deviation (at least 1) of log w over earlier batches. B is a small network
    that is fitted to the remaining signal by least squares. None of them depends on z, so they do not change the
    expectation: the gradient of q is that of the ELBO divided by s.

    Args:      model: gives the shape and number format of x. hidden: width of the hidden layer of B. memory: decay of
               the running mean and variance, in [0, 1).
    Deviation: one signal for all layers of latents, not one per layer; c and s use earlier batches only, so that they
               do not depend on z; B predicts on the scale of s.
    Reference: Mnih and Gregor, 2014, algorithm 1, arXiv 1402.0030.
    """

    mean: Tensor
    variance: Tensor
    started: Tensor

    def __init__(self, model: LatentModel, hidden: int = 100, memory: float = 0.8) -> None:
        super().__init__()
        with seeded_noise(0):  # other random draws are not affected
            self.baseline = Centred(MLP(model.event_shape, [hidden], [1], "tanh"))
        self.memory = memory
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("started", torch.zeros(()))
        self.to(model.dtype)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if f"{prefix}begun" in state_dict:  # the earlier name, in older checkpoints
            state_dict[f"{prefix}started"] = state_dict.pop(f"{prefix}begun")
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, model: LatentModel, batch: Batch) -> dict[str, Tensor]:
        x = batch.x
        _, log_joint, log_q = (part[0] for part in importance_sample_fixed(model, x, 1))
        log_w = (log_joint - log_q).detach()
        signal = (log_w - self.mean) / self.variance.sqrt().clamp_min(1)
        # the first batch only sets c and s: without c its signal would be hundreds of nats
        error = self.started * (signal - self.baseline(x).squeeze(-1))
        surrogate = -log_joint - error.detach() * log_q + 0.5 * error.square()
        if self.training:
            self._remember(log_w)
        return {"loss": with_gradient_of(surrogate, -log_w), "negative_elbo": -log_w}

    @torch.no_grad()
    def _remember(self, log_w: Tensor) -> None:
        new = 1 - self.memory * self.started
        self.mean = self.mean.lerp(log_w.mean().to(self.mean), new)
        self.variance = self.variance.lerp(log_w.var(correction=0).to(self.variance), new)
        self.started = torch.ones_like(self.started)


def objective_for(settings: BeliefNetSettings, model: Model) -> Objective | None:
    """The estimator that the settings name; None (the log-likelihood) for an exact net."""
    if not isinstance(model, HelmholtzMachine):
        return None
    if settings.method == "score":
        return ScoreFunction(model)
    if settings.method == "vimco":
        return partial(vimco, k=settings.particles)
    return partial(wake_sleep, k=settings.particles, phase=settings.phase)
