"""What a training step of the sigmoid belief net costs, beside the naive sum over states and the mixture.

    python benchmarks/belief_net_cost.py [--rounds 3] [--most 16] [--json] [--out cost.png]

A step is the value and the gradient of the mean log-likelihood of N binary images of D pixels, exact each time:

    mixture    MixtureOfBernoullis, 20 components: the coursework counts O(N K D)
    naive      logits and Bernoulli log-probabilities for each state and image: O(N M D 2^M). Fed a few images at a
               time, since it would otherwise need gigabytes; its memory is that of a few images
    ours       SigmoidBeliefNet: O(2^M (D + N)) and one matrix product

They take turns at every size, on one thread. Reported are medians of the core's own time, which other work on the
machine hardly changes (on an idle machine it is the time by the clock); the growth fitted in the logarithms (a
power of N and of D; a factor per latent, from `FROM` latents on, where the fixed cost of a step no longer matters);
and the peak of what torch's allocator had handed out during a step beyond what was there before, read from torch's
profiler.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler, silent; it reads this when torch is loaded
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.distributions import Bernoulli

from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve
from ancestral.figures.style import save_figure
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.numerics import keep_large_blocks

CLAIM = 200.0  # times faster than the naive sum, at the size below
SIZE = {"M": 12, "N": 128, "D": 784}
NAIVE_NUMBERS = 1 << 25  # of the naive sum's largest array
FROM = 10
GRIDS = {"M": (4, 6, 8, 10, 12, 14, 16), "N": (32, 64, 128, 256), "D": (196, 392, 784, 1568)}
WAYS = ("mixture", "naive", "ours")
Step = Callable[[], Tensor]

notes = Console(stderr=True)  # stdout is the result's alone


def naive_log_prob(model: SigmoidBeliefNet, x: Tensor) -> Tensor:
    """log p(x) as the definition says it, with logits for every image and state, as the coursework counts them."""
    z = model.states.expand(len(x), -1, -1)
    log_p_x = Bernoulli(logits=torch.bmm(z, model.w.expand(len(x), -1, -1)) + model.c, validate_args=False)
    log_p_z = Bernoulli(logits=model.b, validate_args=False).log_prob(model.states).sum(1)
    return (log_p_z + log_p_x.log_prob(x[:, None]).sum(2)).logsumexp(1)


def steps_at(latents: int, images: int, pixels: int) -> dict[str, Step]:
    """One step of each way at one size; each returns log p of the images."""
    torch.manual_seed(0)
    x = (torch.rand(images, pixels) < 0.2).float()
    net, mixture = SigmoidBeliefNet([pixels], latents), MixtureOfBernoullis([pixels])
    at_once = max(1, NAIVE_NUMBERS // (pixels << latents))

    def step(log_prob: Callable[[Tensor], Tensor], blocks: tuple[Tensor, ...]) -> Tensor:
        values = []
        for block in blocks:
            value = log_prob(block)
            (-value.sum() / images).backward()
            values.append(value.detach())
        return torch.cat(values)

    return {
        "mixture": lambda: step(mixture.log_prob, (x,)),
        "naive": lambda: step(lambda block: naive_log_prob(net, block), x.split(at_once)),
        "ours": lambda: step(net.log_prob, (x,)),
    }


def milliseconds(step: Step) -> float:
    """Processor time of one step, the median of as many as half a second holds."""
    times: list[float] = []
    while not times or (sum(times) < 0.5 and len(times) < 50):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return 1e3 * statistics.median(times)


def peak_megabytes(step: Step) -> float:
    """Most bytes that torch's allocator had handed out at once during a step, beyond those from before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    events: list[Any] = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return float(held.max()) / 1e6


def measure(latents: int, images: int, pixels: int, rounds: int, naive: bool) -> dict[str, Any]:
    """Times and memory of every way at one size, taken in turns."""
    steps = steps_at(latents, images, pixels)
    ways = [way for way in WAYS if naive or way != "naive"]
    values = {way: steps[way]() for way in ways}  # the first step is not timed: it allocates
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            times[way].append(milliseconds(steps[way]))
    found: dict[str, Any] = {"M": latents, "N": images, "D": pixels}
    for way in ways:
        found[way] = {"ms": statistics.median(times[way]), "all_ms": times[way], "mb": peak_megabytes(steps[way])}
    if naive:
        found["times_faster"] = found["naive"]["ms"] / found["ours"]["ms"]
        found["difference"] = ((values["ours"] - values["naive"]) / values["naive"]).abs().max().item()
    notes.print(
        f"M = {latents}, N = {images}, D = {pixels}: " + ", ".join(f"{w} {found[w]['ms']:.3g} ms" for w in ways)
    )
    return found


def growth(rows: list[dict[str, Any]], along: str, way: str, quantity: str) -> float | None:
    """Power of N or D, or factor per latent, by least squares in the logarithms; None with fewer than two sizes."""
    sizes = [row[along] for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    values = [row[way][quantity] for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    if len(sizes) < 2:
        return None
    x = np.array(sizes) if along == "M" else np.log(sizes)
    slope = float(np.polyfit(x, np.log(values), 1)[0])
    return float(np.exp(slope)) if along == "M" else slope


def draw(series: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Time against each size, logarithms on both axes, so that a power is a straight line."""

    def curve(way: str, along: str) -> Curve:
        rows = [row for row in series[along] if way in row]
        sizes = [row[along] if along == "M" else np.log2(row[along]) for row in rows]
        return Curve(way, sizes, [np.log10(row[way]["ms"]) for row in rows])

    titles = {"M": "latents M", "N": "log2 of images N", "D": "log2 of pixels D"}
    panels = [(title, [curve(way, along) for way in WAYS]) for along, title in titles.items()]
    figure = small_multiples(
        panels, xlabel="size", ylabel="log10 of milliseconds", title="cost of a training step", ylim=None
    )
    save_figure(figure, path)


def show(report: dict[str, Any]) -> None:
    """Print times, memory and growth as tables, and whether the claim is met."""
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
    """What the numbers depend on besides the code."""
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
    parser.add_argument("--rounds", type=int, default=3, help="times that each way has its turn")
    parser.add_argument("--most", type=int, default=16, help="largest number of latents")
    parser.add_argument("--most-naive", type=int, default=12, help="largest number for the naive sum")
    parser.add_argument("--at", type=int, default=10, help="latents where N and D vary")
    parser.add_argument("--json", action="store_true", help="print only JSON on stdout")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="draw the times too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_blocks()
    if args.rounds < 1 or args.most < GRIDS["M"][0]:
        parser.error(f"at least one round and {GRIDS['M'][0]} latents are needed")
    report: dict[str, Any] = {"machine": machine(), "sizes": {}, "growth": {}}
    for along, grid in GRIDS.items():
        middle = {**SIZE, "M": args.at}
        sizes = [{**middle, along: size} for size in grid if along != "M" or size <= args.most]
        rows = [measure(s["M"], s["N"], s["D"], args.rounds, s["M"] <= args.most_naive) for s in sizes]
        report["sizes"][along] = rows
        report["growth"][along] = {way: growth(rows, along, way, "ms") for way in WAYS}
    largest = [row for row in report["sizes"]["M"] if row["M"] == SIZE["M"] and "times_faster" in row]
    if largest:
        faster, same = largest[0]["times_faster"], largest[0]["difference"] <= 1e-4
        report["claim"] = {"at_least": CLAIM, "times_faster": faster, "met": same and faster >= CLAIM}
    if args.out:
        draw(report["sizes"], args.out)
    print(json.dumps(report, indent=2)) if args.json else show(report)
    if not report.get("claim", {"met": True})["met"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
