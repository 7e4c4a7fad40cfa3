"""TU Eindhoven, 2AMU20, 2024, assignment 2: a VAE of composable parts, its learning rate, and sample quality."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ancestral.core.random import seed_for, seeded_noise
from ancestral.figures.grids import image_grid
from ancestral.studies.recipe import QUICK_MNIST, Chapter, ChapterContent, Options, PlannedRun, Study
from ancestral.studies.tue2024.main import PATIENCE, STUDENT, loss_in_words, main_run
from ancestral.studies.tue2024.parts import four_parts, learned_prior, log_probabilities, mistakes, vae_of
from ancestral.studies.tue2024.quality import sample_quality
from ancestral.studies.tue2024.rates import learning_rates, plain, rate_name
from ancestral.studies.tue2024.stability import stability
from ancestral.studies.workshop import Workshop

VAE = {
    "data": "mnist",
    "protocol": "tue2024",
    "hidden": (512, 512),
    "latents": 20,
    "activation": "leaky-relu",
    "optimizer": "adamax",
    "batch_size": 32,
}
MIXTURE = {**VAE, "prior": "mixture", "components": 16}
RATES = (1e-2, 1e-3, 1e-5)
SHORT = 20  # epochs
SHOWN = 16


def plan(options: Options) -> Sequence[PlannedRun]:
    """The main run on cut and on drawn pixels, one with a standard normal prior, and one for each learning rate."""
    drawn = {"pixels": "binary", "learning_rate": 2e-3, "schedule": "cosine", "epochs": 40}
    return (
        PlannedRun(
            "vae", "VAE, mixture prior", "vae", {**MIXTURE, "epochs": 1000, "patience": PATIENCE}, 1000, minutes=20
        ),
        PlannedRun("vae-dynamic", "VAE, mixture prior, pixels drawn", "vae", {**MIXTURE, **drawn}, 1000, minutes=12),
        PlannedRun("vae-normal", "VAE, standard normal prior", "vae", {**VAE, "epochs": SHORT}, 1000, minutes=4),
        *(
            PlannedRun(
                rate_name(rate), f"learning rate {plain(f'{rate:g}')}", "vae",
                {**MIXTURE, "learning_rate": rate, "epochs": SHORT}, minutes=5,
            )
            for rate in options.learning_rates or RATES
        ),
    )  # fmt: skip


# ---- real and generated


def _sheet(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    real = run.data.held("test").first(SHOWN)
    model = vae_of(run)
    with seeded_noise(seed_for(0, "drawing")), torch.no_grad():
        drawn, z = model.sample_joint(SHOWN)
        means = model.decode(z)
    figure = image_grid(
        run.data.space.to_unit(torch.cat([real, drawn, means])),
        columns=8,
        row_titles=[name for name in ("real", "drawn", "means") for _ in range(2)],
    )
    text = (
        "The first 16 test images; the first 16 draws of the model, none picked; and the means E[x | z] at the same "
        "z. A draw settles each pixel by itself, so it is speckled; the mean, which is what one usually sees in "
        "papers, is smooth, but it is no sample of the model and has no place in a score."
    )
    return ChapterContent(
        text, figures=[workshop.figure("real-and-generated", figure, "16 real and 16 generated images.")]
    )


# ---- the page


def _lead(workshop: Workshop) -> str:
    cut, drawn = (loss_in_words(workshop.score(name)) for name in ("vae", "vae-dynamic"))
    return (
        "A variational autoencoder of parts that compose, with a learned mixture of 16 Gaussians as its prior, "
        f"reaches a negative ELBO of {cut} on MNIST cut at one half and {drawn} on MNIST with pixels drawn; the "
        f"coursework's student reported {STUDENT}, without saying for which pixels."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    tighter = workshop.score("vae", 1000)
    return [
        ("negative ELBO, cut at one half", loss_in_words(workshop.score("vae"))),
        (f"negative {tighter.method}, the same", loss_in_words(tighter)),
        ("negative ELBO, pixels drawn", loss_in_words(workshop.score("vae-dynamic"))),
        ("FID, digit network", f"{workshop.quality('vae').fid.value:.2f}"),
    ]


STUDY = Study(
    title="A VAE of parts that compose",
    subtitle="TU Eindhoven, 2AMU20 Generative Models, 2024, assignment 2 (tue2024), on MNIST",
    plan=plan,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    learning_rates=RATES,
    chapters=(
        Chapter(
            "Four parts",
            four_parts,
            "Write an encoder, a decoder, a prior and a VAE that put together give the negative ELBO, reduced by its "
            "mean or its sum, and samples.",
        ),
        Chapter(
            "Log-probabilities, written out",
            log_probabilities,
            "Write out log p of a diagonal Gaussian, of a categorical, of a Bernoulli and of a mixture of Gaussians.",
        ),
        Chapter(
            "The main run",
            main_run,
            "784-512-512-(20+20) and back, leaky ReLU, Bernoulli pixels, a mixture of 16 Gaussians as the prior, "
            "Adamax at 0.001, batches of 32, 50,000 images to train and 10,000 to validate, at most 1000 epochs, "
            "early stopping with patience 20.",
        ),
        Chapter(
            "Two mistakes of the source, made on purpose",
            mistakes,
            "Ours: the student's code mixes the prior per dimension and takes a wrong standard deviation when "
            "drawing from it. How far off would that be?",
            minutes=4,
        ),
        Chapter(
            "What the learned prior is worth",
            learned_prior,
            "A prior other than the standard normal, with parameters of its own. Ours: what is it worth?",
            minutes=2,
        ),
        Chapter("Sixteen real, sixteen generated", _sheet, "Show 16 real images beside 16 generated ones."),
        Chapter("Validation curve and stability", stability, "Show the validation curve. Is the training stable?"),
        Chapter(
            "The learning rate",
            learning_rates,
            "Train with learning rates 0.01, 0.001 and 0.00001, and say how each shows in the curves.",
        ),
        Chapter(
            "Sample quality",
            sample_quality,
            "Judge the samples by more than looking: Inception Score and Fréchet Inception Distance.",
            minutes=5,
        ),
    ),
)
