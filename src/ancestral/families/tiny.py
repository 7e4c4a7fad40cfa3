"""Helpers for the tiny models: weights that differ from their initial values, so that every test can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from ancestral.models.base import Model

Kept = TypeVar("Kept", bound=nn.Module)


def perturbed(module: Kept, scale: float) -> Kept:
    """Add Gaussian noise of this standard deviation to the parameters of a module; returns the module."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def with_larger_weights(model: Model) -> Model:
    """Multiply all weights of a model, so that pixels depend clearly on each other; returns the model."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model


def seeded(make: Callable[[], Model], seed: int = 0) -> Model:
    """A model in double precision and evaluation mode, always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double().eval()
