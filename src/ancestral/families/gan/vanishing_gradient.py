"""Gradients of two generator losses while only the critic is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from ancestral.core.random import seed_device, seed_for
from ancestral.data.pixels import PixelBatches
from ancestral.families.gan.model import GAN
from ancestral.families.gan.step import LOSSES, Critic, cross_entropy

COMPARED = ("non-saturating", "saturating")


@dataclass(frozen=True)
class VanishingGradient:
    """Measurements while a critic is trained against a fixed generator; each list has one entry per step.

    fake_prob: D(G(z)). gradients: for each loss, the norm of its gradient in the generator's weights.
    """

    steps: list[int]
    fake_prob: list[float]
    gradients: dict[str, list[float]]

    @property
    def ratio(self) -> float:
        """Gradient norm of the saturating loss divided by that of the other, at the end (medians of the last tenth)."""
        last = max(1, len(self.steps) // 10)
        non_saturating, saturating = (torch.tensor(self.gradients[name][-last:]).median().item() for name in COMPARED)
        return saturating / non_saturating


def measure_gradients(
    model: GAN, critic: Critic, train: PixelBatches, steps: int, rate: float, batch_size: int, seed: int = 0
) -> VanishingGradient:
    """Train a new critic while the generator is fixed, and measure the gradients of both losses at each step.

    Args:      model: not changed. critic: new; it is trained. train: the images. steps: updates of the critic. rate:
               learning rate of its Adam optimiser.
    Reference: Arjovsky and Bottou, 2017, figures 2 and 3, arXiv 1701.04862.
    """
    optimizer = torch.optim.Adam(critic.parameters(), rate, betas=(0.5, 0.999))
    weights = list(model.generator.parameters())
    found = VanishingGradient([], [], {name: [] for name in COMPARED})
    batches = (batch for epoch in range(steps) for batch in train.shuffled(epoch, batch_size))
    for step, batch in zip(range(steps), batches, strict=False):
        seed_device(batch.x.device, seed_for(seed, "starvation", step))
        labels = batch.labels if model.classes else None
        fake = model.decode(model.codes(len(batch.x), labels))
        critic.eval()  # without the noise of dropout
        score = critic(fake, labels)
        for name in COMPARED:
            loss = LOSSES[name].generator(score).mean()
            gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
            found.gradients[name].append(_norm(gradients))
        found.steps.append(step)
        found.fake_prob.append(score.sigmoid().mean().item())
        critic.train()
        optimizer.zero_grad()
        cross_entropy(critic(batch.x, labels), critic(fake.detach(), labels)).mean().backward()
        optimizer.step()
    return found


def _norm(gradients: tuple[Tensor | None, ...]) -> float:
    # float64: the squares of a vanishing gradient underflow in float32
    norm = get_total_norm([gradient.double() for gradient in gradients if gradient is not None]).item()
    return norm if math.isfinite(norm) else 0.0
