"""`uva2018`, part 2: the sigmoid belief net, exactly, and what a step of it costs."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from ancestral.core.text import scientific
from ancestral.evaluation.score import Score
from ancestral.reports.html import Table
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.demonstrations import belief_net_cost
from ancestral.studies.demonstrations.belief_net_cost import times_faster
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.parts import listed, plural
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

STATES = (8, 12, 16)
NAMES = tuple(f"belief-{m}" for m in STATES)
SAME = 1e-4  # relative difference of two sums in 32 bits that should be equal


def nets(workshop: Workshop) -> ChapterContent:
    """Belief nets of several sizes beside the mixture."""
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
        "The likelihood is a sum over all 2^M states of Z, as in the mixture over its K: p(x) = Σ_z Π_m "
        "Bernoulli(z_m; sigmoid(b_m)) Π_d Bernoulli(x_d; sigmoid(c_d + Σ_m z_m w_{md})). It is carried out, so it "
        "is exact; but here parts combine, so that M D numbers make 2^M prototypes. "
        f"{_rising(scores)} {against_mixture(gaps, [_latents(workshop, name) for name in NAMES])}"
        + (
            ""
            if len(set(epochs)) == 1
            else f" They trained for {listed([str(n) for n in epochs])} epochs, for time, so that the comparison of "
            "their sizes is not at equal training."
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
        "Each net with more latents scores higher."
        if all(steps)
        else "More latents did not always score clearly higher."
    )


def against_mixture(gaps: list[Difference], latents: list[int]) -> str:
    """Which nets score clearly above the mixture and which do not. gaps: net less mixture, paired."""
    above = [str(m) for m, gap in zip(latents, gaps, strict=True) if gap.clear and gap.nats > 0]
    if len(above) == len(gaps):
        return f"All ({listed(above)} latents) score above the mixture."
    if not above:
        return "No net scores clearly above the mixture."
    return (
        f"Above the mixture, clearly, {'is that' if len(above) == 1 else 'are those'} of {listed(above)} latents only."
    )


def _latents(workshop: Workshop, name: str) -> int:
    return workshop.runs[name].settings.model.latents[0]  # type: ignore[attr-defined]


def _sizes(workshop: Workshop, gaps: list[Difference]) -> Table:
    """What each model has, and how far it lies above the mixture."""
    rows = []
    for name, gap in zip([*NAMES, "mixture"], [*gaps, None], strict=True):
        run = workshop.runs[name]
        states = 1 << _latents(workshop, name) if gap else run.settings.model.components  # type: ignore[attr-defined]
        parameters = sum(parameter.numel() for parameter in run.load().parameters())
        above = f"{gap.nats:+.2f} ± {gap.stderr:.2f}" if gap else "–"
        rows.append([workshop.titles[name], f"{states:,}", f"{parameters:,}", str(run.outcome["epochs"]), above])
    header = ["model", "states of Z", "parameters", "epochs", "above the mixture"]
    caption = f"Sizes, and the difference to the mixture in nats, image by image on {gaps[0].count:,} test images."
    return Table(header, rows, caption, numeric={1, 2, 3, 4})


def cost(workshop: Workshop) -> ChapterContent:
    """Time of a step, by M, N and D, beside the naive sum and the mixture."""
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
        "Time of a step against each size. Times are on a logarithmic axis, N and D too: a factor per latent and a "
        "power of N or D are straight lines.",
    )
    checks = [
        ReferenceCheck(
            "belief net: shared sum and naive sum, log p(x)",
            f"equal, to {scientific(SAME, 0)} of it (32 bits)",
            f"differ by {scientific(difference)} of it at most",
            difference <= SAME,
            "One of the two sums is wrong.",
            source=AN_IDENTITY,
        ),
        ReferenceCheck(
            f"belief net: shared sum at M = {shared['M']}",
            "faster than the naive sum",
            f"{statistics.median(faster):.0f} times",
            min(faster) > 1,
            "The machine was busy, or the sizes too small.",
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
    """A step at one size, timed in several rounds. difference: the largest relative one of log p(x) found."""
    faster = times_faster(row)
    slower = row["ours"]["ms"] / row["mixture"]["ms"]
    return (
        "The coursework counts N M D 2^M operations a step for the belief net and N K D for the mixture. With a_z = "
        "Σ_d log(1 + exp(c_d + Σ_m z_m w_{md})), log p(x | z) = Σ_d x_d c_d + Σ_m z_m (w x)_m − a_z: the term "
        "a_z does not depend on the image and is shared by the batch. That leaves one matrix product w x for all "
        f"images, N M D, and a sum over states, 2^M (D + N). At M = {row['M']}, N = {row['N']}, D = {row['D']} a step "
        f"takes {row['ours']['ms']:.1f} ms and the naive sum {row['naive']['ms']:,.0f} ms: "
        f"{statistics.median(faster):.0f} times less (median of {plural(len(faster), 'round')}; {min(faster):.0f} to "
        f"{max(faster):.0f}), for the same log-probabilities (relative difference at most {scientific(difference, 0)} "
        f"at any size). The mixture's step takes {row['mixture']['ms']:.2f} ms, "
        + (f"{slower:.1f} times less than the belief net's." if slower > 1 else f"{1 / slower:.1f} times as long.")
        + " Growth that stays below the count means that costs which do not grow still have their share."
    )
