"""The page of a run: what was trained, how it went, what it scores, what it draws, how to repeat it."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.families.family import GENERAL_DRAWINGS
from ancestral.families.run_settings import flags_of
from ancestral.models.base import ExactModel, LatentModel
from ancestral.reports.detection_tables import DETECTION_CAPTION, power_table
from ancestral.reports.html import Figure, Report, Section, Table, write_report
from ancestral.reports.pictures.catalogue import caption_of, draw_all, drawings_of
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import BRACKET_CAPTION, SCORE_CAPTION, bracket_table, decimals_for, score_table
from ancestral.runs.bracket import CONDITIONS
from ancestral.runs.evaluate import entropy_in_words, target_score
from ancestral.runs.records import BRACKET, DETECTIONS, QUALITY
from ancestral.runs.run import Run


def write_run_page(run: Run, redraw: bool = True, progress: Callable[[int, int], None] | None = None) -> Path:
    """Draw and write the run's `report.html`; returns its path.

    Args:      redraw: False takes the pictures as they are: only the scores have changed. progress: called with
               (pictures done, pictures in all).
    """
    record = run.record
    scores = [("this run", score) for score in run.scores()]
    sections = [
        *_score_section(run, scores),
        *_bracket_section(run),
        *_quality_section([("this run", record) for record in QUALITY.of(run)]),
        *_detection_section(run),
        _pictures(run, redraw, progress),
        *_health(run),
        Section("How to repeat it", _provenance(run), commands=[repeat_command(run)]),
    ]
    report = Report(
        title=f"{run.settings.family}: {record['data']['name']}",
        subtitle=record["data"]["space"],
        lead=_lead(run),
        facts=_facts(run, [score for _, score in scores]),
        sections=sections,
        footer=f"ancestral {record['versions']['ancestral']}, torch {record['versions']['torch']}.",
    )
    write_report(report, run.page)
    return run.page


def _pictures(run: Run, redraw: bool, progress: Callable[[int, int], None] | None) -> Section:
    """The run's pictures, drawn anew or as they are, and the samples drawn while it was trained."""
    if redraw:
        drawn, failed = draw_all(run, progress)
    else:
        there = {name: run.figures / f"{name}.png" for name in drawings_of(run)}
        drawn, failed = {name: path for name, path in there.items() if path.exists()}, _not_drawn(run)
    early = sorted(run.figures.glob("samples-epoch-*.png"))
    figures = [
        *(Figure(path, caption_of(run, name)) for name, path in drawn.items()),
        *(Figure(path, f"Samples after {int(path.stem.rsplit('-', 1)[1])} epochs.") for path in early),
    ]
    return Section("Pictures", "\n\n".join(f"Not drawn: {line}." for line in failed), figures=figures)


def _not_drawn(run: Run) -> list[str]:
    """The family's own drawings that a page without new pictures lacks, and how to find out why."""
    own = [drawing for drawing in drawings_of(run).values() if drawing.name not in GENERAL_DRAWINGS]
    lacking = [one.name for one in own if not one.on_request and not (run.figures / f"{one.name}.png").exists()]
    return [f"{name}; `ancestral draw {name}` says why" for name in lacking]


def _facts(run: Run, scores: Sequence[Score]) -> list[tuple[str, str]]:
    """What stands at the head of the page: at most two scores, and the time the training took."""
    outcome = run.outcome
    facts = [("test", _in_words(score)) for score in scores if score.split == "test"][:2]
    if entropy := entropy_in_words(run.data):
        facts.append(("entropy of the target", entropy))
    if outcome.get("seconds"):
        facts.append(("trained in", f"{outcome['seconds']:.0f} s, {outcome['epochs']} epochs"))
        facts.append(("speed", f"{outcome['images_per_second']:.0f} {run.data.space.noun}/s"))
    return facts


