"""`uva2020`, part 1: variational autoencoders with fully connected layers."""

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

BELOW, BARE = 0.16, 0.1535  # bits per dimension: the coursework's, and that of a plain PyTorch loop with these settings
ASKED = 80  # epochs of the coursework
TIGHT = 5000  # samples of z for the tighter bound
CLASSES, ROWS = 10, 1000


def perceptron(workshop: Workshop) -> ChapterContent:
    """The VAE with fully connected layers: curves and scores."""
    run = workshop.runs["vae"]
    epochs, valid = epoch_bits(run), lowest_validation(run)
    below = [epoch for epoch, value in enumerate(epochs, 1) if value < BELOW]
    bound, tighter = workshop.score("vae"), workshop.score("vae", TIGHT)
    when = f"falls below {BELOW} in epoch {below[0]}" if below else f"does not fall below {BELOW}"
    model, pixels = run.settings.model, math.prod(run.data.event_shape)
    hidden = "-".join(map(str, model.hidden))
    text = (
        "The figure shows training and validation loss in bits per dimension. The networks are "
        f"{pixels}-{hidden}-({model.latents}+{model.latents}) and {model.latents}-{hidden}-{pixels}; training uses one "
        f"sample of z per image. {settings_in_words(run)}\n\n{beginning(run)} The coursework expects slightly above 1 "
        f"for the first minibatch, and less than {BELOW} at the end. The mean training loss of an epoch {when}; its "
        f"lowest value is {min(epochs):.4f}. The lowest validation loss is {valid:.4f}.\n\n"
        f"The ELBO of the test images, a lower bound on log p(x), is {bound.nats:.2f} ± {bound.stderr:.2f} nats, or "
        f"{bits_in_words(bound)} bits per dimension; a plain PyTorch loop with these settings reached {BARE}. With "
        f"{tighter.samples:,} samples of z per image in place of one, the bound rises by "
        f"{tighter.nats - bound.nats:.2f} nats, to {bits_in_words(tighter)} bits per dimension. log p(x) is higher "
        f"than both bounds; `ancestral bracket` estimates it from both sides.{_easier(workshop)}"
    )
    checks = [
        _start_check(run),
        ReferenceCheck(
            "VAE: training loss, mean over an epoch",
            f"below {BELOW} bits/dim",
            f"{min(epochs):.4f}",
            min(epochs) < BELOW,
            too_brief(run, ASKED),
        ),
        ReferenceCheck(
            "VAE: test ELBO",
            f"at most {BARE} bits/dim (a plain PyTorch loop)",
            bits_in_words(bound),
            bound.bits_per_dim <= BARE,
            too_brief(run, ASKED),
            OURS,
        ),
    ]
    shown = workshop.figure(
        "vae-bits",
        bits_figure(run, [(BELOW, f"{BELOW}, asked for")]),
        f"Loss of the VAE: minibatches during training, and the {run.record['data']['counts']['valid']:,} validation "
        "images after each epoch. The weights with the lowest validation loss are kept.",
        of=["vae"],
    )
    named = [("VAE, MLP", score) for score in (bound, tighter)]
    return ChapterContent(text, [score_table(named, SCORE_CAPTION)], [shown], checks)


def _start_check(run: Run) -> ReferenceCheck:
    first = loss_bits(run, training_curves(run).value("train", "loss"))
    why = "The initial weights follow PyTorch's default rule, which may start at another value."
    return ReferenceCheck(
        "VAE: loss of the first minibatch", "slightly above 1 bit/dim", f"{first:.4f}", 1 < first < 1.05, why
    )


def beginning(run: Run) -> str:
    """The loss of the first minibatch, and why it is near one bit per pixel, as sentences."""
    course = training_curves(run)
    first, reconstruction, divergence = (
        loss_bits(run, course.value("train", name)) for name in ("loss", "reconstruction", "kl")
    )
    told = (
        "Before training, the model gives both values of a pixel nearly the same probability, which costs one bit. The "
        f"loss of the first minibatch is {first:.4f} bits per dimension: {reconstruction:.4f} for the reconstruction "
        f"and {divergence:.4f} for the KL divergence."
    )
    if reconstruction < 1:
        told += " The reconstruction is below 1, because the initial weights of this decoder happen to favour black."
    return told


def lowest_validation(run: Run) -> float:
    """The lowest validation loss, in bits per dimension."""
    return float(min(bits_curves(run)[1].values))


def _easier(workshop: Workshop) -> str:
    """Whether test or validation images are easier for both VAEs, as sentences; else empty."""
    names = ("vae", "vae-cnn")
    gaps = [lowest_validation(workshop.runs[name]) - workshop.score(name).bits_per_dim for name in names]
    if gaps[0] * gaps[1] <= 0:
        return ""
    easier, harder = ("test", "validation") if gaps[0] > 0 else ("validation", "test")
    return (
        f"\n\nThe loss on {easier} images is {abs(gaps[0]):.4f} bits lower than on {harder} images. This is a property "
        f"of the images: for the convolutional VAE of this page it is lower too, by {abs(gaps[1]):.4f} bits."
    )


