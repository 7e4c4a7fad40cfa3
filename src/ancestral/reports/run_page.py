"""The page of a run: the training, its scores, pictures and health checks, and the command that repeats it."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ancestral.core.text import duration, plural
from ancestral.evaluation.score import Score
from ancestral.families.family import GENERAL_DRAWINGS
from ancestral.families.run_settings import flags_of, not_default
from ancestral.health.examine import Examination
from ancestral.models.base import ExactModel, LatentModel
from ancestral.reports.brevity import brief_in_words
from ancestral.reports.html import Figure, Notice, Report, Section, Table, write_report
from ancestral.reports.measurements import earlier_measurements, measurements
from ancestral.reports.pictures.catalogue import caption_of, draw_all, drawings_of
from ancestral.reports.score_tables import decimals_for
from ancestral.runs.evaluate import entropy_in_words
from ancestral.runs.run import ELSEWHERE, Run
from ancestral.runs.thumbnails import SPLITS, thumbnails_of
from ancestral.settings.data import MEMORY

OWN_IN_WORDS = "own model"
FILE = "FILE.npz"  # placeholder for data that were given in memory


def write_run_page(
    run: Run,
    redraw: bool = True,
    typed_in: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw and write the run's `report.html`; returns its path.

    Args:      redraw: whether to draw the pictures again; False uses those of the folder. typed_in: the folder in which
               the shown command is meant to be typed; default: the current folder. progress: called with (pictures
               done, pictures in all).
    """
    record, scores = run.record, run.scores()
    sections = [
        *measurements(run, scores),
        *earlier_measurements(run),
        *explorer_section({run.explorer: "this model: draw, complete, sample"}),
        _pictures(run, redraw, progress),
        *_thumbnails(run),
        *_health(run),
        Section("How to repeat it", _provenance(run), commands=[repeated(run, typed_in)]),
    ]
    report = Report(
        title=f"{run.settings.family or OWN_IN_WORDS}: {record['data']['name']}",
        subtitle=record["data"]["space"],
        lead=_lead(run),
        facts=_facts(run, scores),
        sections=sections,
        footer=f"ancestral {record['versions']['ancestral']}, torch {record['versions']['torch']}.",
    )
    write_report(report, run.page)
    return run.page


def _pictures(run: Run, redraw: bool, progress: Callable[[int, int], None] | None) -> Section:
    """The pictures of the run, drawn again or read from its folder, and the samples that the training saved."""
    if redraw:
        drawn, failed = draw_all(run, progress)
    else:
        there = {name: run.figures / f"{name}.png" for name in drawings_of(run)}
        drawn, failed = {name: path for name, path in there.items() if path.exists()}, _not_drawn(run)
    early = sorted(run.figures.glob("samples-epoch-*.png"))
    figures = [
        *(Figure(path, caption_of(run, name)) for name, path in drawn.items()),
        *(Figure(path, early_caption(int(path.stem.rsplit("-", 1)[1]))) for path in early),
    ]
    brief = brief_in_words(run)
    return Section(
        "Pictures",
        "\n\n".join(f"Not drawn: {line}." for line in failed),
        figures=figures,
        notice=Notice(f"{brief} The pictures show that the program works, not what the model can learn.", "warning")
        if brief
        else None,
    )


def early_caption(epoch: int) -> str:
    """The caption of a picture that the training saved."""
    when = f"after {plural(epoch, 'epoch')}" if epoch else "before training"
    return f"Images from the model {when}. The figures of all epochs use the same random numbers."


def explorer_section(pages: Mapping[Path, str]) -> list[Section]:
    """Links to the explorer's pages beside the report, where there are any. pages: with what is in them, in words."""
    present = {page: what for page, what in pages.items() if page.exists()}
    if not present:
        return []
    runs = "; ".join(f"{page.name} runs {what}" for page, what in present.items())
    text = f"In the browser, {runs}. No server and no network is needed."
    return [Section("Explore", text, links=[(f"Open {page.name}", page.name) for page in present])]


