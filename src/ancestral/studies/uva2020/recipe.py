"""`uva2020`: variational autoencoders, generative adversarial networks and flows, and a comparison."""

from __future__ import annotations

from ancestral.core.text import plural
from ancestral.studies.parts import IMAGE_FLOW
from ancestral.studies.recipe import QUICK_MNIST, Chapter, ChapterContent, PlannedRun, Study
from ancestral.studies.uva2020 import autoencoder, convolutions, flow, game, gan, points, vae
from ancestral.studies.uva2020.comparison import comparison
from ancestral.studies.uva2020.words import bits_in_words, share_in_words
from ancestral.studies.workshop import Workshop

DATA = {"data": "mnist", "protocol": "uva2020"}
POINTS = {"data": "two-gaussians", "batch_size": 256, "epochs": 40, "learning_rate": 1e-3}
AFFINE = {"layers": "affine", "actnorm": False, "base_scale": 0.3}
CNN = {"network": "cnn", "epochs": 12, "schedule": "cosine", "samples_at": (0, 10, 12)}
CNN_FULL = {"epochs": 80, "schedule": "constant", "samples_at": (0, 10, 80)}
SMALL = {"train_size": 320, "valid_size": 64, "width": 8}
PLAN = (
    PlannedRun("vae", "VAE, MLP", "vae", {**DATA, "epochs": 80, "samples_at": (0, 10, 80)}, 5000, minutes=6),
    PlannedRun("vae-manifold", "VAE, 2 latents", "vae", {**DATA, "latents": 2, "epochs": 80}, minutes=5),
    PlannedRun("vae-cnn", "VAE, convolutional", "vae", {**DATA, **CNN}, minutes=12, full=CNN_FULL),
    PlannedRun("autoencoder", "plain autoencoder", "autoencoder", {**DATA, "epochs": 20}, scored=False, minutes=1.5),
    PlannedRun(
        "gan",
        "GAN, MLP",
        "gan",
        {**DATA, "epochs": 40, "samples_at": (0, 10, 40)},
        scored=False,
        minutes=6,
        full={"epochs": 250, "samples_at": (0, 10, 250)},
    ),
    PlannedRun(
        "gan-collapsed",
        "GAN, learning rate too large",
        "gan",
        {**DATA, "epochs": 2, "learning_rate": 5e-3, "beta1": 0.9},
        scored=False,
        minutes=0.4,
    ),
    PlannedRun(
        "gan-saturating",
        "GAN, saturating loss",
        "gan",
        {**DATA, "epochs": 10, "loss": "saturating"},
        scored=False,
        minutes=1.5,
    ),
    PlannedRun("flow-points", "flow of points, affine couplings", "flow", {**POINTS, **AFFINE}, minutes=0.6),
    PlannedRun("flow-splines", "flow of points, splines", "flow", {**POINTS, "schedule": "cosine"}, minutes=1),
    PlannedRun(
        "flow-uniform",
        "flow of images, uniform dequantisation",
        "flow",
        {**IMAGE_FLOW, "epochs": 12},
        8,
        minutes=30,
        quick=SMALL,
    ),
    PlannedRun(
        "flow-variational",
        "flow of images, variational dequantisation",
        "flow",
        {**IMAGE_FLOW, "epochs": 9, "dequantisation": "variational"},
        8,
        minutes=30,
        quick=SMALL,
    ),
)


def _loops(workshop: Workshop) -> ChapterContent:
    """The two ways of training that the coursework offers, and their counterparts in this package."""
    run = workshop.runs["vae"]
    text = (
        "The coursework offers two ways to train: a plain PyTorch loop, and PyTorch Lightning with its Trainer. This "
        "package supports both. It has one training loop for all families (`src/ancestral/training/loop.py`). For the "
        "Trainer, `ancestral.lightning.LightningGenerative` is a LightningModule of a model and its objective. It uses "
        "the same order of the data and the same random numbers: the tests train an MLP VAE in both ways and check "
        "that the weights are equal. The loop shows the time left, writes checkpoints from which an interrupted "
        "training resumes exactly (`--resume`), stops early (`--patience`), keeps the weights with the lowest "
        "validation loss, and runs health checks. With `--track tensorboard`, TensorBoard shows the curves; the same "
        "values are in `log.jsonl` in the run folder and on the page of the run. The MLP VAE of this study was "
        f"trained at {run.outcome['images_per_second']:,.0f} images per second."
    )
    commands = [
        "ancestral train vae --data mnist --protocol uva2020 --epochs 80 --samples-at 0 10 80 --track tensorboard "
        "--out runs/vae",
        "tensorboard --logdir runs",
    ]
    return ChapterContent(text, commands=commands)


