"""CSDS 600, homework 1: MADE, KL divergences, pushforward densities, and a convolutional VAE with Gaussian pixels."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.studies.csds600.layers import layers
from ancestral.studies.csds600.made import chain_rule, trained
from ancestral.studies.csds600.mathematics import divergence, pushed
from ancestral.studies.csds600.vae import LINES, PAIRS, SAMPLES, interpolations, losses, pairs, samples
from ancestral.studies.recipe import QUICK_MNIST, Chapter, Options, PlannedRun, Study
from ancestral.studies.workshop import Workshop

CODING = {
    "data": "mnist",
    "protocol": "csds600",
    "pixels": "unit",
    "variance": 1.0,
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


def plan(options: Options) -> Sequence[PlannedRun]:
    """A MADE and the convolutional VAE; the coursework gives no number of epochs for the VAE."""
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


def _lead(workshop: Workshop) -> str:
    made, vae = workshop.score("made"), workshop.score("vae")
    return (
        f"The mean log-probability of the test digits under a MADE is {made.nats:.2f} ± {made.stderr:.2f} nats "
        f"(exact). A convolutional VAE with Gaussian pixels has a negative ELBO of {-vae.nats:.2f} ± {vae.stderr:.2f} "
        f"nats. This is a bound on a density of {vae.dimensions:,} real-valued pixels; it cannot be compared with "
        "probabilities of discrete pixels."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    made, vae = workshop.score("made"), workshop.score("vae")
    return [
        ("MADE, log p(x), exact", f"{made.nats:.2f} ± {made.stderr:.2f} nats"),
        ("VAE, negative ELBO (density)", f"{-vae.nats:.2f} ± {vae.stderr:.2f} nats"),
    ]


STUDY = Study(
    title="MADE, pushforward densities and a Gaussian VAE",
    subtitle="CSDS 600, homework 1 (csds600), on MNIST",
    plan=plan,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter(
            "MADE: the chain rule and its masks",
            chain_rule,
            "Explain MADE: the chain rule, the masks, and why its probabilities sum to 1.",
        ),
        Chapter(
            "MADE: training and score",
            trained,
            "Train it, compute its exact log-probability, and sample from it.",
        ),
        Chapter(
            "KL divergence of a Gaussian from the standard normal",
            divergence,
            "Derive KL(q(z | x) || N(0, I)) in closed form.",
        ),
        Chapter(
            "Density after several invertible maps",
            pushed,
            "Derive the pushforward density of a composition of invertible maps.",
        ),
        Chapter(
            "Convolutional VAE: layers and settings",
            layers,
            "Encoder and Gaussian decoder with the listed layers, for 32 by 32 images, with unit variance and 16 "
            "latents; batches of 128, Adam at 0.001; losses summed over features and averaged over the batch.",
        ),
        Chapter(
            "Convolutional VAE: losses",
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
