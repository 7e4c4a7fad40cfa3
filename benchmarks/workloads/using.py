"""Use of models: importance-weighted scores, sampling pixel by pixel, completion, compression."""

from __future__ import annotations

import gzip
import math
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.harness.declarations import Contestant, Repetition, Workload, usual
from benchmarks.harness.replay import products_of
from benchmarks.harness.training import Ours, binary_images, same_weights
from benchmarks.workloads.autoregressive import PlainMADE
from benchmarks.workloads.vae import HIDDEN, LATENTS, PlainVAE, plain_mlp

IMAGES, SAMPLES = 20, 2000


def vae(tiny: bool) -> Ours:
    return Ours("vae", binary_images(4 if tiny else IMAGES), 128, hidden=(HIDDEN,), latents=LATENTS)


def ours_iwae(tiny: bool) -> Repetition:
    from ancestral.evaluation.likelihood import importance_weighted

    made = vae(tiny)
    return lambda: importance_weighted(made.model, made.train, 50 if tiny else SAMPLES)


@torch.no_grad()
def plain_scores(network: PlainVAE, x: torch.Tensor, samples: int) -> torch.Tensor:
    """As a user writes it: the samples of one image after the other, all terms in closed form."""
    found = []
    for image in x.flatten(1):
        mean, log_variance = network.encoder(image[None, None]).chunk(2, 1)
        noise = torch.randn(samples, LATENTS)
        z = mean + (0.5 * log_variance).exp() * noise
        logits = network.decoder(z)
        log_p_x = logits @ image - F.softplus(logits).sum(1)
        log_ratio = 0.5 * (noise.square() - z.square() + log_variance).sum(1)
        found.append((log_p_x + log_ratio).logsumexp(0) - math.log(samples))
    return torch.stack(found)


def plain_iwae(tiny: bool) -> Repetition:
    images, samples = (4, 50) if tiny else (IMAGES, SAMPLES)
    network, x = plain_mlp(), (binary_images(images) > 127).float()
    return lambda: plain_scores(network, x, samples)


def limit_of_call(make, tiny: bool) -> Repetition:
    return products_of(make(tiny))


def ours_sampling(family: str, count: int, tiny: bool, **settings) -> Repetition:
    made = Ours(family, binary_images(4, 8 if tiny else 28), 4, **settings)
    model = made.model.eval()
    return lambda: model.sample(2 if tiny else count)


def plain_sampling(tiny: bool) -> Repetition:
    """The textbook loop: a full pass of the network for each pixel, with masks multiplied in once."""
    count, pixels = (2, 20) if tiny else (64, 784)
    masked = PlainMADE()
    with torch.no_grad():
        layers = [
            nn.Linear(layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else layer
            for layer in masked.layers
        ]
        for plain, layer in zip(layers, masked.layers, strict=True):
            if isinstance(plain, nn.Linear):
                same_weights(layer, plain)
                plain.weight.mul_(getattr(layer, "mask"))  # noqa: B009
    network = nn.Sequential(*layers)

    @torch.no_grad()
    def repetition() -> torch.Tensor:
        x = torch.zeros(count, 784)
        for d in range(pixels):
            x[:, d] = torch.bernoulli(network(2 * x - 1)[:, d].sigmoid())
        return x

    return repetition


def ours_completion(tiny: bool) -> Repetition:
    made = vae(tiny)
    model, batch = made.model.eval(), made.first_batch()
    observed = torch.ones_like(batch.x, dtype=torch.bool)
    observed[..., 14:, :] = False
    count = 2 if tiny else IMAGES
    return lambda: model.complete(batch.x[:count], observed[:count])


def ours_compression(family: str, tiny: bool, **settings) -> Repetition:
    import ancestral

    made = Ours(family, binary_images(2 if tiny else 64, 8 if tiny else 28), 64, **settings)
    images, folder = made.raw.numpy(), tempfile.TemporaryDirectory()
    made.model.eval()

    def repetition() -> float:
        path = Path(folder.name) / "images.anc"
        return ancestral.compress(made.model, path, data=images, convert=True).bits

    return repetition


def gzip_compression(tiny: bool) -> Repetition:
    """gzip of the packed bits. It needs no model and makes larger files; it is here as a scale of time."""
    import numpy as np

    images = np.packbits(binary_images(2 if tiny else 64, 8 if tiny else 28).numpy() > 127)
    return lambda: 8 * len(gzip.compress(images.tobytes(), 9))


MADE = {"hidden": (1000, 1000), "direct": False}

WORKLOADS = (
    Workload(
        "iwae",
        "IWAE scores of the MLP VAE",
        f"{IMAGES} images with K = {SAMPLES:,}",
        usual(ours_iwae, plain_iwae, partial(limit_of_call, ours_iwae)),
    ),
    Workload(
        "sampling-made",
        "samples of MADE",
        "64 images 28 x 28 from 784-1000-1000-784",
        (
            Contestant("ours", "ours", partial(ours_sampling, "made", 64, **MADE)),
            Contestant("PyTorch, full passes", "plain", plain_sampling),
        ),
    ),
    Workload(
        "sampling-pixelcnn",
        "samples of the PixelCNN",
        "16 images 28 x 28",
        usual(
            partial(ours_sampling, "pixelcnn", 16), None, lambda tiny: products_of(ours_sampling("pixelcnn", 16, tiny))
        ),
    ),
    Workload(
        "completion",
        "completion by the MLP VAE",
        f"the lower half of {IMAGES} images, the default chain",
        usual(ours_completion, None, partial(limit_of_call, ours_completion)),
    ),
    Workload(
        "compression",
        "compression with MADE",
        "64 binary images 28 x 28, the default network",
        (
            Contestant("ours", "ours", partial(ours_compression, "made")),
            Contestant("gzip, larger file", "peer", gzip_compression),
        ),
        threads=(1,),
    ),
)
