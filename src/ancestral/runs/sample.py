"""Samples of a trained model, and the files they are written to."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically
from ancestral.core.random import seed_for, seeded_noise
from ancestral.models.base import Model, SamplesClasses

AT_ONCE = 1000


@torch.no_grad()
def sample_model(model: Model, n: int, seed: int = 0, label: int | None = None) -> Tensor:
    """`n` draws, shape (n, *event_shape), in the model's pixel space, drawn `AT_ONCE` at a time.

    Args:      seed: random seed. label: only images of this class.
    Raises:    InputError: less than one draw, or no such class. NotComputable: the model knows no classes.
    """
    if n < 1:
        raise InputError(f"--n {n}: draw at least one")
    sizes = [min(AT_ONCE, n - first) for first in range(0, n, AT_ONCE)]
    if label is not None and not isinstance(model, SamplesClasses):
        raise NotComputable(f"a {type(model).__name__} knows no classes to draw: leave --label out")
    with seeded_noise(seed_for(seed, "sample")):
        if label is not None and isinstance(model, SamplesClasses):
            return torch.cat([model.sample_classes(torch.full((size,), label)) for size in sizes])
        return torch.cat([model.sample(size) for size in sizes])


def save_array(x: Tensor, path: Path) -> None:
    """Write draws into one .npy file, all of it or nothing."""
    buffer = io.BytesIO()
    np.save(buffer, x.cpu().numpy(), allow_pickle=False)
    write_atomically(path, buffer.getvalue())
