"""`uva2018`, part 2: the sigmoid belief net with its exact likelihood, and the cost of a training step."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from ancestral.core.text import plural, scientific
from ancestral.evaluation.score import Score
from ancestral.reports.html import Table
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.demonstrations import belief_net_cost
from ancestral.studies.demonstrations.belief_net_cost import times_faster
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.parts import listed
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

STATES = (8, 12, 16)
NAMES = tuple(f"belief-{m}" for m in STATES)
SAME = 1e-4  # allowed relative difference of two 32-bit sums that should be equal


def nets(workshop: Workshop) -> ChapterContent:
    """Belief nets of several sizes, compared with the mixture."""
    count = workshop.size(10_000, 200)
    mixture = workshop.runs["mixture"]
    found = workshop.remember(
        "belief-against-mixture",
        lambda: [asdict(paired_difference(workshop.runs[name], mixture, 0, count)) for name in NAMES],
        count=count,
    )
    gaps = [Difference(**record) for record in found]
    scores = [workshop.score(name) for name in NAMES]
    epochs = [workshop.runs[name].outcome["epochs"] for name in NAMES]
    text = (
        "The tables compare belief nets of three sizes with the mixture; the figures show samples and curves of the "
        "largest net. The likelihood is a sum over all 2^M states of Z: p(x) = Σ_z Π_m Bernoulli(z_m; sigmoid(b_m)) "
        "Π_d Bernoulli(x_d; sigmoid(c_d + Σ_m z_m w_{md})). The code computes the whole sum: the likelihood is exact. "
        "The mixture has K prototypes, with D numbers each. In the belief net, M D weights define 2^M prototypes, "
        f"because each latent adds its part. {_rising(scores)} "
        f"{against_mixture(gaps, [_latents(workshop, name) for name in NAMES])}"
        + (
            ""
            if len(set(epochs)) == 1
            else f" To save time, they were trained for {listed([str(n) for n in epochs])} epochs, so sizes are not "
            "compared after equal training."
        )
    )
    named = [(workshop.titles[name], score) for name, score in zip(NAMES, scores, strict=True)]
    named.append((workshop.titles["mixture"], workshop.score("mixture")))
    return ChapterContent(
        text,
        [_sizes(workshop, gaps), score_table(named, SCORE_CAPTION)],
        [workshop.draw(NAMES[-1], "samples"), workshop.draw(NAMES[-1], "curves")],
    )


def _rising(scores: list[Score]) -> str:
    steps = [b.nats - a.nats > 3 * math.hypot(a.stderr, b.stderr) for a, b in pairwise(scores)]
    return (
        "Scores increase with the number of latents."
        if all(steps)
        else "Scores do not always increase clearly with the number of latents."
    )


def against_mixture(gaps: list[Difference], latents: list[int]) -> str:
    """Which nets score clearly above the mixture, as a sentence. gaps: net minus mixture, paired."""
    above = [str(m) for m, gap in zip(latents, gaps, strict=True) if gap.clear and gap.nats > 0]
    if len(above) == len(gaps):
        return f"All nets ({listed(above)} latents) score clearly above the mixture."
    if not above:
        return "No net scores clearly above the mixture."
    return (
        f"Only the net{'s' * (len(above) > 1)} with {listed(above)} latents score{'s' * (len(above) == 1)} clearly "
        "above the mixture."
    )


def _latents(workshop: Workshop, name: str) -> int:
    return workshop.runs[name].settings.model.latents[0]  # type: ignore[attr-defined]


def _sizes(workshop: Workshop, gaps: list[Difference]) -> Table:
    """Sizes of the models, and their differences from the mixture."""
    rows = []
    for name, gap in zip([*NAMES, "mixture"], [*gaps, None], strict=True):
        run = workshop.runs[name]
        states = 1 << _latents(workshop, name) if gap else run.settings.model.components  # type: ignore[attr-defined]
        parameters = sum(parameter.numel() for parameter in run.load().parameters())
        above = f"{gap.nats:+.2f} ± {gap.stderr:.2f}" if gap else "–"
        rows.append([workshop.titles[name], f"{states:,}", f"{parameters:,}", str(run.outcome["epochs"]), above])
    header = ["model", "states of Z", "parameters", "epochs", "minus mixture, nats"]
    caption = (
        "Sizes of the models, and the mean paired difference (net minus mixture) of log p(x) on "
        f"{gaps[0].count:,} test images, ± standard error."
    )
    return Table(header, rows, caption, numeric={1, 2, 3, 4})


def cost(workshop: Workshop) -> ChapterContent:
    """Time of a training step by M, N and D, compared with the naive sum and the mixture."""
    grids = {"M": (4, 6), "N": (32, 64), "D": (196, 392)} if workshop.quick else belief_net_cost.GRIDS
    at, rounds, most_naive = workshop.size(10, 4), workshop.size(3, 1), workshop.size(12, 6)

    def measured() -> dict[str, list[dict[str, Any]]]:
        with workshop.progress.counter_for("cost of a belief net") as progress:
            return belief_net_cost.measure_all(grids, at, rounds, most_naive, progress)

    rows = workshop.remember("belief-net-cost", measured, at=at, rounds=rounds, most_naive=most_naive)
    shared = next(row for row in rows["M"] if row["M"] == at)
    faster = times_faster(shared)
    difference = max(row["difference"] for some in rows.values() for row in some if "difference" in row)
    drawn = workshop.figure(
        "belief-net-cost",
        belief_net_cost.cost_figure(rows),
        "Time of a training step as a function of M, N and D. The axes of time, N and D are logarithmic, so that a "
        "constant factor per latent, or a power of N or D, is a straight line.",
        of=(),
    )
    checks = [
        ReferenceCheck(
            "belief net: shared sum and naive sum, log p(x)",
            f"relative difference at most {scientific(SAME, 0)} (32 bits)",
            f"at most {scientific(difference)}",
            difference <= SAME,
            "One of the two sums is wrong.",
            source=AN_IDENTITY,
        ),
        ReferenceCheck(
            f"belief net: shared sum at M = {shared['M']}",
            "faster than the naive sum",
            f"{statistics.median(faster):,.0f} times faster",
            min(faster) > 1,
            "The machine was busy, or the sizes were too small.",
            source=OURS,
        ),
    ]
    return ChapterContent(
        cost_in_words(shared, difference),
        [belief_net_cost.growth_table(rows), belief_net_cost.cost_table(rows)],
        [drawn],
        checks,
    )


def cost_in_words(row: dict[str, Any], difference: float) -> str:
    """The cost at one size, timed in several rounds, as sentences. difference: largest relative one of log p(x)."""
    faster = times_faster(row)
    slower = row["ours"]["ms"] / row["mixture"]["ms"]
    return (
        "The tables and the figure show the time of a training step. The coursework counts N M D 2^M operations per "
        "step for the belief net and N K D for the mixture. The package needs fewer. Let "
        "a_z = Σ_d log(1 + exp(c_d + Σ_m z_m w_{md})); then log p(x | z) = Σ_d x_d c_d + "
        "Σ_m z_m (w x)_m − a_z. The term a_z does not depend on the image, so it is computed once per batch. What "
        "remains is one matrix product w x for all images, N M D operations, and a sum over states, 2^M (D + N). At "
        f"M = {row['M']}, N = {row['N']}, D = {row['D']}, a step takes {row['ours']['ms']:.1f} ms and the naive sum "
        f"{row['naive']['ms']:,.0f} ms: {statistics.median(faster):,.0f} times faster (median of "
        f"{plural(len(faster), 'round')}; {min(faster):,.0f} to {max(faster):,.0f}). The log-probabilities agree "
        f"(relative difference at most {scientific(difference, 0)} at any size). A step of the mixture takes "
        f"{row['mixture']['ms']:.2f} ms: "
        + (
            f"{slower:.1f} times faster than the belief net."
            if slower > 1
            else f"{1 / slower:.1f} times slower than the belief net."
        )
        + " Where measured times grow more slowly than the counts, fixed costs are still a large part of the time."
    )
