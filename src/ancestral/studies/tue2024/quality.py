"""The chapter of `tue2024` on sample quality: what Inception Score and Fréchet distance detect, and what they miss."""

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
    named = [("VAE, samples", draws), ("VAE, means", means), ("training images", memory), ("ten images", few)]
    drawn_pixels = workshop.quality("vae-dynamic")
    return ChapterContent(
        "\n\n".join([MEASURES_IN_WORDS, _draws_in_words(draws, means, coded), _looking_in_words(draws, memory, few)]),
        [
            quality_table(named, f"{QUALITY_CAPTION} {draws.conditions}."),
            quality_table(
                [("VAE, sampled pixels", drawn_pixels)],
                f"The run on sampled pixels: another space, compared with real images of that space. "
                f"{drawn_pixels.conditions}.",
            ),
        ],
        [
            workshop.figure(
                "memory",
                image_grid(remembered(view, SHOWN), columns=8, title="training images, returned as samples"),
                f"{SHOWN} “samples” of a model that returns training images.",
                of=(),
            )
        ],
        [
            ReferenceCheck(
                "near copies among copied training images",
                "100%",
                f"{100 * memory.near_copies.value:.1f} %",
                memory.near_copies.value == 1,
                "A copy has distance 0 from its original, so the measure is wrong.",
                AN_IDENTITY,
            )
        ],
    )


def remembered(view: View, count: int) -> Tensor:
    """The first `count` training images, in place of samples of a model: grey values in [0, 1]."""
    return view.real(view.data.dataset.train.images[:count], "training")


def one_of_each(view: View, count: int) -> Tensor:
    """The first training image of each class, repeated to `count` images."""
    assert isinstance(view.data.dataset, Dataset)
    train = view.data.dataset.train
    assert train.labels is not None
    first = [int((train.labels == label).nonzero()[0]) for label in train.labels.unique()]
    again = torch.tensor(first).repeat(-(-count // len(first)))[:count]
    return view.real(train.images[again], "training")


def means_at_codes(run: Run, count: int) -> Tensor:
    """E[x | z] at z ~ q(z | x) of the first `count` test images, as grey values in [0, 1]."""
    model, images = vae_of(run), run.data.held("test", count)
    with seeded_noise(seed_for(0, "codes")), torch.no_grad():
        parts = [model.decode(model.posterior(x).sample()) for x in images.in_order(AT_ONCE)]
    return run.data.space.to_unit(torch.cat(parts))


def _measured(workshop: Workshop, name: str, images: Callable[[], Tensor]) -> Quality:
    view = View(workshop.runs["vae"].data)
    return Quality.from_json(workshop.remember(f"quality-{name}", lambda: measure_images(view, images()).to_json()))


MEASURES_IN_WORDS = (
    "The table shows these measures. Inception Score: exp E KL(p(y | x) || p(y)), with p(y | x) from a fixed "
    "classifier of digits. Its maximum is 10 here: the classifier is certain of every image, and all classes are "
    "equally frequent. Fréchet distance (FID): |m − m'|^2 + tr(S + S' − 2 (S S')^{1/2}) between the means and "
    "covariances of the classifier's features of samples and of real images; the minimum is 0. KID: an unbiased "
    "estimate of the squared distance of the two sets under a kernel. The classifier was trained on digits by this "
    "package; it is not the Inception network of colour photographs. So these values cannot be compared with published "
    "ones. Compare them with the values of real images, which are in the table too."
)


def _draws_in_words(draws: Quality, means: Quality, coded: Quality) -> str:
    """Quality of the samples, and the loss due to pixel sampling, prior and decoder, as sentences."""
    closer = "closer to" if means.fid.value < draws.fid.value else "no closer to"
    told = (
        f"Samples of the model have an Inception Score of {draws.inception_score.value:.2f} (real images "
        f"{draws.inception_score.real:.2f}), an FID of {draws.fid.value:.2f} ({draws.fid.real:.3f}) and a KID of "
        f"{draws.kid.value:.3f} ({draws.kid.real:.4f}). In the features of the classifier, the mean images E[x | z] "
        f"are {closer} real images (FID {means.fid.value:.2f}). Papers often show such means, but they are not samples "
        "of the model."
    )
    shares = [one.recognised.value for one in (draws, means, coded)] + [draws.recognised.real]
    pixels, prior, decoder = (after - before for before, after in itertools.pairwise(shares))
    cause = " The prior also samples z where few or no images were encoded." if prior > max(pixels, decoder, 0) else ""
    return (
        f"{told}\n\nThe classifier recognises {shares[0]:.1%} of the samples, {shares[1]:.1%} of their mean images, "
        f"{shares[2]:.1%} of mean images with z from q(z | x) of test images in place of the prior, and "
        f"{shares[3]:.1%} of real images. So pixel sampling accounts for {_points(pixels)} percentage points, the "
        f"prior for {_points(prior)} and the decoder for {_points(decoder)}.{cause}"
    )


def _points(share: float) -> str:
    """A share as percentage points, with a true minus sign."""
    return f"{100 * share:.1f}".replace("-", "\N{MINUS SIGN}")


def _looking_in_words(draws: Quality, memory: Quality, few: Quality) -> str:
    more = "more than" if few.inception_score.value > few.inception_score.real else "less than"
    return (
        "Two examples show the limits of these measures. First, a “model” that returns training images: its Inception "
        f"Score is {memory.inception_score.value:.2f} (real images {memory.inception_score.real:.2f}) and its FID "
        f"{memory.fid.value:.3f} ({memory.fid.real:.3f}), because the real images of the comparison are training "
        "images too. Only the distance to the nearest training image detects it: "
        f"{memory.near_copies.value:.0%} of its samples are near copies, compared with {memory.near_copies.real:.1%} "
        f"of fresh images and {draws.near_copies.value:.1%} of the VAE's samples. Second, ten images, one of each "
        f"class, repeated: their Inception Score is {few.inception_score.value:.2f}, {more} that of real images. Their "
        f"FID ({few.fid.value:.2f}) and recall ({few.recall.value:.3f}; real images {few.recall.real:.3f}) detect "
        "the lack of variety."
    )
