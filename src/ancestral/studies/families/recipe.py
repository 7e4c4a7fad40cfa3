"""A comparison of all families on MNIST: use of z, abilities, scores, samples, speed, completions, detection."""

from __future__ import annotations

from ancestral.studies.families.applications import completed, detected, pace, speed
from ancestral.studies.families.kinds import abilities, side_by_side
from ancestral.studies.families.ranking import in_words, ranking_of, spans
from ancestral.studies.families.scores import quality, scores
from ancestral.studies.parts import IMAGE_FLOW
from ancestral.studies.recipe import QUICK_MNIST, Chapter, Options, PlannedRun, Study
from ancestral.studies.workshop import Workshop

DRAWN = {"data": "mnist", "pixels": "binary", "train_size": 55_000, "valid_size": 5_000}
FALLING = {"schedule": "cosine"}
PLAN = (
    PlannedRun(
        "mixture",
        "mixture",
        "mixture",
        {**DRAWN, "components": 100, "method": "em", "epochs": 30, "batch_size": 1000},
        minutes=0.5,
    ),
    PlannedRun(
        "belief-net",
        "belief net",
        "belief-net",
        {**DRAWN, **FALLING, "latents": (12,), "epochs": 15, "batch_size": 100},
        minutes=5,
        quick={"latents": (6,)},
    ),
    PlannedRun(
        "circuit",
        "circuit",
        "circuit",
        {**DRAWN, "states": 32, "conditional": True, "epochs": 6, "batch_size": 2500},
        minutes=4,
        full={"states": 64, "epochs": 20},
        quick={"states": 2},
    ),
    PlannedRun(
        "vae",
        "VAE",
        "vae",
        {**DRAWN, **FALLING, "latents": 40, "hidden": (500, 500), "epochs": 40},
        1000,
        minutes=5,
        quick={"hidden": (100,)},
    ),
    PlannedRun(
        "made",
        "MADE",
        "made",
        {**DRAWN, **FALLING, "hidden": (500,), "epochs": 20, "batch_size": 100},
        minutes=6,
        full={"epochs": 60},
        quick={"hidden": (50,)},
    ),
    PlannedRun(
        "pixelcnn",
        "PixelCNN",
        "pixelcnn",
        {
            **DRAWN,
            **FALLING,
            "channels": 32,
            "hidden_channels": 16,
            "blocks": 5,
            "first_kernel": 9,
            "epochs": 4,
            "batch_size": 50,
            "warmup_steps": 300,
            "clip_norm": 5.0,
            "validate_every": 550,
            "log_every": 50,
            "precision": "bf16-mixed",
        },
        minutes=8,
        full={"channels": 64, "hidden_channels": 32, "blocks": 8, "first_kernel": 13, "epochs": 10},
        quick={"channels": 8, "hidden_channels": 4, "blocks": 1, "first_kernel": 3, "warmup_steps": 0},
    ),
    PlannedRun(
        "any-order",
        "any-order model",
        "any-order",
        {
            **DRAWN,
            **FALLING,
            "width": 24,
            "dense": 192,
            "epochs": 3,
            "batch_size": 64,
            "warmup_steps": 100,
            "clip_norm": 150.0,
            "average_weights": 0.998,
        },
        minutes=4,
        full={"width": 48, "dense": 384, "epochs": 6},
        quick={"network": "mlp", "hidden": (16,), "warmup_steps": 0},
    ),
    PlannedRun(
        "flow",
        "flow",
        "flow",
        {**IMAGE_FLOW, "epochs": 4},
        8,
        minutes=10,
        full={"epochs": 12},
        quick={"width": 8, "couplings": 2, "warmup_steps": 0},
    ),
    PlannedRun(
        "gan",
        "GAN",
        "gan",
        {"data": "mnist", "protocol": "uva2020", "epochs": 40, "samples_at": (0, 10, 40)},
        scored=False,
        minutes=6,
        full={"epochs": 250, "samples_at": (0, 10, 250)},
    ),
)


def plan(options: Options) -> tuple[PlannedRun, ...]:
    return PLAN


def lead(workshop: Workshop) -> str:
    return f"{len(workshop.runs)} families were trained on MNIST. {in_words(workshop)}\n\n{spans(workshop)}"


def facts(workshop: Workshop) -> list[tuple[str, str]]:
    found, paces = ranking_of(workshop), pace(workshop)["a second"]
    fastest, slowest = max(paces, key=paces.__getitem__), min(paces, key=paces.__getitem__)
    best = found.scores[found.best]
    return [
        ("best score, binary pixels", f"{best.nats:.2f} nats, {workshop.titles[found.best]} ({best.kind_in_words})"),
        ("fastest sampling", f"{workshop.titles[fastest]}, {paces[fastest]:,.0f} images/s"),
        ("slowest sampling", f"{workshop.titles[slowest]}, {paces[slowest]:,.0f} images/s"),
    ]


STUDY = Study(
    title="A comparison of all families",
    subtitle="MNIST: use of z, abilities, scores, samples, speed, completions and detection",
    plan=plan,
    lead=lead,
    facts=facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter("Samples and use of z", side_by_side, "What is z in each family, and what do samples look like?", 0.5),
        Chapter("Abilities", abilities, "What can each family compute?"),
        Chapter("Scores", scores, "Which family assigns the highest probability to test images?", 2),
        Chapter("Sample quality", quality, "Which samples are most like real images?", 40),
        Chapter("Speed", speed, "How fast are training and sampling?", 1),
        Chapter("Completions", completed, "How well is the hidden half of an image predicted?", 2),
        Chapter("Detection of spliced digits", detected, "Which families detect digits spliced from two classes?", 5),
    ),
)
