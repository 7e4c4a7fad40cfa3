"""Cost curves: time against images, width, latents and pixels; memory against importance samples and images."""

from __future__ import annotations

import torch

from benchmarks.harness.declarations import Repetition, curve
from benchmarks.harness.training import Ours, binary_images

STEPS = 8


def vae_step(width: int = 512, latents: int = 20, side: int = 28, images: int = 128 * STEPS) -> Repetition:
    return Ours("vae", binary_images(images, side), 128, hidden=(width,), latents=latents)


def belief_net(latents: int) -> Repetition:
    """Value and gradient of the exact log-likelihood, whose cost doubles with each latent."""
    made = Ours("belief-net", binary_images(128), 128, latents=latents)
    batch = made.first_batch()
    return lambda: made.one(batch)


def iwae_memory(samples: int) -> Repetition:
    from ancestral.evaluation.likelihood import importance_weighted

    made = Ours("vae", binary_images(4), 4)
    return lambda: importance_weighted(made.model, made.train, samples)


def data_memory(images: int) -> Repetition:
    raw = torch.zeros(images, 1, 28, 28, dtype=torch.uint8)
    made = Ours("vae", binary_images(256), 128)
    model = made.model

    def repetition() -> None:
        from ancestral.data.pixels import PixelBatches, PixelSpace
        from ancestral.evaluation.likelihood import elbo

        elbo(model, PixelBatches(raw, PixelSpace("threshold", 256)))

    return repetition


WORKLOADS = (
    curve(
        "curve-images",
        "VAE, an epoch",
        "training images N",
        "one epoch in batches of 128",
        (1024, 2048, 4096, 8192),
        lambda size: vae_step(images=size),
    ),
    curve(
        "curve-width",
        "VAE step by width",
        "hidden width",
        f"{STEPS} training steps of 128 images",
        (128, 256, 512, 1024, 2048),
        lambda size: vae_step(width=size),
    ),
    curve(
        "curve-latents",
        "belief net by latents",
        "latents M",
        "one training step of 128 images, exact likelihood",
        (4, 6, 8, 10, 12, 14),
        belief_net,
    ),
    curve(
        "curve-pixels",
        "VAE step by pixels",
        "pixels D",
        f"{STEPS} training steps of 128 images",
        (196, 784, 1764, 3136),
        lambda size: vae_step(side=round(size**0.5)),
    ),
    curve(
        "memory-samples",
        "IWAE score, memory",
        "importance samples K",
        "the score of 4 images",
        (100, 1000, 10_000, 50_000),
        iwae_memory,
        "megabytes",
    ),
    curve(
        "memory-images",
        "ELBO score, memory",
        "images N",
        "the ELBO of all images",
        (1000, 4000, 16_000, 64_000),
        data_memory,
        "megabytes",
    ),
)
