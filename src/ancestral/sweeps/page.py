"""The page of a sweep: the best combination by validation, and the result of each training."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path

from ancestral.core.text import duration
from ancestral.families.run_settings import flags_of
from ancestral.health.training_curves import IN_WORDS
from ancestral.reports.cells import Cell, Note
from ancestral.reports.html import Figure, Report, Section, Table, write_report
from ancestral.settings.data import POINT_SETS
from ancestral.sweeps.pictures import MOST_CURVES, MOST_PANELS, by_axis, compared, panels
from ancestral.sweeps.plan import Plan, is_number
from ancestral.sweeps.ranking import Combination, criterion, gap_between
from ancestral.sweeps.sweep_axes import Axis, Range, axis_words, in_text

MOST_NAMED = 3  # named combinations that cannot be distinguished from the first; more are only counted
AT_THE_END = 0.05  # of a range


def write_sweep_page(plan: Plan, rows: Sequence[Combination]) -> Path:
    """Draw and write `report.html`; returns its path.

    Args:      rows: of the plan, best first.
    """
    runs = [run for row in rows for run in row.finished]
    seconds = sum(run.outcome.get("total_seconds", 0.0) for run in runs)
    missing = sum(len(row.runs) - len(row.finished) for row in rows)
    best = rows[0]
    facts = [("combinations", str(len(rows))), ("runs", str(len(runs)) + (f", {missing} to come" if missing else ""))]
    if best.mean is not None:
        facts = [("lowest validation", f"{_value(plan, best)} nats"), *facts]
    page = plan.out / "report.html"
    report = Report(
        title=f"Sweep: {plan.family} on {Path(plan.settings(best.values, 0).data.data).stem}",
        subtitle=_varied(plan),
        lead="\n\n".join(_lead(plan, rows, missing)),
        facts=[*facts, ("training time, all runs", duration(seconds))],
        sections=[
            Section("All combinations", tables=[combination_table(plan, rows)]),
            *_curves(plan, rows),
            Section(
                "How to repeat it",
                "The first command makes this page. It reuses finished runs and resumes interrupted ones; other "
                "machines with access to the folder can share the work with the same command. "
                + ("" if best.mean is None else "The second command trains the first combination of the table alone. ")
                + "The folder of a run has its settings, weights and log.",
                commands=[sweep_command(plan), *([] if best.mean is None else [train_command(plan, best)])],
            ),
        ],
        footer=f"Made by `{sweep_command(plan)}`.",
    )
    write_report(report, page)
    return page


def sweep_cell(plan: Plan, rows: Sequence[Combination], page: Path) -> Cell:
    """The display of a sweep in a notebook: its combinations, best first, and the summary of the page."""
    missing = sum(len(row.runs) - len(row.finished) for row in rows)
    notes = [*map(Note, _lead(plan, rows, missing)), Note(str(page), "page")]
    return Cell(f"Sweep: {plan.family}", _varied(plan), [combination_table(plan, rows)], notes)


def combination_table(plan: Plan, rows: Sequence[Combination]) -> Table:
    """Every combination, best first."""
    kinds = {kind for row in rows if (kind := criterion(row.finished))}
    mixed = len(kinds) > 1
    header = [name.replace("_", " ") for name in plan.axes] + ["validation, nats", "± s.d.", "runs", "health"]
    cells = [_cells(plan, row) + ([_kind(row)] if mixed else []) for row in rows]
    numeric = {i for i, axis in enumerate(plan.axes.values()) if _has_numbers(axis)}
    numeric |= {len(plan.axes), len(plan.axes) + 1}
    return Table([*header, *(["validation of"] if mixed else [])], cells, _caption(plan, kinds), numeric)


def _cells(plan: Plan, row: Combination) -> list[str]:
    values = [in_text(row.values[name]) for name in plan.axes]
    mean = "none" if row.mean is None else _number(plan, row.mean)
    deviation = "" if row.deviation is None else _number(plan, row.deviation)
    return [*values, mean, deviation, row.state or str(len(row.runs)), _health(row)]


def _kind(row: Combination) -> str:
    """The kind of validation value of a combination, in words."""
    return IN_WORDS.get(criterion(row.finished) or "", "")


def _has_numbers(axis: Axis) -> bool:
    return isinstance(axis, Range) or all(map(is_number, axis))


def sweep_command(plan: Plan) -> str:
    """The command that repeats this sweep, without the address of its storage, which may be secret."""
    settings = plan.settings(plan.combinations[0], plan.seed_numbers[0])
    shared = [words for name, words in flags_of(settings).items() if name not in plan.axes]
    varied = [axis_words(name, axis) for name, axis in plan.axes.items()]
    counts = [["--seeds", str(plan.seeds)]] if plan.seeds > 1 else []
    counts += [["--trials", str(plan.trials)]] if plan.trials else []
    words = itertools.chain(*shared, *varied, *counts)
    return shlex.join(["ancestral", "sweep", plan.family, *words, "--out", str(plan.out)])


def train_command(plan: Plan, row: Combination) -> str:
    """The command that trains one combination, with the first seed."""
    words = itertools.chain(*flags_of(plan.settings(row.values, plan.seed_numbers[0])).values())
    return shlex.join(["ancestral", "train", plan.family, *words, "--out", str(plan.out / "best")])


def _lead(plan: Plan, rows: Sequence[Combination], missing: int) -> list[str]:
    told = (
        _best_in_words(plan, rows)
        if rows[0].mean is not None
        else [f"There is no best combination: {_why_none(rows)}."]
    )
    lost = [row.name for row in rows if row.diverged]
    if lost:
        told.append(f"Diverged in at least one run: {'; '.join(lost)}. These combinations are ranked last.")
    if missing:
        told.append(f"{missing} of {sum(len(row.runs) for row in rows)} runs are not finished yet.")
    return told


def _why_none(rows: Sequence[Combination]) -> str:
    """Why there is no best combination."""
    if not rows[0].finished:
        return "no training is finished yet"
    if all(row.diverged for row in rows if row.finished):
        return "every training diverged"
    return "this family has no validation value for a ranking"


def _best_in_words(plan: Plan, rows: Sequence[Combination]) -> list[str]:
    """Sentences on the first combination; it is called best only if it is significantly better than all others."""
    first = rows[0]
    words = IN_WORDS[criterion(first.finished) or "loss"]
    over = f", mean and standard deviation over {len(first.bests)} seeds" if first.deviation is not None else ""
    certain, sureness = _sureness(plan, rows)
    title = "Best by validation" if certain else "Lowest validation value"
    told = [f"{title}: {first.name}, with a {words} of {_value(plan, first)} nats{over}.", *sureness]
    told += _ends(plan, rows)
    if first.verdicts:
        told.append(f"The health checks found problems in its trainings: {', '.join(first.verdicts)}.")
    return told


def _sureness(plan: Plan, rows: Sequence[Combination]) -> tuple[bool, list[str]]:
    """Whether the first combination is significantly better than all others, and a sentence on this."""
    gaps = [(row, gap_between(rows[0], row)) for row in rows[1:] if row.mean is not None and not row.diverged]
    if not gaps:
        return True, []
    if not all(gap is not None for _, gap in gaps):
        second = gaps[0][0]
        assert second.mean is not None and rows[0].mean is not None
        gap = _number(plan, second.mean - rows[0].mean)
        told = f"The validation value of the next combination, {second.name}, is {gap} nats larger."
        one = len(rows[0].runs) == 1
        return False, [told + (" With one seed the effect of chance is unknown: use --seeds 3." if one else "")]
    found = [(row.name, gap) for row, gap in gaps if gap is not None]
    behind = [
        (f"{name} ({_number(plan, gap.nats)} ± {_number(plan, gap.error)} nats, s.e.)", gap) for name, gap in found
    ]
    close = [name for name, gap in behind if not gap.certain]
    if close:
        more = f" and {len(close) - MOST_NAMED} more" if len(close) > MOST_NAMED else ""
        return False, [f"With these seeds, it is not significantly better than {', '.join(close[:MOST_NAMED])}{more}."]
    return True, [f"The next combination is significantly worse: {behind[0][0]}."]


def _ends(plan: Plan, rows: Sequence[Combination]) -> list[str]:
    """Sentences on settings whose best value is at an end of the tried values, where more values may be better."""
    told = []
    for name, axis in plan.axes.items():
        tried = sorted({row.values[name] for row in rows if is_number(row.values[name])})
        value = rows[0].values[name]
        if len(tried) < 2 or not is_number(value):
            continue
        share = axis.share(value) if isinstance(axis, Range) else tried.index(value) / (len(tried) - 1)
        if min(share, 1 - share) < AT_THE_END:
            end, beyond = ("smallest", "smaller") if share < AT_THE_END else ("largest", "larger")
            among = f"near the {end} of its range" if isinstance(axis, Range) else f"the {end} tried"
            told.append(f"Its value of {name.replace('_', ' ')} is {among}; {beyond} values may be better.")
    return told


def _curves(plan: Plan, rows: Sequence[Combination]) -> list[Section]:
    figures = []
    over = "; bands show one standard deviation over seeds" if plan.seeds > 1 else ""
    if drawn := compared(plan, rows):
        left = f" The best {MOST_CURVES} are shown." if len(rows) > MOST_CURVES else ""
        figures.append(Figure(drawn, f"Validation value of each combination after each epoch{over}.{left}"))
    if drawn := panels(plan, rows):
        left = f" The best {MOST_PANELS} are shown." if len(rows) > MOST_PANELS else ""
        figures.append(
            Figure(drawn, f"Learning curves of each combination, one panel each, with scales of their own{over}.{left}")
        )
    figures += [Figure(drawn, _along(name, plan)) for name, drawn in by_axis(plan, rows).items()]
    return [Section("Learning curves", figures=figures)] if figures else []


def _along(name: str, plan: Plan) -> str:
    line = "" if isinstance(plan.axes[name], Range) else " The line connects the best combinations of the values."
    return f"Best validation value of each run by {name.replace('_', ' ')}; a cross marks a divergence.{line}"


def _caption(plan: Plan, kinds: set[str]) -> str:
    if not kinds:
        return "There is no validation value for a ranking. Health states the problems that the checks found."
    words = " or ".join(IN_WORDS[kind] for kind in sorted(kinds))
    over = f", mean and standard deviation over {plan.seeds} seeds" if plan.seeds > 1 else ""
    mixed = (
        " Bounds and exact values are not directly comparable: a bound is worse by its gap." if len(kinds) > 1 else ""
    )
    return f"Best validation value of each run: {words}, smaller is better{over}. The test set is not used.{mixed}"


def _health(row: Combination) -> str:
    if not row.finished:
        return ""
    judged = any(run.health and run.health.healthy for run in row.finished)
    return ", ".join(row.verdicts) or ("healthy" if judged else "not checked")


def _value(plan: Plan, row: Combination) -> str:
    assert row.mean is not None
    return _number(plan, row.mean) + ("" if row.deviation is None else f" ± {_number(plan, row.deviation)}")


def _number(plan: Plan, value: float) -> str:
    """A number with 4 digits for points and 2 for images, whose values are much larger."""
    return f"{value:.{4 if plan.base.get('data') in POINT_SETS else 2}f}"


def _varied(plan: Plan) -> str:
    """The values of all axes in words: `learning rate: 0.01, 0.001`."""
    return ", ".join(f"{name.replace('_', ' ')}: {_tried(axis)}" for name, axis in plan.axes.items())


def _tried(axis: Axis) -> str:
    return str(axis) if isinstance(axis, Range) else ", ".join(map(in_text, axis))
