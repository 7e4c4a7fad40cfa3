"""Helpers for the tiny models of each family: weights away from where they start, so that every law can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from ancestral.models.base import Model

Kept = TypeVar("Kept", bound=nn.Module)


def shaken(module: Kept, scale: float) -> Kept:
    """The same module with noise of this scale added to its parameters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def livelier(model: Model) -> Model:
    """The same model with weights large enough that one pixel matters to another."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model


def seeded(make: Callable[[], Model], seed: int = 0) -> Model:
    """The model in double precision, the same every time, ready to be evaluated."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double().eval()
