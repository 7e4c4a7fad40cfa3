"""One table (Markdown) and one picture of all stored results."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.catalogue import workloads
from benchmarks.harness.machine import ROOT
from benchmarks.harness.measure import summary

RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "pictures" / "speed.png"
LEAST_SHOWN = 0.05  # a smaller ratio is in the table only


def stored(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Stored results of the known workloads, in their order."""
    paths = [folder / f"{name}.json" for name in workloads()]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def keep(results: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write the results of a workload."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results['workload']}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return path


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: where it was measured, the comparisons, and the curves."""
    lines = [_heading(results), ""] if results else []
    lines += ["| work | threads | ours | share of the limit | speed-up over PyTorch | speed-up over others |"]
    lines += ["|---|---|---|---|---|---|"]
    for one in results:
        if not one["along"]:
            lines += [_row(one, threads) for threads in one["threads"]]
    for one in results:
        if one["along"]:
            lines += ["", *_curve(one)]
    return "\n".join(lines) + "\n"


def short_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: the median ratios with one thread, for README and RESULTS."""
    lines = [
        "| work | ours | share of the limit | speed-up over plain PyTorch | over other packages |",
        "|---|---|---|---|---|",
    ]
    for one in results:
        if one["along"] or "1" not in one["threads"]:
            continue
        found, roles = summary(one, "1"), one["roles"]
        cells, ours = dict.fromkeys(("option", "limit", "plain", "peer"), ""), 0.0
        for name, values in found.items():
            if roles[name] == "ours":
                ours = values["seconds"]["median"]
                continue
            named = "" if name in ("PyTorch", "products") else f"{name} "
            text = f"{named}{values['over_ours']['median']:.2f}"
            cells[roles[name]] += (", " if cells[roles[name]] else "") + text
        option = cells.pop("option")
        time = f"{_seconds(ours)}{option and f' ({option})'}"
        lines.append(f"| {one['title']} | {time} | {' | '.join(cell or '-' for cell in cells.values())} |")
    return "\n".join(lines) + "\n"


def noise(results: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each workload during which the machine was not quiet."""
    found = []
    for one in results:
        said = [f"{when}: {one[key]['noise']}" for when, key in (("before", "quiet_before"), ("after", "quiet_after"))
                if one[key]["noise"]]  # fmt: skip
        if said:
            found.append(f"{one['workload']}: {'; '.join(said)}")
    return found


def _heading(results: Sequence[dict[str, Any]]) -> str:
    last = max(results, key=lambda one: one["machine"]["date"])
    where = last["machine"]
    versions = {name: version for one in results for name, version in one["versions"].items()}
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    said = _said_of_noise(results)
    return (
        f"{where['cpu']}, {where['cores']} cores, {where['date']}, commit {where['commit']}, Python {where['python']}, "
        f"{packages}. Medians of rounds; a ratio is the median of the ratios of each round, with its range. {said}"
    )


def _said_of_noise(results: Sequence[dict[str, Any]]) -> str:
    """Whether other processes ran, and whether the speed of the processor itself was steady."""
    found = [line.partition(": ")[2] for line in noise(results)]
    busy = sum("load" in line for line in found)
    uneven = sum("products" in line for line in found)
    said = f"Other processes were busy during {busy} of {len(results)} workloads: preliminary." if busy else ""
    if uneven:
        said += f" The speed of the processor itself varied during {uneven} of {len(results)}: see the ranges."
    return said.strip() or "The machine was quiet."


def _row(one: dict[str, Any], threads: str) -> str:
    found, roles = summary(one, threads), one["roles"]
    cells: dict[str, list[str]] = {"option": [], "limit": [], "plain": [], "peer": []}
    for name, values in found.items():
        if roles[name] == "ours":
            continue
        ratio = values["over_ours"]
        text = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
        cells[roles[name]].append(text if name in ("PyTorch", "products") else f"{name}: {text}")
    absent = [f"{name}: absent" for name in one["missing"]]
    ours = next(values for name, values in found.items() if roles[name] == "ours")["seconds"]
    columns = [", ".join(part) or "-" for part in (cells["limit"], cells["plain"], cells["peer"] + absent)]
    time = ", ".join([_seconds(ours["median"]), *cells["option"]])
    return f"| {one['title']}: {one['work']} | {threads} | {time} | {' | '.join(columns)} |"


def _curve(one: dict[str, Any]) -> list[str]:
    names, rows = list(one["roles"]), []
    for found in one["threads"].values():
        medians = [statistics.median(found[name][one["measure"]]) for name in names]
        rows.append([_seconds(v) if one["measure"] == "seconds" else f"{v:,.0f} MB" for v in medians])
    if len(names) > 8:  # names in rows
        pairs = [f"| {name} | {value} |" for name, value in zip(names, rows[0], strict=True)]
        return [f"| {one['title']} ({one['work']}) | time |", "|---|---|", *pairs]
    head = f"| {one['title']} ({one['work']}): {one['along']} | " + " | ".join(names) + " |"
    return [head, "|---" * (len(names) + 1) + "|", *(f"| {one['measure']} | {' | '.join(row)} |" for row in rows)]


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def picture(results: Sequence[dict[str, Any]], path: Path = PICTURE) -> None:
    """Draw the shares and speed-ups with one thread, and the curves."""
    from PIL import Image

    from ancestral.figures.style import new_figure

    compared = [one for one in results if not one["along"] and "1" in one["threads"]]
    curves = [one for one in results if one["along"] and one["along"] != "command"]
    rows = -(-len(curves) // 3)
    height = 60 + 34 * max(1, len(compared))
    figure = new_figure(1000, height + 230 * rows, 100)
    grid = figure.add_gridspec(1 + rows, 3, height_ratios=[height, *[230] * rows], hspace=0.35, wspace=0.35)
    _draw_ratios(figure.add_subplot(grid[0, :]), compared)
    for number, one in enumerate(curves):
        _draw_curve(figure.add_subplot(grid[1 + number // 3, number % 3]), one)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    with Image.open(path) as drawn:  # few colours: a third of the size
        drawn.convert("RGB").quantize(64).save(path, optimize=True)


def _draw_ratios(axes: Any, compared: Sequence[dict[str, Any]]) -> None:
    from ancestral.figures.style import INK, PALETTE, style_axes

    style_axes(axes)
    colours = {"limit": PALETTE[0], "plain": PALETTE[1], "peer": PALETTE[2], "option": PALETTE[3]}
    said: set[str] = set()
    words = {"limit": "products only", "plain": "plain PyTorch", "peer": "another package"}
    words["option"] = "ancestral with --compile"
    for place, one in enumerate(reversed(compared)):
        for name, values in summary(one, "1").items():
            role, ratio = one["roles"][name], values["over_ours"]
            if role == "ours" or ratio["median"] < LEAST_SHOWN:
                continue
            label = None if role in said else words[role]
            said.add(role)
            axes.plot([ratio["least"], ratio["most"]], [place, place], color=colours[role], linewidth=1.5)
            axes.plot(ratio["median"], place, "o", color=colours[role], markersize=5, label=label)
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(LEAST_SHOWN, 120)  # what is beyond is in the table
    ticks = ["0.05", "0.1", "0.25", "0.5", "1", "2", "4", "10", "100"]
    axes.set_xticks([float(tick) for tick in ticks], ticks)
    axes.minorticks_off()
    axes.set_yticks(range(len(compared)), [one["title"] for one in reversed(compared)])
    axes.set_title("Time divided by the time of ancestral, one thread: right of 1, ancestral is faster", fontsize=10)
    axes.legend(loc="upper right", fontsize=8, frameon=False)


def _draw_curve(panel: Any, one: dict[str, Any]) -> None:
    from ancestral.figures.style import MUTED, PALETTE, style_axes

    style_axes(panel)
    values = one["threads"]["1"]
    sizes = [int(name) for name in one["roles"]]
    medians = [statistics.median(values[str(size)][one["measure"]]) for size in sizes]
    panel.plot(sizes, medians, "o-", color=PALETTE[0])
    panel.set_xscale("log")
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=20)
    if one["measure"] == "seconds":
        panel.set_yscale("log")
        ticks = round_ticks(min(medians), max(medians))
        panel.set_yticks(ticks, [f"{1e3 * value:,.0f} ms" for value in ticks])
    else:
        panel.set_ylim(0, 1.1 * max(medians))
    panel.minorticks_off()
    panel.set_title(one["title"], fontsize=9)
    panel.set_xlabel(one["along"], fontsize=8, color=MUTED)
    panel.set_ylabel("time" if one["measure"] == "seconds" else one["measure"], fontsize=8, color=MUTED)


def round_ticks(least: float, most: float) -> list[float]:
    """The values 1, 2 and 5 times a power of ten that lie in a range, with the nearest one on each side."""
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
    values = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    below = max(value for value in values if value <= least)
    above = min((value for value in values if value >= most), default=values[-1])
    return [value for value in values if below <= value <= above]
