"""The chapter of `tue2024` on sample quality: what Inception Score and Fréchet distance see, and what they do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.datasets import Dataset
from ancestral.evaluation.quality import Quality
from ancestral.figures.grids import image_grid
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.runs.quality import View, measure_images
from ancestral.runs.run import Run
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.tue2024.parts import vae_of
from ancestral.studies.workshop import Workshop

SHOWN = 16
AT_ONCE = 500  # images encoded together


def sample_quality(workshop: Workshop) -> ChapterContent:
    view = View(workshop.runs["vae"].data)
    draws, means = workshop.quality("vae"), workshop.quality("vae", means=True)
    memory = _measured(workshop, "memory", lambda: remembered(view, draws.count))
    few = _measured(workshop, "ten-images", lambda: one_of_each(view, draws.count))
    coded = _measured(workshop, "means-at-codes", lambda: means_at_codes(workshop.runs["vae"], draws.count))
    named = [("VAE, draws", draws), ("VAE, means", means), ("a memory", memory), ("ten images", few)]
    drawn_pixels = workshop.quality("vae-dynamic")
    return ChapterContent(
        "\n\n".join([MEASURES_IN_WORDS, _draws_in_words(draws, means, coded), _looking_in_words(draws, memory, few)]),
        [
            quality_table(named, f"{QUALITY_CAPTION} {draws.conditions}."),
            quality_table(
                [("VAE, pixels drawn", drawn_pixels)],
                f"The run on drawn pixels: another space, with real images of its own. {drawn_pixels.conditions}.",
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
            ReferenceCheck(
                "near copies among copied training images",
                "100 %",
                f"{100 * memory.near_copies.value:.1f} %",
                memory.near_copies.value == 1,
                "A copy lies at distance 0 from its original: the measure would be wrong.",
                AN_IDENTITY,
            )
        ],
    )


def remembered(view: View, count: int) -> Tensor:
    """The first so many training images of a run, as if a model had drawn them: grey values in [0, 1]."""
    return view.real(view.data.dataset.train.images[:count], "training")


def one_of_each(view: View, count: int) -> Tensor:
    """The first training image of each class over and over, `count` in all."""
    assert isinstance(view.data.dataset, Dataset)
    train = view.data.dataset.train
    assert train.labels is not None
    first = [int((train.labels == label).nonzero()[0]) for label in train.labels.unique()]
    again = torch.tensor(first).repeat(-(-count // len(first)))[:count]
    return view.real(train.images[again], "training")


def means_at_codes(run: Run, count: int) -> Tensor:
    """E[x | z] at z ~ q(z | x) of the first so many test images, as grey values in [0, 1]."""
    model, images = vae_of(run), run.data.held("test", count)
    with seeded_noise(seed_for(0, "codes")), torch.no_grad():
        parts = [model.decode(model.posterior(x).sample()) for x in images.in_order(AT_ONCE)]
    return run.data.space.to_unit(torch.cat(parts))


def _measured(workshop: Workshop, name: str, images: Callable[[], Tensor]) -> Quality:
    view = View(workshop.runs["vae"].data)
    return Quality.from_json(workshop.remember(f"quality-{name}", lambda: measure_images(view, images()).to_json()))


MEASURES_IN_WORDS = (
    "Inception Score: exp E KL(p(y | x) || p(y)), with p(y | x) from a network that recognises digits. It is 10 at "
    "most here: every image sure, every class alike. Fréchet distance (FID): |m − m'|^2 + tr(S + S' − 2 (S S')^{1/2}) "
    "between the means and covariances of the network's features of drawn and of real images; 0 at best. KID is the "
    "squared distance of the two sets under a kernel, unbiased. The network is our own digit recogniser, not the "
    "Inception network of colour photographs, so nothing here compares with published values; beside each value "
    "stands instead that of real images."
)


def _draws_in_words(draws: Quality, means: Quality, coded: Quality) -> str:
    """What the draws reach, and what pixels, prior and decoder each cost: by images that lack one after another."""
    closer = "closer to" if means.fid.value < draws.fid.value else "no closer to"
    told = (
        f"Draws of the model have an Inception Score of {draws.inception_score.value:.2f} (real images "
        f"{draws.inception_score.floor:.2f}), an FID of {draws.fid.value:.2f} ({draws.fid.floor:.3f}) and a KID of "
        f"{draws.kid.value:.3f} ({draws.kid.floor:.4f}). The means E[x | z], which are what is usually shown, are "
        f"{closer} real images in the network's eyes (FID {means.fid.value:.2f}), but no model draws them."
    )
    shares = [one.recognised.value for one in (draws, means, coded)] + [draws.recognised.floor]
    pixels, prior, decoder = (after - before for before, after in itertools.pairwise(shares))
    cause = " The prior also draws z where few or no images were encoded." if prior > max(pixels, decoder, 0) else ""
    return (
        f"{told}\n\nWhat is lost on the way? Of the draws {shares[0]:.1%} are recognised, of their means "
        f"{shares[1]:.1%}, of the means at codes of test images, with z from q(z | x) in place of the prior, "
        f"{shares[2]:.1%}, and of real images {shares[3]:.1%}. So the drawing of pixels makes a difference of "
        f"{_points(pixels)} percentage points, the prior one of {_points(prior)} and the decoder one of "
        f"{_points(decoder)}.{cause}"
    )


def _points(share: float) -> str:
    """A share as percentage points, with a true minus sign."""
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _looking_in_words(draws: Quality, memory: Quality, few: Quality) -> str:
    more = "more than" if few.inception_score.value > few.inception_score.floor else "less than"
    return (
        "Why looking is not enough: the memory below gives back training images. Each of its draws is perfect to the "
        f"eye; its Inception Score is {memory.inception_score.value:.2f} (real images "
        f"{memory.inception_score.floor:.2f}) and its FID {memory.fid.value:.3f} ({memory.fid.floor:.3f}). It could "
        "not be otherwise, for the FID of real images is that of training images too. Only the comparison of each "
        f"draw with its nearest training image tells: {memory.near_copies.value:.0%} of its draws are near copies, "
        f"where fresh images have {memory.near_copies.floor:.1%} and the VAE {draws.near_copies.value:.1%}. And ten "
        f"images, one of each class, over and over, have an Inception Score of {few.inception_score.value:.2f}, "
        f"{more} real images; their FID ({few.fid.value:.2f}) and recall ({few.recall.value:.3f}, real images "
        f"{few.recall.floor:.3f}) tell that they are ten."
    )
