"""What a training step of the sigmoid belief net costs, beside the naive sum over states and the mixture.

A step is the value and the gradient of the mean log-likelihood of N binary images of D pixels, exact each time:

    mixture    MixtureOfBernoullis, 20 components: the coursework counts O(N K D)
    naive      logits and Bernoulli log-probabilities for each state and image: O(N M D 2^M). Fed a few images at a
               time, since it would otherwise need gigabytes; its memory is that of a few images
    ours       SigmoidBeliefNet: O(2^M (D + N)) and one matrix product

They take turns at every size. Times are the process's own, which other work on the machine hardly changes (with one
thread on an idle machine it is the time by the clock); growth is fitted in the logarithms (a power of N and of D; a
factor per latent, from `FROM` latents on, where the fixed cost of a step no longer matters); memory is the peak of
what torch's allocator had handed out during a step beyond what was there before, read from torch's profiler.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler, silent; it reads this when torch is loaded
import torch
from torch import Tensor
from torch.distributions import Bernoulli

from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.numerics import seeded_noise
from ancestral.report import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = {"M": 12, "N": 128, "D": 784}
NAIVE_NUMBERS = 1 << 25  # of the naive sum's largest array
FROM = 10
GRIDS = {"M": (4, 6, 8, 10, 12, 14, 16), "N": (32, 64, 128, 256), "D": (196, 392, 784, 1568)}
WAYS = ("mixture", "naive", "ours")
Step = Callable[[], Tensor]


def naive_log_prob(model: SigmoidBeliefNet, x: Tensor) -> Tensor:
    """log p(x) as the definition says it, with logits for every image and state, as the coursework counts them."""
    z = model.states.expand(len(x), -1, -1)
    log_p_x = Bernoulli(logits=torch.bmm(z, model.w.expand(len(x), -1, -1)) + model.c, validate_args=False)
    log_p_z = Bernoulli(logits=model.b, validate_args=False).log_prob(model.states).sum(1)
    return (log_p_z + log_p_x.log_prob(x[:, None]).sum(2)).logsumexp(1)


def steps_at(latents: int, images: int, pixels: int) -> dict[str, Step]:
    """One step of each way at one size; each returns log p of the images."""
    with seeded_noise(0):
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
    return found


def measure_all(
    grids: Mapping[str, Sequence[int]],
    at: int,
    rounds: int = 1,
    most_naive: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Every way at every size: M, N and D each vary over their grid while the others are as in `SIZE`.

    Args:      at: M where N and D vary. most_naive: M up to which the naive sum takes part.
               progress: called with (sizes done, in all).
    """
    middle, done = {**SIZE, "M": at}, 0
    rows: dict[str, list[dict[str, Any]]] = {along: [] for along in grids}
    for along, grid in grids.items():
        for size in grid:
            here = {**middle, along: size}
            rows[along].append(measure(here["M"], here["N"], here["D"], rounds, here["M"] <= most_naive))
            done += 1
            if progress:
                progress(done, sum(map(len, grids.values())))
    return rows


def growth(rows: list[dict[str, Any]], along: str, way: str, quantity: str) -> float | None:
    """Power of N or D, or factor per latent, by least squares in the logarithms; None with fewer than two sizes."""
    sizes = [row[along] for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    values = [row[way][quantity] for row in rows if way in row and (along != "M" or row[along] >= FROM)]
    if len(sizes) < 2:
        return None
    x = np.array(sizes) if along == "M" else np.log(sizes)
    slope = float(np.polyfit(x, np.log(values), 1)[0])
    return float(np.exp(slope)) if along == "M" else slope


def cost_figure(series: dict[str, list[dict[str, Any]]]) -> Figure:
    """Time against each size, logarithms on both axes, so that a power is a straight line."""

    def curve(way: str, along: str) -> Curve:
        rows = [row for row in series[along] if way in row]
        sizes = [row[along] if along == "M" else np.log2(row[along]) for row in rows]
        return Curve(way, sizes, [np.log10(row[way]["ms"]) for row in rows])

    titles = {"M": "latents M", "N": "log2 of images N", "D": "log2 of pixels D"}
    panels = [(title, [curve(way, along) for way in WAYS]) for along, title in titles.items()]
    return small_multiples(
        panels, xlabel="size", ylabel="log10 of milliseconds", title="cost of a training step", ylim=None
    )


def cost_table(series: dict[str, list[dict[str, Any]]]) -> Table:
    """Times of every way at every size."""
    rows = [
        [*(str(row[key]) for key in "MND"), *(f"{row[way]['ms']:.2f}" if way in row else "" for way in WAYS)]
        for one in series.values()
        for row in one
    ]
    header = ["M", "N", "D", *(f"{way}, ms" for way in WAYS)]
    return Table(header, rows, "Value and gradient, processor time; the naive sum up to where it takes seconds.",
                 numeric=set(range(6)))  # fmt: skip
