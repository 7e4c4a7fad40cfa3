"""The order in which a training visits its images."""

from __future__ import annotations

import torch
from torch import Tensor


def epoch_order(count: int, seed: int, window: int | None = None, stored: Tensor | None = None) -> Tensor:
    """The indices of all images in the order of an epoch, each exactly once, shape (count,).

    Without a window, the order is a random permutation. With a window, the images are cut, in the order in which they
    are stored, into windows of so many images. The windows have a random order, and so have the images in each window.
    The first window has a random smaller size, so that the cuts differ between epochs.

    Args:      seed: random seed of the epoch. window: images in a window; None: all. stored: the places of the images
               in their files, shape (count,); None: in order.
    """
    generator = torch.Generator().manual_seed(seed)
    if window is None or window >= count:
        return torch.randperm(count, generator=generator)
    places = torch.arange(count) if stored is None else stored.argsort()
    first = int(torch.randint(1, window + 1, (), generator=generator))
    windows = [places[:first], *places[first:].split(window)]
    order = torch.randperm(len(windows), generator=generator).tolist()
    return torch.cat([windows[i][torch.randperm(len(windows[i]), generator=generator)] for i in order])
