"""Chapters of `csds600` on the convolutional VAE of Gaussian pixels: losses and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ancestral.core.maths import mean_and_error
from ancestral.evaluation.likelihood import elbo_parts
from ancestral.families.vae.vae import VAE
from ancestral.reports.html import Table
from ancestral.reports.pictures.latents import INTERPOLATION_STEPS
from ancestral.reports.pictures.training import training_curves
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.csds600.layers import settings_of
from ancestral.studies.demonstrations.code_worth import class_kept, error_of_mean_image
from ancestral.studies.demonstrations.tighter_bound import Tightening, tightening
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

IMPORTANCE, SCORED = 100, 500  # latent draws of the tighter bound, and on how many images: they are dear here
SAMPLES, PAIRS, LINES = 100, 50, 10


def losses(workshop: Workshop) -> ChapterContent:
    run, course, final = workshop.runs["vae"], training_curves(workshop.runs["vae"]), final_losses(workshop)
    tighter = _tightening(workshop)
    constant = 0.5 * math.prod(run.data.event_shape) * math.log(2 * math.pi)
    first = course.value("train", "negative_elbo")
    epochs = plural(run.outcome["epochs"], "epoch")
    text = (
        f"After {epochs} the {final['count']:,} test images have a negative ELBO of "
        f"{_pm(final['negative_elbo'])} nats = {_pm(final['reconstruction'])} reconstruction + {_pm(final['kl'])} KL, "
        f"each ± its standard error (the first minibatch had {first:.1f}).\n\n{price_in_words(final, constant)}\n\n"
        "This is a density of real pixels, padded ones among them: it compares with no probability of binary or whole "
        f"grey values, and can be made any size by scaling the pixels.\n\n{gain_in_words(tighter)}\n\n"
        f"{health_in_words(run)}"
    )
    caption = (
        f"Final values of {final['count']:,} test images, means ± standard error: the reconstruction is summed over "
        "pixels, the divergence over latents."
    )
    rows = [[name, *_pm(final[key]).split(" ± ")] for key, name in NAMED.items()]
    return ChapterContent(
        text,
        [Table(["loss", "nats", "± s.e."], rows, caption, {1, 2}), _bounds(workshop, tighter)],
        [workshop.draw("vae", "curves")],
        [
            ReferenceCheck(
                "test negative ELBO = reconstruction + KL",
                "equal",
                f"{_pm(final['negative_elbo'])} = {_pm(final['reconstruction'])} + {_pm(final['kl'])} nats",
                abs(final["negative_elbo"][0] - final["reconstruction"][0] - final["kl"][0]) < 1e-3,
                "The parts are of other draws than the whole.",
                AN_IDENTITY,
            ),
            ReferenceCheck(
                f"IWAE_{tighter.samples} bound, {tighter.count} test images",
                f"not below the ELBO of the same images, {_pm(tighter.elbo)} nats",
                f"{_pm(tighter.tighter)} nats, higher by {_pm(tighter.gain)}",
                tighter.gain[0] > -3 * tighter.gain[1],
                "More draws cannot make the bound looser: one of the two is wrong.",
                AN_IDENTITY,
            ),
        ],
    )


NAMED = {"negative_elbo": "negative ELBO", "reconstruction": "reconstruction, −log p(x | z)", "kl": "KL divergence"}


def final_losses(workshop: Workshop) -> dict[str, Any]:
    """The three losses of the test images, and the error of the best image without a code: means and errors, nats."""
    return workshop.remember("test-losses", lambda: _final_losses(workshop))


def _final_losses(workshop: Workshop) -> dict[str, Any]:
    run, score = workshop.runs["vae"], workshop.score("vae")
    model = run.load()
    assert isinstance(model, VAE)
    log_likelihood, divergence, _ = elbo_parts(model, run.data.held("test", score.count))
    return {
        "count": score.count,
        "negative_elbo": (-score.nats, score.stderr),
        "reconstruction": mean_and_error(-log_likelihood),
        "kl": mean_and_error(divergence),
        "mean_image": mean_and_error(error_of_mean_image(run, score.count)),
    }


def _pm(mean: Sequence[float]) -> str:
    return f"{mean[0]:.2f} ± {mean[1]:.2f}"


def price_in_words(final: dict[str, Any], constant: float) -> str:
    """What the reconstruction is made of, and whether the code is worth its nats."""
    squares, spent, without = final["reconstruction"][0] - constant, final["kl"][0], final["mean_image"][0]
    saved = without - squares
    if saved > spent:
        worth = f"the code costs {spent:.2f} nats and saves {saved:.2f}"
    elif saved > 0:
        worth = f"the code costs {spent:.2f} nats and saves {saved:.2f}: so far it does not pay"
    else:
        worth = f"the code costs {spent:.2f} nats and saves nothing so far"
    return (
        f"{constant:.2f} nats of the reconstruction are the constant (D / 2) log 2π of D unit Gaussians, which no "
        f"training changes; the other {squares:.2f} are half the squared error of an image. A standard deviation of 1 "
        "is wide for pixels between 0 and 1: a nat of the code pays only where it lowers the squared error of an image "
        "by more than 2. The mean of the training images in place of the decoder's, which needs no code, would leave "
        f"{without:.2f}: {worth}."
    )


def _tightening(workshop: Workshop) -> Tightening:
    samples, count = IMPORTANCE, workshop.size(SCORED, 20)

    def compute() -> dict[str, Any]:
        with workshop.progress.counter_for(f"scoring {workshop.titles['vae']}") as progress:
            return asdict(tightening(workshop.runs["vae"], samples, count, progress))

    return Tightening(**workshop.remember("tighter-bound", compute, samples=samples, count=count))


def gain_in_words(found: Tightening) -> str:
    bounds = (
        f"As bounds on log p(x), larger is better: of the first {found.count} test images the ELBO is "
        f"{_pm(found.elbo)} nats, the bound of {found.samples} draws of z, IWAE_{found.samples}, {_pm(found.tighter)}."
    )
    if not found.clear:
        return f"{bounds} The difference, image by image, is {_pm(found.gain)} nats: not told from none."
    return (
        f"{bounds} The gain, image by image, is {_pm(found.gain)} nats: q(z | x) is at least that far, "
        "in KL divergence, from the posterior of the model."
    )


def _bounds(workshop: Workshop, found: Tightening) -> Table:
    """Both bounds as scores: the ELBO of all test images, and both of the images that have both."""
    title, whole = workshop.titles["vae"], workshop.score("vae")
    part = replace(whole, nats=found.elbo[0], stderr=found.elbo[1], count=found.count)
    method = f"IWAE_{found.samples}"
    better = replace(part, nats=found.tighter[0], stderr=found.tighter[1], method=method, samples=found.samples)
    of_density = "Bits per dimension of a density change with the unit of a pixel, and compare with no others."
    return score_table([(title, one) for one in (whole, part, better)], f"{SCORE_CAPTION} {of_density}")


# ---- pictures


def samples(workshop: Workshop) -> ChapterContent:
    caption = f"{SAMPLES} draws, none picked: means of p(x | z) at z from the standard normal."
    return ChapterContent(
        "z is drawn from the standard normal and decoded. The mean of p(x | z) is shown: a draw would add noise of "
        "standard deviation 1 to pixels between 0 and 1, and show nothing else.",
        figures=[workshop.draw("vae", "samples", caption, count=SAMPLES)],
    )


def pairs(workshop: Workshop) -> ChapterContent:
    final, latents = final_losses(workshop), settings_of(workshop.runs["vae"])["latents"]
    kept = workshop.remember("classes-kept", lambda: _classes_kept(workshop))
    spent = final["kl"][0]
    of_shown = f"all but {kept['lost_shown']}" if kept["lost_shown"] else "all"
    caption = f"The first {PAIRS} test images, and beneath each its reconstruction."
    return ChapterContent(
        f"The first test images, coded as the mean of q(z | x) and decoded. {latents} real numbers could hold much, "
        f"but q(z | x) is wide: the code costs {spent:.1f} nats, or {spent / math.log(2):.1f} bits, an image, and on "
        "average z tells no more than that about it. The unit variance of p(x | z) is why: to tell more, each further "
        "nat would have to lower the squared error of an image by more than 2. The frozen recogniser reads "
        f"{kept['share']:.1%} ± {kept['stderr']:.1%} of {kept['count']:,} reconstructions as the digit that it reads "
        f"the originals as, and {of_shown} of the {PAIRS} shown.",
        figures=[workshop.draw("vae", "reconstructions", caption, count=PAIRS)],
    )


def _classes_kept(workshop: Workshop) -> dict[str, Any]:
    kept = class_kept(workshop.runs["vae"], workshop.size(10_000, 200))
    share, error = mean_and_error(kept.double())
    return {"share": share, "stderr": error, "count": len(kept), "lost_shown": int((~kept[:PAIRS]).sum())}


def interpolations(workshop: Workshop) -> ChapterContent:
    caption = (
        f"{LINES} interpolations of length {INTERPOLATION_STEPS}: row i goes from test image 2i − 1 to test image 2i, "
        "both ends included."
    )
    return ChapterContent(
        f"Straight lines between the codes of two test images, the first and the second, the third and the fourth and "
        f"so on: {INTERPOLATION_STEPS} points of each, the ends among them, decoded. The ends of the rows are "
        f"reconstructions; the images themselves are the first {2 * LINES} of the chapter before.",
        figures=[workshop.draw("vae", "interpolations", caption, count=LINES)],
    )
