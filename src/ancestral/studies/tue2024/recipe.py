"""TU Eindhoven, 2AMU20, 2024, assignment 2: a VAE made of composable parts, its learning rate, and sample quality."""

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
    """Runs on thresholded and on sampled pixels, one with a standard normal prior, and one for each learning rate."""
    drawn = {"pixels": "binary", "learning_rate": 2e-3, "schedule": "cosine", "epochs": 40}
    return (
        PlannedRun(
            "vae", "VAE, mixture prior", "vae", {**MIXTURE, "epochs": 1000, "patience": PATIENCE}, 1000, minutes=20
        ),
        PlannedRun("vae-dynamic", "VAE, mixture prior, sampled pixels", "vae", {**MIXTURE, **drawn}, 1000, minutes=12),
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
        row_titles=[name for name in ("real", "samples", "means") for _ in range(2)],
        title=f"{run.called}: real images, samples and mean images E[x|z]",
    )
    text = (
        "The figure shows the first 16 test images; the first 16 samples of the model, not cherry-picked; and the mean "
        "images E[x | z] at the same z. In a sample, each pixel is drawn independently given z, so samples are "
        "speckled. The means, which papers often show, are smooth, but they are not samples of the model."
    )
    caption = "16 real images, 16 samples, and the 16 mean images E[x | z] of these samples."
    return ChapterContent(text, figures=[workshop.figure("real-and-generated", figure, caption, of=["vae"])])


# ---- the page


def _lead(workshop: Workshop) -> str:
    cut, drawn = (loss_in_words(workshop.score(name)) for name in ("vae", "vae-dynamic"))
    return (
        "A variational autoencoder with a learned mixture of 16 Gaussians as its prior has a negative ELBO of "
        f"{cut} on MNIST with pixels thresholded at 0.5, and of {drawn} with sampled pixels. The coursework's student "
        f"reported {STUDENT} nats, without stating the kind of pixels."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    tighter = workshop.score("vae", 1000)
    return [
        ("negative ELBO, thresholded pixels", loss_in_words(workshop.score("vae"))),
        (f"negative {tighter.method}, thresholded pixels", loss_in_words(tighter)),
        ("negative ELBO, sampled pixels", loss_in_words(workshop.score("vae-dynamic"))),
        ("FID, digit classifier", f"{workshop.quality('vae').fid.value:.2f}"),
    ]


STUDY = Study(
    title="A VAE made of composable parts",
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
            "Write an encoder, a decoder, a prior and a VAE that together compute the negative ELBO, as mean or sum, "
            "and samples.",
        ),
        Chapter(
            "Log-probabilities, written out",
            log_probabilities,
            "Write out log p of a diagonal Gaussian, of a categorical, of a Bernoulli and of a mixture of Gaussians.",
        ),
        Chapter(
            "The main run",
            main_run,
            "784-512-512-(20+20) and 20-512-512-784, leaky ReLU, Bernoulli pixels, a mixture of 16 Gaussians as the "
            "prior, Adamax at 0.001, batches of 32, 50,000 images to train and 10,000 to validate, at most 1,000 "
            "epochs, early stopping with patience 20.",
        ),
        Chapter(
            "Effect of two mistakes in the prior",
            mistakes,
            "Our addition: the student's code mixes the prior per dimension, and uses a wrong standard deviation to "
            "sample from it. How large are the errors?",
            minutes=4,
        ),
        Chapter(
            "Effect of the learned prior",
            learned_prior,
            "Use a prior with learned parameters in place of the standard normal. Our addition: how much does it help?",
            minutes=2,
        ),
        Chapter("16 real and 16 generated images", _sheet, "Show 16 real images and 16 generated ones."),
        Chapter("Validation curve and stability", stability, "Show the validation curve. Is the training stable?"),
        Chapter(
            "The learning rate",
            learning_rates,
            "Train with learning rates 0.01, 0.001 and 0.00001, and describe the effect on the curves.",
        ),
        Chapter(
            "Sample quality",
            sample_quality,
            "Evaluate the samples with numbers: Inception Score and Fréchet Inception Distance.",
            minutes=5,
        ),
    ),
)
