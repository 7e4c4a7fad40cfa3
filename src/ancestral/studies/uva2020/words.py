"""`uva2020`: settings and numbers in words."""

from __future__ import annotations

import math

from ancestral.evaluation.score import Score
from ancestral.families.gan.settings import GANSettings
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.parts import loss_bits, plural

NAMES = {"adam": "Adam", "relu": "ReLU", "gelu": "GELU", "leaky-relu-0.2": "leaky ReLU 0.2"}
SMALL = 1e-3  # a share below it is told as no more than that


def settings_in_words(run: Run) -> str:
    """On what a run was trained, and how, in one sentence."""
    training, model, counts = run.settings.training, run.settings.model, run.record["data"]["counts"]
    rate = f"{NAMES.get(training.optimizer, training.optimizer)} at {training.rate:g}"
    rate += " at first, falling as half a cosine" if training.schedule == "cosine" else " throughout"
    noun = run.data.space.noun
    told = [
        f"{counts['train']:,} {noun} to train on, {counts['valid']:,} to validate and {counts['test']:,} to test",
        *([] if isinstance(model, GANSettings) else [NAMES.get(model.activation, model.activation)]),
        f"{rate}, β_1 {training.betas[0]:g}",
        f"minibatches of {training.batch_size}",
        plural(run.outcome["epochs"], "epoch"),
    ]
    return f"Settings: {'; '.join(told)}."


def bits_in_words(score: Score) -> str:
    """A score in bits per dimension: a lower bound on the log-probability is an upper one on these."""
    most = "at most " if (score.kind, score.side) == ("bound", "lower") else ""
    return f"{most}{score.bits_per_dim:.4f}"


def share_in_words(share: float, count: int) -> str:
    """A share of so many, with its binomial standard error where that says anything."""
    if not 0 < share < 1:
        return f"{share:.0%}"
    if share < SMALL:
        return f"below {SMALL:.1%}"
    return f"{share:.1%} ± {math.sqrt(share * (1 - share) / count):.1%}"


def apart(share: float, other: float, count: int) -> bool:
    """Whether two shares of so many each differ by more than three standard errors."""
    return abs(share - other) > 3 * math.sqrt((share * (1 - share) + other * (1 - other)) / count)


def too_brief(run: Run, asked: int) -> str:
    """What may explain that a run misses its reference: how long it was trained beside what is asked for."""
    epochs = run.outcome["epochs"]
    if epochs < asked:
        return f"It has trained for {plural(epochs, 'epoch')} of {asked}."
    return "It has trained as long as the coursework asks; chance plays a part too."


def epoch_bits(run: Run) -> list[float]:
    """The training loss in bits per dimension, a mean over the images of each epoch as they were used."""
    return [loss_bits(run, float(value)) for value in training_curves(run).epoch_means("loss").values]


def differences(run: Run, other: Run) -> list[str]:
    """The settings of model and training in which a run differs from another: `schedule (cosine, not constant)`."""
    told = []
    for room in ("model", "training"):
        theirs = vars(getattr(other.settings, room))
        for name, value in vars(getattr(run.settings, room)).items():
            if value != theirs[name]:
                told.append(f"{name.replace('_', ' ')} ({_plain(value)}, not {_plain(theirs[name])})")
    return told


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
