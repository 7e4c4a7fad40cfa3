"""`uva2020`: variational autoencoders, generative adversarial networks and flows, and what tells them apart."""

from __future__ import annotations

from ancestral.studies.parts import IMAGE_FLOW, plural
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
        "GAN, too large a rate",
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
    """What stands here for the two ways of training that the coursework offers."""
    run = workshop.runs["vae"]
    text = (
        "The coursework offers a loop written out in PyTorch, and PyTorch Lightning with its Trainer. Both are offered "
        "here. The package has one epoch loop for every family (`src/ancestral/training/loop.py`). For the Trainer, "
        "`ancestral.lightning.LightningGenerative` is a LightningModule of a model and its objective, with the same "
        "order of the data and the same random numbers: the tests train an MLP VAE by both ways, and the weights are "
        "equal. The loop itself shows the time that is left, writes checkpoints from which a killed training resumes "
        "to the bit (`--resume`), stops early (`--patience`), keeps the weights with the best validation, and checks "
        "the health of the training. TensorBoard shows the curves of a run with `--track tensorboard`; the same "
        "readings are in the run's `log.jsonl` and on its page. The MLP VAE of "
        f"this study trained at {run.outcome['images_per_second']:,.0f} images a second."
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
        f"The VAE needs {bits_in_words(score)} bits per dimension on binary MNIST (by its ELBO). The GAN, trained for "
        f"{epochs}, draws images of which {quality.recognised.value:.0%} are digits to a network that recognises "
        f"{quality.recognised.floor:.0%} of real ones. The flow of points comes to {bits_in_words(plane)} bits per "
        f"dimension (exact, of a density), the flow of grey images to {bits_in_words(image)} (of whole levels, another "
        "space)."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    bound, tighter, quality = workshop.score("vae"), workshop.score("vae", vae.TIGHT), workshop.quality("gan")
    return [
        ("VAE, test, ELBO", f"{bits_in_words(bound)} bits/dim"),
        (f"VAE, test, {tighter.method}", f"{bits_in_words(tighter)} bits/dim"),
        ("GAN, draws recognised", share_in_words(quality.recognised.value, quality.count)),
        ("Flow of points", f"{bits_in_words(workshop.score('flow-points'))} bits/dim"),
    ]


STUDY = Study(
    title="Deep generative models: VAE, GAN and flow (uva2020)",
    subtitle="MNIST, and points around two centres; Deep Learning, practical 3, University of Amsterdam, 2020",
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
            "Show 64 samples before training, after 10 and after 80 epochs; and reconstructions.",
            minutes=1,
        ),
        Chapter(
            "VAE: the manifold",
            vae.manifold,
            "Train a VAE with two latents and show the decoder's means on a 20 by 20 grid of the standard normal's "
            "percentiles. Every digit should be visible.",
        ),
        Chapter(
            "VAE: convolutions",
            convolutions.convolutional,
            "The same with convolutional encoder and decoder: curves, test score, samples, and how it differs.",
            minutes=1,
        ),
        Chapter(
            "A plain autoencoder",
            autoencoder.autoencoder,
            "How does a VAE differ from an autoencoder, and why is the latter no generative model?",
            minutes=1,
        ),
        Chapter(
            "GAN: samples",
            gan.samples,
            "Train a GAN of fully connected layers. Show 64 samples before training, after 10 epochs and at the end "
            "(250), and 4 interpolations of 5 steps between two draws. Nearly every digit should be recognisable.",
            minutes=2,
        ),
        Chapter("GAN: the course of the game", gan.course, "Show how the training of generator and critic went."),
        Chapter(
            "GAN: what goes wrong",
            gan.troubles,
            "Name the problems of GAN training (mode collapse, non-convergence, instability), and what helps.",
        ),
        Chapter(
            "GAN: why the loss is turned round",
            game.losses,
            "Why does log(1 - D(G(z))) fail early in training, and what is used in its place?",
            minutes=1,
        ),
        Chapter(
            "GAN: where the game ends",
            game.convergence,
            "Show that at convergence the value of the game is -2 log 2 and D = 1/2.",
        ),
        Chapter(
            "Flow: points of the plane",
            points.points,
            "Train six affine couplings with alternating masks on points around (1, 1) and (-1, -1), 40 epochs. Plot "
            "the densities of base, target and model, samples, and the loss, which ends at about 0.84 bits per "
            "dimension.",
        ),
        Chapter(
            "Discrete data under a density",
            flow.discrete,
            "What goes wrong when a density is fitted to whole grey levels, and what does adding noise mend?",
        ),
        Chapter(
            "Flow: images",
            flow.images,
            "Turn discrete pixels into real ones by uniform and by variational dequantisation; say what goes in and "
            "comes out in training, evaluation and sampling; compare the two.",
            minutes=1,
        ),
        Chapter(
            "Change of variables",
            flow.one_dimension,
            "Let z = x³ with z uniform. Derive the density of x and show that it integrates to 1. What must an "
            "invertible layer fulfil?",
        ),
        Chapter(
            "VAE, GAN and flow",
            comparison,
            "Compare the three: how each uses z, strengths and weaknesses, likelihood and samples.",
            minutes=6,
        ),
        Chapter(
            "A plain loop, or Lightning",
            _loops,
            "Train by a loop of your own or with PyTorch Lightning, and watch the curves in TensorBoard.",
        ),
    ),
)
