"""Entropy and mutual information of regions of an image, from exact log-probabilities of samples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.core.random import seed_for, seeded_noise
from ancestral.families.circuit.messages import leaf_probs
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.update import expected_counts


class Estimate(NamedTuple):
    """A Monte Carlo estimate in nats: its mean and its standard error."""

    nats: float
    stderr: float

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """From one value per sample, shape (N,)."""
        return cls(*mean_and_error(values.double()))


class RegionInformation(NamedTuple):
    """What one region of an image determines about the rest, under the model.

    Attributes: known: H(known region). rest: H(rest). rest_given_known: H(rest | known region). shared: their mutual
                information, H(rest) - H(rest | known region). by_pixel: I(X_d; known region) of each pixel of the rest,
                0 for known pixels, shape of an image, nats, an estimate.
    """

    known: Estimate
    rest: Estimate
    rest_given_known: Estimate
    shared: Estimate
    by_pixel: Tensor


@torch.no_grad()
def region_information(model: Circuit, known: Tensor, samples: int = 500, seed: int = 0) -> RegionInformation:
    """Entropies and mutual information of a region and the rest of the image.

        I(A; B) = E [log p(x_A, x_B) - log p(x_A) - log p(x_B)],   x ~ p

    Each log-probability is exact. The expectation is a mean over samples of the model.

    Args:      known: the region A, boolean, shape of an image. samples: number of samples, at least 2.
    Raises:    InputError: a mask of another shape or type, or too few samples.
    """
    if known.shape != model.event_shape or known.dtype != torch.bool:
        raise InputError(f"the region must be a boolean mask of shape {model.event_shape}, not {tuple(known.shape)}")
    if samples < 2:
        raise InputError(f"{samples} samples have no standard error: give at least 2")
    with seeded_noise(seed_for(seed, "information")):
        x = model.sample(samples)
    seen = known.to(x.device).expand_as(x)
    log_p, log_known = model.log_prob(x), model.log_prob_observed(x, seen)
    log_rest = model.log_prob_observed(x, ~seen)
    none = torch.zeros_like(seen[:1])
    alone = _entropy(model.pixel_probs(x[:1], none))[0]
    by_pixel = (alone - _entropy(model.pixel_probs(x, seen)).mean(0)).clamp_min(0)
    return RegionInformation(
        Estimate.of(-log_known),
        Estimate.of(-log_rest),
        Estimate.of(log_known - log_p),
        Estimate.of(log_p - log_known - log_rest),
        torch.where(known.to(x.device), 0, by_pixel),
    )


def _entropy(probs: Tensor) -> Tensor:
    """Entropy of distributions over the last axis, nats."""
    return -torch.special.xlogy(probs, probs).sum(-1)


@torch.no_grad()
def edge_information(model: Circuit, component: int = 0) -> Tensor:
    """I(X_d; X_parent) of every node and its parent in a tree, exact, shape (D,), nats; 0 for the root."""

    tree, pairs = model.tree(component), expected_counts(model, component).transitions
    leaves, parents = leaf_probs(tree), model.node_parents[component][1:]
    joint = leaves[parents] @ pairs @ leaves[1:].mT  # (D - 1, L, L)
    independent = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    found = (torch.special.xlogy(joint, joint) - torch.special.xlogy(joint, independent)).sum((1, 2))
    return torch.cat([found.new_zeros(1), found.clamp_min(0)])