def _score_section(run: Run, scores: Sequence[tuple[str, Score]]) -> list[Section]:
    """The scores, and what the target itself would score where that is known."""
    if not scores:
        return []
    floor = target_score(run.data)
    shown = [*scores, ("the target itself", floor)] if floor else scores
    return [Section("Scores", tables=[score_table(shown, SCORE_CAPTION)])]


def _bracket_section(run: Run) -> list[Section]:
    """The bracket around log p(x), where one was found."""
    return [
        Section(
            "How tight the bounds are",
            f"{CONDITIONS}\n\n{found.summary}.",
            tables=[bracket_table(found, BRACKET_CAPTION)],
        )
        for found in BRACKET.of(run)
    ]


def _quality_section(measured: Sequence[tuple[str, Quality]]) -> list[Section]:
    if not measured:
        return []
    conditions = "\n\n".join(dict.fromkeys(record.conditions for _, record in measured))
    return [Section("Sample quality", conditions, tables=[quality_table(measured, QUALITY_CAPTION)])]


def _detection_section(run: Run) -> list[Section]:
    """How well anomalies were told from natural images, where that was measured."""
    found = DETECTIONS.of(run)
    if not found:
        return []
    conditions = "\n\n".join(f"{record.against}: {'; '.join(record.conditions)}." for record in found)
    table = power_table([("this run", record) for record in found], DETECTION_CAPTION)
    return [Section("What does not belong", conditions, tables=[table])]


def _health(run: Run) -> list[Section]:
    """What the log shows of the training's health, where it was examined."""
    found = run.health
    if found is None:
        return []
    rows = [[v.name, v.severity, v.evidence, v.advice] for v in found.verdicts]
    tables = [Table(["what", "how bad", "evidence", "what to do"], rows)] if rows else []
    return [Section("Health of the training", found.summary, tables=tables)]


def _in_words(score: Score) -> str:
    bits = f" = {score.bits_per_dim:.4f} bits/dim" if score.dimensions <= 2 else ""
    return f"{score.nats:.{decimals_for(score.dimensions)}f} nats{bits}, {score.kind_in_words} ({score.method})"


def _lead(run: Run) -> str:
    reason = run.outcome.get("reason")
    ends = {
        "epochs": f"Trained for all of its {run.outcome.get('epochs')} epochs.",
        "patience": f"Stopped early after {run.outcome.get('epochs')} epochs, when validation no longer improved.",
        "diverged": f"The training diverged: {run.outcome.get('detail')}.",
    }
    selected = run.outcome.get("best_value")
    decimals = decimals_for(math.prod(run.record["data"]["event_shape"]))
    best = (
        f" The weights kept are those with the best validation value, {selected:.{decimals}f} nats." if selected else ""
    )
    return ends.get(str(reason), "The training is not over.") + best + _unscored(run)


def _unscored(run: Run) -> str:
    """Why a trained run has no score."""
    if run.scores() or not run.finished or run.outcome["reason"] == "diverged":
        return ""
    if isinstance(run.load(), (ExactModel, LatentModel)):
        return " It has not been scored yet."
    return " It has no score: this kind of model has no likelihood."


def _provenance(run: Run) -> str:
    record = run.record
    counts = ", ".join(f"{count} {split}" for split, count in record["data"]["counts"].items())
    return (
        f"Data: {record['data']['name']} ({counts} {run.data.space.noun}), "
        f"SHA-256 `{record['data']['sha256'][:16]}…`.\n\n"
        f"Python {record['versions']['python']}, torch {record['versions']['torch']}, "
        f"source {(record['git_commit'] or 'not from a checkout')[:12]}, begun {record['begun']}."
    )


def repeat_command(run: Run, folder: Path | None = None) -> str:
    """The command that trains this run again: every setting that is not the default.

    Args:      folder: where it is typed, of which the run's place is told; by default where the program is now.
    """
    words = itertools.chain(*flags_of(run.settings).values())
    place, folder = run.path.absolute(), (folder or Path()).absolute()
    out = place.relative_to(folder) if place.is_relative_to(folder) else place
    return shlex.join(["ancestral", "train", run.settings.family, *words, "--out", str(out)])
