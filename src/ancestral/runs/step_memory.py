"""Check before a training that one step fits in memory."""

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
"""Upper bound of activations per pixel value, for the default settings of all families and `USUAL_LEVELS` levels."""
SHARE = {"32-true": 1.0, "64-true": 2.0}
"""Bytes of a number format relative to single precision; mixed precision saves at most one half."""


def refuse_steps_beyond_memory(
    settings: Settings, engine: Engine, model: Model, train: PixelBatches, build_step: Callable[[Engine, Model], Step]
) -> None:
    """Check that the activations of one batch fit in the available memory.

    Nothing is measured if an upper bound fits, or for a plug-in family, whose step may not work on the device "meta".

    Args:      settings: of the run. engine: device and precision. model: on its device. train: the training data.
               build_step: makes the training step.
    Raises:    InputError: the batch is too large; the message states how many images fit.
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
    advice = f"lower --batch-size (at most {fitting:,} fit)" if fitting else "choose a smaller model"
    raise InputError(
        f"not enough memory: a step with {images:,} {train.space.noun} needs at least {needed / 1e9:.1f} GB for "
        f"activations, and {free / 1e9:.1f} GB are available: {advice}"
    )


def most_bytes(model_settings: Any, train: PixelBatches) -> float:
    """An upper bound of the bytes of activations of one image, computed from the settings.

    With default settings it is `MOST_BYTES` per pixel value. Activations grow at most in proportion to each setting, so
    the ratios of settings to their defaults are factors.
    """
    usual = type(model_settings)()
    factors = [
        max(1.0, _size(getattr(model_settings, field.name)) / max(1, _size(getattr(usual, field.name))))
        for field in fields(model_settings)
    ]
    levels = max(1.0, train.space.levels / USUAL_LEVELS)
    return MOST_BYTES * math.prod(train.event_shape) * levels * math.prod(factors)


def _size(value: Any) -> int:
    """The contribution of a setting to the size of a model: an integer, or a sum of integers; 0 for others."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def free_memory(device: torch.device) -> int | None:
    """The bytes that are available on a device; None if unknown."""
    if device.type == "cpu":
        return available_memory()
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    return None
