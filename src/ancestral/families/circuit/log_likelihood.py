"""log p(x) of one tree with its gradient, which consists of expected counts, so autograd does not record messages."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ancestral.families.circuit.layout import Level
from ancestral.families.circuit.messages import Tree, downward, upward


def log_likelihood(
    levels: list[Level], codes: Tensor, log_root: Tensor, log_transitions: Tensor, log_leaves: Tensor
) -> Tensor:
    """log p(observed pixels) of each image, shape (B,), nats, exact.

    Args:      codes: shape (D, B), see `codes_of`. log_root, log_transitions, log_leaves: log-probabilities of shape
               (K,), (D - 1, K, K) and (D, L, K).
    """
    return _LogLikelihood.apply(levels, codes, log_root, log_transitions, log_leaves)  # type: ignore[return-value]


class _LogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: list[Level], codes: Tensor, *log_probabilities: Tensor) -> Tensor:
        tree = Tree.of(levels, *log_probabilities)
        up = upward(tree, codes, keep=any(ctx.needs_input_grad))
        ctx.pass_back = (tree, codes, up) if any(ctx.needs_input_grad) else None
        return up.log_prob

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor, Tensor, Tensor]:
        tree, codes, up = ctx.pass_back
        counts = downward(tree, codes, up, gradients[0])
        return None, None, counts.root, counts.transitions, counts.leaves[:, :-1]
