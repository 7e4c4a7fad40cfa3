"""Measurements of a run as sections of its page: of its present weights, and of those before it was extended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ancestral.evaluation.bracket_record import Bracket
from ancestral.evaluation.class_scores import ClassScores
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.reports.class_tables import CLASS_CAPTION, class_table
from ancestral.reports.compression_tables import codec_table, compression_lines, compression_table
from ancestral.reports.detection_tables import DETECTION_CAPTION, power_table
from ancestral.reports.html import Figure, Section
from ancestral.reports.pictures.compression import CAPTION, NAME
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import BRACKET_CAPTION, SCORE_CAPTION, bracket_table, score_table
from ancestral.runs.bracket import CONDITIONS
from ancestral.runs.evaluate import target_score
from ancestral.runs.records import BRACKET, CLASS_SCORES, COMPRESSIONS, DETECTIONS, QUALITY, SCORES, R, RecordStore
from ancestral.runs.run import Run

PRESENT = "this run"
EARLIER = " (earlier weights)"


def measurements(run: Run, scores: Sequence[Score]) -> list[Section]:
    """Scores, bracket, sample quality, detections and compression of the weights that a run has now.

    Beside the scores stands the score of the true density, where that is known.

    Args:      scores: those that the run holds.
    """
    named = [(PRESENT, score) for score in scores]
    target = target_score(run.data) if named else None
    return [
        *_scores([*named, ("true density", target)] if target else named),
        *_classes(_present(run, CLASS_SCORES)),
        *_brackets([("", found) for found in BRACKET.of(run)]),
        *_quality(_present(run, QUALITY)),
        *_detections(_present(run, DETECTIONS)),
        *_compressions(_present(run, COMPRESSIONS), run),
    ]


def earlier_measurements(run: Run) -> list[Section]:
    """Measurements of the weights before an extension, with the number of epochs and the hash of these weights."""
    sections = [
        *_scores(_earlier(run, SCORES)),
        *_classes(_earlier(run, CLASS_SCORES)),
        *_brackets(_earlier(run, BRACKET)),
        *_quality(_earlier(run, QUALITY)),
        *_detections(_earlier(run, DETECTIONS)),
        *_compressions(_earlier(run, COMPRESSIONS)),
    ]
    note = f"The run was extended. These are not values of its present weights ({str(run.weights_sha256)[:8]})."
    return [
        replace(section, title=section.title + EARLIER, text=f"{note}\n\n{section.text}".strip())
        for section in sections
    ]


def _present(run: Run, store: RecordStore[R]) -> list[tuple[str, R]]:
    return [(PRESENT, record) for record in store.of(run)]


def _earlier(run: Run, store: RecordStore[R]) -> list[tuple[str, R]]:
    epochs = run.earlier_weights
    return [
        (f"after {epochs[weights]} epochs (weights {weights[:8]})", record) for weights, record in store.earlier(run)
    ]


def _scores(named: Sequence[tuple[str, Score]]) -> list[Section]:
    return [Section("Scores", tables=[score_table(named, SCORE_CAPTION)])] if named else []


def _classes(named: Sequence[tuple[str, ClassScores]]) -> list[Section]:
    """log p(x | class), and the model as a classifier."""
    return [Section("Classes", tables=[class_table(named, CLASS_CAPTION)])] if named else []


def _brackets(named: Sequence[tuple[str, Bracket]]) -> list[Section]:
    """One section for each bracket around log p(x); its table has no column for a name."""
    return [
        Section(
            "Bracket: lower and upper bounds on log p(x)" + (name and f", {name}"),
            f"{CONDITIONS}\n\n{found.summary}.",
            tables=[bracket_table(found, BRACKET_CAPTION)],
        )
        for name, found in named
    ]


def _quality(named: Sequence[tuple[str, Quality]]) -> list[Section]:
    if not named:
        return []
    conditions = "\n\n".join(dict.fromkeys(record.conditions for _, record in named))
    return [Section("Sample quality", conditions, tables=[quality_table(named, QUALITY_CAPTION)])]


def _detections(named: Sequence[tuple[str, DetectionRecord]]) -> list[Section]:
    """How well out-of-distribution images are distinguished from images of the data."""
    if not named:
        return []
    conditions = "\n\n".join(dict.fromkeys(f"{record.against}: {'; '.join(record.conditions)}." for _, record in named))
    return [Section("Out-of-distribution images", conditions, tables=[power_table(named, DETECTION_CAPTION)])]


def _compressions(named: Sequence[tuple[str, CompressionRecord]], drawn: Run | None = None) -> list[Section]:
    """The size of compressed files. drawn: the run whose picture is shown."""
    if not named:
        return []
    tables = [compression_table(named)]
    if named[-1][1].codecs:
        tables.append(codec_table(named[-1:]))
    path = drawn and drawn.figures / f"{NAME}.png"
    figures = [Figure(path, CAPTION)] if path and path.exists() else []
    text = "\n\n".join(f"{line[0].upper()}{line[1:]}." for line in compression_lines(named))
    return [Section("Lossless compression", text, tables=tables, figures=figures)]
