"""`uva2020`, part 1: variational autoencoders of fully connected layers."""

from __future__ import annotations

import math

import torch

from ancestral.core.random import seed_for, seeded_noise
from ancestral.evaluation.quality import CONFIDENT, recognised_share
from ancestral.evaluation.recogniser import recogniser_for
from ancestral.families.vae.vae import VAE
from ancestral.reports.html import Figure, Table
from ancestral.reports.pictures.latents import MANIFOLD_SIDE, percentile_grid
from ancestral.reports.pictures.training import training_curves
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.run import Run
from ancestral.studies.parts import bits_curves, bits_figure, listed, loss_bits
from ancestral.studies.recipe import OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.words import (
    apart,
    bits_in_words,
    epoch_bits,
    settings_in_words,
    share_in_words,
    too_brief,
)
from ancestral.studies.workshop import Workshop

BELOW, BARE = 0.16, 0.1535  # bits per dimension; the second is what a bare PyTorch loop with these settings came to
ASKED = 80  # epochs of the coursework
TIGHT = 5000  # draws of z for the tighter bound
CLASSES, ROWS = 10, 1000


def perceptron(workshop: Workshop) -> ChapterContent:
    """The VAE of fully connected layers: curves and scores."""
    run = workshop.runs["vae"]
    epochs, valid = epoch_bits(run), lowest_validation(run)
    below = [epoch for epoch, value in enumerate(epochs, 1) if value < BELOW]
    bound, tighter = workshop.score("vae"), workshop.score("vae", TIGHT)
    when = f"falls below {BELOW} in epoch {below[0]}" if below else f"does not fall below {BELOW}"
    model, pixels = run.settings.model, math.prod(run.data.event_shape)
    hidden = "-".join(map(str, model.hidden))
    text = (
        f"{pixels}-{hidden}-({model.latents}+{model.latents}) and {model.latents}-{hidden}-{pixels}, one draw of z an "
        f"image. {settings_in_words(run)}\n\n{beginning(run)} Asked for is slightly above 1 here, and below {BELOW} in "
        f"the end. The mean training loss of an epoch, minibatches as they were used, {when}; its lowest is "
        f"{min(epochs):.4f}. The lowest on validation images is {valid:.4f}.\n\n"
        f"The ELBO of the test images is {bound.nats:.2f} ± {bound.stderr:.2f} nats, a lower bound on log p(x), and so "
        f"{bits_in_words(bound)} bits per dimension; a bare PyTorch loop with these settings came to {BARE}. With "
        f"{tighter.samples:,} draws of z an image in place of one the bound rises by {tighter.nats - bound.nats:.2f} "
        f"nats, and the bits are {bits_in_words(tighter)}. The true value is better still; by how much, `ancestral "
        f"bracket` tells.{_easier(workshop)}"
    )
    checks = [
        _start_check(run),
        ReferenceCheck(
            "VAE: training loss, mean of an epoch",
            f"below {BELOW} bits/dim",
            f"{min(epochs):.4f}",
            min(epochs) < BELOW,
            too_brief(run, ASKED),
        ),
        ReferenceCheck(
            "VAE: test ELBO",
            f"at most {BARE} bits/dim (a bare PyTorch loop)",
            bits_in_words(bound),
            bound.bits_per_dim <= BARE,
            too_brief(run, ASKED),
            OURS,
        ),
    ]
    shown = workshop.figure(
        "vae-bits",
        bits_figure(run, [(BELOW, f"{BELOW}, asked for")]),
        f"The VAE's loss: minibatches as they were used, and the {run.record['data']['counts']['valid']:,} validation "
        "images after each epoch. The weights kept are those where validation is lowest.",
    )
    named = [("VAE, MLP", score) for score in (bound, tighter)]
    return ChapterContent(text, [score_table(named, SCORE_CAPTION)], [shown], checks)


def _start_check(run: Run) -> ReferenceCheck:
    first = loss_bits(run, training_curves(run).value("train", "loss"))
    why = "The weights are drawn by torch's own rule, which may start elsewhere."
    return ReferenceCheck(
        "VAE: very first training loss", "slightly above 1 bit/dim", f"{first:.4f}", 1 < first < 1.05, why
    )


def beginning(run: Run) -> str:
    """What the very first minibatch costs, and why that is near one bit a pixel, above or below."""
    course = training_curves(run)
    first, reconstruction, divergence = (
        loss_bits(run, course.value("train", name)) for name in ("loss", "reconstruction", "kl")
    )
    told = (
        "Before anything is learned a pixel is nearly a fair coin, which costs one bit, and the first minibatch costs "
        f"{first:.4f} bits per dimension, {reconstruction:.4f} of them for the pixels and {divergence:.4f} for the "
        "divergence."
    )
    if reconstruction < 1:
        told += " That is below 1 as the first weights of this decoder happen to favour the right pixels, mostly black."
    return told


def lowest_validation(run: Run) -> float:
    """Bits per dimension."""
    return float(min(bits_curves(run)[1].values))


def _easier(workshop: Workshop) -> str:
    """Why validation and test differ: another model finds the same."""
    names = ("vae", "vae-cnn")
    gaps = [lowest_validation(workshop.runs[name]) - workshop.score(name).bits_per_dim for name in names]
    if gaps[0] * gaps[1] <= 0:
        return ""
    easier, harder = ("test", "validation") if gaps[0] > 0 else ("validation", "test")
    return (
        f"\n\nThe {easier} images cost {abs(gaps[0]):.4f} bits less than the {harder} images. That lies in the images: "
        f"the convolutional VAE of this page, with other weights, finds them cheaper too, by {abs(gaps[1]):.4f}."
    )


