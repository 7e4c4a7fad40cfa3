"""Samples of a trained model, and the files for them."""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.dividing import in_blocks, present
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically, write_csv
from ancestral.core.random import seed_for, seed_of_block, seeded_noise
from ancestral.core.text import close_matches, type_in_words
from ancestral.evaluation.differences import Difference, paired_difference
from ancestral.evaluation.likelihood import bound_in_steps
from ancestral.models.base import DrawsClasses, HasPresentClasses, Model, SamplesClasses
from ancestral.models.classes import HasClasses
from ancestral.models.orders import with_steps
from ancestral.models.vectors import TakesVectors, has_mean, under_random_vectors, without_random_vectors
from ancestral.runs.divided import refuse_other_weights
from ancestral.runs.run import Run
from ancestral.runs.vectors import vectors_in_words

log = logging.getLogger("ancestral")

AT_ONCE = 1000  # samples of a block, which has its own seed
COSTED = 500  # images on which the cost of parallel steps is measured


@torch.no_grad()
def sample_model(
    model: Model,
    n: int,
    seed: int = 0,
    label: int | Sequence[int] | None = None,
    means: bool = False,
    steps: int | None = None,
) -> Tensor:
    """`n` samples, shape (n, *event_shape), in the model's pixel space; `AT_ONCE` are drawn at a time.

    Each block of `AT_ONCE` samples has its own seed. Inside of `core.dividing.dividing`, the blocks are divided.

    Args:      model: to sample from. n: number of samples. seed: random seed. label: sample images of this
               class, or of these classes in equal numbers, one class after the other. means: return E[x | z] for
               random latents z; these are not samples of x. steps: number of parallel steps; None: exact samples.
    Raises:    InputError: n < 1, or no such class or number of steps. NotComputable: the model is not conditional, or
               has no E[x | z] or no parallel steps.
    """
    if n < 1:
        raise InputError(f"--n {n}: give at least 1")
    if means and not has_mean(model):
        raise NotComputable(f"{type_in_words(model)} has no mean of x given a latent: leave --mean out")
    if steps is not None and means:
        raise InputError("--steps cannot be combined with --mean: leave out one of them")
    if label is not None:
        return _of_classes(model, labels_of(label, n), seed, steps)
    if steps is not None:
        with_steps(without_random_vectors(model))

    def drawn(rows: slice) -> Tensor:
        n = rows.stop - rows.start
        of_rows = model.rows_of(rows) if isinstance(model, TakesVectors) else under_random_vectors(model, n)
        if steps is not None:
            return with_steps(of_rows).sample_in_steps(n, steps)
        return (of_rows.sample_mean if means else of_rows.sample)(n)

    return _in_blocks(model, n, seed, drawn)


def _of_classes(model: Model, labels: Tensor, seed: int, steps: int | None = None) -> Tensor:
    conditional = _conditional(model)
    if steps is not None:
        with_steps(model)

    def drawn(rows: slice) -> Tensor:
        if steps is None or not isinstance(model, HasClasses):
            return conditional.sample_classes(labels[rows])
        return with_steps(model.given(labels[rows])).sample_in_steps(rows.stop - rows.start, steps)

    return _in_blocks(model, len(labels), seed, drawn)


def _in_blocks(model: Model, n: int, seed: int, draw: Callable[[slice], Tensor]) -> Tensor:
    refuse_other_weights(present(), model)

    def drawn(number: int, rows: slice) -> Tensor:
        with seeded_noise(seed_of_block(seed, "sample", number)):
            return _checked(model, draw(rows), rows.stop - rows.start)

    return in_blocks(n, AT_ONCE, drawn)


@torch.no_grad()
def cost_of_steps(run: Run, steps: int, count: int = COSTED) -> Difference:
    """What parallel steps cost: the lower bound on log p(x) of one pixel at a time minus that of `steps` steps.

    Args:      run: the run. steps: number of parallel steps. count: number of test images.
    Returns:   estimates of the mean difference in nats per image and of its standard error, paired by image.
    """
    model, images = run.load(), run.data.held("test", count)
    each = math.prod(images.event_shape)
    return paired_difference(*(bound_in_steps(model, images, number) for number in (each, steps)))


def drawn_in_words(model: Model) -> str:
    """What pictures of `sample_mean` show: samples, or mean images given samples of the latents."""
    drawn = "mean images E[x|z], z from the prior" if has_mean(model) else "samples"
    return drawn + vectors_in_words(model)


def _checked(model: Model, x: object, n: int) -> Tensor:
    """Raises:    InputError: the samples of a user's own model have a wrong shape."""
    shape = (n, *model.event_shape)
    if not isinstance(x, Tensor) or x.shape != shape:
        found = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type_in_words(x)
        raise InputError(
            f"sample({n}) of the {type(model).__name__} returns {found}: it must return a tensor of shape {shape}"
        )
    return x


