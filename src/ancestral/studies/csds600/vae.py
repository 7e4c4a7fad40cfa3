"""Chapters of `csds600` on the convolutional VAE of Gaussian pixels: layers, losses and pictures."""

from __future__ import annotations

import math

from torch import nn

from ancestral.courses import Course
from ancestral.evaluation.likelihood import elbo_parts
from ancestral.models.vae import VAE
from ancestral.report import Table
from ancestral.run_page import SCORE_CAPTION, score_table
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import Check, Told
from ancestral.studies.workshop import Workshop

IMPORTANCE, SCORED = 100, 500  # latent draws of the tighter bound, and on how many images: they are dear here
SAMPLES, PAIRS, LINES = 100, 50, 10
ASKED_LAYERS = (
    ("encoder", "Conv2d", (1, 32, 3, 1, 1)),
    ("encoder", "Conv2d", (32, 64, 3, 2, 1)),
    ("encoder", "Conv2d", (64, 128, 3, 2, 1)),
    ("encoder", "Conv2d", (128, 256, 3, 2, 1)),
    ("encoder", "Linear", (4096, 32)),
    ("decoder", "Linear", (16, 2048)),
    ("decoder", "ConvTranspose2d", (128, 128, 4, 2, 1)),
    ("decoder", "ConvTranspose2d", (128, 64, 4, 2, 1)),
    ("decoder", "ConvTranspose2d", (64, 32, 4, 2, 1)),
    ("decoder", "Conv2d", (32, 1, 3, 1, 1)),
)
"""side, kind, and (channels in, out, kernel, stride, padding) or (features in, out)"""


def layers(workshop: Workshop) -> Told:
    model = workshop.runs["vae"].load()
    assert isinstance(model, VAE)
    ours = [*described("encoder", model.encoder), *described("decoder", model.likelihood)]
    rows = [[side, kind, ", ".join(map(str, sizes)), f"{weights:,}"] for side, kind, sizes, weights in ours]
    same = tuple((side, kind, sizes) for side, kind, sizes, _ in ours) == ASKED_LAYERS
    return Told(
        f"The trained model's own layers, as asked: {'all are equal' if same else 'NOT all are equal'}. Between them "
        "stand ReLUs. The decoder gives the mean; p(x | z) = N(mean, I). Images of 28 by 28 pixels have a black frame "
        f"around them. Losses are summed over the {math.prod(model.event_shape):,} pixels and the "
        f"{workshop.runs['vae'].settings.model.latents} latents, and averaged over the batch.",  # type: ignore[attr-defined]
        [
            Table(
                ["side", "layer", "in, out, kernel, stride, padding", "parameters"],
                rows,
                "Linear layers have in and out only.",
                {3},
            )
        ],
        checks=[
            Check(
                "layers of the convolutional VAE",
                f"{len(ASKED_LAYERS)} as listed",
                f"{sum(a == b[:3] for a, b in zip(ASKED_LAYERS, ours, strict=False))} equal",
                same,
                "The table shows which differs.",
            )
        ],
    )


