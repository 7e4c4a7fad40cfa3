"""The start of an any-order model at the marginal distributions of the pixels."""

from __future__ import annotations

import torch

from ancestral.data.pixels import PixelBatches
from ancestral.families.any_order.model import AnyOrderModel

COUNTED_AT_ONCE = 4096  # images


@torch.no_grad()
def begin_at_marginals(model: AnyOrderModel, train: PixelBatches) -> None:
    """Set the bias of every pixel to the frequencies of its levels in the training data, without missing values."""
    pixels, levels = model.dimensions, model.levels
    counts = torch.zeros(pixels * levels, dtype=torch.double, device=train.device)
    places = torch.arange(pixels, device=train.device) * levels
    for batch in train.blocks(COUNTED_AT_ONCE):
        found = batch.x.flatten(1).long() + places
        found = found.flatten() if batch.seen is None else found[batch.seen.flatten(1)]
        counts += torch.bincount(found, minlength=len(counts)).to(counts)
    model.bias.copy_(model.output.fitted(counts.view(pixels, levels)).view(model.bias.shape))
