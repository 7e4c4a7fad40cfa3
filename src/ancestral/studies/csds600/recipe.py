"""CSDS 600, homework 1: MADE, divergences and pushed densities, and a convolutional VAE of Gaussian pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ancestral.experiments.chain_rule import chain_rule_holds, masks_figure
from ancestral.experiments.divergence_by_draws import divergence_by_draws, divergence_figure
from ancestral.experiments.gaussian_divergence import divergence_from_standard
from ancestral.experiments.pushforward import DRAWS, MAPS, pushforward, pushforward_figure
from ancestral.models.made import MADE
from ancestral.models.vae import VAE
from ancestral.report import Table
from ancestral.run_page import SCORE_CAPTION, score_table
from ancestral.studies.csds600.vae import LINES, PAIRS, SAMPLES, interpolations, layers, losses, pairs, samples
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import QUICK_MNIST, Chapter, Check, Options, PlannedRun, Study, Told
from ancestral.studies.workshop import Workshop

CODING = {
    "data": "mnist",
    "split": "csds600",
    "pixels": "unit",
    "pad_to": 32,
    "network": "cnn",
    "latents": 16,
    "channels": (32, 64, 128, 256),
    "strides": (1, 2, 2, 2),
    "decoder_channels": (128, 128, 64, 32),
    "decoder_strides": (2, 2, 2, 1),
    "log_every": 1,
    "watch": ("test",),
}
MASKED = {
    "data": "mnist",
    "pixels": "binary",
    "train_size": 55_000,
    "valid_size": 5_000,
    "hidden": (500,),
    "epochs": 60,
    "batch_size": 100,
    "schedule": "cosine",
}
MADE_AIM = -94.0  # nats


def plan(options: Options) -> Sequence[PlannedRun]:
    """A MADE, and the convolutional VAE; the coursework names no number of epochs for the latter."""
    return (
        PlannedRun("made", "MADE", "made", MASKED, minutes=20),
        PlannedRun(
            "vae",
            "convolutional Gaussian VAE",
            "vae",
            {**CODING, "epochs": 3},
            minutes=12,
            full={"epochs": 10},
            quick={"watch_size": 200},
        ),
    )


# ---- MADE


def _chain_rule(workshop: Workshop) -> Told:
    found = chain_rule_holds()
    total, unmasked = found.total, found.unmasked_total
    text = (
        "log p(x) = sum_d log p(x_d | x_1, ..., x_d-1): the chain rule holds for every distribution, whatever the "
        "order of the pixels. One network gives all conditionals at once if output d depends on pixels before d only. "
        "Masks see to that: the pixel at place d has degree d, hidden units have degrees from 1 to D - 1; a unit sees "
        "units of its degree or less, an output only units of a lower degree.\n\n"
        "Each conditional is a Bernoulli and sums to one over its pixel, whatever came before. So the sum over the "
        "last pixel gives 1, then the sum over the one before it, and so on: the whole is a probability distribution, "
        f"without a normalising constant. A MADE of 3 by 3 pixels with random weights, summed over all {found.states} "
        f"images: |total - 1| = {abs(total - 1):.1e}. Its conditionals differ from those of the table of all p(x) by "
        f"at most {found.gap:.1e}. The same weights without masks, every pixel seeing itself and all others, sum to "
        f"{unmasked:.3f}: a number for every image, and no distribution."
    )
    caption = (
        "Above, the mask of the hidden units. Below, how much each output changes with each pixel, the largest "
        "derivative over all images: zero, exactly, on the diagonal and to its right."
    )
    return Told(
        text,
        figures=[workshop.figure("made-masks", masks_figure(found), caption)],
        checks=[
            Check(
                f"a MADE's probabilities of all {found.states} images",
                "sum to 1",
                f"1 within {abs(total - 1):.0e}",
                abs(total - 1) < 1e-10,
                "A mask lets a pixel see what it must not.",
            )
        ],
    )


def _made(workshop: Workshop) -> Told:
    run, score = workshop.runs["made"], workshop.score("made")
    model = run.load()
    assert isinstance(model, MADE)
    count = sum(parameter.numel() for parameter in model.parameters())
    epochs = plural(run.outcome["epochs"], "epoch")
    text = (
        f"784-{'-'.join(str(width) for width in run.settings.model.hidden)}-784, {count:,} weights (masked ones among "  # type: ignore[attr-defined]
        f"them), {epochs} on pixels drawn with their grey value as probability. log p(x) is "
        f"exact, one pass of the network: {score.nats:.2f} ± {score.stderr:.2f} nats on {score.count:,} test images. "
        "Drawing takes a step for each pixel: 784 in their order, each given those before.\n\n"
        f"{health_in_words(run)}"
    )
    return Told(
        text,
        [score_table([(workshop.titles["made"], score)], SCORE_CAPTION)],
        [workshop.draw("made", what) for what in ("samples", "steps", "curves")],
        [
            Check(
                "MADE, test log p(x), pixels drawn",
                f"at least {MADE_AIM:.0f} nats",
                f"{score.nats:.2f} ± {score.stderr:.2f} nats",
                score.nats >= MADE_AIM,
                "It was trained too briefly: the curve shows whether it still falls.",
            )
        ],
    )


# ---- divergence and pushed densities


def _divergence(workshop: Workshop) -> Told:
    run = workshop.runs["vae"]
    model = run.load()
    assert isinstance(model, VAE)
    with torch.no_grad():
        q = model.posterior(run.data.held("test").first(1))
    found = divergence_by_draws(q.mean[0], q.stddev[0])
    small, large = divergence_from_standard(0.01, 1.0), divergence_from_standard(10.0, 0.1)
    last, error = found.nats[-1], found.stderr[-1]
    rows = [
        ["q(z | x) of the first test image, 16 latents", f"{found.closed:.4f}", f"{found.quadrature:.4f}"],
        ["N(0.01, 1), one latent", f"{small.closed:.3g}", f"{small.integral:.3g}"],
        ["N(10, 0.1²), one latent", f"{large.closed:.4f}", f"{large.integral:.4f}"],
    ]
    return Told(
        "KL(N(m, diag s²) || N(0, I)) = sum_d (s_d² + m_d² - 1 - log s_d²) / 2. For the posterior that the trained "
        f"encoder gives the first test image it is {found.closed:.4f} nats. The integrals over the latents, which are "
        f"independent and so add up, give {found.quadrature:.4f}; the mean of log q(z) - log p(z) over "
        f"{found.draws[-1]:,} draws gives {last:.4f} ± {error:.4f}. The closed form costs nothing and has no noise, "
        "which is why training uses it.",
        [Table(["q", "closed form", "integral"], rows, "KL to the standard normal, nats.", {1, 2})],
        [workshop.figure("divergence", divergence_figure(found), "The same divergence from draws.")],
        [
            Check(
                "KL of a posterior from the standard normal",
                f"{found.closed:.4f} nats in closed form",
                f"{found.quadrature:.4f} by integrals, {last:.4f} ± {error:.4f} by draws",
                abs(found.quadrature - found.closed) < 1e-6 * max(1, found.closed)
                and abs(last - found.closed) < 5 * error,
                "One of the three is wrong.",
            )
        ],
    )


def _pushforward(workshop: Workshop) -> Told:
    stages = pushforward(workshop.size(DRAWS, DRAWS // 5))
    rows = [[one.name, f"{one.integral:.6f}", f"{one.fit:.2f}"] for one in stages]
    worst = max(abs(one.integral - 1) for one in stages)
    least = min(one.fit for one in stages)
    return Told(
        "With z_0 ~ p_0 and z_i = f_i(z_i-1), the density of x = z_n is log p(x) = log p_0(z_0) - sum_i log |det "
        "df_i / dz_i-1|, at z_0 = f_1^-1(... f_n^-1(x)): where a map spreads the line out, the density falls by as "
        f"much, and the logarithms of {len(MAPS)} maps add up. Here they are, one after the other, "
        f"{', '.join(f'`{step.name}`' for step in MAPS)}.",
        [
            Table(
                ["density", "integral", "p-value of the draws"],
                rows,
                "The density integrated, and the draws pushed through the maps held against it, bin by bin "
                "(chi-square; small only where they do not fit). The grids end at five deviations of z, beyond which "
                "lies a share of 6e-7.",
                {1, 2},
            )
        ],
        [workshop.figure("pushforward", pushforward_figure(stages), "Lines: densities by the formula. Points: draws.")],
        [
            Check(
                "pushed densities integrate to",
                "1, and fit the draws pushed (p above 0.0001)",
                f"1 within {worst:.0e}; p at least {least:.2f}",
                worst < 1e-5 and least > 1e-4,
                "A slope is wrong or missing.",
            )
        ],
    )


# ---- the page


def _lead(workshop: Workshop) -> str:
    made, vae = workshop.score("made"), workshop.score("vae")
    return (
        f"A MADE gives the test digits an exact log-probability of {made.nats:.2f} ± {made.stderr:.2f} nats. A "
        f"convolutional VAE with Gaussian pixels reaches a negative ELBO of {-vae.nats:.2f} nats, a density of "
        f"{vae.dimensions:,} real pixels that compares with nothing but its own kind."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    made, vae = workshop.score("made"), workshop.score("vae")
    return [
        ("MADE, log p(x), exact", f"{made.nats:.2f} nats"),
        ("VAE, negative ELBO, density", f"{-vae.nats:.2f} nats"),
    ]


STUDY = Study(
    title="Masks, maps and a Gaussian VAE",
    subtitle="CSDS 600, homework 1 (csds600), on MNIST",
    plan=plan,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter(
            "MADE: the chain rule and its masks",
            _chain_rule,
            "Explain MADE: the chain rule, the masks, and why it is a proper probability model.",
        ),
        Chapter("MADE, trained", _made, "Train it, compute its exact log-probability, and draw from it."),
        Chapter(
            "The divergence of a Gaussian from the standard normal",
            _divergence,
            "Derive KL(q(z | x) || N(0, I)) in closed form.",
        ),
        Chapter(
            "The density behind several maps",
            _pushforward,
            "Derive the pushforward density of a composition of invertible maps.",
        ),
        Chapter(
            "The convolutional VAE, layer by layer",
            layers,
            "Encoder, Gaussian decoder with unit variance and 16 latents, of the layers listed, for 32 by 32 images; "
            "batches of 128, Adam at 1e-3; losses summed over features and averaged over the batch.",
        ),
        Chapter(
            "Its losses",
            losses,
            "Record negative ELBO, reconstruction and KL of every training minibatch and of the whole test set; plot "
            "them, and give the final test values.",
            minutes=2,
        ),
        Chapter(f"{SAMPLES} samples", samples, "Show 100 samples in one figure."),
        Chapter(f"{PAIRS} reconstructions", pairs, "Show 50 pairs of real and reconstructed images in one figure."),
        Chapter(
            f"{LINES} interpolations",
            interpolations,
            "Show 10 interpolations of length 10 between test images: 100 images in one figure.",
        ),
    ),
)
