"""The mode of a model, which dropout and batch normalisation depend on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Context in which a model is in evaluation mode; its mode is restored."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
