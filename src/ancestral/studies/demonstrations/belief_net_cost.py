"""The cost of a training step of the sigmoid belief net, compared with the naive sum over states and the mixture.

A step computes the value and the gradient of the mean log-likelihood of N binary images of D pixels, exactly:

    mixture    MixtureOfBernoullis, 20 components: the coursework counts O(N K D)
    naive      logits and Bernoulli log-probabilities for each state and image: O(N M D 2^M). It gets a few images at a
               time, because it would need gigabytes otherwise; its memory is that for a few images
    ours       SigmoidBeliefNet, with the sum over pixels shared by the batch: one matrix product, O(N M D), and
               O(2^M (D + N))

At each size, the methods are timed in turn. Times are processor times of the process, which other work on the machine
hardly changes; with one thread on an idle machine they equal the elapsed time. Growth is a least-squares fit in the
logarithms: a power of N and of D, and a factor per latent from `FROM` latents on, where the fixed cost of a step is
small. Memory is the peak allocation of torch during a step, beyond that before the step, from torch's profiler.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no messages of the profiler; read when torch is imported
import torch
from torch import Tensor
from torch.distributions import Bernoulli

from ancestral.core.random import seeded_noise
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve
from ancestral.reports.html import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = {"M": 12, "N": 128, "D": 784}
NAIVE_NUMBERS = 1 << 25  # maximum size of the largest array of the naive sum
FROM = 10
GRIDS = {"M": (4, 6, 8, 10, 12, 14, 16), "N": (32, 64, 128, 256), "D": (196, 392, 784, 1568)}
COMPONENTS = 20  # of the mixture
NAMES = {"mixture": "mixture", "naive": "naive sum", "ours": "shared sum"}
WAYS = tuple(NAMES)
Step = Callable[[], Tensor]


def naive_log_prob(model: SigmoidBeliefNet, x: Tensor) -> Tensor:
    """log p(x) by its definition, with logits for every image and state, as the coursework counts operations."""
    z = model.states.expand(len(x), -1, -1)
    log_p_x = Bernoulli(logits=torch.bmm(z, model.w.expand(len(x), -1, -1)) + model.c, validate_args=False)
    log_p_z = Bernoulli(logits=model.b, validate_args=False).log_prob(model.states).sum(1)
    return (log_p_z + log_p_x.log_prob(x[:, None]).sum(2)).logsumexp(1)


def steps_at(latents: int, images: int, pixels: int) -> dict[str, Step]:
    """One step of each method at one size; each returns log p of the images."""
    with seeded_noise(0):
        x = (torch.rand(images, pixels) < 0.2).float()
        net, mixture = SigmoidBeliefNet([pixels], latents), MixtureOfBernoullis([pixels], COMPONENTS)
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
    """Processor time of one step: the median over half a second of steps."""
    times: list[float] = []
    while not times or (sum(times) < 0.5 and len(times) < 50):
        begin = time.process_time()
        step()
        times.append(time.process_time() - begin)
    return 1e3 * statistics.median(times)


def peak_megabytes(step: Step) -> float:
    """Peak allocation of torch during a step, beyond that before the step, in MB."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    events: list[Any] = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return float(held.max()) / 1e6


def measure(latents: int, images: int, pixels: int, rounds: int, naive: bool) -> dict[str, Any]:
    """Times and memory of each method at one size, measured in turn."""
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
    return found