@torch.no_grad()
def sample_labelled(
    model: Model, n: int, seed: int = 0, label: int | Sequence[int] | None = None, steps: int | None = None
) -> tuple[Tensor, Tensor]:
    """`n` samples of a conditional model with their classes, shapes (n, *event_shape) and (n,).

    Args:      model: to sample from. n: number of samples. seed: random seed. label: class or classes, as in
               `sample_model`; None draws the classes in the proportions of the training data. steps: as in
               `sample_model`.
    Raises:    as `sample_model`.
    """
    conditional = _conditional(model)
    with seeded_noise(seed_for(seed, "classes")):
        if label is None and isinstance(model, DrawsClasses):
            labels = model.draw_classes(n)
        elif label is None:
            labels = torch.randint(conditional.classes, (n,))
        else:
            labels = labels_of(label, n)
    return _of_classes(model, labels, seed, steps), labels


def labels_of(label: int | Sequence[int], n: int) -> Tensor:
    """The labels of n samples of a class, or of several classes in equal numbers, one after the other, shape (n,).

    Raises:    InputError: more classes than samples.
    """
    labels = torch.as_tensor(label).reshape(-1)
    if len(labels) > n:
        raise InputError(f"--n {n} is less than one sample for each of {len(labels)} classes: give a larger --n")
    place = torch.arange(n) * len(labels) // n
    return labels[place]


def is_conditional(model: Model) -> bool:
    """Whether a model can sample images of a given class."""
    return isinstance(model, SamplesClasses) and model.classes > 0


def present_classes(model: SamplesClasses) -> list[int]:
    """The classes in the training data of a conditional model; all classes if this is unknown."""
    return model.present_classes().tolist() if isinstance(model, HasPresentClasses) else list(range(model.classes))


def _conditional(model: Model) -> SamplesClasses:
    if not isinstance(model, SamplesClasses) or not model.classes:
        name = type_in_words(without_random_vectors(model))
        raise NotComputable(
            f"{name} without classes cannot sample a given class: leave --label out, or train one with --conditional"
        )
    return model


def class_number(run: Run, label: str | int) -> int:
    """The number of a class from its name, or from its number if the classes of the run have no names.

    A notice is given for a class without training images, of which the model has learned nothing.

    Raises:    InputError: no such class.
    """
    record = run.record["data"]
    number = _number_of(label, record.get("classes"))
    images = (record.get("class_counts") or {}).get("train", ())
    if 0 <= number < len(images) and not images[number]:
        log.warning("note: no training image has the class %s, so its images have not been learned", label)
    return number


def _number_of(label: str | int, names: list[str] | None) -> int:
    if names:
        if str(label) in names:
            return names.index(str(label))
        raise InputError(f"--label {label}: no such class; {close_matches(str(label), names)}")
    if not re.fullmatch("-?[0-9]{1,18}", str(label)):
        raise InputError(f"--label {label}: the classes of this run have no names: give a whole number")
    return int(label)


def save_array(x: Tensor, path: Path) -> None:
    """Write samples to one .npy file, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, x.cpu().numpy(), allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def save_table(x: Tensor, path: Path, columns: Sequence[str] | None) -> None:
    """Write points, shape (n, D), to a .csv file with a header."""
    names = list(columns) if columns else [f"x{place + 1}" for place in range(x.shape[1])]
    write_csv(path, names, [[repr(value) for value in row] for row in x.tolist()])


def save_images(grey: Tensor, folder: Path, labels: Tensor | None = None, classes: Sequence[str] | None = None) -> None:
    """Write one 8-bit PNG file per image to a folder, and `labels.csv` if there are labels.

    Args:      grey: values in [0, 1], shape (n, C, H, W) with 1 or 3 channels. folder: new or empty. labels: shape
               (n,). classes: names.
    Raises:    InputError: the folder is not empty, or the number of channels is not 1 or 3.
    """
    if grey.ndim != 4 or grey.shape[1] not in (1, 3):
        raise InputError(f"{folder}: images of shape {tuple(grey.shape[1:])} cannot be written as PNG: use a .npy file")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder: choose another --out")
    from PIL import Image

    bytes_ = (grey * 255).round().to(torch.uint8).movedim(1, -1).cpu().numpy()
    width = len(str(len(bytes_) - 1))
    files = [f"{number:0{width}}.png" for number in range(len(bytes_))]
    for file, image in zip(files, bytes_, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
        write_atomically(folder / file, buffer.getvalue())
    if labels is not None:
        named = [classes[int(label)] if classes else str(label) for label in labels.tolist()]
        write_csv(
            folder / "labels.csv", ["file", "label"], [[file, name] for file, name in zip(files, named, strict=True)]
        )
