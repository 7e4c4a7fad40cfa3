"""A training from its first minibatch to its end: a steep beginning and a slow end in one picture."""

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
    """What the log of a run says of its log-probability (or bound), nats, larger is better.

    Attributes: minibatches: of the training, as they were used. train, test: of the watched images. All over epochs.
    """

    minibatches: Curve
    train: Curve
    test: Curve

    @property
    def start(self) -> float:
        """The epoch, a small part of the first, of the very first minibatch."""
        return float(self.minibatches.steps[0])

    @property
    def first(self) -> float:
        """Of the very first minibatch."""
        return float(self.minibatches.values[0])

    @property
    def later(self) -> float:
        """Of the watched training images after one epoch."""
        return next(float(v) for e, v in zip(self.train.steps, self.train.values, strict=True) if e >= 1)

    @property
    def last(self) -> tuple[float, float]:
        """Of the watched training and test images at the end."""
        return float(self.train.values[-1]), float(self.test.values[-1])


def whole_course(run: Run, name: str) -> WholeTraining:
    """Read the course of a run that watches training and test images.

    Args:      name: of the loss in the log, `nll` or `negative_elbo`.
    """
    course = training_curves(run)
    first = "negative_elbo" if ("train", "negative_elbo") in course.known else "loss"
    curves = (("train", first, "minibatches"), ("train-set", name, "training images"), ("test", name, "test images"))
    return WholeTraining(*(_turned(course.curve(*key)) for key in curves))


def course_figure(found: WholeTraining, references: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Above all of it, over epochs on a logarithmic axis; beneath what comes after the first epoch.

    Args:      references: (label, value, first and last epoch it is asked for) of dashed lines.
    """
    lines = [Curve(label, [start, end], [value] * 2, style="dashed") for label, value, start, end in references]
    later = [_from_one(found.train), _from_one(found.test)]
    panels = [
        Panel("from the first minibatch on", [found.minibatches, found.train, found.test, *lines], log_x=True),
        Panel("after the first epoch", later),
    ]
    return panel_figure(panels, xlabel="epochs", ylabel="nats per image, larger is better")


def _turned(curve: Curve) -> Curve:
    return Curve(curve.label, curve.steps, [-float(value) for value in curve.values])


def _from_one(curve: Curve) -> Curve:
    """What comes after the first epoch."""
    kept = [(float(e), float(v)) for e, v in zip(curve.steps, curve.values, strict=True) if e >= 1]
    return Curve(curve.label, [epoch for epoch, _ in kept], [value for _, value in kept])
