"""The chapter of `tue2024` on sample quality: what Inception Score and Fréchet distance see, and what they do not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ancestral.data.datasets import ImageDataset
from ancestral.evaluation.quality import Quality
from ancestral.figures.grids import image_grid
from ancestral.measuring import View, measure_images
from ancestral.run_page import QUALITY_CAPTION, quality_table
from ancestral.studies.recipe import Check, Told
from ancestral.studies.workshop import Workshop

SHOWN = 16


def sample_quality(workshop: Workshop) -> Told:
    view = View(workshop.runs["vae"].data)
    draws, means = workshop.quality("vae"), workshop.quality("vae", means=True)
    memory = _measured(workshop, "memory", lambda: remembered(view, draws.count))
    few = _measured(workshop, "ten-images", lambda: one_of_each(view, draws.count))
    named = [("VAE, draws", draws), ("VAE, means", means), ("a memory", memory), ("ten images", few)]
    drawn_pixels = workshop.quality("vae-dynamic")
    return Told(
        _in_words(draws, means, memory, few),
        [
            quality_table(named, f"{QUALITY_CAPTION} {draws.conditions}."),
            quality_table(
                [("VAE, pixels drawn", drawn_pixels)],
                f"The run on drawn pixels: another space, with floors of its own. {drawn_pixels.conditions}.",
            ),
        ],
        [
            workshop.figure(
                "memory",
                image_grid(remembered(view, SHOWN), columns=8),
                f"“Draws” of the memory: {SHOWN} images that look perfect, because they are training images.",
            )
        ],
        [
            Check(
                "near copies among copied training images",
                "100 %",
                f"{100 * memory.near_copies.value:.1f} %",
                memory.near_copies.value == 1,
                "A copy lies at distance 0 from its original: the measure would be wrong.",
            )
        ],
    )


def remembered(view: View, count: int) -> Tensor:
    """The first so many training images of a run, as if a model had drawn them: grey values in [0, 1]."""
    return view.real(view.data.dataset.train.images[:count], "training")


def one_of_each(view: View, count: int) -> Tensor:
    """The first training image of each class over and over, `count` in all."""
    assert isinstance(view.data.dataset, ImageDataset)
    train = view.data.dataset.train
    assert train.labels is not None
    first = [int((train.labels == label).nonzero()[0]) for label in train.labels.unique()]
    again = torch.tensor(first).repeat(-(-count // len(first)))[:count]
    return view.real(train.images[again], "training")


def _measured(workshop: Workshop, name: str, images: Callable[[], Tensor]) -> Quality:
    view = View(workshop.runs["vae"].data)
    return Quality.from_json(workshop.remember(f"quality-{name}", lambda: measure_images(view, images()).to_json()))


def _in_words(draws: Quality, means: Quality, memory: Quality, few: Quality) -> str:
    closer = "closer to" if means.fid.value < draws.fid.value else "no closer to"
    more = "more than" if few.inception_score.value > few.inception_score.floor else "less than"
    return (
        "Inception Score: exp E KL(p(y | x) || p(y)), with p(y | x) from a network that recognises digits. It is 10 "
        "at most here: every image sure, every class alike. Fréchet distance (FID): |m - m'|² + tr(S + S' - 2 (S "
        "S')^(1/2)) between the means and covariances of the network's features of drawn and of real images; 0 at "
        "best. KID is the squared distance of the two sets under a kernel, unbiased. The network is our own digit "
        "recogniser, not the Inception network of colour photographs, so nothing here compares with published values; "
        "each value has a floor instead, that of real images beside real images.\n\n"
        f"Draws of the model have an Inception Score of {draws.inception_score.value:.2f} (real images "
        f"{draws.inception_score.floor:.2f}), an FID of {draws.fid.value:.2f} ({draws.fid.floor:.3f}) and a KID of "
        f"{draws.kid.value:.3f} ({draws.kid.floor:.4f}). The means E[x | z], which are what is usually shown, are "
        f"{closer} real images in the network's eyes (FID {means.fid.value:.2f}), but no model draws them: the "
        "difference is pixel noise.\n\n"
        "Why looking is not enough: the memory below gives back training images. Each of its draws is perfect to the "
        f"eye; its Inception Score is {memory.inception_score.value:.2f} (real images "
        f"{memory.inception_score.floor:.2f}) and its FID {memory.fid.value:.3f} ({memory.fid.floor:.3f}). Only the "
        f"comparison with the training images tells: {memory.near_copies.value:.0%} of its draws are near copies, "
        f"where fresh images have {memory.near_copies.floor:.1%} and the VAE {draws.near_copies.value:.1%}. And ten "
        "images, one of each class, over and over, have an Inception Score of "
        f"{few.inception_score.value:.2f}, {more} real images; their FID ({few.fid.value:.2f}) and recall "
        f"({few.recall.value:.3f}, real images {few.recall.floor:.3f}) tell that they are ten."
    )
