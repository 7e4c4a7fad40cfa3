"""Scores and brackets as tables."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.data.pixels import SPACES
from ancestral.evaluation.bracket_record import Bracket
from ancestral.evaluation.score import Score, rank
from ancestral.reports.html import Table

SCORE_CAPTION = (
    "Mean log-probability in nats (larger is better) with its standard error, and the same in bits per dimension "
    "(smaller is better). For a lower bound, the true value in nats is at least as large, in bits at most as large. "
    "ELBO: the evidence lower bound. IWAE: the importance-weighted bound, with the number of samples per image."
)
FILE_CAPTION = "A file is no bound: it is the size of all images after lossless compression with the model."
BRACKET_CAPTION = (
    "Mean log-probability in nats. The last columns show the difference between the lower bound of annealed importance "
    "sampling (AIS) and each other bound, paired by image; the upper bound is above it."
)


def score_table(named: Sequence[tuple[str, Score]], caption: str = "") -> Table:
    """A row for each score; the caption has the data space, split and count if all scores share them, else a column."""
    header = ["model", "nats", "± s.e.", "bits/dim", "kind", "method", "scored on"]
    rows = [
        [
            name,
            f"{score.nats:.{decimals_for(score.dimensions)}f}",
            f"{score.stderr:.{decimals_for(score.dimensions)}f}",
            f"{score.bits_per_dim:.4f}",
            score.kind_in_words,
            score.method,
            f"{score.space}; {score.split}, {score.count:,} {noun_of(score)}",
        ]
        for name, score in named
    ]
    if any(score.kind == "file" for _, score in named):
        caption = " ".join(filter(None, [caption, FILE_CAPTION]))
    if len({row[-1] for row in rows}) == 1:
        caption = " ".join(filter(None, [caption, f"Scored on: {rows[0][-1]}."]))
        header, rows = header[:-1], [row[:-1] for row in rows]
    return Table(header, rows, caption, numeric={1, 2, 3})


def best_first(named: Sequence[tuple[str, Score]]) -> list[tuple[str, Score]]:
    """Scores of one space in the order of their values, those of one model included.

    Scores on other images than those of the first score cannot be ranked with it and follow at the end, like sizes of
    files.
    """
    first = named[0][1]

    def conditions(score: Score) -> tuple[str, int, bool]:
        return score.split, score.count, score.kind == "file"

    same = [(name, score) for name, score in named if conditions(score) == conditions(first)]
    other = [pair for pair in named if pair not in same]
    return [same[i] for i in rank([score for _, score in same])] + other


def bracket_table(record: Bracket, caption: str = "") -> Table:
    """Bounds of a run on simulated and on test images, with the difference to the annealed lower bound."""
    header = ["scored on", "kind", "method", "nats", "± s.e.", "below AIS", "± s.e."]
    rows = [
        [
            f"{score.count:,} {score.split} {noun_of(score)}",
            score.kind_in_words,
            score.method,
            f"{score.nats:.3f}",
            f"{score.stderr:.3f}",
            f"{bound.gap:.3f}" if bound.gap else "",
            f"{bound.gap_stderr:.3f}" if bound.gap else "",
        ]
        for bound in record.scores
        for score in (bound.score,)
    ]
    return Table(header, rows, caption, numeric={3, 4, 5, 6})


def noun_of(score: Score) -> str:
    """`points` or `images`, from the name of the data space such as `moons, R^2`."""
    return "points" if score.space.rpartition(", ")[2].startswith(SPACES["points"].partition("{")[0]) else "images"


def decimals_for(dimensions: float) -> int:
    """Decimals of a value in nats: 4 for points, 2 for images, whose values are much larger."""
    return 4 if dimensions <= 2 else 2
