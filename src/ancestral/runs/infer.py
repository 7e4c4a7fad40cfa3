"""What lies behind images: their latents as arrays, and pictures of the space these live in."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically
from ancestral.evaluation.likelihood import BLOCK, counted, per_image
from ancestral.models.base import EncodesWithSpread, Infers
from ancestral.runs.run import Run

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Inference:
    """Latents of images.

    Attributes: z: shape (N, M). labels: shape (N,), where known. stddev: of the posterior, shape (N, M), where it has
                one that says more than its mean. how: what z is, and how true.
    """

    z: Tensor
    labels: Tensor | None
    stddev: Tensor | None
    how: str

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, those there are."""
        known = {"z": self.z, "labels": self.labels, "stddev": self.stddev}
        return {name: values.numpy() for name, values in known.items() if values is not None}

    def save(self, path: Path) -> None:
        """Write the arrays into one .npz file, all of it or nothing."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays())  # type: ignore[arg-type]  # numbers alone: nothing is pickled
        write_atomically(path, buffer.getvalue())


def infer_run(run: Run, split: str = "test", count: int | None = None, progress: Progress | None = None) -> Inference:
    """Latents of the images of a split, or of points, as the run's model finds them.

    Args:      count: only the first so many.
    Raises:    NotComputable: the model has no latents, or cannot infer them. InputError: there are no such images.
    """
    model = run.load()
    if not isinstance(model, Infers):
        raise NotComputable(f"a {type(model).__name__} has no latents that could be inferred")
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} {run.data.space.noun}")

    def columns(x: Tensor) -> Tensor:
        return torch.cat(model.encode_with_stddev(x), 1) if isinstance(model, EncodesWithSpread) else model.encode(x)

    block = BLOCK if model.encodes_by_search else 10 * BLOCK
    found = per_image(model, images, block, columns, 0, counted(progress, len(images))).to(model.dtype)
    z, stddev = found.chunk(2, 1) if isinstance(model, EncodesWithSpread) else (found, None)
    labels = run.data.stored(split).labels
    return Inference(z, None if labels is None else labels[: len(z)], stddev, model.inference)
