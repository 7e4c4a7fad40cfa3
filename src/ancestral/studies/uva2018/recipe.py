"""`uva2018`: a mixture, sigmoid belief nets and a first VAE."""

from __future__ import annotations

from ancestral.studies.recipe import QUICK_MNIST, Chapter, PlannedRun, Study
from ancestral.studies.uva2018 import belief, mixture, vae
from ancestral.studies.uva2018.belief import STATES
from ancestral.studies.uva2018.vae import LATENTS
from ancestral.studies.workshop import Workshop

DATA = {"data": "mnist", "protocol": "uva2018"}
WATCHED = {"watch": ("train", "test"), "watch_size": 1000}
VAES = {**DATA, "hidden": (200, 200), "glorot": True, "batch_size": 100}
BELIEF_NETS = {
    **DATA,
    "watch": ("test",),
    "watch_size": 1000,
    "batch_size": 100,
    "learning_rate": 1e-2,
    "schedule": "cosine",
}
PLAN = (
    PlannedRun(
        "mixture",
        "mixture of 20 Bernoullis, gradient",
        "mixture",
        {**DATA, **WATCHED, "optimizer": "rmsprop", "batch_size": 100, "epochs": 20, "validate_every": 100},
        minutes=0.3,
    ),
    PlannedRun(
        "mixture-em",
        "mixture of 20 Bernoullis, EM",
        "mixture",
        {**DATA, "watch": ("test",), "method": "em", "batch_size": 1000, "epochs": 60},
        minutes=0.3,
        quick={"epochs": 5},
    ),
    PlannedRun(
        "vae",
        "VAE, 2 latents",
        "vae",
        {**VAES, **WATCHED, "latents": 2, "epochs": 40, "samples_at": (0, 20, 40)},
        1000,
        minutes=3,
        quick={"samples_at": (0, 1)},
    ),
    *(
        PlannedRun(f"vae-{m}", f"VAE, {m} latents", "vae", {**VAES, "latents": m, "epochs": 20}, minutes=1.5)
        for m in LATENTS[1:]
    ),
    *(
        PlannedRun(
            f"belief-{m}",
            f"belief net, {m} latents",
            "belief-net",
            {**BELIEF_NETS, "latents": (m,), "epochs": epochs},
            minutes=minutes,
            quick={"latents": (m // 2,)},
        )
        for m, epochs, minutes in zip(STATES, (40, 30, 8), (4, 8, 20), strict=True)
    ),
)


def _lead(workshop: Workshop) -> str:
    few, most = workshop.score("mixture"), workshop.score("vae")
    net = workshop.score(f"belief-{STATES[-1]}")
    return (
        f"The mean log-probability per image on {few.count:,} test images of MNIST (binary, threshold 0.5) is "
        f"{few.nats:.1f} nats for the mixture of 20 Bernoullis (exact), {net.nats:.1f} nats for the largest belief net "
        f"(exact), and at least {most.nats:.1f} nats for the VAE with 2 latents (lower bound)."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    scores = {name: workshop.score(name) for name in ("mixture", f"belief-{STATES[-1]}", "vae")}
    return [(workshop.titles[name], f"{s.nats:.1f} nats, {s.kind_in_words}") for name, s in scores.items()]


STUDY = Study(
    title="Mixtures, belief nets and a first VAE",
    subtitle="University of Amsterdam, Deep Learning, assignment 3, 2018, on binary MNIST (threshold 0.5)",
    plan=lambda options: PLAN,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter(
            "Mixture of Bernoullis",
            mixture.training,
            "Train p(x) = Σ_k p(k) p(x | k) with 20 components by gradient (RMSprop, rate 0.01, batches of 100, 20 "
            "epochs); plot the log-probabilities of training and test images during training.",
        ),
        Chapter(
            "Components and samples",
            mixture.prototypes,
            "Show the K images of p(X = 1 | Z = k), and 16 samples.",
        ),
        Chapter("Expectation-maximisation", mixture.expectation_maximisation),
        Chapter(
            "Frankenstein digits",
            mixture.frankenstein,
            "Join left halves of digits with right halves of other classes. Show 10 of them and 10 natural digits with "
            "their log-probabilities, and give a reliable test of whether a batch is Frankenstein.",
            minutes=0.5,
        ),
        Chapter(
            "Numerical stability",
            mixture.stability,
            "Compare the logarithm of a product of probabilities with the sum of their logarithms.",
        ),
        Chapter(
            "Sigmoid belief net",
            belief.nets,
            "One layer of M binary latents, with the exact likelihood by a sum over all states.",
        ),
        Chapter(
            "Cost of a belief net",
            belief.cost,
            "Compare the cost of a training step with that of the mixture, as M, N and D grow.",
            minutes=4,
        ),
        Chapter(
            "Variational autoencoder",
            vae.training,
            "2 latents, 200-200 hidden units in encoder and decoder, Adam 1e-3, batches of 100, 40 epochs: plot the "
            "lower bound on training and test images during training.",
        ),
        Chapter("Samples of the VAE", vae.samples, "Samples before, during and after training."),
        Chapter("The latent manifold", vae.manifold, "A slice of the latent space as a grid of 10 by 10 images."),
        Chapter(
            "Monte Carlo from the prior",
            vae.monte_carlo,
            "Estimate log p(x) with z from the prior, and show how the efficiency falls with the dimension of z.",
            minutes=4,
        ),
        Chapter(
            "KL between Gaussians",
            vae.divergence,
            "The closed form of the divergence, with one example that is tiny and one that is huge.",
        ),
    ),
)
