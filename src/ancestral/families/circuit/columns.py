"""Predictions of the real columns of a table by a circuit: exact mixtures of normal densities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from ancestral.core.errors import NotComputable
from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.messages import posteriors, upward
from ancestral.families.circuit.trees import TreeMixture, row_blocks
from ancestral.models.completion import given_only


@torch.no_grad()
def column_mixture(model: TreeMixture, x: Tensor, observed: Tensor) -> MixtureSameFamily:
    """p(x_d | observed columns) of every column of points, exact: a mixture of C K normal densities.

        p(x_d | observed) = sum_c p(c | observed) sum_k p(z_d = k | observed, c) N(x_d; m_dk, s_dk^2)

    It is the prediction of a missing column. For an observed column, it is the density of another value with the same
    hidden states. The columns of one point are not independent.

    Args:      x, observed: shape (B, D), observed boolean.
    Returns:   batch shape (B, D).
    Raises:    InputError: as `given_only`. NotComputable: the pixels have levels, see `Circuit.pixel_probs`.
    """
    if not isinstance(model.leaves, GaussianLeaves):
        raise NotComputable("pixels with levels have no normal densities: use pixel_probs")
    given, weights, means, scales = given_only(model, x, observed), [], [], []
    shares = model.joint(given, observed).softmax(1)
    for c in range(model.components):
        whole, found = model.tree(c), []
        for rows, seen in row_blocks(given, observed):
            tree, codes = model.evidence(c, whole, rows, seen)
            found.append(posteriors(tree, codes, upward(tree, codes)))
        weights.append(model.by_pixel(c, torch.cat(found, 1)).transpose(0, 1) * shares[:, c, None, None])
        mean, scale = model.leaves.moments(c, model.node_pixels[c])
        means.append(model.by_pixel(c, mean))
        scales.append(model.by_pixel(c, scale))
    probs = torch.cat(weights, 2)
    return _mixture(probs, torch.cat(means, 1).expand_as(probs), torch.cat(scales, 1).expand_as(probs))


def conditional_mixtures(model: TreeMixture, x: Tensor) -> MixtureSameFamily:
    """p(x_d | x_<d) of every column, batch shape (B, D). x: points, shape (B, D)."""
    count, columns = x.shape
    before = torch.ones(columns, columns, dtype=torch.bool, device=x.device).tril(-1).repeat(count, 1)
    each = column_mixture(model, x.repeat_interleave(columns, 0), before)
    normal, mixing = each.component_distribution, each.mixture_distribution
    assert isinstance(normal, Normal) and isinstance(mixing, Categorical)
    rows = torch.arange(count * columns, device=x.device)
    chosen = (
        of[rows, rows % columns].unflatten(0, (count, columns)) for of in (mixing.probs, normal.loc, normal.scale)
    )
    return _mixture(*chosen)


def _mixture(probs: Tensor, means: Tensor, scales: Tensor) -> MixtureSameFamily:
    normal = Normal(means, scales, validate_args=False)
    return MixtureSameFamily(Categorical(probs=probs, validate_args=False), normal, validate_args=False)
