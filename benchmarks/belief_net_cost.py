"""The cost of a training step of the sigmoid belief net, compared with the naive sum over states and the mixture.

    python benchmarks/belief_net_cost.py [--rounds 3] [--most 16] [--json] [--out cost.png]

`ancestral.studies.demonstrations.belief_net_cost` describes the measurement, here on one thread, in several rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ancestral.core.threads import keep_large_blocks
from ancestral.figures.style import save_figure
from ancestral.runs.progress import counter
from ancestral.studies.demonstrations.belief_net_cost import GRIDS, SIZE, WAYS, cost_figure, growth, measure_all

CLAIM = 200.0  # times faster than the naive sum, at the size `SIZE`

notes = Console(stderr=True)  # stdout has only the result


def show(report: dict[str, Any]) -> None:
    """Print tables of times, memory and growth, and whether the claim is met."""
    table = Table(title="value and gradient: milliseconds, and peak megabytes", caption_justify="left")
    for name in ("M", "N", "D", *WAYS, "naive / ours"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in (row for rows in report["sizes"].values() for row in rows):
        cells = [f"{row[way]['ms']:,.3g} ms\n{row[way]['mb']:,.3g} MB" if way in row else "" for way in WAYS]
        faster = f"{row['times_faster']:,.0f}" if "times_faster" in row else ""
        table.add_row(str(row["M"]), str(row["N"]), str(row["D"]), *cells, faster)
    where = report["machine"]
    table.caption = f"{where['cpu']}, {where['threads']} threads, load {where['load']}, torch {where['torch']}"
    Console().print(table)
    fitted = Table(title="growth of time")
    for name in ("against", *WAYS):
        fitted.add_column(name, justify="right")
    for along, ways in report["growth"].items():
        form = "{:.2f} per latent" if along == "M" else along + "^{:.2f}"
        fitted.add_row(along, *(form.format(ways[way]) if ways[way] is not None else "" for way in WAYS))
    Console().print(fitted)
    if "claim" in report:
        claim = report["claim"]
        verdict = "yes" if claim["met"] else "NO"
        print(f"at least {CLAIM:g} times the naive sum at {SIZE}: {verdict}, {claim['times_faster']:,.0f} times")


def machine() -> dict[str, Any]:
    """Properties of the machine on which the numbers depend."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each method")
    parser.add_argument("--most", type=int, default=16, help="largest number of latents")
    parser.add_argument("--most-naive", type=int, default=12, help="largest number for the naive sum")
    parser.add_argument("--at", type=int, default=10, help="number of latents while N and D vary")
    parser.add_argument("--json", action="store_true", help="print only JSON on stdout")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="also draw the times")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_blocks()
    if args.rounds < 1 or args.most < GRIDS["M"][0]:
        parser.error(f"at least one round and {GRIDS['M'][0]} latents are needed")
    grids = {**GRIDS, "M": tuple(size for size in GRIDS["M"] if size <= args.most)}
    with counter(notes, "sizes") as progress:
        rows = measure_all(grids, args.at, args.rounds, args.most_naive, progress)
    fitted = {along: {way: growth(some, along, way, "ms") for way in WAYS} for along, some in rows.items()}
    report: dict[str, Any] = {"machine": machine(), "sizes": rows, "growth": fitted}
    largest = [row for row in report["sizes"]["M"] if row["M"] == SIZE["M"] and "times_faster" in row]
    if largest:
        faster, same = largest[0]["times_faster"], largest[0]["difference"] <= 1e-4
        report["claim"] = {"at_least": CLAIM, "times_faster": faster, "met": same and faster >= CLAIM}
    if args.out:
        save_figure(cost_figure(report["sizes"]), args.out)
    print(json.dumps(report, indent=2)) if args.json else show(report)
    if not report.get("claim", {"met": True})["met"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
