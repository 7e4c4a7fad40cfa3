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
from ancestral.core.text import type_in_words
from ancestral.evaluation.class_scores import log_class_posterior
from ancestral.evaluation.likelihood import BLOCK, counted, per_image_seen
from ancestral.models.base import EncodesWithSpread, ExactModel, Infers
from ancestral.models.classes import scores_classes
from ancestral.runs.run import Run

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Inference:
    """Latents of images, and the probabilities of their classes.

    Attributes: z: shape (N, M); M = 0 for a model with classes and no other latents. labels: shape (N,), if known.
                stddev: standard deviations of the posterior, shape (N, M), if the model has them. how: what z is, and
                whether it is exact. class_probs: p(y | x) of a model with classes, shape (N, K): exact, or estimated
                with importance weights.
    """

    z: Tensor
    labels: Tensor | None
    stddev: Tensor | None
    how: str
    class_probs: Tensor | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are not None, by name."""
        known = {"z": self.z, "labels": self.labels, "stddev": self.stddev, "class_probs": self.class_probs}
        return {name: values.numpy() for name, values in known.items() if values is not None and values.numel()}

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
    if not isinstance(model, Infers) and not scores_classes(model):
        raise NotComputable(f"{type_in_words(model)} has no latents that can be inferred")
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} {run.data.space.noun}")

    labels = run.data.stored(split).labels
    labels = None if labels is None else labels[: len(images)]
    probs = None
    if scores_classes(model):
        probs = log_class_posterior(model, images).exp().to(model.dtype)
    if not isinstance(model, Infers):
        assert probs is not None
        how = "exact: p(y | x)" if isinstance(model, ExactModel) else "p(y | x) of a network of the model"
        return Inference(probs[:, :0], labels, None, how, probs)

    def columns(given: Infers, x: Tensor) -> Tensor:
        return torch.cat(given.encode_with_stddev(x), 1) if isinstance(given, EncodesWithSpread) else given.encode(x)

    block = BLOCK if model.encodes_by_search else 10 * BLOCK
    images.refuse_missing()
    found = per_image_seen(model, images, block, columns, 0, counted(progress, len(images))).to(model.dtype)
    z, stddev = found.chunk(2, 1) if isinstance(model, EncodesWithSpread) else (found, None)
    return Inference(z, labels, stddev, model.inference, probs)
