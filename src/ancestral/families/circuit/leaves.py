"""Distributions of a pixel given its hidden state, as tables of log-probabilities, and their update in EM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.random import initial_normal
from ancestral.distributions.pixels import BINARY_SPACES, discretised_logistic_log_prob

NARROWEST = 0.05  # smallest scale of a logistic leaf, in levels


class Leaves(nn.Module):
    """p(x_d | z_d = k) of all nodes of C trees with D pixels, K states and L levels.

    Attributes: spaces: pixel spaces for which it is a probability.
    """

    spaces: tuple[str, ...] = ("levels",)

    def log_table(self, tree: int) -> Tensor:
        """log p(x | k) of one tree, shape (D, L, K), nats."""
        raise NotImplementedError

    def fit(self, tree: int, counts: Tensor) -> None:
        """Set the parameters of a tree to those that increase sum_x counts(x) log p(x | k), as EM needs.

        Args:      counts: positive expected counts of each level and state, shape (D, L, K).
        """
        raise NotImplementedError


class BernoulliLeaves(Leaves):
    """Binary pixels with one logit l: p(1) = sigmoid(l)."""

    spaces = BINARY_SPACES

    def __init__(self, trees: int, pixels: int, states: int, scale: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(initial_normal(trees, pixels, states, scale=scale))

    def log_table(self, tree: int) -> Tensor:
        logits = self.logits[tree]
        return torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], 1)

    def fit(self, tree: int, counts: Tensor) -> None:
        self.logits[tree] = counts[:, 1].log() - counts[:, 0].log()


class CategoricalLeaves(Leaves):
    """A separate probability for each level, from L logits."""

    def __init__(self, trees: int, pixels: int, states: int, levels: int, scale: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(initial_normal(trees, pixels, levels, states, scale=scale))

    def log_table(self, tree: int) -> Tensor:
        return self.logits[tree].log_softmax(1)

    def fit(self, tree: int, counts: Tensor) -> None:
        self.logits[tree] = counts.log() - counts.sum(1, keepdim=True).log()


class LogisticLeaves(Leaves):
    """A discretised logistic distribution with mean m and scale s, for many levels.

    Means are in units of half the range of levels, and 0 is the middle. Log-scales are relative to half the range
    divided by e, so an untrained leaf has the scale of the data. The update of EM has no closed form: for each state
    the best of three candidates is used, so the objective cannot decrease.
    """

    def __init__(self, trees: int, pixels: int, states: int, levels: int, scale: float) -> None:
        super().__init__()
        self.levels = levels
        self.means = nn.Parameter(initial_normal(trees, pixels, states, scale=scale))
        self.log_scales = nn.Parameter(initial_normal(trees, pixels, states, scale=0.1 * scale))

    @property
    def half(self) -> float:
        return (self.levels - 1) / 2

    def log_table(self, tree: int) -> Tensor:
        return self._of(*self._in_levels(tree))

    def _in_levels(self, tree: int) -> tuple[Tensor, Tensor]:
        """Mean and log-scale in levels, shape (D, K)."""
        return self.half * (self.means[tree] + 1), self.log_scales[tree] + math.log(self.half) - 1

    def _of(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Log-probabilities for parameters in levels, shape (..., K) to (..., L, K)."""
        values = torch.arange(self.levels, dtype=mean.dtype, device=mean.device)[:, None]
        return discretised_logistic_log_prob(values, mean[..., None, :], log_scale[..., None, :], self.levels)

    def fit(self, tree: int, counts: Tensor) -> None:
        """As `Leaves.fit`. Candidates: the present parameters, the moments of the counts, and a step of Fisher scoring.

        Reference: the information of a logistic density is 1 / (3 s^2) for m and (3 + pi^2) / 9 for log s.
        """
        lowest, highest = math.log(NARROWEST), math.log(self.levels)
        present = self._in_levels(tree)
        total = counts.sum(1)
        with torch.enable_grad():
            mean, log_scale = (part.detach().requires_grad_() for part in present)
            objective = (counts * self._of(mean, log_scale)).sum(1)
            slopes = torch.autograd.grad(objective.sum(), (mean, log_scale))
        scored = (
            mean + 3 * (2 * log_scale).exp() * slopes[0] / total,
            log_scale + (9 / (3 + math.pi**2) * slopes[1] / total).clamp(-1, 1),
        )
        values = torch.arange(self.levels, dtype=counts.dtype, device=counts.device)[:, None]
        middle = (values * counts).sum(1) / total
        variance = ((values - middle[:, None]).square() * counts).sum(1) / total
        moments = middle, 0.5 * (3 * variance / math.pi**2).log()
        best, found = objective.detach(), present
        for candidate in (moments, scored):
            tried = (candidate[0].detach(), candidate[1].detach().clamp(lowest, highest))
            reached = (counts * self._of(*tried)).sum(1)
            better = reached > best
            best = torch.where(better, reached, best)
            found = tuple(torch.where(better, new, old) for new, old in zip(tried, found, strict=True))
        self.means[tree] = found[0] / self.half - 1
        self.log_scales[tree] = found[1] - math.log(self.half) + 1


class PixelLeaves(Leaves):
    """The state of a node is the pixel itself, as in the Chow-Liu tree over pixels: K = L, and no parameters."""

    identity: Tensor

    def __init__(self, pixels: int, levels: int) -> None:
        super().__init__()
        self.spaces = BINARY_SPACES if levels == 2 else ("levels",)
        self.pixels = pixels
        # a list: `torch.eye` on the device "meta" makes torch import its compiler
        identity = torch.tensor([[float(x == k) for k in range(levels)] for x in range(levels)])
        self.register_buffer("identity", identity, persistent=False)

    def log_table(self, tree: int) -> Tensor:
        return self.identity.log().expand(self.pixels, -1, -1)

    def fit(self, tree: int, counts: Tensor) -> None:
        pass
