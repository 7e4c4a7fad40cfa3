"""A trained model as the explorer's page needs it: its description, test vectors, and the scores of test images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ancestral.core.errors import DataNotHere, InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelSpace
from ancestral.explorer.packing import Packing
from ancestral.explorer.vectors import critic_vectors, vectors
from ancestral.families.catalogue import find
from ancestral.families.family import Critique, Family
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.networks.layers import layers_of
from ancestral.runs.run import Run
from ancestral.training.checkpoint import under_prefix

REFERENCE = 500  # test images whose scores show where a drawing stands
BATCH = 100
Module = TypeVar("Module", bound=nn.Module)


def in_half_precision(model: Module) -> Module:
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
    family = find(run.settings.family)
    critic = critic_of(run, family)
    described = describe_model(run.path.name, family, model, run.data.space, words, critic)
    described["classes"] = list(run.data.classes or ())
    if "spec" in described:
        described["reference"] = _reference(run, _scorer(model, critic), reference)
    return described


def critic_of(run: Run, family: Family) -> Critique | str | None:
    """The run's critic with rounded weights, or why there is none; None where the family has no critics."""
    make = family.code("critic")
    if make is None:
        return None
    try:
        tensors, _ = run.state()
        made = make(run.settings.model, run.data.event_shape, under_prefix("step", tensors))
        layers_of(made.network)
    except (InputError, NotComputable) as reason:
        return str(reason)
    return Critique(in_half_precision(made.network), made.has_probabilities)


def describe_model(
    name: str, family: Family, model: Model, space: PixelSpace, words: str, critic: Critique | str | None = None
) -> dict[str, Any]:
    """As `describe`, of a model without a run, and thus without classes and scores of test images.

    Args:      name: of the model in the page. model: as `in_half_precision` gives it. words: the data and their pixels.
               critic: as `critic_of` gives it.
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
        return described | _portable(family, model, space, critic)
    except NotComputable as reason:
        return described | {"reason": str(reason)}


def likelihood_of(model: Model) -> str:
    if isinstance(model, ExactModel):
        return "exact"
    return "bound" if isinstance(model, LatentModel) else "none"


def _portable(family: Family, model: Model, space: PixelSpace, critic: Critique | str | None) -> dict[str, Any]:
    """`spec`, `weights` and `vectors` of a model: what the page's engine computes with, and its test.

    Args:      model: as `in_half_precision` gives it.
    Raises:    NotComputable: the family or the model has no form for the browser.
    """
    explorer = family.code("explorer")
    if explorer is None:
        raise NotComputable(f"{family.title} has no form for the browser: its record has no `explorer`")
    packing = Packing()
    with torch.no_grad():
        described = {**explorer(model), "event": list(model.event_shape)}
        tests = vectors(model, space, described["kind"])
        if isinstance(critic, Critique):
            layers = layers_of(critic.network)
            described["critic"] = {"layers": layers, "has_probabilities": critic.has_probabilities}
            tests += critic_vectors(critic.network, model, space)
        elif critic is not None:
            described["critic"] = {"reason": critic}
        spec = packing.replace(described)
    return {"spec": spec, "weights": packing.text(), "vectors": tests}


@torch.no_grad()
def _reference(run: Run, score: Callable[[Tensor], Tensor] | None, count: int) -> dict[str, Any] | None:
    """Scores of test images, rising: in nats, or of a critic; None without a score, or where the data are not here."""
    if score is None:
        return None
    try:
        x = run.data.held("test").first(count)
    except (DataNotHere, InputError):
        return None
    with seeded_noise(0):
        scores = torch.cat([score(part) for part in x.split(BATCH)])
    return {"split": "test", "count": len(scores), "scores": [round(v, 3) for v in sorted(scores.tolist())]}


def _scorer(model: Model, critic: Critique | str | None) -> Callable[[Tensor], Tensor] | None:
    """The score that the page shows of a drawing: log p(x), its bound, or the critic's highest score of a class."""
    if isinstance(model, ExactModel):
        return model.log_prob
    if isinstance(model, LatentModel):
        return model.elbo
    return (lambda x: critic.network(x).amax(1)) if isinstance(critic, Critique) else None


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
