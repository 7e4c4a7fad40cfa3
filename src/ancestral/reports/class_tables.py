"""Scores of a model with classes, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.evaluation.class_scores import BINS, ClassScores
from ancestral.reports.html import Table

CLASS_CAPTION = (
    "log p(x | class): the mean log-probability of labelled images given their class, in nats. Accuracy: the share of "
    "images whose most probable class is their label. p(class | x) is by Bayes' rule, p(x | class) p(class) / p(x), or "
    "by a network if the model has one for the class. "
    "-log p(class | x): its mean for the label, in nats. Calibration error: the mean difference between the confidence "
    f"and the accuracy in {BINS} bins of the confidence."
)


def class_table(named: Sequence[tuple[str, ClassScores]], caption: str = "") -> Table:
    """One row for each record."""
    header = [
        "model",
        "log p(x | class)",
        "kind",
        "accuracy",
        "-log p(class | x)",
        "calibration error",
        "posterior",
        "images",
    ]
    rows = [
        [
            name,
            f"{one.nats:.2f} ± {one.stderr:.2f}",
            one.kind_in_words,
            f"{one.accuracy:.2%} ± {one.accuracy_stderr:.2%}",
            f"{one.label_nll:.3f} ± {one.label_nll_stderr:.3f}",
            f"{one.calibration_error:.2%}",
            one.posterior_in_words,
            f"{one.split}, {one.count:,}",
        ]
        for name, one in named
    ]
    return Table(header, rows, caption, numeric={1, 3, 4, 5})
