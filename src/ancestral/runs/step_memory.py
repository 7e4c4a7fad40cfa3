"""A training whose steps exceed the memory is refused before it begins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch

from ancestral.core.errors import InputError
from ancestral.core.free_memory import available_memory
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.families.catalogue import is_plug_in
from ancestral.families.run_settings import Settings
from ancestral.models.base import Model
from ancestral.training.activations import META, activation_bytes
from ancestral.training.engine import Engine
from ancestral.training.steps import Step

USUAL_LEVELS = 256
MOST_BYTES = 16_000
"""For each number of an image, at the default settings of every family and up to `USUAL_LEVELS` levels."""
SHARE = {"32-true": 1.0, "64-true": 2.0}
"""Bytes of a number format against those of single precision; mixed ones halve at most all of them."""


def refuse_steps_beyond_memory(
    settings: Settings, engine: Engine, model: Model, train: PixelBatches, build_step: Callable[[Engine, Model], Step]
) -> None:
    """Refuse a batch whose activations alone exceed the memory that is free.

    What is certain to fit is not measured. A plug-in's step is not run without values.

    Args:      model: on its device. train: the training data. build_step: makes the step that trains.
    Raises:    InputError: names how many images can fit at most.
    """
    free = free_memory(engine.device)
    images = min(settings.training.batch_size, len(train))
    share = SHARE.get(settings.training.precision, 0.5)
    if free is None or is_plug_in(settings.family):
        return
    if share * images * most_bytes(settings.model, train) <= free:
        return
    labels = None if train.labels is None else torch.empty(images, dtype=train.labels.dtype, device=META)
    batch = Batch(torch.empty(images, *train.event_shape, device=META), labels)
    measured = activation_bytes(model, build_step, batch)
    needed = share * (measured or 0)
    if needed <= free:
        return
    fitting = int(images * free / needed)
    advice = f"lower --batch-size (at most {fitting:,} can fit)" if fitting else "lower the sizes of the model"
    raise InputError(
        f"not enough memory: a step on {images:,} {train.space.noun} keeps at least {needed / 1e9:.1f} GB of "
        f"activations, and {free / 1e9:.1f} GB are available: {advice}"
    )


def most_bytes(model_settings: Any, train: PixelBatches) -> float:
    """An upper bound of the activations of one image, found from the settings alone.

    At the default settings it is `MOST_BYTES` for each number of an image. No setting makes activations grow faster
    than in proportion to it, so that their ratios to the defaults are factors.
    """
    usual = type(model_settings)()
    factors = [
        max(1.0, _size(getattr(model_settings, field.name)) / max(1, _size(getattr(usual, field.name))))
        for field in fields(model_settings)
    ]
    levels = max(1.0, train.space.levels / USUAL_LEVELS)
    return MOST_BYTES * math.prod(train.event_shape) * levels * math.prod(factors)


def _size(value: Any) -> int:
    """What a setting adds to the size of a model: a whole number, or the sum of several; 0 for others."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def free_memory(device: torch.device) -> int | None:
    """Bytes that a training may still take on a device; None where that is not known."""
    if device.type == "cpu":
        return available_memory()
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return None
