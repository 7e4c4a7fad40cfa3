"""Training masks, the training loss and the held-out bound of any-order models."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.random import seed_device, seed_for
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.families.any_order.orders import missing_last, random_turns, scans, stratified
from ancestral.families.any_order.settings import AnyOrderSettings
from ancestral.models.vectors import given_batch
from ancestral.training.objectives import Objective, Terms

ROW_SHARE = 0.7  # of the scans, the share that goes by rows from the start; the three others share the rest
NEAR, NEAR_SHARE = 8, 0.6  # the next pixels of a scan, and their share of the weights
BLOCK = 500  # held-out images in one evaluation


class Masks(NamedTuple):
    """Observed pixels (boolean) and weights of the hidden ones, which sum to 1 for each image; shapes (B, D).

    Attributes: uniform: whether an image has a random set of observed pixels and equal weights, shape (B,). Only for
                these is D times the weighted sum an unbiased estimate of the bound.
    """

    observed: Tensor
    weights: Tensor
    uniform: Tensor


def training_masks(
    count: int, model: AnyOrderModel, scan_share: float, half_share: float, seen: Tensor | None = None
) -> Masks:
    """Random masks for the images of a batch: scans first, then halves, then uniform ones.

    The number of observed pixels is stratified over the batch. A scan shows the first pixels of one of four scans, and
    gives most of the weight to the next few pixels. A half shows one half of the image and some of the other pixels.
    Missing pixels come last in each order, are never observed, and have no weight.

    Args:      seen: which pixels are not missing, shape (count, D); None: all.
    """
    device, pixels = model.bias.device, model.dimensions
    scanned, halved = round(scan_share * count), round(half_share * count)
    turns = random_turns(count, pixels, device)
    present = torch.ones(count, pixels, dtype=torch.bool, device=device) if seen is None else seen
    number = present.sum(1)  # of the pixels that are not missing
    shown = stratified(count, number, device)
    orders = scans(model.event_shape).to(device)
    chosen = torch.randint(1, 4, (scanned,), device=device)
    chosen = torch.where(torch.rand(scanned, device=device) < ROW_SHARE, 0, chosen)
    turns[:scanned] = orders[chosen]
    halves = slice(scanned, scanned + halved)
    half = pixels // 2
    first = orders[torch.randint(4, (halved,), device=device)] < half
    turns[halves] = (turns[halves] - first.long() * pixels).argsort(1).argsort(1)  # the half comes first
    of_half = (first & present[halves]).sum(1)
    shown[halves] = of_half + shown[halves] * (number[halves] - of_half) // number[halves].clamp_min(1)
    shown = torch.minimum(shown, number - 1).clamp_min(0)  # all seen pixels may be in the half
    turns = missing_last(turns, seen)
    observed = turns < shown[:, None]
    weights = (~observed & present).to(model.bias.dtype) / (number - shown)[:, None].clamp_min(1)
    near = (~observed & present)[:scanned] & (turns[:scanned] < shown[:scanned, None] + NEAR)
    weights[:scanned] *= 1 - NEAR_SHARE
    weights[:scanned] += NEAR_SHARE * near / near.sum(1, keepdim=True).clamp_min(1)
    uniform = torch.arange(count, device=device) >= scanned + halved
    return Masks(observed, weights, uniform)


class AnyOrderObjective:
    """The negative bound on random masks, and the same weighted sum on structured masks.

        loss = -D sum_d w_d log p(x_d | observed),    sum_d w_d = 1 over the hidden pixels

    For uniform masks and w_d = 1 / (D - t), the mean of the loss is the negative ELBO. The structured masks make it a
    surrogate: they move weight to the prefixes and halves that named orders and completions use. The term
    `negative_elbo` averages the uniform masks only, so it is unbiased.

    With classes, half of the labelled images of a batch are given their class, and the class of the others is hidden:

        loss = (loss of p(x | y) - log p(y) + loss of p(x) - log p(y | observed)) / 2

    The class is so the first variable of an order, or it is hidden for the pixels and predicted from every mask.
    `negative_elbo` is that of p(x) then, as in validation.

    Args:      scan_share, half_share: shares of the structured masks in a batch.
    """

    def __init__(self, scan_share: float, half_share: float) -> None:
        self.scan_share, self.half_share = scan_share, half_share

    def __call__(self, model: AnyOrderModel, batch: Batch) -> Terms:
        x = batch.x
        if batch.seen is not None:
            model = model.where_seen(batch.seen)
        masks = training_masks(len(x), model, self.scan_share, self.half_share, model.present_pixels)
        observed, kept = masks.observed.view(x.shape), masks.uniform
        some = 1.0  # probability that `negative_elbo` has an image to use
        of_class: Tensor | float = 0.0
        if model.classes and model.condition is not None:
            labels = model.condition.argmax(1, keepdim=True)
            given = stratified(len(x), 2, x.device) == 1
            model, kept = model.under(model.condition * given[:, None]), kept & ~given
            structured = round(self.scan_share * len(x)) + round(self.half_share * len(x))
            some = 1 - _none_hidden(len(x), len(x) - structured)
            # -log p(y) is added to the loss of every labelled image, but a hidden class has -log p(y | observed)
            instead = model.log_class_probs() - model.log_class_posterior(x, observed)
            of_class = 0.5 * instead.gather(1, labels)[:, 0]  # of all images: less noise than that of half of them
        loss = -model.present * (masks.weights * model.log_probs_hidden(x, observed)).sum(1)
        share = some * kept.to(loss).mean().clamp_min(1 / len(x))
        return {"loss": loss + of_class, "negative_elbo": torch.where(kept, loss.detach() / share, 0)}


@cache
def _none_hidden(count: int, uniform: int) -> float:
    """The probability that each of `uniform` images is among the half of `count` images that is given its class."""
    halves = (count // 2, count - count // 2)  # equally probable for an odd count
    found = [math.comb(count - uniform, half - uniform) / math.comb(count, half) for half in halves if half >= uniform]
    return sum(found) / 2 if uniform else 0.0


def objective_for(settings: AnyOrderSettings, model: AnyOrderModel) -> Objective:
    return AnyOrderObjective(settings.scan_share, settings.half_share)


@torch.no_grad()
def held_out(model: AnyOrderModel, images: PixelBatches) -> dict[str, float]:
    """The negative ELBO, estimated with one uniform mask for each image; the sizes are stratified over the images.

    With classes, it is that of p(x).

    The masks are the same at each validation, so that the differences between validations have little random error.
    """
    total, done = 0.0, 0
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        for number, batch in enumerate(images.blocks(BLOCK)):
            seed_device(images.device, seed_for(0, "held-out masks", number))
            x, given = batch.x, given_batch(model, batch.conditions)
            if batch.seen is not None:
                given = given.where_seen(batch.seen)
            turns = random_turns(len(x), model.dimensions, x.device)
            shown = stratified(len(x), given.present, x.device)
            total -= given.bound_from(x.to(model.dtype), turns, shown).double().sum().item()
            done += len(x)
    return {"negative_elbo": total / done if done else math.nan}