def samples(workshop: Workshop) -> ChapterContent:
    """Draws before, during and after the training; reconstructions."""
    run, quality, count = workshop.runs["vae"], workshop.quality("vae"), workshop.size(10_000, 200)
    means = workshop.remember("recognised-means", lambda: _recognised_means(run, count), count=count)
    back, drawn, real = means["reconstructions"], means["draws"], quality.recognised.floor
    text = (
        "Sixty-four draws: z from the prior, and the mean image given z. None is picked. A network trained to "
        f"recognise real digits is sure of {share_in_words(drawn, count)} of {count:,} such means after training, and "
        f"of {share_in_words(back, count)} of as many reconstructions of test images, means too."
        + (
            " Reconstructions fare better: their z come from real images, while the prior also reaches places where no "
            "image's z lies."
            if back > drawn and apart(back, drawn, count)
            else ""
        )
        + f" Of true draws, each pixel drawn from its probability, it is sure of "
        f"{share_in_words(quality.recognised.value, quality.count)}; of real test images, binary as these, of "
        f"{share_in_words(real, quality.count)}."
        + (
            " A pixel drawn by itself makes specks, which real images do not have."
            if drawn > quality.recognised.value and apart(drawn, quality.recognised.value, min(count, quality.count))
            else ""
        )
    )
    caption = f"VAE, MLP: test images above, and what {run.settings.model.latents} numbers keep of each beneath."
    return ChapterContent(
        text, figures=[*drawn_on_the_way(workshop, "vae"), workshop.draw("vae", "reconstructions", caption)]
    )


def _recognised_means(run: Run, count: int) -> dict[str, float]:
    """The shares of mean images, reconstructions and those of draws from the prior, that are recognised for sure."""
    model = run.load()
    assert isinstance(model, VAE)
    x = run.data.held("test").first(count).to(model.dtype)
    with torch.no_grad(), seeded_noise(seed_for("recognised means")):
        means = {
            "reconstructions": torch.cat([model.decode(model.encode(rows)) for rows in x.split(ROWS)]),
            "draws": model.sample_mean(count),
        }
    recogniser = recogniser_for(run.data.dataset)  # type: ignore[arg-type]
    return {name: recognised_share(recogniser(images)) for name, images in means.items()}


def manifold(workshop: Workshop) -> ChapterContent:
    """The plane of two latents, and which digits the recogniser sees on it."""
    run, other = workshop.runs["vae-manifold"], workshop.runs["vae"]
    seen = workshop.remember("manifold", lambda: _classes_seen(run))
    bound, theirs = workshop.score("vae-manifold"), workshop.score("vae")
    visible, sure, cells = sum(count > 0 for count in seen), sum(seen), MANIFOLD_SIDE**2
    missing = [str(digit) for digit, count in enumerate(seen) if not count]
    step = MANIFOLD_SIDE + 1
    text = (
        f"A VAE with {run.settings.model.latents} latents, otherwise as above; two numbers keep less of an image than "
        f"{other.settings.model.latents}: its test ELBO is {bound.nats:.2f} ± {bound.stderr:.2f} nats "
        f"({bits_in_words(bound)} bits per dimension), that of the other {theirs.nats:.2f} ± {theirs.stderr:.2f}. The "
        f"grid's coordinates are the coursework's: the standard normal's percentiles 0.5/{step}, 1.5/{step}, ... "
        f"{step - 1.5}/{step}. Each cell stands for an equal share of the prior; as the formula divides by {step} and "
        f"not by {MANIFOLD_SIDE}, the uppermost {1 / step:.1%} of either coordinate has no cell. Shown is the "
        "decoder's mean.\n\nWhether a digit is visible is for the eye to say. A second opinion is that of the network "
        "that recognises digits, at the likeliest image of each cell (every pixel at its more probable value, as the "
        f"model's pixels are binary): of {cells} cells it is sure of {sure}, and among these are {visible} of the "
        f"{CLASSES} digits" + (f"; it misses {listed(missing)}." if missing else ".")
    )
    table = Table(
        ["digit", *map(str, range(CLASSES))],
        [["cells", *map(str, seen)]],
        f"Cells of the grid that are recognised with confidence {CONFIDENT}, by digit.",
        numeric=set(range(1, CLASSES + 1)),
    )
    check = ReferenceCheck(
        "manifold: digits visible",
        "every digit",
        f"{visible} of {CLASSES}",
        visible == CLASSES,
        "Two latents leave a rare shape little room; the recogniser must be sure of it.",
    )
    return ChapterContent(text, [table], [workshop.draw("vae-manifold", "manifold", cells=MANIFOLD_SIDE + 1)], [check])


def _classes_seen(run: Run) -> list[int]:
    """How many cells of the manifold, every pixel at its more probable value, are recognised for sure as each class."""
    model = run.load()
    assert isinstance(model, VAE)
    with torch.no_grad():
        likeliest = (model.decode(percentile_grid(cells=MANIFOLD_SIDE + 1)[1]) > 0.5).float()
    seen = recogniser_for(run.data.dataset)(likeliest)  # type: ignore[arg-type]
    return seen.classes[seen.confidence >= CONFIDENT].bincount(minlength=CLASSES).tolist()


def drawn_on_the_way(workshop: Workshop, name: str) -> list[Figure]:
    """What the training drew after each epoch that its settings name."""
    epochs = workshop.runs[name].settings.training.samples_at
    return [figure for epoch in epochs for figure in workshop.samples_at(name, epoch)]
