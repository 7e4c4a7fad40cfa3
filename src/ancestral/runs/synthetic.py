"""Data with a known distribution: the models that the sampled sets come from, and their samples.

Such a model is part of the package, in half precision. Its distribution is that of these weights, computed in double
precision, so log p(x), p(y | x) and the conditionals of its data are known exactly.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for
from ancestral.core.text import close_matches
from ancestral.data.imported import Part
from ancestral.data.sampled import provide_samples
from ancestral.families.build import load_model
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasStateTrees, Model, SamplesClasses
from ancestral.runs.fixed_samples import sample_in_order, sample_trees, uniform_stream
from ancestral.settings.data import SAMPLED_SETS

WEIGHTS = Path(__file__).parents[1] / "weights"
MODEL_FILES = ("config.json", "model.safetensors")


@dataclass(frozen=True)
class Sizes:
    """Numbers of training and test images of a sampled set."""

    train: int
    test: int


SIZES = {
    "synthetic-circuit": Sizes(60_000, 10_000),
    "synthetic-pixelcnn": Sizes(24_000, 6_000),  # it is sampled pixel after pixel, in minutes
}


def true_model(name: str) -> Model:
    """The model that a sampled set comes from, in double precision: the true distribution of these data.

    Args:      name: of the set, such as `synthetic-circuit`.
    Returns:   the model, in evaluation mode, with classes; `log_prob` is exact.
    Raises:    InputError: the set is not sampled from a model, or the files of the model are damaged.
    Example:
        >>> true_model("synthetic-circuit").event_shape
        (1, 28, 28)
    """
    if name not in SAMPLED_SETS:
        raise InputError(f"the distribution of {name} is not known: {close_matches(name, SAMPLED_SETS)}")
    recorded = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    return load_model(WEIGHTS / name, recorded["sha256"]).double().requires_grad_(False)


def sampled_part(model: Model, name: str, split: str, count: int) -> Part:
    """Images from p(x, y) with their labels; the seed is a function of the names. See `fixed_samples`.

    Args:      model: a mixture of trees or an autoregressive model, with classes. name: of the set. split: train or
               test. count: of images.
    """
    assert isinstance(model, AutoregressiveModel | HasStateTrees) and isinstance(model, SamplesClasses)
    uniform = uniform_stream(seed_for(name, split))
    with torch.no_grad():
        if isinstance(model, AutoregressiveModel):
            labels, pixels = sample_in_order(model, uniform, count)
        else:
            trees, pixels = sample_trees(model, uniform, count)
            labels = trees // (len(model.log_prior_trees()) // model.classes)  # the trees of a class are neighbours
    return Part(pixels.reshape(count, *model.event_shape), labels)


def sampled_parts(name: str) -> dict[str, Part]:
    """The training and test images of a sampled set, with labels."""
    model, sizes = true_model(name), SIZES[name]
    return {split: sampled_part(model, name, split, getattr(sizes, split)) for split in ("train", "test")}


def ship(model: Model, name: str, folder: Path = WEIGHTS) -> Path:
    """Write a trained model as the true distribution of a set, rounded once to half precision."""
    from ancestral.core.files import sha256_of, write_json

    model.half().save(folder / name)
    parameters = sum(one.numel() for one in model.parameters())
    sums = {file: sha256_of((folder / name / file).read_bytes()) for file in MODEL_FILES}
    write_json(folder / f"{name}.json", {"parameters": parameters, "sha256": sums})
    return folder / name


provide_samples(sampled_parts)


if __name__ == "__main__":
    import sys

    print(ship(load_model(Path(sys.argv[1]) / "model"), sys.argv[2]))
