"""New data, sorted by log p(x), as records and as a table: the most unusual first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ancestral.reports.html import Table
from ancestral.runs.per_item import labels_of, names_of
from ancestral.runs.run_data import RunData
from ancestral.runs.unusual import Ranking

RANKING_CAPTION = (
    "The most unusual image first. log p: log p(x) or its bound, in nats. p (low): the share of validation images "
    "whose value is at most this. p: the two-sided p-value."
)


def ranking_rows(data: RunData, found: Ranking) -> list[dict[str, Any]]:
    """One record for each image, the most unusual first."""
    stored, count = data.stored(found.split), len(found.order)
    names, labels = names_of(stored, count), labels_of(data, stored, count)
    columns = {name: values.tolist() for name, values in found.columns.items()}
    return [
        {"name": names[i], **({"label": labels[i]} if labels else {}), **{k: v[i] for k, v in columns.items()}}
        for i in found.order.tolist()
    ]


def ranking_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The first rows as a table."""
    labelled = any("label" in row for row in rows)
    header = ["rank", "image", *(["label"] if labelled else []), "log p", "p (low)", "p"]
    shown = [
        [
            str(row["rank"]),
            row["name"],
            *([row["label"]] if labelled else []),
            f"{row['log_prob']:.2f}",
            f"{row['p_low']:.4f}",
            f"{row['p_value']:.4f}",
        ]
        for row in rows
    ]
    numeric = {0, *range(len(header) - 3, len(header))}
    return Table(header, shown, RANKING_CAPTION, numeric=numeric)
