"""A trained model as the explorer's page needs it: its description, test vectors, and the scores of test images."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import DataNotHere, InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelSpace
from ancestral.explorer.packing import Packing
from ancestral.explorer.vectors import vectors
from ancestral.families.catalogue import find
from ancestral.families.family import Family
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.runs.run import Run

REFERENCE = 500  # test images whose scores show where a drawing stands
BATCH = 100


def in_half_precision(model: Model) -> Model:
    """A copy whose parameters and buffers are rounded to float16 and kept as float32, as the page has them."""
    rounded = copy.deepcopy(model).float().eval()
    with torch.no_grad():
        for tensor in [*rounded.parameters(), *rounded.buffers()]:
            if tensor.is_floating_point():
                tensor.data = tensor.half().float()
    return rounded


def describe(run: Run, reference: int = REFERENCE) -> dict[str, Any]:
    """What a page knows of a run: JSON, with the weights as text.

    A model that the page cannot run has a `reason` in place of `spec`, `weights` and `vectors`.

    Args:      reference: how many test images are scored.
    Raises:    InputError: the run has no weights.
    """
    model = in_half_precision(run.load())
    words = run.data.space.describe(run.data.name)
    described = describe_model(run.path.name, find(run.settings.family), model, run.data.space, words)
    described["classes"] = list(run.data.classes or ())
    if "spec" in described:
        described["reference"] = _reference(run, model, reference)
    return described


def describe_model(name: str, family: Family, model: Model, space: PixelSpace, words: str) -> dict[str, Any]:
    """As `describe`, of a model without a run, and thus without classes and scores of test images.

    Args:      name: of the model in the page. model: as `in_half_precision` gives it. words: the data and their pixels.
    """
    described: dict[str, Any] = {
        "name": name,
        "family": family.name,
        "title": type(model).__name__,
        "event": list(model.event_shape),
        "space": {"name": space.name, "levels": space.levels, "words": words},
        "classes": [],
        "parameters": sum(p.numel() for p in model.parameters()),
        "likelihood": likelihood_of(model),
        "reference": None,
    }
    try:
        return described | _portable(family, model, space)
    except NotComputable as reason:
        return described | {"reason": str(reason)}


def likelihood_of(model: Model) -> str:
    if isinstance(model, ExactModel):
        return "exact"
    return "bound" if isinstance(model, LatentModel) else "none"


def _portable(family: Family, model: Model, space: PixelSpace) -> dict[str, Any]:
    """`spec`, `weights` and `vectors` of a model: what the page's engine computes with, and its test.

    Args:      model: as `in_half_precision` gives it.
    Raises:    NotComputable: the family or the model has no form for the browser.
    """
    explorer = family.code("explorer")
    if explorer is None:
        raise NotComputable(f"{family.title} has no form for the browser: its record has no `explorer`")
    packing = Packing()
    with torch.no_grad():
        described = explorer(model)
        spec = packing.replace({**described, "event": list(model.event_shape)})
        tests = vectors(model, space, described["kind"])
    return {"spec": spec, "weights": packing.text(), "vectors": tests}


@torch.no_grad()
def _reference(run: Run, model: Model, count: int) -> dict[str, Any] | None:
    """Scores of test images in nats, rising; None where there is no likelihood, or the data are not here."""
    if likelihood_of(model) == "none":
        return None
    try:
        x = run.data.held("test").first(count)
    except (DataNotHere, InputError):
        return None
    with seeded_noise(0):
        scores = torch.cat([_score(model, part) for part in x.split(BATCH)])
    return {"split": "test", "count": len(scores), "scores": [round(v, 3) for v in sorted(scores.tolist())]}


def _score(model: Model, x: Tensor) -> Tensor:
    return model.log_prob(x) if isinstance(model, ExactModel) else model.elbo(x)  # type: ignore[operator]


def shown_images(run: Run, count: int) -> dict[str, Any] | None:
    """Test images for the page, their grey levels 0 to 255, with their classes; None where the data are not here.

    A half is rounded down: the middle level of an odd number of levels is 0 under a threshold, and must stay so.
    """
    try:
        stored = run.data.stored("test").first(count)
    except (DataNotHere, InputError):
        return None
    space: PixelSpace = run.data.space
    levels = (stored.images.float() * 255 / (space.levels - 1) - 0.5).ceil().to(torch.uint8)
    labels = stored.labels.tolist() if stored.labels is not None else None
    return {"pixels": levels.flatten(1).tolist(), "labels": labels}
