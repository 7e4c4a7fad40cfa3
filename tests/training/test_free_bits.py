"""Free bits are of the mean divergence over a batch, latent by latent, not of single images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ancestral.data.pixels import Batch
from ancestral.models.base import LatentModel
from ancestral.training.objectives import elbo

DIVERGENCES = torch.tensor([[0.0, 3.0], [2.0, 1.0]])  # of two images, two latents each: means 1 and 2


class Known(LatentModel):
    """A bound whose parts are given."""

    event_shape, spaces, levels = (1,), ("threshold",), 2

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Parameter(DIVERGENCES.clone())

    def prior(self) -> Independent:
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(x)), self.parts


def test_the_mean_over_the_batch_is_clamped() -> None:
    """At 1.5 nats the first latent (mean 1) is free, the second (mean 2) is charged for each image."""
    model = Known()
    loss = elbo(model, Batch(torch.zeros(2, 1)), free_bits=1.5)["loss"]
    assert torch.allclose(loss.mean(), torch.tensor(1.5 + 2.0))
    loss.mean().backward()
    assert model.parts.grad is not None
    assert torch.allclose(model.parts.grad, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))


def test_a_divergence_of_all_latents_together_is_free_up_to_their_sum() -> None:
    """Two latents in one part, means 3 nats: free up to 2 nats each, which is 4 in all; charged at 1 nat each."""
    model = Known()
    model.parts = nn.Parameter(DIVERGENCES.sum(1, keepdim=True))
    batch = Batch(torch.zeros(2, 1))
    assert elbo(model, batch, free_bits=2.0)["loss"].tolist() == [4.0, 4.0]
    assert elbo(model, batch, free_bits=1.0)["loss"].tolist() == [3.0, 3.0]


def test_the_divergence_that_is_logged_is_that_of_each_image() -> None:
    terms = elbo(Known(), Batch(torch.zeros(2, 1)), beta=3.0, free_bits=1.5)
    assert terms["kl"].tolist() == DIVERGENCES.sum(1).tolist()
    assert terms["negative_elbo"].tolist() == DIVERGENCES.sum(1).tolist()  # whose reconstruction is 0 here
