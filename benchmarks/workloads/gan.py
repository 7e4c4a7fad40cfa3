"""Training step of the fully connected GAN of `uva2020`.

As in common tutorials, the plain loop draws new images for the generator's update, applies the critic to real images
and samples in two passes, and computes gradients of the critic that are not used.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness.declarations import Repetition, Workload, usual
from benchmarks.harness.training import Ours, binary_images, limit_of

BATCH, STEPS = 128, 40


def sizes(tiny: bool) -> tuple[int, int]:
    return (4, 2) if tiny else (BATCH, STEPS)


def ours(tiny: bool) -> Ours:
    batch, steps = sizes(tiny)
    return Ours("gan", binary_images(batch * steps), batch, pixels="unit")


def layers(widths: list[int], dropout: float) -> list[nn.Module]:
    pairs = pairwise(widths)
    return [part for a, b in pairs for part in (nn.Linear(a, b), nn.LeakyReLU(0.2), nn.Dropout(dropout))]


def plain(tiny: bool) -> Repetition:
    batch, steps = sizes(tiny)
    images = binary_images(batch * steps).flatten(1) / 127.5 - 1
    generator = nn.Sequential(*layers([32, 128, 256, 512], 0.1), nn.Linear(512, 784), nn.Tanh())
    critic = nn.Sequential(*layers([784, 512, 256], 0.3), nn.Linear(256, 1))
    generator_adam, critic_adam = (
        torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999), fused=True) for net in (generator, critic)
    )
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

    def step(real: Tensor) -> None:
        fake = generator(torch.randn(batch, 32)).detach()
        loss = F.binary_cross_entropy_with_logits(critic(real), ones)
        loss = loss + F.binary_cross_entropy_with_logits(critic(fake), zeros)
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        loss = F.binary_cross_entropy_with_logits(critic(generator(torch.randn(batch, 32))), ones)
        generator_adam.zero_grad()
        loss.backward()
        generator_adam.step()

    def repetition() -> None:
        for rows in torch.randperm(len(images)).split(batch):
            step(images[rows])

    return repetition


WORKLOADS = (
    Workload(
        "gan",
        "MLP GAN",
        f"{STEPS} training steps of {BATCH} images",
        usual(ours, plain, partial(limit_of, ours)),
    ),
)
