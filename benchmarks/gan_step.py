"""Time of a training step of the coursework's MLP GAN, compared with a careful implementation in plain PyTorch.

    python benchmarks/gan_step.py [--steps 100] [--rounds 5] [--json]

Both use the same images in memory, batches of 128 and Adam with beta1 = 0.5. As in common tutorials, the plain loop
samples new images for the generator's update, applies the critic to real images and samples in two passes, and
computes gradients of the critic that are not used. The package avoids all three, and logs the norms of both gradients.
Both are timed in turn, by the processor time of the process, on which other work on the machine has little effect.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import Batch
from ancestral.families.family import DataSpec
from ancestral.families.gan.model import build_gan
from ancestral.families.gan.step import AdversarialStep, build_critic
from ancestral.families.run_settings import settings_for
from ancestral.training.engine import PlainEngine

BATCH, SHAPE = 128, (1, 28, 28)


def ours() -> Callable[[Tensor, int], None]:
    settings = settings_for("gan", data="mnist")
    model, critic = build_gan(settings.model, DataSpec(SHAPE, 256, "unit")), build_critic(settings.model, SHAPE)
    step = AdversarialStep(PlainEngine(), model, critic, settings.model, settings.training, 10**6)
    return lambda x, number: (step(Batch(x), number), None)[1]


def plain() -> Callable[[Tensor, int], None]:
    def layers(widths: list[int], dropout: float) -> list[nn.Module]:
        pairs = pairwise(widths)
        return [part for a, b in pairs for part in (nn.Linear(a, b), nn.LeakyReLU(0.2), nn.Dropout(dropout))]

    generator = nn.Sequential(*layers([32, 128, 256, 512], 0.1), nn.Linear(512, 784), nn.Tanh())
    critic = nn.Sequential(*layers([784, 512, 256], 0.3), nn.Linear(256, 1))
    generator_adam, critic_adam = (
        torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (generator, critic)
    )
    ones, zeros = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

    def step(x: Tensor, number: int) -> None:
        real = 2 * x.flatten(1) - 1
        fake = generator(torch.randn(BATCH, 32)).detach()
        real_loss = F.binary_cross_entropy_with_logits(critic(real), ones)
        loss = real_loss + F.binary_cross_entropy_with_logits(critic(fake), zeros)
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        loss = F.binary_cross_entropy_with_logits(critic(generator(torch.randn(BATCH, 32))), ones)
        generator_adam.zero_grad()
        loss.backward()
        generator_adam.step()

    return step


def milliseconds(step: Callable[[Tensor, int], None], x: Tensor, steps: int) -> float:
    """Processor time of one step, in milliseconds."""
    started = time.process_time()
    for number in range(steps):
        step(x, number)
    return 1000 * (time.process_time() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a step of the MLP GAN, compared with plain PyTorch.")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_large_blocks()
    torch.manual_seed(0)
    x, loops = torch.rand(BATCH, *SHAPE), {"ancestral": ours(), "plain PyTorch": plain()}
    for step in loops.values():
        milliseconds(step, x, 10)
    rounds = [
        {name: milliseconds(step, x, arguments.steps) for name, step in loops.items()} for _ in range(arguments.rounds)
    ]
    ratios = [one["plain PyTorch"] / one["ancestral"] for one in rounds]
    found = {name: statistics.median(one[name] for one in rounds) for name in loops}
    if arguments.json:
        print(json.dumps({"milliseconds": found, "ratios": ratios, "machine": platform.machine()}))
        return
    for name, median in found.items():
        print(f"{name:14} {median:6.1f} ms per step")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
