"""Tables show each number in its own column: values, errors, bounds, power and values of real images."""

from __future__ import annotations

from dataclasses import replace

import torch
from helpers import quality_of, record_of

from ancestral.evaluation.annealing import Annealing
from ancestral.evaluation.bracket_record import Bracket, BracketScore
from ancestral.evaluation.quality import MEASURES
from ancestral.evaluation.score import Score
from ancestral.reports.detection_tables import detection_tables, power_table
from ancestral.reports.quality_tables import quality_table
from ancestral.reports.score_tables import bracket_table, score_table

SCORE = Score(
    nats=-100.0, stderr=0.5, method="ELBO", kind="bound", side="lower", samples=1, space="digits, binary",
    split="test", count=400, dimensions=64,
)  # fmt: skip


def test_a_row_of_scores_has_the_mean_its_error_and_bits() -> None:
    table = score_table([("a", SCORE), ("b", replace(SCORE, nats=-90.0, split="valid"))])
    cells = dict(zip(table.header, table.rows[0], strict=True))
    assert (cells["nats"], cells["± s.e."], cells["kind"]) == ("-100.00", "0.50", "lower bound")
    assert cells["bits/dim"] == f"{100 / 64 / torch.log(torch.tensor(2.0)).item():.4f}"
    assert "test, 400 images" in cells["scored on"] and "valid" in table.rows[1][-1]


def test_a_gap_of_a_bracket_stands_beside_its_own_error() -> None:
    bounds = (BracketScore(replace(SCORE, side="upper"), -0.25, 0.125), BracketScore(SCORE, 0.75, 0.0625))
    record = Bracket(bounds, Annealing(), (0.7, 0.8), 0)
    assert record.width == (0.25, 0.125)
    table = bracket_table(record)
    assert [row[-4:] for row in table.rows] == [
        ["-100.000", "0.500", "-0.250", "0.125"],
        ["-100.000", "0.500", "0.750", "0.062"],
    ]


def test_power_and_false_positives_stand_in_their_columns() -> None:
    record = record_of({1: 20, 10: 97, 100: 100}, alarms=5)
    _, by_batch = detection_tables(record)
    assert by_batch.header[1].startswith("false positives") and by_batch.header[2].startswith("power")
    assert [row[2].partition(" ")[0] for row in by_batch.rows] == ["20.0%", "97.0%", "100.0%"]
    assert {row[1].partition(" ")[0] for row in by_batch.rows} == {"5.0%"}
    (row,) = power_table([("a", record)]).rows  # of the smallest size of enough power
    assert "10" in row and any(cell.startswith("97.0%") for cell in row)


def test_values_of_real_images_stand_before_those_of_samples() -> None:
    """The record has 0.5 of everything for real images, and 0.1 for samples."""
    table = quality_table([("a run", quality_of())])
    assert table.header == ["measure", "real images", "a run"] and len(table.rows) == len(MEASURES)
    for name, real, samples in table.rows:
        percent = real.endswith("%")
        scale = 100 if percent else 1
        assert (float(real.rstrip("%")), float(samples.rstrip("%"))) == (
            (0.5 * scale, 0.1 * scale) if name != MEASURES["classes"] else (0.0, 0.0)
        )