def _lead(workshop: Workshop) -> str:
    score, quality, plane = workshop.score("vae"), workshop.quality("gan"), workshop.score("flow-points")
    image, epochs = workshop.score("flow-uniform"), plural(workshop.runs["gan"].outcome["epochs"], "epoch")
    return (
        f"The VAE has {bits_in_words(score)} bits per dimension on binary MNIST (ELBO). The GAN was trained for "
        f"{epochs}; a fixed classifier recognises {quality.recognised.value:.0%} of its samples and "
        f"{quality.recognised.real:.0%} of real images. The flow of points has {bits_in_words(plane)} bits per "
        f"dimension (exact, a density); the flow of grey images has {bits_in_words(image)} (grey levels, another pixel "
        "space)."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    bound, tighter, quality = workshop.score("vae"), workshop.score("vae", vae.TIGHT), workshop.quality("gan")
    return [
        ("VAE, test, ELBO", f"{bits_in_words(bound)} bits/dim"),
        (f"VAE, test, {tighter.method}", f"{bits_in_words(tighter)} bits/dim"),
        ("GAN, samples recognised", share_in_words(quality.recognised.value, quality.count)),
        ("Flow of points", f"{bits_in_words(workshop.score('flow-points'))} bits/dim"),
    ]


STUDY = Study(
    title="Deep generative models: VAE, GAN and flow (uva2020)",
    subtitle="University of Amsterdam, Deep Learning, practical 3, 2020, on MNIST and on points around two centres",
    plan=lambda options: PLAN,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter(
            "VAE: training and score",
            vae.perceptron,
            "Train a VAE of fully connected layers with 20 latents on binary MNIST for 80 epochs. Plot training and "
            "validation loss in bits per dimension; the training loss starts slightly above 1 and must fall below "
            "0.16. Report the final test loss.",
        ),
        Chapter(
            "VAE: samples",
            vae.samples,
            "Show 64 samples before training, after 10 epochs and after 80 epochs; and reconstructions.",
            minutes=1,
        ),
        Chapter(
            "VAE: latent manifold",
            vae.manifold,
            "Train a VAE with two latents and show the decoder's means on a 20 by 20 grid of the standard normal's "
            "percentiles. Every digit should be visible.",
        ),
        Chapter(
            "VAE: convolutional networks",
            convolutions.convolutional,
            "The same with convolutional encoder and decoder: curves, test score, samples, and the differences.",
            minutes=1,
        ),
        Chapter(
            "A plain autoencoder",
            autoencoder.autoencoder,
            "How does a VAE differ from an autoencoder, and why is an autoencoder no generative model?",
            minutes=1,
        ),
        Chapter(
            "GAN: samples",
            gan.samples,
            "Train a GAN of fully connected layers. Show 64 samples before training, after 10 epochs and at the end "
            "(250), and 4 interpolations of 5 steps between two draws. Nearly every digit should be recognisable.",
            minutes=2,
        ),
        Chapter("GAN: training curves", gan.course, "Show the training of generator and critic."),
        Chapter(
            "GAN: failures of training",
            gan.troubles,
            "Name the problems of GAN training (mode collapse, non-convergence, instability) and remedies.",
        ),
        Chapter(
            "GAN: saturating and non-saturating loss",
            game.losses,
            "Why does log(1 - D(G(z))) fail early in training, and what is used in its place?",
            minutes=1,
        ),
        Chapter(
            "GAN: equilibrium of the game",
            game.convergence,
            "Show that at convergence the value of the game is -2 log 2 and D = 1/2.",
        ),
        Chapter(
            "Flow: points in the plane",
            points.points,
            "Train six affine couplings with alternating masks on points around (1, 1) and (-1, -1), 40 epochs. Plot "
            "the densities of base, target and model, samples, and the loss, which ends at about 0.84 bits per "
            "dimension.",
        ),
        Chapter(
            "Densities and discrete data",
            flow.discrete,
            "What goes wrong when a density is fitted to discrete grey levels, and how does added noise help?",
        ),
        Chapter(
            "Flow: images",
            flow.images,
            "Convert discrete pixels to real numbers by uniform and by variational dequantisation; state the inputs "
            "and outputs in training, evaluation and sampling; compare the two.",
            minutes=1,
        ),
        Chapter(
            "Change of variables",
            flow.one_dimension,
            "Let z = x³ with z uniform. Derive the density of x and show that it integrates to 1. Which requirements "
            "must an invertible layer meet?",
        ),
        Chapter(
            "VAE, GAN and flow",
            comparison,
            "Compare the three: how each uses z, strengths and weaknesses, likelihood and samples.",
            minutes=6,
        ),
        Chapter(
            "Training loop and Lightning",
            _loops,
            "Train with your own loop or with PyTorch Lightning, and show the curves in TensorBoard.",
        ),
    ),
)
