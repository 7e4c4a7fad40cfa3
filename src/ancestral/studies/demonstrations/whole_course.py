"""Curves of a whole training, from the first minibatch to the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class WholeTraining:
    """Log-probability (or bound) during a training, from its log; nats, larger is better; by epoch.

    Attributes: minibatches: training minibatches, before their update. train, test: of the watched images.
    """

    minibatches: Curve
    train: Curve
    test: Curve

    @property
    def start(self) -> float:
        """The epoch of the first minibatch, a small fraction."""
        return float(self.minibatches.steps[0])

    @property
    def first(self) -> float:
        """Value of the first minibatch."""
        return float(self.minibatches.values[0])

    @property
    def later(self) -> float:
        """Value of the watched training images after one epoch."""
        return next(float(v) for e, v in zip(self.train.steps, self.train.values, strict=True) if e >= 1)

    @property
    def last(self) -> tuple[float, float]:
        """Values of the watched training and test images at the end."""
        return float(self.train.values[-1]), float(self.test.values[-1])


def whole_course(run: Run, name: str) -> WholeTraining:
    """Read the curves of a run that watches training and test images.

    Args:      name: of the loss in the log, `nll` or `negative_elbo`.
    """
    course = training_curves(run)
    first = "negative_elbo" if ("train", "negative_elbo") in course.known else "loss"
    curves = (("train", first, "minibatches"), ("train-set", name, "training images"), ("test", name, "test images"))
    return WholeTraining(*(_turned(course.curve(*key)) for key in curves))


def course_figure(
    found: WholeTraining, references: Sequence[tuple[str, float, float, float]], title: str = ""
) -> Figure:
    """Top: the whole training, on a logarithmic axis of epochs. Bottom: the part after the first epoch.

    Args:      references: (label, value, first epoch, last epoch) of dashed lines. title: of the figure.
    """
    lines = [Curve(label, [start, end], [value] * 2, style="dashed") for label, value, start, end in references]
    later = [_from_one(found.train), _from_one(found.test)]
    panels = [
        Panel("whole training", [found.minibatches, found.train, found.test, *lines], log_x=True),
        Panel("after the first epoch", later),
    ]
    return panel_figure(panels, xlabel="epochs", ylabel="nats per image, larger is better", title=title)


def _turned(curve: Curve) -> Curve:
    return Curve(curve.label, curve.steps, [-float(value) for value in curve.values])


def _from_one(curve: Curve) -> Curve:
    """The part of a curve after the first epoch."""
    kept = [(float(e), float(v)) for e, v in zip(curve.steps, curve.values, strict=True) if e >= 1]
    return Curve(curve.label, [epoch for epoch, _ in kept], [value for _, value in kept])
