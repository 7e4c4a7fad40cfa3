"""The joint distribution of a class and latents given the class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution
from torch.nn.functional import one_hot


class ClassAndLatents(Distribution):
    """p(y) p(z | y) over codes: the M latents z, followed by the class y as a one-hot vector.

    Args:      log_probs: log p(y), shape (*batch, K). parts: p(z | y) of each class, K distributions with this batch
               shape; or one, if z does not depend on y.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, log_probs: Tensor, parts: Sequence[Distribution]) -> None:
        self.log_probs, self.parts = log_probs, list(parts)
        self.classes, self.latents = log_probs.shape[-1], parts[0].event_shape[0]
        event = torch.Size([self.latents + self.classes])
        super().__init__(log_probs.shape[:-1], event, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        y = Categorical(logits=self.log_probs, validate_args=False).sample(shape)
        each = torch.stack([part.sample(shape) for part in self.parts], -2)  # (*shape, *batch, K or 1, M)
        chosen = y if len(self.parts) > 1 else torch.zeros_like(y)
        z = each.gather(-2, chosen[..., None, None].expand(*y.shape, 1, self.latents)).squeeze(-2)
        return torch.cat([z, one_hot(y, self.classes).to(z)], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(y) + log p(z | y), shape of the code without its last axis, nats."""
        z, y = value[..., : self.latents], value[..., self.latents :].argmax(-1, keepdim=True)
        log_y = self.log_probs.expand(*y.shape[:-1], -1).gather(-1, y).squeeze(-1)
        each = [part.log_prob(z) for part in self.parts]
        return log_y + (each[0] if len(each) == 1 else torch.stack(each, -1).gather(-1, y).squeeze(-1))


def mean_over_classes(
    q: ClassAndLatents, log_class_probs: Tensor, log_likelihoods: Sequence[Tensor], divergences: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """The two parts of the evidence lower bound with a class: E_q[log p(x | z, y)] and the divergences of z and of y.

    Args:      q: q(y | x) q(z | x, y). log_class_probs: log p(y), shape (K,). log_likelihoods: log p(x | z, y) of each
               class, shape (B,). divergences: KL(q(z | x, y) || p(z)) of each class, shape (B, M).
    Returns:   shapes (B,) and (B, M + 1), nats: averages over q(y | x); the last column is KL(q(y | x) || p(y)).
    """
    share = q.log_probs.exp()  # (B, K)
    of_class = torch.where(share > 0, share * (q.log_probs - log_class_probs), 0).sum(1, keepdim=True)
    divergence = (share[..., None] * torch.stack(list(divergences), 1)).sum(1)
    return (share * torch.stack(list(log_likelihoods), 1)).sum(1), torch.cat([divergence, of_class], 1)
