"""Carry out a study and write its page: train the runs, write the chapters, compare numbers with references."""

from __future__ import annotations

import importlib
import itertools
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.core.modules import load_module
from ancestral.core.text import close_matches, duration
from ancestral.reports.html import Notice, Report, Section, Table, write_report
from ancestral.reports.quality_tables import QUALITY_CAPTION
from ancestral.reports.run_page import explorer_section, repeat_command
from ancestral.reports.score_tables import SCORE_CAPTION
from ancestral.runs.watching import Progress
from ancestral.studies.explorer import EXPLORERS, MINUTES_EACH, write_explorers
from ancestral.studies.names import STUDIES
from ancestral.studies.recipe import (
    AN_IDENTITY,
    COURSEWORK,
    OURS,
    Budget,
    Chapter,
    ChapterContent,
    Options,
    PlannedRun,
    ReferenceCheck,
    Study,
)
from ancestral.studies.workshop import Workshop
from ancestral.sweeps.claims import Listing

BUDGET_IN_WORDS = {
    "quick": "This is the quick version: training and measurements are too short to judge the models.",
    "default": "This is the default budget. Estimated time on two cores, if no run is finished yet: {}.",
    "full": "This is the full budget, with the numbers of epochs of the source. Estimated time on two cores, if no run "
    "is finished yet: {}.",
}
BRIEF_CAPTIONS = {SCORE_CAPTION: "Scores.", QUALITY_CAPTION: "Sample quality."}
"""captions of tables that repeat an explained kind and have no other caption"""


def carry_out_study(
    name: str, out: Path, options: Options, progress: Progress, keep_going: bool = False
) -> Path | None:
    """Run a study into `out`, as one of several workers that share the trainings.

    Args:      name: one of `STUDIES`, or a Python file that defines `STUDY`. keep_going: record an error of a run and
               take the next one; else the error is raised.
    Returns:   the path of its report; None if runs are missing that other workers train or that have failed, or if
               another worker writes the report.
    Raises:    InputError: unknown name, a file without a study, or options that the study does not have.
    """
    study, plan, workshop = open_study(name, out, options, progress)
    if not keep_going:
        workshop.claims.retry_failed()
    missing = workshop.train(plan, _minutes_later(study, plan), keep_going)
    if missing:
        failed = len(workshop.claims.failed())
        progress.say(f"{len(missing)} of {len(plan)} runs are missing: {_why_missing(len(missing), failed)}")
        return None
    with workshop.claims.page(wait=False) as mine:
        if not mine:
            progress.say("another worker is writing the report")
            return None
        workshop.gather(plan)
        told = _chapters(study, workshop)
        with workshop.pace.stage():
            write_explorers(workshop)
        page = out / "report.html"
        write_report(_report(name, study, workshop, plan, told), page)
        return page


def open_study(
    name: str, out: Path, options: Options, progress: Progress
) -> tuple[Study, Sequence[PlannedRun], Workshop]:
    """A study, its runs and its folder, in which the list of runs is written.

    Raises:    InputError: as `carry_out_study`, or a finished run in the folder has other settings.
    """
    study = find_study(name)
    if options.learning_rates and not study.learning_rates:
        raise InputError(f"--learning-rates: the study {name} does not compare learning rates")
    if options.source and options.source not in study.sources:
        known = f"{' or '.join(study.sources)}" if study.sources else "it has one set of images only"
        raise InputError(f"--source {options.source}: the study {name} cannot use it: {known}")
    plan = study.plan(options)
    if repeated := {one.name for one in plan if [other.name for other in plan].count(one.name) > 1}:
        raise InputError(f"the study {name} plans several runs with the same name: {', '.join(sorted(repeated))}")
    workshop = Workshop(study.quick, out, options, progress)
    workshop.refuse_other_settings(plan)
    command = f"{_command(name, options)} --out {shlex.quote(str(out))}"
    workshop.claims.announce(Listing(study.title, command, len(plan), tuple(map(workshop.entry, plan))))
    return study, plan, workshop


def _why_missing(missing: int, failed: int) -> str:
    reasons = [f"{failed} have failed, and the same command trains them again"] if failed else []
    if missing > failed:
        reasons.append(f"other workers are still training {missing - failed}, and the last worker writes the report")
    return "; ".join(reasons)


def find_study(name: str) -> Study:
    """A study of this package, or a study of the user in a file.

    Raises:    InputError: neither, or a file that cannot be run or defines no `STUDY`.
    """
    if name in STUDIES:
        return importlib.import_module(f"ancestral.studies.{name}").STUDY
    path = Path(name)
    if path.suffix != ".py":
        raise InputError(f"unknown study {name!r}: {close_matches(name, STUDIES)} (or give your own study as FILE.py)")
    module = load_module(path, "study")
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise InputError(f"the study {path} must define STUDY = Study(...)")
    return study


def _chapters(study: Study, workshop: Workshop) -> list[tuple[Chapter, ChapterContent]]:
    chapters = study.chapters
    told = []
    for number, chapter in enumerate(chapters, 1):
        with workshop.pace.stage():
            told.append((chapter, chapter.tell(workshop)))
        workshop.progress.say(f"chapter {number}/{len(chapters)} {chapter.title}: written; {workshop.pace.left}")
    return told


