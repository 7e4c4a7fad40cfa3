"""Time of a training step of the `uva2020` MLP VAE, compared with the minimum cost of its arithmetic.

    python benchmarks/vae_step.py [--rounds 5] [--steps 200] [--threads 1] [--compile]

Five implementations of a step in single precision on 128 binary images (784-512-(20+20), 20-512-784, ReLU, Adam) are
timed in turn in one process:

    products    only the matrix products of forward and backward pass, on fixed operands
    by-hand     value and gradient implemented by hand for this model, with preallocated gradients, without autograd
                and logging
    autograd    plain PyTorch for this model, with autograd
    ours        the step of `ancestral train vae`, including gathering the batch and summing the terms for the log
    compiled    the same with forward and backward pass through `torch.compile` (only with --compile; needs half a
                minute and a C++ compiler)

The images are random, because the time does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.families.family import DataSpec
from ancestral.families.vae.objectives import objective_for
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import build_vae
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import PlainEngine
from ancestral.training.steps import GradientStep

BATCH, PIXELS, HIDDEN, LATENTS = 128, 784, 512, 20
Step = Callable[[], object]


def products() -> Step:
    """The eleven matrix products of a step; the image itself needs no gradient."""
    layers = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENTS), (LATENTS, HIDDEN), (HIDDEN, PIXELS)]
    held = [(torch.randn(BATCH, i), torch.randn(o, i), torch.randn(BATCH, o)) for i, o in layers]

    def step() -> None:
        for n, (x, weight, gradient) in enumerate(held):
            _ = x @ weight.T
            _ = gradient.T @ x
            if n:
                _ = gradient @ weight

    return step


def by_hand(images: Tensor) -> Step:
    """The step without autograd: all derivatives are implemented by hand."""
    model = build_vae(VAESettings(hidden=(HIDDEN,), latents=LATENTS), DataSpec((1, 28, 28), 256, "threshold"))
    parameters = list(model.parameters())
    w1, b1, w2, b2, w3, b3, w4, b4 = (parameter.data for parameter in parameters)
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    gw1, gb1, gw2, gb2, gw3, gb3, gw4, gb4 = gradients
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimizer = Adam(parameters, 1e-3, fused=True)

    def layer(gradient: Tensor, x: Tensor, weight: Tensor, into: Tensor, bias: Tensor) -> Tensor:
        torch.mm(gradient.T, x, out=into)
        torch.sum(gradient, 0, out=bias)
        return gradient @ weight

    @torch.no_grad()
    def step() -> Tensor:
        x = images.index_select(0, torch.randint(len(images), (BATCH,))).float()
        h = torch.addmm(b1, x, w1.T).relu_()
        mean, log_variance = torch.addmm(b2, h, w2.T).chunk(2, 1)
        std = (0.5 * log_variance).exp()
        noise = torch.randn_like(std)
        z = mean + std * noise
        k = torch.addmm(b3, z, w3.T).relu_()
        logits = torch.addmm(b4, k, w4.T)
        p = logits.sigmoid()
        loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        gk = layer(p.sub_(x).div_(BATCH), k, w4, gw4, gb4).mul_(k > 0)
        gz = layer(gk, z, w3, gw3, gb3)
        gq = torch.cat([gz + mean / BATCH, 0.5 * (gz * noise * std + (std.square() - 1) / BATCH)], 1)
        gh = layer(gq, h, w2, gw2, gb2).mul_(h > 0)
        torch.mm(gh.T, x, out=gw1)
        torch.sum(gh, 0, out=gb1)
        optimizer.step()
        return loss

    return step


def autograd(images: Tensor) -> Step:
    """The step as plain PyTorch, formulas inline, nothing logged."""
    encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
    decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))
    optimizer = Adam([*encoder.parameters(), *decoder.parameters()], 1e-3, fused=True)

    def step() -> None:
        x = images.index_select(0, torch.randint(len(images), (BATCH,))).float()
        mean, log_variance = encoder(x).chunk(2, 1)
        std = (0.5 * log_variance).exp()
        logits = decoder(mean + std * torch.randn_like(std))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        divergence = 0.5 * (std.square() + mean.square() - 1 - log_variance).sum(1)
        optimizer.zero_grad()
        (reconstruction + divergence).mean().backward()
        optimizer.step()

    return step


def ours(images: Tensor, compiled: bool = False) -> Step:
    """The step of the package, including the work of the loop around it."""
    settings, training = VAESettings(hidden=(HIDDEN,), latents=LATENTS), TrainingSettings(batch_size=BATCH)
    model = build_vae(settings, DataSpec((1, 28, 28), 256, "threshold")).train()
    step = GradientStep(PlainEngine(), model, objective_for(settings, model), training, 10**6)
    if compiled:
        step.module.compile()
    batches = PixelBatches(255 * images.reshape(-1, 1, 28, 28), PixelSpace("threshold", 256))
    endless = (batch for epoch in range(10**6) for batch in batches.shuffled(epoch, BATCH))
    sums: dict[str, Tensor] = {}

    def one() -> None:
        for name, term in step(next(endless), 0).items():
            sums[name] = sums.get(name, torch.zeros(())) + term.sum()

    return one


def milliseconds(step: Step, steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - started) / steps * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each implementation")
    parser.add_argument("--steps", type=int, default=200, help="steps in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="also time torch.compile")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_large_blocks()
    torch.manual_seed(0)
    images = (torch.rand(128 * BATCH, PIXELS) < 0.13).to(torch.uint8)
    ways = {"products": products(), "by-hand": by_hand(images), "autograd": autograd(images)}
    ways["ours"] = ours(images)
    if args.compile:
        ways["compiled"] = ours(images, compiled=True)
    for step in ways.values():
        milliseconds(step, 20)
    turns = [{name: milliseconds(step, args.steps) for name, step in ways.items()} for _ in range(args.rounds)]
    for name in ways:
        times = [turn[name] for turn in turns]
        ratio = statistics.median(turn[name] / turn["ours"] for turn in turns)
        span = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:<9} {statistics.median(times):6.2f} ms ({span}), {ratio:.2f} of ours")


if __name__ == "__main__":
    main()
