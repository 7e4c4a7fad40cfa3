"""How a recogniser learns: seeded, on one thread, from images whose pixels are grey, thresholded and drawn in turn.

It also learns not to be sure of what shows nothing. A classifier that saw images of its classes only is sure of nearly
everything: it takes a black image for a one and noise for an eight, and would praise a model that has collapsed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.splits import Split
from ancestral.networks.classifier import ImageClassifier, classifier_for

RECIPE = 1  # a recogniser of another recipe is another network: raise it with any change below
SPACES_SEEN = ("grey", "threshold", "drawn")
BATCH = 128
EPOCHS, MOST_EPOCHS, IMAGES_SEEN = 10, 60, 80_000  # few images are seen more often
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 1e-2
NOTHING_SHARE, NOTHING_WEIGHT = 8, 0.5  # one image in so many more shows nothing
ROTATION, SCALING, SHIFT = math.radians(12), 0.12, 0.12  # at most; the shift in half widths of the image


def train_classifier(images: Split, labels: Tensor, classes: int, levels: int, seed: int = 0) -> ImageClassifier:
    """A classifier that has learned these images, in evaluation mode.

    Each batch is turned, scaled and shifted a little; each image in it is then left grey, cut at one half, or
    drawn, with equal chance. Images that show nothing are to get the same probability for every class.

    Reference: outlier exposure, Hendrycks et al., 2019, eq. 1, arXiv 1812.04606, here with outliers made from the
               images themselves.
    Args:      images: 0..levels-1, shape (N, C, H, W). labels: 0..classes-1, shape (N,). seed: of everything.
    """
    with _one_thread(), seeded_noise(seed_for(seed, "recogniser")):
        network = classifier_for(tuple(images.stored.shape[1:]), classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        epochs = min(MOST_EPOCHS, max(EPOCHS, math.ceil(IMAGES_SEEN / len(images))))
        steps = epochs * math.ceil(len(images) / BATCH)
        optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(BATCH):
                stored = images.stored[rows if images.chosen is None else images.chosen[rows]]
                x = _varied(stored.float() / (levels - 1))
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
    """Images of one grey level, noise, and images with their pixels or their patches in disorder, in equal shares.

    Args:      x: images to make them of, shape (B, C, H, W).
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
    """The rows of an image with its quarters in random order."""
    quarters = torch.arange(side).tensor_split(4)
    return torch.cat([quarters[i] for i in torch.randperm(4).tolist()])


def _varied(x: Tensor) -> Tensor:
    """Grey images (B, C, H, W), each moved a little and its pixels made as one of `SPACES_SEEN`."""
    moved = functional.grid_sample(
        x, functional.affine_grid(_movements(len(x)), list(x.shape), align_corners=False), align_corners=False
    ).clamp(0, 1)
    which = torch.randint(len(SPACES_SEEN), (len(x), 1, 1, 1))
    for number, space in enumerate(SPACES_SEEN):
        moved = torch.where(which == number, pixels_as(space, moved), moved)
    return moved


def _movements(count: int) -> Tensor:
    """Random affine maps of the plane, shape (count, 2, 3)."""
    angle, scale, across, down = (2 * torch.rand(4, count) - 1).unbind(0)
    angle, scale = ROTATION * angle, 1 + SCALING * scale
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [torch.stack([cosine, -sine, SHIFT * across], 1), torch.stack([sine, cosine, SHIFT * down], 1)]
    return torch.stack(rows, 1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums on one thread have one order, so the weights do not depend on how many threads there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
