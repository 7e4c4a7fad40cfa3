"""The latents of images or points, as arrays."""

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

    Attributes: z: shape (N, M). labels: shape (N,), if known. stddev: standard deviations of the posterior, shape (N,
                M), if the model has them. how: what z is, and whether it is exact.
    """

    z: Tensor
    labels: Tensor | None
    stddev: Tensor | None
    how: str

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are not None, by name."""
        known = {"z": self.z, "labels": self.labels, "stddev": self.stddev}
        return {name: values.numpy() for name, values in known.items() if values is not None}

    def save(self, path: Path) -> None:
        """Write the arrays to one .npz file, atomically."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays())  # type: ignore[arg-type]  # numbers only, nothing is pickled
        write_atomically(path, buffer.getvalue())


def infer_run(run: Run, split: str = "test", count: int | None = None, progress: Progress | None = None) -> Inference:
    """The latents of the images or points of a split.

    Args:      run: the run. split: of the data. count: use only the first `count` images. progress: called with (images
               done, total images).
    Raises:    NotComputable: the model has no latents, or cannot infer them. InputError: the split is empty.
    """
    model = run.load()
    if not isinstance(model, Infers):
        raise NotComputable(f"a {type(model).__name__} has no latents that can be inferred")
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