def samples(workshop: Workshop) -> ChapterContent:
    """Samples before, during and after training; reconstructions."""
    run, quality, count = workshop.runs["vae"], workshop.quality("vae"), workshop.size(10_000, 200)
    means = workshop.remember("recognised-means", lambda: _recognised_means(run, count), count=count)
    back, drawn, real = means["reconstructions"], means["draws"], quality.recognised.real
    text = (
        "The figures show 64 mean images E[x | z], with z sampled from the prior, before, during and after training; "
        "they are not cherry-picked. The last figure shows reconstructions. After training, a fixed classifier "
        f"recognises {share_in_words(drawn, count)} of {count:,} such mean images, and "
        f"{share_in_words(back, count)} of as many reconstructions of test images (also means)."
        + (
            " More reconstructions are recognised, because their z come from real images; the prior also samples z "
            "that no image is encoded to."
            if back > drawn and apart(back, drawn, count)
            else ""
        )
        + " Of true samples, with each pixel drawn from its probability, it recognises "
        f"{share_in_words(quality.recognised.value, quality.count)}; of real test images, also binary, "
        f"{share_in_words(real, quality.count)}."
        + (
            " Independent sampling of pixels makes speckles, which real images do not have."
            if drawn > quality.recognised.value and apart(drawn, quality.recognised.value, min(count, quality.count))
            else ""
        )
    )
    caption = f"VAE, MLP: test images, with their reconstructions from {run.settings.model.latents} latents below."
    return ChapterContent(
        text, figures=[*drawn_on_the_way(workshop, "vae"), workshop.draw("vae", "reconstructions", caption)]
    )


def _recognised_means(run: Run, count: int) -> dict[str, float]:
    """Shares of mean images that are recognised: reconstructions, and those with z from the prior."""
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
    """The latent plane of the VAE with two latents, and the digits that the classifier recognises on it."""
    run, other = workshop.runs["vae-manifold"], workshop.runs["vae"]
    seen = workshop.remember("manifold", lambda: _classes_seen(run))
    bound, theirs = workshop.score("vae-manifold"), workshop.score("vae")
    visible, sure, cells = sum(count > 0 for count in seen), sum(seen), MANIFOLD_SIDE**2
    missing = [str(digit) for digit, count in enumerate(seen) if not count]
    step = MANIFOLD_SIDE + 1
    text = (
        "The figure shows the mean E[x | z] on a grid of the latent plane of a VAE with "
        f"{run.settings.model.latents} latents and otherwise equal settings. Two latents keep less of an image than "
        f"{other.settings.model.latents}: the test ELBO is {bound.nats:.2f} ± {bound.stderr:.2f} nats "
        f"({bits_in_words(bound)} bits per dimension), compared with {theirs.nats:.2f} ± {theirs.stderr:.2f}. The "
        f"coordinates of the grid are those of the coursework: the percentiles 0.5/{step}, 1.5/{step}, ..., "
        f"{step - 1.5}/{step} of the standard normal. Each cell has an equal share of the prior. The formula divides "
        f"by {step}, not by {MANIFOLD_SIDE}, so the highest {1 / step:.1%} of each coordinate has no cell.\n\n"
        "To check which digits are visible, a fixed classifier was applied to the most probable image of each cell "
        f"(each pixel at its more probable value): it recognises {sure} of {cells} cells, and these include {visible} "
        f"of the {CLASSES} digits" + (f"; missing: {listed(missing)}." if missing else ".")
    )
    table = Table(
        ["digit", *map(str, range(CLASSES))],
        [["cells", *map(str, seen)]],
        f"Number of cells that are recognised with confidence {CONFIDENT}, by digit.",
        numeric=set(range(1, CLASSES + 1)),
    )
    check = ReferenceCheck(
        "manifold: digits visible",
        "every digit",
        f"{visible} of {CLASSES}",
        visible == CLASSES,
        "With two latents, a rare shape has a small area; the classifier must be certain of it.",
    )
    return ChapterContent(text, [table], [workshop.draw("vae-manifold", "manifold", cells=MANIFOLD_SIDE + 1)], [check])


def _classes_seen(run: Run) -> list[int]:
    """Number of grid cells recognised as each class, with each pixel at its more probable value."""
    model = run.load()
    assert isinstance(model, VAE)
    with torch.no_grad():
        likeliest = (model.decode(percentile_grid(cells=MANIFOLD_SIDE + 1)[1]) > 0.5).float()
    seen = recogniser_for(run.data.dataset)(likeliest)  # type: ignore[arg-type]
    return seen.classes[seen.confidence >= CONFIDENT].bincount(minlength=CLASSES).tolist()


def drawn_on_the_way(workshop: Workshop, name: str) -> list[Figure]:
    """Figures of samples during training, one for each epoch in the settings."""
    epochs = workshop.runs[name].settings.training.samples_at
    return [figure for epoch in epochs for figure in workshop.samples_at(name, epoch)]
