"""`uva2020`: variational autoencoders, generative adversarial networks and flows, and what tells them apart."""

from __future__ import annotations

from ancestral.evaluation.quality import rank_quality
from ancestral.experiments.sampling_pace import draws_per_second
from ancestral.measuring import sample_rows
from ancestral.report import Table
from ancestral.run_page import QUALITY_CAPTION, SCORE_CAPTION, quality_table, score_table
from ancestral.studies.parts import IMAGE_FLOW, plural
from ancestral.studies.recipe import QUICK_MNIST, Chapter, PlannedRun, Study, Told
from ancestral.studies.uva2020 import flow, game, gan, vae
from ancestral.studies.workshop import Workshop

DATA = {"data": "mnist", "split": "uva2020"}
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

BINARY, LEVELS = {"vae": 5000, "vae-cnn": 0}, {"flow-uniform": 8, "flow-variational": 8}
DRAWN = {
    "vae": "VAE, MLP",
    "vae-cnn": "VAE, CNN",
    "gan": "GAN, MLP",
    "flow-uniform": "flow, uniform",
    "flow-variational": "flow, variational",
}
COMPARED = ("vae", "gan", "flow-uniform")
WAYS = (
    (
        "what z is",
        "20 numbers with a prior; each image has many z that explain it",
        "32 numbers with a prior, which the generator turns into an image",
        "784 numbers, as many as pixels; each z is one image and each image one z",
    ),
    (
        "from image to z",
        "approximate: the encoder's q(z | x)",
        "none is learned; a search can find a z nearby",
        "exact: z = f(x)",
    ),
    (
        "likelihood",
        "a lower bound (ELBO; tighter with more draws)",
        "none: it can be drawn from, not asked",
        "exact for real numbers; for whole grey levels a lower bound, by the noise",
    ),
    (
        "trained by",
        "maximising the bound: one loss that says how well it goes",
        "a game of two networks, whose losses say little",
        "maximising the likelihood: one loss that says how well it goes",
    ),
    (
        "strengths",
        "fast, steady to train, a small code to use further",
        "sharp images, fast to draw from",
        "true likelihood and true inverse, steady to train",
    ),
    (
        "weaknesses",
        "blurred means, noisy draws; the bound may be loose",
        "may collapse or never settle; no likelihood; no coverage promised",
        "no bottleneck; many layers, slow to train and to draw from; image quality",
    ),
)


def _comparison(workshop: Workshop) -> Told:
    """VAE, GAN and flow on one page."""
    runs = {name: workshop.runs[name] for name in DRAWN}
    count = workshop.size(256, 16)
    paces = workshop.remember(
        "paces", lambda: {name: draws_per_second(runs[name].load(), count) for name in COMPARED}, count=count
    )
    records = {name: workshop.quality(name, threshold=True) for name in DRAWN}
    order = [list(DRAWN)[i] for i in rank_quality(list(records.values()))]
    best, slowest, fastest = order[0], min(paces, key=paces.__getitem__), max(paces, key=paces.__getitem__)
    text = (
        "Likelihood and looks are two yardsticks; a GAN can be held against the second only. Scores of binary pixels "
        "and of 256 grey levels are different quantities, and stand in different tables without an order between "
        "them.\n\n"
        f"By the looks of {records[best].count:,} draws each, grey ones cut at one half so that all are of one "
        f"space, the best FID is that of the {workshop.titles[best]} ({records[best].fid.value:.2f}), the worst that "
        f"of the {workshop.titles[order[-1]]} ({records[order[-1]].fid.value:.2f}); between real images it is "
        f"{records[best].fid.floor:.2f}. A VAE's draws here are true draws, pixels drawn one by one from their "
        "probabilities, which specks them; the means that papers show look better and are no samples. This machine "
        f"draws {paces[fastest]:,.0f} images a second from the {workshop.titles[fastest]} and {paces[slowest]:,.0f} "
        f"from the {workshop.titles[slowest]}."
    )
    ways = Table(
        ["", "VAE", "GAN", "flow"],
        [*map(list, WAYS), ["images drawn a second, here", *(f"{paces[name]:,.0f}" for name in COMPARED)]],
        "The three families side by side.",
    )
    scores = [_score_table(workshop, BINARY, "Binary pixels."), _score_table(workshop, LEVELS, "256 grey levels.")]
    looks = quality_table([(DRAWN[name], records[name]) for name in order], f"Best FID first. {QUALITY_CAPTION}")
    rows = workshop.figure(
        "rows",
        sample_rows([runs[name] for name in order], threshold=True),
        "Draws of each, grey ones cut at one half, none picked; best FID first.",
    )
    return Told(text, [ways, *scores, looks], [rows])


