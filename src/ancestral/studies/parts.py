"""What several studies share: how flows of images are trained, curves in bits per dimension, numbers in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ancestral.core.maths import bits_per_dimension
from ancestral.figures.curves import learning_curves
from ancestral.figures.series import Curve
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


IMAGE_FLOW = {
    "data": "mnist",
    "train_size": 50_000,
    "valid_size": 2_000,
    "batch_size": 32,
    "learning_rate": 4e-3,
    "schedule": "cosine",
    "warmup_steps": 100,
    "clip_norm": 50.0,
    "log_every": 100,
}
"""how flows of grey MNIST images are trained"""


def loss_bits(run: Run, nats: float) -> float:
    """A loss of a run, nats per image, in bits per dimension."""
    return bits_per_dimension(-nats, math.prod(run.data.event_shape))


def bits_curves(run: Run) -> list[Curve]:
    """Training and held-out loss of a run with a likelihood, in bits per dimension over epochs."""
    course = training_curves(run)
    name = "negative_elbo" if ("valid", "negative_elbo") in course.known else "nll"
    return [replace(one, values=[loss_bits(run, float(value)) for value in one.values]) for one in course.both(name)]


def bits_figure(run: Run, reference: Sequence[tuple[float, str]] = ()) -> Figure:
    """Those curves as a picture. reference: (bits per dimension, label) of lines beside them."""
    return learning_curves(bits_curves(run), title=f"{run.called}: loss, bits per dimension", reference=reference)


def health_in_words(run: Run) -> str:
    """What the examination of a training looked for and found, in sentences."""
    found = run.health
    assert found is not None, "a run of a study is finished, and so examined"
    told = [f"{_capital(v.name)} ({v.severity}): {v.evidence}." for v in found.verdicts]
    if found.healthy:
        told.append(f"The training shows no sign of {listed(found.healthy, 'or')}.")
    if found.unjudged:
        told.append(f"Its log is too short to judge {listed(found.unjudged, 'or')}.")
    return " ".join(told)


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
