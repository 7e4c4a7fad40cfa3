"""The display of runs and records in a notebook: small self-contained pieces of HTML.

Colours follow the notebook (JupyterLab, VS Code, Colab) where it states whether it is dark, else the system's scheme.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Literal

from ancestral.core.notebook import shows
from ancestral.core.text import duration
from ancestral.evaluation.bracket_record import Bracket
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.health.examine import Examination, Verdict
from ancestral.reports.compression_tables import compression_lines, compression_table
from ancestral.reports.detection_tables import detection_tables
from ancestral.reports.explanation_tables import explanation_tables
from ancestral.reports.html import Table
from ancestral.reports.quality_tables import quality_table
from ancestral.reports.score_tables import bracket_table, decimals_for, noun_of, score_table
from ancestral.runs.compare import Comparison
from ancestral.runs.explain import Explanation
from ancestral.runs.run import Run

LIGHT_NOTEBOOKS = '[data-jp-theme-light="true"], [data-theme="light"], .vscode-light'  # JupyterLab, pages, VS Code
DARK = (
    "--ancestral-quiet: #a4a9b0; --ancestral-rule: #464b52; --ancestral-warning: #e8b45a; --ancestral-failure: #ff8a80;"
)


@dataclass(frozen=True)
class Note:
    """A line below the tables. tone: its colour. name: in bold before the text."""

    text: str
    name: str = ""
    tone: Literal["", "warning", "failure"] = ""


@dataclass
class Cell:
    """The display of one object in a notebook: a heading, tables and notes."""

    title: str
    subtitle: str = ""
    tables: list[Table] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def render_cell(cell: Cell) -> str:
    """The cell as HTML; all its text is escaped."""
    import jinja2

    template = resources.files("ancestral.reports").joinpath("cell.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(cell=cell, dark=DARK, light=LIGHT_NOTEBOOKS)


@shows(Score)
def _score(score: Score) -> str:
    decimals = decimals_for(score.dimensions)
    side = {"lower": "log p(x) is at least this", "upper": "log p(x) is at most this"}.get(str(score.side), "")
    return render_cell(
        Cell(
            f"{score.nats:.{decimals}f} ± {score.stderr:.{decimals}f} nats",
            f"{score.kind_in_words} ({score.method})",
            [
                Table(
                    ["bits/dim", "pixels" if noun_of(score) == "images" else "data", "split", noun_of(score)],
                    [[f"{score.bits_per_dim:.4f}", score.space, score.split, f"{score.count:,}"]],
                    f"Mean log-probability, larger is better; ± is the standard error{'; ' if side else ''}{side}.",
                    numeric={0, 3},
                )
            ],
        )
    )


@shows(Verdict)
def _verdict(verdict: Verdict) -> str:
    return render_cell(
        Cell(verdict.name, f"{verdict.severity}, step {verdict.step:,}", notes=[_note(verdict)]),
    )


def _note(verdict: Verdict) -> Note:
    return Note(f"{verdict.evidence}. {verdict.advice}", f"{verdict.severity}: {verdict.name}", verdict.severity)


@shows(Examination)
def _examination(found: Examination) -> str:
    state = "healthy" if found.healthy and not found.verdicts else found.summary.partition(";")[0]
    notes = [_note(verdict) for verdict in found.verdicts]
    if found.healthy:
        notes.append(Note(f"Checked, and no problem found: {', '.join(found.healthy)}."))
    if found.unjudged:
        notes.append(Note(f"The log is too short to judge: {', '.join(found.unjudged)}."))
    return render_cell(Cell("Health of the training", "" if found.verdicts else state, notes=notes))


@shows(Quality)
def _quality(record: Quality) -> str:
    return render_cell(Cell("Sample quality", record.conditions, [quality_table([("samples", record)])]))


@shows(CompressionRecord)
def _compression(record: CompressionRecord) -> str:
    notes = [Note(f"{line}.") for line in compression_lines([("this model", record)])]
    return render_cell(Cell("Lossless compression", record.code, [compression_table([("file", record)])], notes))


@shows(DetectionRecord)
def _detection(found: DetectionRecord) -> str:
    notes = [Note(f"{line}.") for line in found.conditions]
    return render_cell(Cell(f"Detection of {found.against}", f"by {found.method}", detection_tables(found), notes))


@shows(Bracket)
def _bracket(found: Bracket) -> str:
    return render_cell(Cell("Bounds of log p(x)", found.summary, [bracket_table(found)]))


@shows(Comparison)
def _comparison(found: Comparison) -> str:
    named = list(zip(found.names, found.scores, strict=True))
    return render_cell(Cell("Comparison", "", [score_table(named)], [Note(f"{line}.") for line in found.lines]))


@shows(Explanation)
def _explanation(found: Explanation) -> str:
    return render_cell(Cell("Terms of the score", found.total.method, explanation_tables(found)))


@shows(Run)
def _run(run: Run) -> str:
    if not run.started:
        return render_cell(Cell(str(run.path), "no run folder yet"))
    record, outcome = run.record, run.outcome
    ended = {"epochs": "finished", "patience": "stopped early", "diverged": "diverged"}
    state = ended.get(str(outcome.get("reason")), "not finished")
    if outcome.get("total_seconds"):
        state += f", {outcome['epochs']} epochs in {duration(outcome['total_seconds'])}"
    counts = ", ".join(f"{count:,} {split}" for split, count in record["data"]["counts"].items())
    facts = [["data", f"{record['data']['space']} ({counts})"], ["training", state], ["folder", str(run.path)]]
    if run.page.exists():
        facts.append(["page", str(run.page)])
    tables = [Table(["", ""], facts)]
    if scores := run.scores():
        tables.append(score_table([(run.path.name, score) for score in scores]))
    notes = [_note(verdict) for verdict in run.verdicts()]
    if run.health and not notes and run.health.healthy:
        notes = [Note(run.health.summary)]
    return render_cell(Cell(f"{run.settings.family}: {record['data']['name']}", "", tables, notes))
