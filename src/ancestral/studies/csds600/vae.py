"""Chapters of `csds600` on the convolutional VAE with Gaussian pixels: losses and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ancestral.core.maths import mean_and_error
from ancestral.core.text import plural
from ancestral.evaluation.likelihood import elbo_parts
from ancestral.families.vae.vae import VAE
from ancestral.reports.html import Table
from ancestral.reports.pictures.latents import INTERPOLATION_STEPS
from ancestral.reports.pictures.training import training_curves
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.csds600.layers import settings_of
from ancestral.studies.demonstrations.code_worth import class_kept, error_of_mean_image
from ancestral.studies.demonstrations.tighter_bound import Tightening, tightening
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

IMPORTANCE, SCORED = 100, 500  # samples of z for the tighter bound, and its number of images: each is expensive here
SAMPLES, PAIRS, LINES = 100, 50, 10


def losses(workshop: Workshop) -> ChapterContent:
    run, course, final = workshop.runs["vae"], training_curves(workshop.runs["vae"]), final_losses(workshop)
    tighter = _tightening(workshop)
    constant = 0.5 * math.prod(run.data.event_shape) * math.log(2 * math.pi)
    first = course.value("train", "negative_elbo")
    epochs = plural(run.outcome["epochs"], "epoch")
    text = (
        f"After {epochs}, the mean negative ELBO of the {final['count']:,} test images is "
        f"{_pm(final['negative_elbo'])} nats = {_pm(final['reconstruction'])} reconstruction + {_pm(final['kl'])} KL, "
        f"each ± its standard error. The first minibatch had {first:.1f}.\n\n{price_in_words(final, constant)}\n\n"
        "This score bounds a density of real-valued pixels, including the padded ones. It cannot be compared with "
        "probabilities of binary pixels or grey levels, and its value changes when the pixels are rescaled.\n\n"
        f"{gain_in_words(tighter)}\n\n"
        f"{health_in_words(run)}"
    )
    caption = (
        f"Final losses on {final['count']:,} test images, mean ± standard error. The reconstruction is summed over "
        "pixels, the KL divergence over latents."
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
                "The terms were computed with other samples of z than their sum.",
                AN_IDENTITY,
            ),
            ReferenceCheck(
                f"IWAE_{tighter.samples} bound, {tighter.count} test images",
                f"not below the ELBO of the same images, {_pm(tighter.elbo)} nats",
                f"{_pm(tighter.tighter)} nats, higher by {_pm(tighter.gain)}",
                tighter.gain[0] > -3 * tighter.gain[1],
                "In expectation, more samples never loosen the bound: one of the two values is wrong.",
                AN_IDENTITY,
            ),
        ],
    )


NAMED = {"negative_elbo": "negative ELBO", "reconstruction": "reconstruction, −log p(x | z)", "kl": "KL divergence"}


def final_losses(workshop: Workshop) -> dict[str, Any]:
    """Losses of the test images and error of the mean training image: means and standard errors, nats."""
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
    """The terms of the reconstruction, and whether the latents lower it by more than their KL, as sentences."""
    squares, spent, without = final["reconstruction"][0] - constant, final["kl"][0], final["mean_image"][0]
    saved = without - squares
    if saved > spent:
        gain = f"the latents cost {spent:.2f} nats of KL and lower the reconstruction by {saved:.2f}"
    elif saved > 0:
        gain = f"the latents cost {spent:.2f} nats of KL but lower the reconstruction by only {saved:.2f} so far"
    else:
        gain = f"the latents cost {spent:.2f} nats of KL and do not lower the reconstruction so far"
    return (
        f"The reconstruction has two terms: {constant:.2f} nats are the constant (D / 2) log 2π of D unit Gaussians, "
        f"which training cannot change; the other {squares:.2f} are half the squared error of an image. A standard "
        "deviation of 1 is large for pixels between 0 and 1: one more nat of KL lowers the loss only if it lowers the "
        "squared error of an image by more than 2. If the mean of the training images replaced the output of the "
        f"decoder, the second term would be {without:.2f} and no latents would be needed. Compared with that, {gain}."
    )


def _tightening(workshop: Workshop) -> Tightening:
    samples, count = IMPORTANCE, workshop.size(SCORED, 20)

    def compute() -> dict[str, Any]:
        with workshop.progress.counter_for(f"scoring {workshop.titles['vae']}") as progress:
            return asdict(tightening(workshop.runs["vae"], samples, count, progress))

    return Tightening(**workshop.remember("tighter-bound", compute, samples=samples, count=count))


def gain_in_words(found: Tightening) -> str:
    """Both bounds and their difference, as sentences."""
    bounds = (
        f"Both bounds on log p(x) were computed for the first {found.count} test images (larger is better): the ELBO "
        f"is {_pm(found.elbo)} nats; IWAE_{found.samples}, with {found.samples} samples of z, is {_pm(found.tighter)}."
    )
    if not found.clear:
        return f"{bounds} The mean difference per image is {_pm(found.gain)} nats, which is not clearly above zero."
    return (
        f"{bounds} The mean difference per image is {_pm(found.gain)} nats. The KL divergence of q(z | x) from the "
        "true posterior is at least that large."
    )


def _bounds(workshop: Workshop, found: Tightening) -> Table:
    """Both bounds as scores: the ELBO of all test images; ELBO and IWAE of the first of them."""
    title, whole = workshop.titles["vae"], workshop.score("vae")
    part = replace(whole, nats=found.elbo[0], stderr=found.elbo[1], count=found.count)
    method = f"IWAE_{found.samples}"
    better = replace(part, nats=found.tighter[0], stderr=found.tighter[1], method=method, samples=found.samples)
    of_density = "Bits per dimension of a density depend on the scale of the pixels; do not compare them with others."
    return score_table([(title, one) for one in (whole, part, better)], f"{SCORE_CAPTION} {of_density}")


# ---- figures


def samples(workshop: Workshop) -> ChapterContent:
    caption = f"{SAMPLES} mean images E[x | z] for z sampled from the standard normal, not cherry-picked."
    return ChapterContent(
        "The figure shows mean images: z is sampled from the standard normal, and the mean of p(x | z) is shown. A "
        "sample of x would add noise of standard deviation 1 to pixels between 0 and 1, and the noise would hide the "
        "digit.",
        figures=[workshop.draw("vae", "samples", caption, count=SAMPLES)],
    )


def pairs(workshop: Workshop) -> ChapterContent:
    final, latents = final_losses(workshop), settings_of(workshop.runs["vae"])["latents"]
    kept = workshop.remember("classes-kept", lambda: _classes_kept(workshop))
    spent = final["kl"][0]
    of_shown = f"all but {kept['lost_shown']}" if kept["lost_shown"] else "all"
    caption = f"The first {PAIRS} test images, each with its reconstruction below."
    return ChapterContent(
        "The figure shows the first test images and their reconstructions: the mean of q(z | x), decoded. There are "
        f"{latents} latents, but q(z | x) is wide: its KL divergence from the prior is {spent:.1f} nats per image, or "
        f"{spent / math.log(2):.1f} bits. On average, z carries at most that much information about the image. The "
        "unit variance of p(x | z) is the reason: one more nat of information lowers the loss only if it lowers the "
        "squared error of an image by more than 2. A fixed classifier assigns the same digit to the original and its "
        f"reconstruction for {kept['share']:.1%} ± {kept['stderr']:.1%} of {kept['count']:,} test images, and for "
        f"{of_shown} of the {PAIRS} shown.",
        figures=[workshop.draw("vae", "reconstructions", caption, count=PAIRS)],
    )


def _classes_kept(workshop: Workshop) -> dict[str, Any]:
    kept = class_kept(workshop.runs["vae"], workshop.size(10_000, 200))
    share, error = mean_and_error(kept.double())
    return {"share": share, "stderr": error, "count": len(kept), "lost_shown": int((~kept[:PAIRS]).sum())}


def interpolations(workshop: Workshop) -> ChapterContent:
    caption = (
        f"{LINES} interpolations of length {INTERPOLATION_STEPS}: row i goes from test image 2i − 1 to test image 2i, "
        "including both ends."
    )
    return ChapterContent(
        "Each row shows decoded points on the straight line between the codes of two test images: the first and the "
        f"second, the third and the fourth, and so on. There are {INTERPOLATION_STEPS} points in a row, including both "
        f"ends. The ends are reconstructions; the original images are the first {2 * LINES} of the previous chapter.",
        figures=[workshop.draw("vae", "interpolations", caption, count=LINES)],
    )
