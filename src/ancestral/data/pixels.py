"""Pixel spaces, and batches of pixels in a space, computed from stored grey levels on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_for
from ancestral.data.orders import epoch_order
from ancestral.data.read_ahead import read_ahead
from ancestral.data.sharded import ShardedImages, as_tensor, touch
from ancestral.data.splits import Split
from ancestral.data.storage import COPIED, allocated

SPACES = {
    "binary": "binary, each pixel drawn with probability = its grey value",
    "static": "binary, each pixel drawn with probability = its grey value",
    "threshold": "binary, threshold 0.5",
    "levels": "{levels} levels",
    "unit": "real numbers in [0, 1] (a density)",
    "points": "R^{dimensions}",
}
# binary pixels for evaluation are sampled once per split, equally for all runs, so that scores are comparable
DRAW_SEED = 0
BLOCK = 4096  # images per block
TOUCHED = 4  # batches that are read from disk together, in the order of the file


@dataclass(frozen=True)
class PixelSpace:
    """A pixel space: one of `SPACES`, computed from integers 0..levels-1. Points are not changed.

    Args:      name: binary, static, threshold, levels, unit or points. levels: number of grey levels of the source.
               dimensions: dimensions of points. given: names of the vectors that each image is scored given, for the
               text; "" for none.
    Raises:    InputError: an unknown name.
    Example:
        >>> PixelSpace("threshold", 256).convert(torch.tensor([0, 127, 128, 255], dtype=torch.uint8))
        tensor([0., 0., 1., 1.])
    """

    name: str
    levels: int
    dimensions: int = 2
    given: str = ""

    def __post_init__(self) -> None:
        if self.name not in SPACES:
            raise InputError(f"unknown pixel space {self.name!r}: choose {', '.join(SPACES)}")

    def convert(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pixels as float32, shape of `raw`. Only `binary` and `static` use random numbers."""
        if self.name in ("levels", "points"):
            return raw.float()
        if self.name == "unit":
            return raw.float() / (self.levels - 1)
        if self.name == "threshold":
            return (raw > (self.levels - 1) // 2).float()
        u = torch.rand(raw.shape, device=raw.device, generator=generator)
        return (u * (self.levels - 1) < raw).float()

    def to_unit(self, x: Tensor) -> Tensor:
        """Pixels of this space as grey values in [0, 1], for figures."""
        return (x / (self.levels - 1) if self.name == "levels" else x).clamp(0, 1)

    @property
    def noun(self) -> str:
        """`images` or `points`."""
        return "points" if self.name == "points" else "images"

    def describe(self, dataset: str) -> str:
        """Data and pixel space of a score, as text: `mnist, binary, threshold 0.5`."""
        given = f", given {self.given}" if self.given else ""
        return f"{dataset}, {SPACES[self.name].format(levels=self.levels, dimensions=self.dimensions)}{given}"


class Moment(NamedTuple):
    """The position of a batch in a training, for objectives with a schedule.

    Args:      step: number of updates before this one. steps_per_epoch, total_steps: updates per epoch and in total.
    Example:
        >>> Moment(step=15, steps_per_epoch=10, total_steps=400).epoch
        1.5
    """

    step: int
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> float:
        """Number of epochs before this update, with fractions."""
        return self.step / self.steps_per_epoch


class Batch(NamedTuple):
    """Some images of a split.

    Args:      x: float32, shape (B, *event_shape). labels: classes, -1 for unknown ones, shape (B,); None if the data
               have none. seen: boolean, shape of x, False for missing pixels; None if there are none. weights: weights
               of the images, shape (B,); None if equal. moment: position in the training; None outside of a training.
               conditions: the vectors that the model is conditioned on, float64, shape (B, K); None: no vectors.
    """

    x: Tensor
    labels: Tensor | None = None
    seen: Tensor | None = None
    weights: Tensor | None = None
    moment: Moment | None = None
    conditions: Tensor | None = None

    def rows(self, chosen: Tensor | slice) -> Batch:
        """Some images of the batch. chosen: their indices, shape (n,), or a range of them."""
        parts = {name: getattr(self, name) for name in ("x", "labels", "seen", "weights", "conditions")}
        return self._replace(**{name: values[chosen] for name, values in parts.items() if values is not None})


class PixelBatches:
    """The images of one split as batches in a pixel space.

    Pixels stay integers on the device, and each batch is gathered there by index. The order of an epoch and the pixels
    sampled in it are pure functions of (seed, epoch, batch), so a resumed run gets the same data.

    Args:      images: whole numbers, shape (N, C, H, W); or points, float32, shape (N, D); or a split. A large split
               stays where it is stored. Its batches are gathered from there; a second thread reads those of an epoch
               from disk ahead of time. space: the pixel space. seed: random seed of order and pixels. device: device
               of the batches. fresh: for `binary`, sample pixels again in every epoch (training); otherwise they are
               sampled once, equally for all runs (evaluation). labels: classes, shape (N,), if known. draw: name of
               the random seed for `fresh=False`; each split has its own, so that equal images in two splits have
               different noise. window: shuffle within windows of so many images, see `orders.epoch_order`; None: all
               images.
    """

    def __init__(
        self,
        images: Tensor | Split,
        space: PixelSpace,
        seed: int = 0,
        device: torch.device | str = "cpu",
        fresh: bool = False,
        labels: Tensor | None = None,
        draw: str = "test",
        window: int | None = None,
    ) -> None:
        self.space, self.seed, self.device, self.window = space, seed, torch.device(device), window
        stored, self._rows = (images.stored, images.chosen) if isinstance(images, Split) else (images, None)
        self.event_shape = tuple(stored.shape[1:])
        placed = images.rows if isinstance(images, Split) else None
        self._places = self._rows if placed is None else torch.from_numpy(placed)
        self._drawn_per_batch = fresh and space.name == "binary"
        drawn_once = space.name in ("binary", "static") and not self._drawn_per_batch
        self._convert: Callable[[Tensor], Tensor] = space.convert
        if drawn_once or (space.name == "threshold" and self._rows is None):
            # the seed of the test images has no name, because published scores were computed without it
            named = () if draw == "test" else (draw,)
            generator = torch.Generator().manual_seed(seed_for(DRAW_SEED, "pixels", *named))
            large = self._rows is not None
            stored = _bits(stored, self._rows, space, generator)
            self._rows = torch.arange(len(stored)) if large else None
            self._convert = Tensor.float
        self.raw = stored.to(self.device) if isinstance(stored, Tensor) and self._rows is None else stored
        self.labels = None if labels is None else labels.to(self.device)
        self.seen = images.seen.to(self.device) if isinstance(images, Split) and images.seen is not None else None
        weights = images.weights if isinstance(images, Split) else None
        self.weights = None if weights is None else weights.to(self.device, torch.float32)
        vectors = images.conditions if isinstance(images, Split) else None
        self.conditions = None if vectors is None else vectors.to(self.device)

    @property
    def total_weight(self) -> float:
        """The sum of the weights of all images; their number if the weights are equal."""
        return float(len(self)) if self.weights is None else float(self.weights.double().sum())

    @property
    def mean_weight(self) -> float:
        """The mean weight of an image, 1 if the weights are equal."""
        return self.total_weight / max(1, len(self))

    def mean(self, values: Tensor) -> float:
        """The mean of one value per image, with the weights of the images, if they have any."""
        if self.weights is None:
            return values.mean().item()
        weights = self.weights.to(values)
        return ((weights * values).sum() / weights.sum()).item()

    def __len__(self) -> int:
        return len(self.raw if self._rows is None else self._rows)

    def _gathered(self, chosen: Tensor) -> Tensor:
        """Stored pixels of some images, by their indices in the split, on the device."""
        if self._rows is None:
            assert isinstance(self.raw, Tensor)
            return self.raw.index_select(0, chosen)
        return self.raw.index_select(0, self._rows[chosen.cpu()]).contiguous().to(self.device)

    def batches_per_epoch(self, batch_size: int) -> int:
        """Number of steps of one epoch, including a last, smaller batch."""
        return -(-len(self) // batch_size)

    def shuffled(self, epoch: int, batch_size: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch `first` on, in the order given by (seed, epoch)."""
        order = epoch_order(len(self), seed_for(self.seed, "order", epoch), self.window, self._places)
        draws = torch.Generator(self.device)
        rows = order.to(self.device).split(batch_size)[first:]
        for batch, (chosen, raw) in enumerate(zip(rows, self._read(rows), strict=True), first):
            labels, seen, weights, vectors = (
                None if of is None else of.index_select(0, chosen)
                for of in (self.labels, self.seen, self.weights, self.conditions)
            )
            if self._drawn_per_batch:
                draws.manual_seed(seed_for(self.seed, "pixels", epoch, batch))
                x = self.space.convert(raw, draws)
            else:
                x = self._convert(raw)
            yield Batch(_without_hidden(x, seen), labels, seen, weights, conditions=vectors)

    def _read(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """The stored pixels of the batches with these indices; those of a large split are read from disk ahead."""
        if self._rows is None:
            return map(self._gathered, rows)
        stored, places = self.raw, self._rows
        groups = [rows[first : first + TOUCHED] for first in range(0, len(rows), TOUCHED)]
        touched = read_ahead(lambda group: touch(stored, places[torch.cat(list(group)).cpu()]), groups)
        return (self._gathered(chosen) for group in touched for chosen in group)

    def blocks(self, rows: int) -> Iterator[Batch]:
        """All images in stored order with their masks, in batches of `rows`; the last batch may be smaller."""
        for first in range(0, max(1, len(self)), rows):
            yield self._block(first, min(first + rows, len(self)))

    def _block(self, first: int, last: int) -> Batch:
        if self._rows is None:
            assert isinstance(self.raw, Tensor)
            raw = self.raw[first:last]
        else:
            raw = self._gathered(torch.arange(first, last))
        labels, seen, weights, vectors = (
            None if of is None else of[first:last] for of in (self.labels, self.seen, self.weights, self.conditions)
        )
        return Batch(_without_hidden(self._convert(raw), seen), labels, seen, weights, conditions=vectors)

    def in_order(self, rows: int) -> Iterator[Tensor]:
        """All images in stored order, in batches of `rows`; the last batch may be smaller.

        Raises:    NotComputable: pixels are missing, which only `blocks` tells.
        """
        self.refuse_missing()
        for batch in self.blocks(rows):
            yield batch.x

    def first_batch(self, count: int) -> Batch:
        """The first `count` images with their masks."""
        return self._block(0, min(count, len(self)))

    def first(self, count: int) -> Tensor:
        """The first `count` images, float32, shape (count, *event_shape).

        Raises:    NotComputable: pixels are missing, which only `first_batch` tells.
        """
        self.refuse_missing()
        return self.first_batch(count).x

    def refuse_missing(self) -> None:
        """Raises:    NotComputable: pixels are missing."""
        if self.seen is not None:
            what = "values" if self.space.name == "points" else "pixels"
            raise NotComputable(
                f"these {self.space.noun} have missing {what}, and this needs complete {self.space.noun}: "
                "give others with --data"
            )


def _without_hidden(x: Tensor, seen: Tensor | None) -> Tensor:
    """The pixels with zeros where they are missing, so that no stored value can be used by mistake."""
    return x if seen is None else torch.where(seen, x, 0)


def _bits(stored: Tensor | ShardedImages, rows: Tensor | None, space: PixelSpace, generator: torch.Generator) -> Tensor:
    """Binary pixels of all images, uint8, computed in blocks to avoid a copy of all images as floats.

    Those of a large split are in a temporary file.
    """
    images = Split(stored, None, chosen=rows)
    shape = (len(images), *images.event_shape)
    if rows is not None:
        bits = as_tensor(allocated(shape, np.uint8, most=COPIED))
    else:
        bits = torch.empty(shape, dtype=torch.uint8, device=stored.device if isinstance(stored, Tensor) else None)
    for first in range(0, len(images), BLOCK):
        block = slice(first, first + BLOCK)
        bits[block] = space.convert(images.at(block), generator)
    return bits
