"""The runs of the study: every family on images that are sampled from a known model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ancestral.runs.synthetic import SIZES
from ancestral.settings.data import SAMPLED_SETS
from ancestral.studies.recipe import Options, PlannedRun

BINARY: dict[str, Any] = {"data": SAMPLED_SETS[0], "pixels": "threshold", "train_size": 20_000, "valid_size": 1_000}
FALLING = {"schedule": "cosine"}
WHOLE = {"train_size": 50_000, "valid_size": 5_000}
QUICK = {"epochs": 1, "train_size": 500, "valid_size": 200}
PLAN = (
    PlannedRun(
        "mixture",
        "mixture",
        "mixture",
        {**BINARY, "components": 100, "method": "em", "epochs": 15, "batch_size": 1000},
        minutes=0.2,
        full=WHOLE,
        quick={"components": 10},
    ),
    PlannedRun(
        "tree",
        "Chow-Liu tree",
        "circuit",
        {**BINARY, "states": 1, "epochs": 1, "batch_size": 2500},
        minutes=0.1,
        full=WHOLE,
    ),
    PlannedRun(
        "circuit",
        "circuit",
        "circuit",
        {**BINARY, "states": 7, "conditional": True, "epochs": 4, "batch_size": 2500},
        minutes=0.6,
        full={**WHOLE, "epochs": 20},
        quick={"states": 2},
    ),
    PlannedRun(
        "belief-net",
        "belief net",
        "belief-net",
        {**BINARY, **FALLING, "latents": (8,), "epochs": 6, "batch_size": 100},
        minutes=0.4,
        full={**WHOLE, "latents": (12,), "epochs": 15},
        quick={"latents": (5,)},
    ),
    PlannedRun(
        "helmholtz",
        "belief net with q(z | x)",
        "belief-net",
        {**BINARY, **FALLING, "latents": (8,), "method": "vimco", "epochs": 6, "batch_size": 100},
        minutes=0.4,
        full={**WHOLE, "latents": (12,), "epochs": 15},
        quick={"latents": (5,)},
    ),
    PlannedRun(
        "vae",
        "VAE",
        "vae",
        {**BINARY, **FALLING, "latents": 20, "hidden": (400,), "epochs": 15},
        minutes=0.5,
        full={**WHOLE, "hidden": (500, 500), "epochs": 60},
        quick={"hidden": (50,), "latents": 8},
    ),
    PlannedRun(
        "made",
        "MADE",
        "made",
        {**BINARY, **FALLING, "hidden": (400,), "epochs": 6, "batch_size": 100},
        minutes=0.7,
        full={**WHOLE, "hidden": (500,), "epochs": 40},
        quick={"hidden": (50,)},
    ),
    PlannedRun(
        "pixelcnn",
        "PixelCNN",
        "pixelcnn",
        {
            **BINARY,
            **FALLING,
            "channels": 16,
            "hidden_channels": 8,
            "blocks": 3,
            "first_kernel": 7,
            "epochs": 1,
            "batch_size": 32,
            "learning_rate": 4e-3,
            "warmup_steps": 50,
            "clip_norm": 5.0,
        },
        minutes=1,
        full={**WHOLE, "channels": 32, "hidden_channels": 16, "blocks": 6, "first_kernel": 13, "epochs": 8},
        quick={"channels": 8, "hidden_channels": 4, "blocks": 1, "first_kernel": 3, "warmup_steps": 0},
    ),
    PlannedRun(
        "any-order",
        "any-order model",
        "any-order",
        {
            **BINARY,
            **FALLING,
            "width": 12,
            "dense": 96,
            "epochs": 3,
            "batch_size": 64,
            "learning_rate": 4e-3,
            "warmup_steps": 50,
            "clip_norm": 150.0,
            "average_weights": 0.99,
        },
        minutes=1,
        full={**WHOLE, "width": 24, "dense": 192, "epochs": 8, "average_weights": 0.998},
        quick={"width": 2, "dense": 8, "warmup_steps": 0},
    ),
    PlannedRun(
        "flow",
        "flow",
        "flow",
        {
            **BINARY,
            **FALLING,
            "pixels": "levels",
            "train_size": 8_000,
            "width": 16,
            "couplings": 2,
            "batch_size": 32,
            "learning_rate": 4e-3,
            "warmup_steps": 50,
            "clip_norm": 50.0,
            "epochs": 1,
        },
        minutes=1,
        full={**WHOLE, "width": 24, "couplings": 4, "epochs": 8},
        quick={"width": 8, "couplings": 1, "warmup_steps": 0},
    ),
    PlannedRun(
        "gan",
        "GAN",
        "gan",
        {**BINARY, "pixels": "unit", "epochs": 10},
        scored=False,
        minutes=1,
        full={**WHOLE, "epochs": 100},
    ),
)


def plan(options: Options) -> tuple[PlannedRun, ...]:
    if options.source is None:
        return PLAN
    found, images = [], SIZES[options.source].train
    for one in PLAN:
        full = dict(one.full)
        if WHOLE["train_size"] + WHOLE["valid_size"] > images:
            full |= {"train_size": images - BINARY["valid_size"], "valid_size": BINARY["valid_size"]}
        found.append(replace(one, settings={**one.settings, "data": options.source}, full=full))
    return tuple(found)