def _score_table(workshop: Workshop, names: dict[str, int], what: str) -> Table:
    """All scores of one space. names: runs, with the draws of their tighter bound, if they have one."""
    named = []
    for name, draws in names.items():
        found = [workshop.score(name), *([workshop.score(name, draws)] if draws else [])]
        named += [(workshop.titles[name], score) for score in found]
    return score_table(named, f"{what} {SCORE_CAPTION}")


def _loops(workshop: Workshop) -> Told:
    """What stands here for the two ways of training that the coursework offers."""
    run = workshop.runs["vae"]
    text = (
        "The coursework offers a loop written out in PyTorch, and PyTorch Lightning. Here one epoch loop serves "
        "every family (`src/ancestral/training/loop.py`): written out, so that it can be read, and on Lightning "
        "Fabric, which takes care of devices, number formats and processes without hiding the steps. What "
        "Lightning's Trainer adds is there too: progress with the time remaining, checkpoints that a killed training "
        "resumes from bit by bit (`--resume`), early stopping (`--patience`), a watch over the training's health, "
        "and the weights with the best validation. TensorBoard shows the curves of a run begun with `--tensorboard`; "
        "the same readings are always in the run's `log.jsonl` and on its page. The MLP VAE of this study trained at "
        f"{run.outcome['images_per_second']:,.0f} images a second."
    )
    commands = [
        "ancestral train vae --data mnist --split uva2020 --epochs 80 --samples-at 0 10 80 --tensorboard --out "
        "runs/vae",
        "tensorboard --logdir runs",
    ]
    return Told(text, commands=commands)


def _lead(workshop: Workshop) -> str:
    score, quality, points = workshop.score("vae"), workshop.quality("gan"), workshop.score("flow-points")
    image, epochs = workshop.score("flow-uniform"), plural(workshop.runs["gan"].outcome["epochs"], "epoch")
    return (
        f"The VAE reaches {score.bits_per_dim:.4f} bits per dimension on binary MNIST ({score.kind_in_words}). The "
        f"GAN, trained for {epochs}, draws images of which {quality.recognised.value:.0%} are digits to a network "
        f"that recognises {quality.recognised.floor:.0%} of real ones. The flow of points comes to "
        f"{points.bits_per_dim:.4f} bits per dimension ({points.kind_in_words}), the flow of grey images to "
        f"{image.bits_per_dim:.4f} ({image.kind_in_words}, another space)."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    bound, tighter = workshop.score("vae"), workshop.score("vae", 5000)
    return [
        ("VAE, test, ELBO", f"{bound.bits_per_dim:.4f} bits/dim, {bound.kind_in_words}"),
        (f"VAE, test, {tighter.method}", f"{tighter.bits_per_dim:.4f} bits/dim, {tighter.kind_in_words}"),
        ("GAN, draws recognised", f"{workshop.quality('gan').recognised.value:.1%}"),
        ("flow of points", f"{workshop.score('flow-points').bits_per_dim:.4f} bits/dim"),
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
            vae.convolutional,
            "The same with convolutional encoder and decoder: curves, test score, samples, and how it differs.",
            minutes=1,
        ),
        Chapter(
            "A plain autoencoder",
            vae.autoencoder,
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
            flow.points,
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
            _comparison,
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