def _thumbnails(run: Run) -> list[Section]:
    """The images of the data that the run stores, if any."""
    figures = [
        Figure(path, f"The first {SPLITS[split]} images of the data, before conversion to the pixels of the model.")
        for split, path in thumbnails_of(run.path).items()
    ]
    return [Section("The data", figures=figures)] if figures else []


def _not_drawn(run: Run) -> list[str]:
    """The missing drawings of the family, with the command that states the reason."""
    own = [drawing for drawing in drawings_of(run).values() if drawing.name not in GENERAL_DRAWINGS]
    lacking = [one.name for one in own if not one.on_request and not (run.figures / f"{one.name}.png").exists()]
    return [f"{name}; `ancestral draw {name}` states the reason" for name in lacking]


def _facts(run: Run, scores: Sequence[Score]) -> list[tuple[str, str]]:
    """The facts at the top of the page: at most two scores, the training time and the speed."""
    outcome = run.outcome
    facts = [("test", _in_words(score)) for score in scores if score.split == "test"][:2]
    if entropy := entropy_in_words(run.data):
        facts.append(("entropy of the true density", entropy))
    if outcome.get("seconds"):
        facts.append(("trained in", f"{duration(outcome['seconds'])}, {plural(outcome['epochs'], 'epoch')}"))
        facts.append(("speed", f"{outcome['images_per_second']:,.0f} {run.data.space.noun}/s"))
    return facts


def _health(run: Run) -> list[Section]:
    """The results of the health checks, if the training was checked."""
    found = run.health
    if found is None:
        return []
    rows = [[v.name, v.severity, v.evidence, v.advice] for v in found.verdicts]
    tables = [Table(["problem", "severity", "evidence", "what to do"], rows, "Problems found.")] if rows else []
    passed = f"Checked, and no problem found: {', '.join(found.healthy)}." if found.healthy and rows else ""
    unjudged = f"Not judged, because the log is too short: {', '.join(found.unjudged)}." if found.unjudged else ""
    text = "\n\n".join(filter(None, [passed, unjudged]))
    return [Section("Health of the training", text, tables=tables, notice=_health_notice(found))]


def _health_notice(found: Examination) -> Notice | None:
    """The result of the health checks in one sentence; None if the log is too short for all of them."""
    if found.verdicts:
        tone = "failure" if found.failures else "warning"
        return Notice(f"{plural(len(found.verdicts), 'problem')} found in the training: see the table.", tone)
    if not found.healthy:
        return None
    checks = plural(len(found.healthy), "health check")
    return Notice(f"Healthy. {checks} found no problem. Checked: {', '.join(found.healthy)}.", "good")


def _in_words(score: Score) -> str:
    bits = f" = {score.bits_per_dim:.4f} bits/dim" if score.dimensions <= 2 else ""
    return f"{score.nats:.{decimals_for(score.dimensions)}f} nats{bits}, {score.kind_in_words} ({score.method})"


def _lead(run: Run) -> str:
    reason, epochs = run.outcome.get("reason"), run.outcome.get("epochs", 0)
    ends = {
        "epochs": f"Trained for {plural(epochs, 'epoch')}, as planned.",
        "patience": f"Stopped early after {plural(epochs, 'epoch')}, when validation no longer improved.",
        ELSEWHERE: "Trained elsewhere, and stored as a run.",
        "diverged": f"The training diverged: {run.outcome.get('detail')}.",
    }
    selected = run.outcome.get("best_value")
    decimals = decimals_for(math.prod(run.record["data"]["event_shape"]))
    best = (
        f" The weights kept are those with the best validation value, {selected:.{decimals}f} nats." if selected else ""
    )
    return ends.get(str(reason), "The training is not finished.") + best + _unscored(run)


def _unscored(run: Run) -> str:
    """Why a finished run has no score, as a sentence; else an empty text."""
    if run.scores() or not run.finished or run.outcome["reason"] == "diverged":
        return ""
    if isinstance(run.load(), (ExactModel, LatentModel)):
        return " It has not been scored yet."
    return " It has no score: this kind of model has no likelihood."