def _report(
    name: str,
    study: Study,
    workshop: Workshop,
    plan: Sequence[PlannedRun],
    told: list[tuple[Chapter, ChapterContent]],
) -> Report:
    budget, runs = workshop.options.budget, workshop.runs
    seconds = sum(run.outcome.get("total_seconds", 0) for run in runs.values())
    command = _command(name, workshop.options)
    takes = duration(60 * _minutes(study, budget, plan))
    in_words = BUDGET_IN_WORDS[budget].format(takes)
    return Report(
        title=study.title,
        subtitle=study.subtitle,
        lead=study.lead(workshop) if budget == "quick" else f"{study.lead(workshop)}\n\n{in_words}",
        notice=Notice(in_words, "warning") if budget == "quick" else None,
        facts=[*study.facts(workshop), ("training time, all runs", duration(seconds))],
        sections=[
            *_against_references([one.checks for _, one in told], budget == "quick"),
            *_explained_once(_section(chapter, one) for chapter, one in told),
            *explorer_section({workshop.out / name: what for name, what in EXPLORERS.items()}),
            Section(
                "How to repeat it",
                "The first command makes this page. Each other command trains one run alone; type it in the folder of "
                "this page. The folder of a run has its settings, weights, log and scores; all commands work with it.",
                tables=[_times(workshop, plan)],
                commands=[command, *(repeat_command(run, workshop.out) for run in runs.values())],
            ),
        ],
        footer=f"Made by `{command}`.",
        guide=True,
    )


def _section(chapter: Chapter, told: ChapterContent) -> Section:
    return Section(chapter.title, told.text, told.tables, told.figures, told.commands, asked=chapter.asked)


def _explained_once(sections: Iterable[Section]) -> Iterator[Section]:
    """The sections; only the first table of each kind keeps the explanation of how to read it."""
    unsaid = [SCORE_CAPTION, QUALITY_CAPTION]
    for section in sections:
        for table, words in itertools.product(section.tables, (SCORE_CAPTION, QUALITY_CAPTION)):
            if words in table.caption and words not in unsaid:
                table.caption = table.caption.replace(words, "").strip() or BRIEF_CAPTIONS[words]
            elif words in table.caption:
                unsaid.remove(words)
        yield section


def _against_references(by_chapter: Sequence[Sequence[ReferenceCheck]], quick: bool) -> list[Section]:
    """The first section: a table of all numbers that have a reference, each with a link to its chapter."""
    checks = [check for some in by_chapter for check in some]
    if not checks:
        return []
    sections = [number for number, some in enumerate(by_chapter, 2) for _ in some]
    rows = [
        [
            check.what,
            check.reference + ("" if check.source == COURSEWORK else f" ({check.source})"),
            check.ours,
            "not judged" if quick else "met" if check.met else "missed",
        ]
        for check in checks
    ]
    missed = [] if quick else [f"Missed: {c.what}. {c.why}" for c in checks if not c.met]
    first = "Not judged: the runs were trained too briefly." if quick else met_in_words(checks)
    caption = "Each number with its reference, which is that of the coursework unless another source is named. The "
    caption += "links lead to the section that reports the number."
    table = Table(["number", "reference", "ours", "verdict"], rows, caption, row_links=dict(enumerate(sections)))
    return [Section("The numbers and their references", "\n\n".join([first, *missed]), tables=[table])]


def met_in_words(checks: Sequence[ReferenceCheck]) -> str:
    """How many references are met, counted separately for references of others, identities and our own aims."""
    groups = {
        "references of others": [c for c in checks if c.source not in (AN_IDENTITY, OURS)],
        "identities that must hold": [c for c in checks if c.source == AN_IDENTITY],
        "aims of our own": [c for c in checks if c.source == OURS],
    }
    told = [f"{sum(c.met for c in some)} of {len(some)} {kind}" for kind, some in groups.items() if some]
    return f"Met: {', '.join(told)}."


def _times(workshop: Workshop, plan: Sequence[PlannedRun]) -> Table:
    rows = []
    for planned in plan:
        outcome = workshop.runs[planned.name].outcome
        epochs = str(outcome.get("epochs", "")) + (", diverged" if outcome.get("reason") == "diverged" else "")
        rows.append([planned.title, f"runs/{planned.name}", epochs, duration(outcome.get("total_seconds", 0))])
    return Table(["run", "folder", "epochs", "trained in"], rows, "Every run of this study.", numeric={2, 3})


def _command(name: str, options: Options) -> str:
    """The command of a study, without its folder."""
    words = ["ancestral", "study", name, *([] if options.budget == "default" else [f"--{options.budget}"])]
    if options.learning_rates:
        words += ["--learning-rates", *map(str, options.learning_rates)]
    return shlex.join([*words, *(["--source", options.source] if options.source else [])])


def _minutes_later(study: Study, plan: Sequence[PlannedRun]) -> list[float]:
    """Expected minutes of the parts of the work after the trainings."""
    return [*(chapter.minutes for chapter in study.chapters), MINUTES_EACH * len(plan)]


def _minutes(study: Study, budget: Budget, plan: Sequence[PlannedRun]) -> float:
    """Approximate duration in minutes if no run is finished yet."""
    trained = sum(one.minutes_under(budget, study.quick) for one in plan)
    return trained + sum(chapter.minutes for chapter in study.chapters)
