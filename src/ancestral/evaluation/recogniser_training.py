"""Training of a recogniser, with a fixed random seed and on one thread. Pixels are grey, thresholded or sampled.

The training includes images without content, for which all classes get the same probability. A classifier that is
trained on images of its classes only is confident for nearly every image: it classifies a black image as a one and
noise as an eight, and would give a collapsed model good values.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.threads import one_thread
from ancestral.data.splits import Split
from ancestral.networks.classifier import ImageClassifier, classifier_for

RECIPE = 1  # version of the training: increase it with any change below
SPACES_SEEN = ("grey", "threshold", "drawn")
BATCH = 128
EPOCHS, MOST_EPOCHS, IMAGES_SEEN = 10, 60, 80_000  # with fewer images there are more epochs
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 1e-2
NOTHING_SHARE, NOTHING_WEIGHT = 8, 0.5  # one image without content for each 8 images, and its weight in the loss
ROTATION, SCALING, SHIFT = math.radians(12), 0.12, 0.12  # largest values; the shift is in half widths of the image


def train_classifier(images: Split, labels: Tensor, classes: int, levels: int, seed: int = 0) -> ImageClassifier:
    """Train a classifier on images. It is returned in evaluation mode.

    Each image is rotated, scaled and shifted a little. Then its pixels are grey, thresholded at one half, or sampled,
    with equal probability. The target for images without content is the same probability for all classes.

    Args:      images: 0..levels-1, shape (N, C, H, W). labels: 0..classes-1, shape (N,). seed: random seed.
    Reference: outlier exposure, Hendrycks et al., 2019, eq. 1, arXiv 1812.04606; here the outliers are made from the
               images.
    """
    with one_thread(), seeded_noise(seed_for(seed, "recogniser")):
        network = classifier_for(images.event_shape, classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        epochs = min(MOST_EPOCHS, max(EPOCHS, math.ceil(IMAGES_SEEN / len(images))))
        steps = epochs * math.ceil(len(images) / BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(BATCH):
                x = _varied(images.at(rows).float() / (levels - 1))
                logits = network(torch.cat([x, showing_nothing(x)]))
                unsure = -logits[len(x) :].log_softmax(1).mean()
                loss = functional.cross_entropy(logits[: len(x)], labels[rows]) + NOTHING_WEIGHT * unsure
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return network.to(memory_format=torch.contiguous_format).eval()


def pixels_as(space: str, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Grey values in [0, 1] as pixels of one of `SPACES_SEEN`, of the same shape."""
    if space == "grey":
        return x
    if space == "threshold":
        return (x > 0.5).float()
    return (torch.rand(x.shape, generator=generator) < x).float()


def showing_nothing(x: Tensor) -> Tensor:
    """Images without content: constant images, noise, and images with shuffled pixels or patches, in equal shares.

    Args:      x: images that they are made from, shape (B, C, H, W).
    Returns:   shape (B // 8 or at least 1, C, H, W).
    """
    few = x[: max(1, len(x) // NOTHING_SHARE)]
    level = torch.rand(2, len(few), 1, 1, 1)
    chance = torch.where(level[1] < 0.5, level[0], x.mean(0))
    kinds = [
        (level[0] * (level[1] < 0.5)).expand_as(few),  # half of them black
        (torch.rand(few.shape) < chance).float(),
        few.flatten(1)[:, torch.randperm(few[0].numel())].view_as(few),
        few[:, :, _disorder(few.shape[2])][:, :, :, _disorder(few.shape[3])],
    ]
    which = torch.randint(len(kinds), (len(few),))
    return torch.stack(kinds)[which, torch.arange(len(few))]


def _disorder(side: int) -> Tensor:
    """Indices of the rows of an image, with its quarters in random order."""
    quarters = torch.arange(side).tensor_split(4)
    return torch.cat([quarters[i] for i in torch.randperm(4).tolist()])


def _varied(x: Tensor) -> Tensor:
    """Grey images (B, C, H, W), each transformed a little and with one of the kinds of pixels in `SPACES_SEEN`."""
    moved = functional.grid_sample(
        x, functional.affine_grid(_movements(len(x)), list(x.shape), align_corners=False), align_corners=False
    ).clamp(0, 1)
    which = torch.randint(len(SPACES_SEEN), (len(x), 1, 1, 1))
    for number, space in enumerate(SPACES_SEEN):
        moved = torch.where(which == number, pixels_as(space, moved), moved)
    return moved


def _movements(count: int) -> Tensor:
    """Random affine transformations of the plane, shape (count, 2, 3)."""
    angle, scale, across, down = (2 * torch.rand(4, count) - 1).unbind(0)
    angle, scale = ROTATION * angle, 1 + SCALING * scale
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cosine, -sine, SHIFT * across], 1), torch.stack([sine, cosine, SHIFT * down], 1)]
    return torch.stack(rows, 1)