def _provenance(run: Run) -> str:
    record = run.record
    counts = ", ".join(f"{count:,} {split}" for split, count in record["data"]["counts"].items())
    return (
        f"Data: {record['data']['name']} ({counts} {run.data.space.noun}), "
        f"{_hash_in_words(record['data']['sha256'])}.{_where(run)}\n\n"
        f"{_given_in_words(record)}{_origin(run)}"
        f"Python {record['versions']['python']}, torch {record['versions']['torch']}, "
        f"{_source_in_words(record['git_commit'])}, training started {_started_in_words(record)}."
    )


def _source_in_words(commit: str | None) -> str:
    return f"source commit {commit[:12]}" if commit else "source not from a checkout"


def _started_in_words(record: Mapping[str, Any]) -> str:
    """When the training started, in UTC; older runs have it under the name `begun`."""
    when = record.get("started") or record.get("begun")
    return f"{when[:16].replace('T', ' ')} UTC" if when else "at an unknown time"


def _given_in_words(record: Mapping[str, Any]) -> str:
    """The modules that were given in Python, as a sentence; else an empty text."""
    parts = [
        f"{name} `{facts.get('class')}`"
        + (f" of {facts['parameters']:,} parameters" if facts.get("parameters") else "")
        for name, facts in record.get("given", {}).items()
    ]
    return f"Given in Python: {', '.join(parts)}.\n\n" if parts else ""


def repeated(run: Run, folder: Path | None = None) -> str:
    """The command that trains this run again, or the call in Python if a model or networks were given there.

    Args:      folder: as of `repeat_command`.
    """
    given = run.record.get("given")
    if not given:
        return repeat_command(run, folder)
    if run.outcome.get("reason") == ELSEWHERE:
        return f"ancestral.Run.from_model(model, data=..., path={str(run.path)!r})"
    words = [f"{name}={value!r}" for name, value in not_default(run.settings).items()]
    parts = [f"{name}=..." for name in given] if run.settings.family else []
    first = repr(run.settings.family) if run.settings.family else "model"
    return f"ancestral.fit({', '.join([first, repr(str(run.path)), *parts, *words])})"


def _origin(run: Run) -> str:
    """The weights of the run, the run whose weights it started from, and what was changed when it was resumed."""
    lines = [f"Weights: SHA-256 `{run.weights_sha256[:16]}…`."] if run.weights_sha256 else []
    if parent := run.record.get("parent"):
        lines.append(f"Started from weights of another run, SHA-256 `{parent['weights_sha256'][:16]}…`.")
    lines += [
        f"{entry['date'][:10]}, after {entry['epoch']} epochs: {entry['setting']} changed from {entry['before']} to "
        f"{entry['after']}."
        for entry in run.record.get("extensions", ())
    ]
    return "\n\n".join([*lines, ""])


def _where(run: Run) -> str:
    """How to give the data to the command, if they were given in memory; else an empty text."""
    given = run.settings.data.data.startswith(MEMORY)
    return f" They were given in memory. To repeat the run, save them to {FILE}, or give `data=` in Python." * given


def _hash_in_words(sha256: str | None) -> str:
    return f"SHA-256 `{sha256[:16]}…`" if sha256 else "no SHA-256, because the data differ each time they are read"


def repeat_command(run: Run, folder: Path | None = None) -> str:
    """The command that trains this run again, with every setting that is not the default.

    Args:      folder: in which the command is typed; the path of the run is relative to it. Default: the current
               folder.
    """
    flags = flags_of(run.settings)
    if run.settings.data.data.startswith(MEMORY):
        flags["data"] = ["--data", FILE]
    words = itertools.chain(*flags.values())
    place, folder = run.path.absolute(), (folder or Path()).absolute()
    out = place.relative_to(folder) if place.is_relative_to(folder) else place
    return shlex.join(["ancestral", "train", str(run.settings.family), *words, "--out", str(out)])
