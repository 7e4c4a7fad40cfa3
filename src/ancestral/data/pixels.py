"""From stored grey levels to the pixels a model is a distribution over, batch by batch, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for

SPACES = {
    "binary": "binary, each pixel drawn with probability = its grey value",
    "static": "binary, each pixel drawn with probability = its grey value",
    "threshold": "binary, threshold 0.5",
    "levels": "{levels} levels",
    "unit": "real numbers in [0, 1] (a density)",
    "points": "R^2",
}
# One draw of the binary pixels serves every evaluation and every run, so that their scores compare.
DRAW_SEED = 0


@dataclass(frozen=True)
class PixelSpace:
    """What a pixel is: one of `SPACES`, made from integers 0..levels-1; points of the plane stay what they are.

    Args:      name: binary, static, threshold, levels, unit or points. levels: number of grey levels in the source.
    Raises:    InputError: unknown name.
    Example:
        >>> PixelSpace("threshold", 256).convert(torch.tensor([0, 127, 128, 255], dtype=torch.uint8))
        tensor([0., 0., 1., 1.])
    """

    name: str
    levels: int

    def __post_init__(self) -> None:
        if self.name not in SPACES:
            raise InputError(f"unknown pixel space {self.name!r}: choose {', '.join(SPACES)}")

    def convert(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """float32 pixels of the same shape as `raw`; only `binary` and `static` draw."""
        if self.name in ("levels", "points"):
            return raw.float()
        if self.name == "unit":
            return raw.float() / (self.levels - 1)
        if self.name == "threshold":
            return (raw > (self.levels - 1) // 2).float()
        u = torch.rand(raw.shape, device=raw.device, generator=generator)
        return (u * (self.levels - 1) < raw).float()

    def to_unit(self, x: Tensor) -> Tensor:
        """Pixels of this space as grey values in [0, 1], for a picture."""
        return (x / (self.levels - 1) if self.name == "levels" else x).clamp(0, 1)

    @property
    def noun(self) -> str:
        """What the data are: images or points."""
        return "points" if self.name == "points" else "images"

    def describe(self, dataset: str) -> str:
        """What a score in this space is a score of, in words: `mnist, binary, threshold 0.5`."""
        return f"{dataset}, {SPACES[self.name].format(levels=self.levels)}"


class Batch(NamedTuple):
    """Some images of a split.

    Args:      x: float32, shape (B, *event_shape). labels: classes, shape (B,), where known. seen: boolean, shape of x,
               false where a pixel is missing; None where none is. weights: of the images, shape (B,); None where equal.
    """

    x: Tensor
    labels: Tensor | None = None
    seen: Tensor | None = None
    weights: Tensor | None = None


class PixelBatches:
    """The images of one split as batches in a pixel space.

    Raw pixels stay uint8 on the device and each batch is gathered by index there. The order of an epoch and
    every pixel drawn in it are a pure function of (seed, epoch, batch), so a resumed run sees the same data.

    Args:      images: uint8, shape (N, C, H, W); or points, float32, shape (N, 2). space: what to turn them
               into. seed: of order and draws. device: where they live. fresh: for `binary`, draw pixels anew
               in every epoch (training); otherwise one draw, the same for every run (evaluation).
               labels: classes, shape (N,), where known.
    """

    def __init__(
        self,
        images: Tensor,
        space: PixelSpace,
        seed: int = 0,
        device: torch.device | str = "cpu",
        fresh: bool = False,
        labels: Tensor | None = None,
    ) -> None:
        self.event_shape = tuple(images.shape[1:])
        self.space, self.seed, self.device = space, seed, torch.device(device)
        self._drawn_per_batch = fresh and space.name == "binary"
        if space.name in ("binary", "static", "threshold") and not self._drawn_per_batch:
            generator = torch.Generator().manual_seed(seed_for(DRAW_SEED, "pixels"))
            images = space.convert(images, generator).to(torch.uint8)
            self._convert = Tensor.float
        else:
            self._convert = space.convert
        self.raw = images.to(self.device)
        self.labels = None if labels is None else labels.to(self.device)

    def __len__(self) -> int:
        return len(self.raw)

    def batches_per_epoch(self, batch_size: int) -> int:
        """Steps of one epoch; a last short batch is a step like the others."""
        return -(-len(self) // batch_size)

    def shuffled(self, epoch: int, batch_size: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on, in the order of (seed, epoch)."""
        generator = torch.Generator().manual_seed(seed_for(self.seed, "order", epoch))
        order = torch.randperm(len(self), generator=generator).to(self.device)
        draws = torch.Generator(self.device)
        for batch in range(first, self.batches_per_epoch(batch_size)):
            chosen = order[batch * batch_size : (batch + 1) * batch_size]
            raw = self.raw.index_select(0, chosen)
            labels = None if self.labels is None else self.labels.index_select(0, chosen)
            if self._drawn_per_batch:
                draws.manual_seed(seed_for(self.seed, "pixels", epoch, batch))
                yield Batch(self.space.convert(raw, draws), labels)
            else:
                yield Batch(self._convert(raw), labels)

    def in_order(self, rows: int) -> Iterator[Tensor]:
        """All images in the order stored, `rows` at a time, the last batch perhaps shorter."""
        for raw in self.raw.split(rows):
            yield self._convert(raw)

    def first(self, count: int) -> Tensor:
        """The first `count` images, float32, shape (count, *event_shape)."""
        return self._convert(self.raw[:count])
