"""Images as whole levels of a model, with the form in which they are returned: for compression."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compression.container import Form
from ancestral.core.errors import InputError, refusal
from ancestral.data.datasets import read_source
from ancestral.data.imported import Imported
from ancestral.data.originals import Original, original_pixels
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.storage import refuse_at_once
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.models.base import Model
from ancestral.runs.new_data import in_levels, options_for, padded_to, part_of, refuse_shape
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.settings.data import OtherData, ReadOptions

log = logging.getLogger("ancestral")
BLOCK = 4096  # images converted at once
CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class CodedPixels:
    """What is compressed.

    Args:      levels: whole numbers, shape (N, *event_shape). form: of the images when they are read again; None: the
               levels. space: data and pixel space, in words. changed: pixels that do not come back; of: number of all
               pixels. how: what changes them, and what the pixels of the files have lost.
    """

    levels: Tensor
    form: Form | None
    space: str
    changed: int = 0
    of: int = 0
    how: str = ""


@dataclass(frozen=True)
class Target:
    """What a model needs: its pixel space, the shape of an image, and how its training data were read."""

    space: PixelSpace
    event_shape: tuple[int, ...]
    options: ReadOptions = ReadOptions()  # noqa: RUF009  (immutable)
    pad_to: int | None = None


def pixels_of_split(data: RunData, split: str) -> CodedPixels:
    """The images of a split in the pixel space of the run.

    Raises:    InputError: the split is empty.
    """
    images = data.held(split)
    if not len(images):
        raise InputError(f"{data.name} has no {split} images: choose another --split")
    refuse_at_once("compress", (len(images), *images.event_shape), "give some of them with --data")
    _refuse_missing(data.name, images.seen)
    return CodedPixels(_levels(images), None, images.space.describe(data.name))


def pixels_of_file(target: Target, other: OtherData, split: str, convert: bool) -> CodedPixels:
    """The images of a file, a folder or data in memory.

    Args:      target: what the model needs. other: the source, and options for reading it. split: of the source, if it
               has splits. convert: accept pixels that the pixel space of the model changes.
    Raises:    InputError: the source cannot be read; or its pixels would change, without `convert`.
    """
    assert other.data is not None
    options = options_for(target.options, other)
    name, found = read_source(other.data, options)
    part, key = part_of(name, found, split)
    refuse_at_once("compress", part.images.shape, "compress them in several files")
    _refuse_missing(name, part.seen)
    _refuse_losses(name, found.losses, convert)
    space = replace(target.space, levels=target.space.levels or found.levels)
    images, notes = in_levels(name, part.array, found.levels, space.levels, bool(other.levels))
    for line in (*found.assumptions, *notes):
        log.warning("note: %s", line)
    if target.pad_to is not None:
        images = padded_to(images, target.pad_to)
    refuse_shape(name, images, target.event_shape)
    original = original_pixels(other.data, options, found, key)
    signs = _lost_signs(original.pixels)
    _refuse_losses(name, signs, convert)
    same = original.pixels.shape == images.shape
    described = space.describe(name)
    coded = _two_levels(original, space, described) if same else None
    if coded is None:
        levels = _levels(PixelBatches(images, space))
        coded = _exactly(levels, original, space, found, described) if same else None
        coded = coded or _changed(levels, original, space, found, described)
    if coded.changed and not convert:
        raise refusal(
            name, f"{coded.how} ({coded.changed:,} of {coded.of:,} pixels)", "add --convert to compress them so"
        )
    return replace(coded, how="; ".join([*found.losses, *signs, *filter(None, [coded.how])]))


def _refuse_losses(name: str, losses: Sequence[str], convert: bool) -> None:
    """Raises:    InputError: something of the images is lost, and this was not accepted."""
    if losses and not convert:
        raise refusal(name, "; ".join(losses), "these images would not come back: add --convert to compress them")


def _lost_signs(pixels: np.ndarray) -> list[str]:
    """What is lost of zeros with a negative sign, which are the same level as other zeros but other bytes."""
    if pixels.dtype.kind != "f":
        return []
    parts = (pixels[first : first + BLOCK] for first in range(0, len(pixels), BLOCK))
    count = sum(int((np.signbit(part) & (part == 0)).sum()) for part in parts)
    return [f"{count:,} pixels are zeros with a negative sign, which is lost"] if count else []


def _refuse_missing(name: str, seen: Any) -> None:
    """Raises:    InputError: some pixels are missing, so there is no value to store."""
    if seen is not None and not seen.all():
        missing = f"{int((~seen).sum()):,} of {seen.size if isinstance(seen, np.ndarray) else seen.numel():,}"
        raise refusal(name, f"{missing} pixels are missing", "fill them before, for example by `ancestral complete`")


def _levels(images: PixelBatches) -> Tensor:
    """All images as whole levels, in the smallest type."""
    kind = torch.uint8 if images.space.name in BINARY_SPACES or images.space.levels <= 256 else torch.int32
    return torch.cat([x.to(kind) for x in images.in_order(BLOCK)])


def _two_levels(original: Original, space: PixelSpace, described: str) -> CodedPixels | None:
    """Images of at most two values for a model of binary pixels, which are 0 and 1 of the model; None for others."""
    values = _two_values(original.pixels) if space.name in BINARY_SPACES else None
    if values is None:
        return None
    levels = torch.from_numpy((original.pixels == values[1]).astype(np.uint8))
    if values[0] == values[1]:
        levels.zero_()
    return CodedPixels(levels, Form(values, original.dtype, original.axes), described)


def _two_values(pixels: np.ndarray) -> tuple[Any, Any] | None:
    """The values that stand for 0 and 1, if there are at most two; None if there are more."""
    found: set[Any] = set()
    for first in range(0, len(pixels), BLOCK):
        found |= set(np.unique(pixels[first : first + BLOCK]).tolist())
        if len(found) > 2:
            return None
    for usual in ((0, 1), (0, 255)):
        if found <= set(usual):
            return usual
    low, high = min(found), max(found)
    return (low, high) if len(found) == 2 else (0, high)


def _exactly(
    levels: Tensor, original: Original, space: PixelSpace, found: Imported, described: str
) -> CodedPixels | None:
    """The images, if every level stands for one stored value; None otherwise."""
    count = 2 if space.name in BINARY_SPACES else space.levels
    values = _usual_values(count, found).astype(original.pixels.dtype)
    flat = levels.numpy()
    values[flat] = original.pixels  # one of the stored values of each level
    if not all(np.array_equal(values[flat[i]], original.pixels[i]) for i in range(len(flat))):
        return None
    own = values.dtype.kind in "iu" and np.array_equal(values, np.arange(count))
    return CodedPixels(levels, Form(None if own else tuple(values.tolist()), original.dtype, original.axes), described)


def _changed(levels: Tensor, original: Original, space: PixelSpace, found: Imported, described: str) -> CodedPixels:
    """The images with the usual stored value of each level."""
    count = 2 if space.name in BINARY_SPACES else space.levels
    kind, shape = original.pixels.dtype, original.pixels.shape
    usual = _usual_values(count, found)
    values = (usual.round() if kind.kind in "iu" else usual).astype(kind)
    axes = original.axes if shape[1] == levels.shape[1] else "NHW" if levels.shape[1] == 1 else "NCHW"
    form = Form(tuple(values.tolist()), original.dtype, axes)
    if shape != tuple(levels.shape):
        sizes = ["x".join(map(str, one[1:])) for one in (shape, levels.shape)]
        return CodedPixels(
            levels, form, described, levels.numel(), levels.numel(), f"images of {sizes[0]} become {sizes[1]}"
        )
    flat = levels.numpy()
    changed = sum(int((values[flat[i]] != original.pixels[i]).sum()) for i in range(len(flat)))
    words = described.removeprefix(f"{described.partition(', ')[0]}, ")
    return CodedPixels(levels, form, described, changed, levels.numel(), f"its pixels become {words}")


def _usual_values(count: int, found: Imported) -> np.ndarray:
    """The stored value of each level, evenly spaced over the range of the source."""
    low, high = found.value_range or (0, count - 1)
    return np.linspace(low, high, count)


def target_of(run: Run) -> Target:
    """What the model of a run needs."""
    own = run.settings.data
    return Target(run.space, tuple(run.record["data"]["event_shape"]), own.read_options, own.pad_to)


def target_of_model(model: Model) -> Target:
    """What a model without a run needs; grey values above one half of the levels of the source become 1."""
    levels = model.levels or 0
    space = PixelSpace("threshold", 0) if levels == 2 else PixelSpace("levels", levels)
    return Target(space, tuple(model.event_shape))
