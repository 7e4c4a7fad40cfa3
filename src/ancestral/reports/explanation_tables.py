"""Tables of the terms of a score."""

from __future__ import annotations

from ancestral.reports.html import Table
from ancestral.runs.explain import Explanation, active_in_words


def explanation_tables(found: Explanation) -> list[Table]:
    """A table of the terms and their sum, and one of the latents if each has a KL divergence."""
    rows = []
    columns = [*zip(found.names, found.natural.T, strict=True), (found.total.method, found.natural.sum(1))]
    spliced = None if found.anomalous is None else [*found.anomalous.T, found.anomalous.sum(1)]
    for i, (name, values) in enumerate(columns):
        score = found.score_of(values, name)
        row = [name, f"{score.nats:.2f}", f"{score.stderr:.2f}"]
        if spliced is not None:
            other = found.score_of(spliced[i], name)
            row += [f"{other.nats:.2f}", f"{other.stderr:.2f}"]
        rows.append([*row, score.kind_in_words if i == len(columns) - 1 else "term"])
    beside = [] if spliced is None else ["Frankenstein", "± s.e."]
    noun = "points" if found.record["dimensions"] <= 2 else "images"
    header = ["part, nats", f"{found.record['split']} {noun}", "± s.e.", *beside, "kind"]
    tables = [Table(header, rows, numeric=set(range(1, len(header) - 1)))]
    if len(found.divergences):
        latents = [[f"z{m + 1}", f"{found.divergences[m]:.3f}", active_in_words(found, m)] for m in found.ranking]
        tables.append(Table(["latent", "KL, nats", "active"], latents, numeric={1}))
    return tables
