"""Information in codes: whether reconstructions keep the class of an image, and the error without any code."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.text import type_in_words
from ancestral.models.base import Decodes, Infers
from ancestral.runs.quality import recognised
from ancestral.runs.run import Run

ROWS = 1000  # images coded together


@torch.no_grad()
def class_kept(run: Run, count: int) -> Tensor:
    """Whether a fixed classifier assigns the same class to x and to E[x | z = encode(x)], for the first test images.

    Returns:   boolean, shape (count,), or shorter if there are fewer test images.
    Raises:    NotComputable: the model does not encode and decode. InputError: the data have no labels.
    """
    model = run.load()
    if not (isinstance(model, Infers) and isinstance(model, Decodes)):
        raise NotComputable(f"{type_in_words(model)} has no reconstructions: it does not encode and decode")
    x = run.data.held("test").first(count).to(model.dtype)  # type: ignore[attr-defined]
    back = torch.cat([model.decode(model.encode(part)) for part in x.split(ROWS)])
    before, after = (recognised(run.data, run.data.space.to_unit(images.float())).classes for images in (x, back))
    return before == after


def error_of_mean_image(run: Run, count: int) -> Tensor:
    """|x - m|^2 / 2 of the first test images, where m is the mean of the training images; shape (N,), float64.

    This is -log p(x) of a unit Gaussian around m, without its constant; such a model needs no code.
    """
    train = run.data.held("train")
    mean = torch.stack([x.double().sum(0) for x in train.in_order(ROWS)]).sum(0) / len(train)
    errors = [(x.double() - mean).square().flatten(1).sum(1) / 2 for x in run.data.held("test", count).in_order(ROWS)]
    return torch.cat(errors)