def measure_all(
    grids: Mapping[str, Sequence[int]],
    at: int,
    rounds: int = 1,
    most_naive: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Each method at each size: one of M, N and D varies over its grid, the others are as in `SIZE`.

    A size that is in several grids is measured once.

    Args:      at: M while N or D varies. most_naive: largest M at which the naive sum is measured.
               progress: called with (sizes done, total).
    """
    sizes = {along: [{**SIZE, "M": at, along: size} for size in grid] for along, grid in grids.items()}
    measured = {tuple(size.values()): {} for along in sizes.values() for size in along}
    for done, (latents, images, pixels) in enumerate(measured, 1):
        row = measure(latents, images, pixels, rounds, latents <= most_naive)
        measured[latents, images, pixels] = row
        if progress:
            progress(done, len(measured))
    return {along: [measured[tuple(size.values())] for size in some] for along, some in sizes.items()}


def times_faster(row: dict[str, Any]) -> list[float]:
    """Ratio of the times of the naive and the shared sum, in each round."""
    return [naive / ours for naive, ours in zip(row["naive"]["all_ms"], row["ours"]["all_ms"], strict=True)]


def counted_operations(way: str, latents: int, images: int, pixels: int) -> int:
    """Number of multiplications of a step in theory, without constant factors; the mixture has K = 20."""
    product, states = images * latents * pixels, 1 << latents
    return {
        "mixture": images * COMPONENTS * pixels,
        "naive": product * states,
        "ours": product + states * (pixels + images),
    }[way]


def growth(rows: list[dict[str, Any]], along: str, way: str, quantity: str) -> float | None:
    """Power of N or D, or factor per latent, by least squares in the logarithms; None for fewer than two sizes."""
    there = [row for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    return _slope(along, [row[along] for row in there], [row[way][quantity] for row in there])


def counted_growth(rows: list[dict[str, Any]], along: str, way: str) -> float | None:
    """The same fit to the theoretical numbers of operations at the same sizes."""
    there = [row for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    counts = [counted_operations(way, row["M"], row["N"], row["D"]) for row in there]
    return _slope(along, [row[along] for row in there], counts)


def _slope(along: str, sizes: Sequence[int], values: Sequence[float]) -> float | None:
    if len(sizes) < 2:
        return None
    x = np.array(sizes) if along == "M" else np.log(sizes)
    slope = float(np.polyfit(x, np.log(values), 1)[0])
    return float(np.exp(slope)) if along == "M" else slope


def cost_figure(series: dict[str, list[dict[str, Any]]]) -> Figure:
    """Time against M, N and D; the axes make a factor per latent, and a power of N or D, straight lines."""

    def curve(way: str, along: str) -> Curve:
        rows = [row for row in series[along] if way in row]
        return Curve(NAMES[way], [row[along] for row in rows], [row[way]["ms"] for row in rows])

    titles = {"M": "latents M", "N": "images N", "D": "pixels D"}
    panels = [
        Panel(
            title,
            [curve(way, along) for way in WAYS if any(way in row for row in series[along])],
            log_x=along != "M",
            log_y=True,
            ticks=[row[along] for row in series[along]],
        )
        for along, title in titles.items()
    ]
    return panel_figure(
        panels, plot_height=95.0, ylabel="milliseconds per step", title="belief net: time of a training step"
    )


def cost_table(series: dict[str, list[dict[str, Any]]]) -> Table:
    """Times of each method at each size; each size once."""
    sizes = {(row["M"], row["N"], row["D"]): row for rows in series.values() for row in rows}
    rows = [
        [*map(str, size), *(f"{row[way]['ms']:.2f}" if way in row else "–" for way in WAYS)]
        for size, row in sizes.items()
    ]
    rounds = len(next(iter(sizes.values()))["mixture"]["all_ms"])
    caption = f"Processor time of a step (value and gradient), median of {rounds} round{'s' * (rounds > 1)}."
    timed = {row["M"]: "naive" in row for row in sizes.values()}
    if not all(timed.values()):
        most = max((latents for latents, there in timed.items() if there), default=0)
        caption += f" The naive sum was not timed (–) beyond M = {most}: two more latents take over four times as long."
    header = ["M", "N", "D", *(f"{NAMES[way]}, ms" for way in WAYS)]
    return Table(header, rows, caption, numeric=set(range(6)))


def growth_table(series: dict[str, list[dict[str, Any]]]) -> Table:
    """Growth of the time of each method with M, N and D, and that of the theoretical number of operations."""
    forms = {"M": "× {:.2f}", "N": "N^{{{:.2f}}}", "D": "D^{{{:.2f}}}"}

    def cell(way: str, along: str) -> str:
        found, counted = growth(series[along], along, way, "ms"), counted_growth(series[along], along, way)
        return "–" if found is None else f"{forms[along].format(found)} ({counted:.2f})"

    rows = [[NAMES[way], *(cell(way, along) for along in forms)] for way in WAYS]
    return Table(
        ["method", f"per latent, from {FROM} on", "with N", "with D"],
        rows,
        "Growth of the time with each size. In brackets: growth of the number of operations at the same sizes, N K D "
        "for the mixture, N M D 2^M for the naive sum, N M D + 2^M (D + N) for the shared sum (–: fewer than two "
        "sizes).",
    )