def described(side: str, module: nn.Module) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Side, kind, sizes and number of parameters of each layer that has some, in their order."""
    found = []
    layers = [one for one in module.modules() if isinstance(one, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    # a module lists its members as they were made; images pass the convolutions first on their way in
    first = nn.Linear if side == "decoder" else (nn.Conv2d, nn.ConvTranspose2d)
    for layer in sorted(layers, key=lambda one: not isinstance(one, first)):
        sizes = (
            (layer.in_features, layer.out_features)
            if isinstance(layer, nn.Linear)
            else (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]))
        )
        found.append((side, type(layer).__name__, sizes, sum(p.numel() for p in layer.parameters())))
    return found


def losses(workshop: Workshop) -> Told:
    run, course = workshop.runs["vae"], Course(workshop.runs["vae"])
    final = workshop.remember("final-losses", lambda: _final_losses(workshop))
    pixels = math.prod(run.data.event_shape)
    constant = 0.5 * pixels * math.log(2 * math.pi)
    squares = final["reconstruction"] - constant
    scores = [workshop.score("vae"), workshop.score("vae", IMPORTANCE, workshop.size(SCORED, 20))]
    first = course.value("train", "negative_elbo")
    named = {"negative_elbo": "negative ELBO", "reconstruction": "reconstruction, -log p(x | z)", "kl": "KL divergence"}
    rows = [[name, f"{final[key]:.2f}"] for key, name in named.items()]
    epochs = plural(run.outcome["epochs"], "epoch")
    text = (
        f"After {epochs} the test images have a negative ELBO of {final['negative_elbo']:.2f} "
        f"nats = {final['reconstruction']:.2f} reconstruction + {final['kl']:.2f} KL (the first minibatch had "
        f"{first:.1f}). {constant:.2f} nats of the reconstruction are the constant (D / 2) log 2 pi of {pixels:,} "
        f"unit Gaussians, which no training changes; the other {squares:.2f} are half the squared error of an image. A "
        "standard deviation of 1 is wide for pixels between 0 and 1, so the error weighs little, and the model spends "
        "few nats on its code.\n\n"
        "This is a density of real pixels, padded ones among them: it compares with no probability of binary or whole "
        "grey values, and can be made any size by scaling the pixels.\n\n"
        f"The tighter bound of {IMPORTANCE} draws, on the first {scores[1].count:,} test images, is "
        f"{-scores[1].nats:.2f} nats.\n\n{health_in_words(run)}"
    )
    return Told(
        text,
        [
            Table(["test images", "nats"], rows, "Final values: summed over pixels, averaged over images.", {1}),
            score_table([(workshop.titles["vae"], score) for score in scores], SCORE_CAPTION),
        ],
        [workshop.draw("vae", "curves", "Each minibatch, and the whole test set after each epoch.")],
        [
            Check(
                "test negative ELBO = reconstruction + KL",
                "equal",
                f"{final['negative_elbo']:.2f} = {final['reconstruction']:.2f} + {final['kl']:.2f} nats",
                abs(final["negative_elbo"] - final["reconstruction"] - final["kl"]) < 1e-3,
                "The parts are of other draws than the whole.",
            ),
        ],
    )


def _final_losses(workshop: Workshop) -> dict[str, float]:
    run = workshop.runs["vae"]
    model = run.load()
    assert isinstance(model, VAE)
    reconstruction, divergence, _ = elbo_parts(model, run.data.held("test", workshop.size(10_000, 200)))
    return {
        "negative_elbo": -workshop.score("vae").nats,
        "reconstruction": -reconstruction.mean().item(),
        "kl": divergence.mean().item(),
    }


# ---- pictures


def samples(workshop: Workshop) -> Told:
    caption = f"{SAMPLES} draws, none picked: means of p(x | z) at z from the standard normal."
    return Told(
        "z is drawn from the standard normal and decoded. The mean of p(x | z) is shown: a draw would add noise of "
        "standard deviation 1 to pixels between 0 and 1, and show nothing else.",
        figures=[workshop.draw("vae", "samples", caption, count=SAMPLES)],
    )


def pairs(workshop: Workshop) -> Told:
    caption = f"The first {PAIRS} test images, and beneath each its reconstruction."
    return Told(
        "The first test images, coded as the mean of q(z | x) and decoded: what 16 numbers keep of 1,024 pixels.",
        figures=[workshop.draw("vae", "reconstructions", caption, count=PAIRS)],
    )


def interpolations(workshop: Workshop) -> Told:
    caption = f"{LINES} interpolations of length 10: each row goes from one test image to the next."
    return Told(
        "Straight lines between the codes of the first pairs of test images, in ten steps, decoded: the ends of each "
        "row are reconstructions.",
        figures=[workshop.draw("vae", "interpolations", caption, count=LINES)],
    )
