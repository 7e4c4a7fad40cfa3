"""`uva2020`: settings and numbers as text."""

from __future__ import annotations

import math

from ancestral.core.text import plural
from ancestral.evaluation.score import Score
from ancestral.families.gan.settings import GANSettings
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.parts import loss_bits

NAMES = {"adam": "Adam", "relu": "ReLU", "gelu": "GELU", "leaky-relu-0.2": "leaky ReLU 0.2"}
SMALL = 1e-3  # smaller shares are shown as "below 0.1%"


def settings_in_words(run: Run) -> str:
    """The data and the settings of a run, as a sentence."""
    training, model, counts = run.settings.training, run.settings.model, run.record["data"]["counts"]
    rate = f"{NAMES.get(training.optimizer, training.optimizer)} at {training.rate:g}"
    rate += ", decaying by a cosine schedule" if training.schedule == "cosine" else ", constant learning rate"
    noun = run.data.space.noun
    told = [
        f"{counts['train']:,} {noun} to train on, {counts['valid']:,} to validate and {counts['test']:,} to test",
        *([] if isinstance(model, GANSettings) else [NAMES.get(model.activation, model.activation)]),
        f"{rate}, β_1 = {training.betas[0]:g}",
        f"minibatches of {training.batch_size}",
        plural(run.outcome["epochs"], "epoch"),
    ]
    return f"Settings: {'; '.join(told)}."


def bits_in_words(score: Score) -> str:
    """A score in bits per dimension, as text; a lower bound on the log-probability is an upper bound on the bits."""
    most = "at most " if (score.kind, score.side) == ("bound", "lower") else ""
    return f"{most}{score.bits_per_dim:.4f}"


def share_in_words(share: float, count: int) -> str:
    """A share of `count`, with its binomial standard error unless it is 0, 1 or very small, as text."""
    if not 0 < share < 1:
        return f"{share:.0%}"
    if share < SMALL:
        return f"below {SMALL:.1%}"
    return f"{share:.1%} ± {math.sqrt(share * (1 - share) / count):.1%}"


def apart(share: float, other: float, count: int) -> bool:
    """Whether two shares, of `count` each, differ by more than three standard errors."""
    return abs(share - other) > 3 * math.sqrt((share * (1 - share) + other * (1 - other)) / count)


def too_brief(run: Run, asked: int) -> str:
    """A likely reason why a run misses its reference: the number of epochs, compared with the coursework."""
    epochs = run.outcome["epochs"]
    if epochs < asked:
        return f"It was trained for {plural(epochs, 'epoch')} of {asked}."
    return "It was trained as long as the coursework asks; the result also depends on the random seed."


def epoch_bits(run: Run) -> list[float]:
    """Mean training loss of each epoch in bits per dimension, over minibatches at the time of their update."""
    return [loss_bits(run, float(value)) for value in training_curves(run).epoch_means("loss").values]


def differences(run: Run, other: Run) -> list[str]:
    """The settings of model and training that differ between two runs, as text: `schedule (cosine, not constant)`."""
    told = []
    for group in ("model", "training"):
        theirs = vars(getattr(other.settings, group))
        for name, value in vars(getattr(run.settings, group)).items():
            if value != theirs[name]:
                told.append(f"{name.replace('_', ' ')} ({_plain(value)}, not {_plain(theirs[name])})")
    return told


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
