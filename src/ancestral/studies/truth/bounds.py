"""Chapters: how far bounds are from exact values, and how often 95 % intervals cover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral.core.maths import mean_and_error
from ancestral.evaluation.annealing import Annealing, ais
from ancestral.evaluation.known_truth import divergence, interval_coverage
from ancestral.evaluation.likelihood import elbo, importance_weighted
from ancestral.families.belief_net.exact import all_states
from ancestral.figures.scatter import Cloud, scatter_panels
from ancestral.models.base import LatentModel
from ancestral.reports.html import Table
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.truth.divergences import plus_minus
from ancestral.studies.truth.measure import on_test
from ancestral.studies.workshop import Workshop

EXACT, ANNEALED = "exact", "AIS"
SIZES = (20, 100)
Values = Mapping[str, Tensor]


@torch.no_grad()
def summed_over_states(model: LatentModel, x: Tensor) -> Tensor:
    """log q(x) = log sum_z q(x, z) over all states of a few binary latents, exact, shape (B,), nats."""
    latents = model.prior().sample().shape[-1]
    states = all_states(latents).to(model.dtype)
    return torch.cat(
        [model.log_joint(some, states[:, None].expand(-1, len(some), -1)).logsumexp(0) for some in x.split(50)]
    )


def values_of(workshop: Workshop, name: str) -> dict[str, Tensor]:
    """For the first test images: bounds on log q(x) of a model by method, and the exact value where it is known."""
    count = workshop.size(100, 5)
    samples = (10, 100, 1000) if not workshop.quick else (5, 20)
    plan = Annealing(workshop.size(200, 4), workshop.size(4, 2), 2)
    run = workshop.runs[name]
    annealed = name == "vae"

    def compute() -> dict[str, Any]:
        model, images = run.load(), run.data.held("test", count)
        assert isinstance(model, LatentModel)
        found = {"ELBO": elbo(model, images).tolist()}
        for k in samples:
            found[f"IWAE_{k}"] = importance_weighted(model, images, k).tolist()
        if annealed:
            with workshop.progress.counter_for("annealed importance sampling") as progress:
                done = [0]

                def advance(more: int) -> None:
                    done[0] += more
                    progress(done[0], count * plan.moves())

                found[ANNEALED] = ais(model, images, plan, progress=advance).lower.tolist()
        else:
            found[EXACT] = summed_over_states(model, images.first(count).to(model.dtype)).tolist()
        return found

    kept = workshop.remember(f"bounds {name}", compute, count=count, samples=samples, plan=vars(plan))
    return {method: torch.tensor(values, dtype=torch.float64) for method, values in kept.items()}


def bounds(workshop: Workshop) -> ChapterContent:
    log_p, rows, panels = on_test(workshop).log_p, [], []
    gaps: dict[str, tuple[float, float]] = {}
    for name, best in (("helmholtz", EXACT), ("vae", ANNEALED)):
        found = values_of(workshop, name)
        reference, title = found[best], workshop.titles[name]
        for method, values in found.items():
            one = divergence(log_p[: len(values)], values)
            below = mean_and_error(reference - values)
            gaps[f"{name} {method}"] = below
            rows.append(
                [
                    title,
                    method,
                    plus_minus(*mean_and_error(values)),
                    ("" if method == EXACT else "at most ") + plus_minus(one.nats, one.stderr),
                    "\N{EN DASH}" if method == best else plus_minus(*below),
                ]
            )
        shown = [method for method in found if method != best]
        own = log_p[: len(reference)]
        clouds = [Cloud(_legend(method), own, found[method] - reference) for method in (shown[0], shown[-1])]
        panels.append((f"{title}: minus {'the exact value' if best == EXACT else 'AIS'}", clouds))
    count = len(values_of(workshop, "vae")["ELBO"])
    table = Table(
        ["model q", "method", "mean, nats", "KL(p || q), nats", "below the last row of the model, nats"],
        rows,
        f"The first {count:,} test images. ELBO: one sample of z per image; IWAE_k: k; AIS: annealed importance "
        "sampling, a lower bound in expectation, the best known for the VAE; exact: the sum over all states of z. "
        "A loose bound on log q(x) makes a model look farther from the truth than it is.",
        numeric={2, 3, 4},
    )
    figure = scatter_panels(
        panels,
        columns=2,
        line="zero",
        xlabel="true log p(x), nats",
        ylabel="bound minus exact value, or minus AIS, nats",
        title="Bounds, image by image",
        note="Line: 0. A point below the line is an image whose bound is loose. A random bound can be above it.",
    )
    caption = (
        "One point for each image and method: the ELBO from one sample of z, and the bound with the most samples. "
        "Vertical: the bound minus the exact value (left) or minus annealed importance sampling (right)."
    )
    return ChapterContent(
        _bounds_in_words(workshop, gaps), [table], [workshop.figure("bounds", figure, caption, of=["helmholtz", "vae"])]
    )


def _legend(method: str) -> str:
    return method if method == "ELBO" else "IWAE, most samples"


def _bounds_in_words(workshop: Workshop, gaps: Mapping[str, tuple[float, float]]) -> str:
    most = [key for key in gaps if key.startswith("helmholtz IWAE")][-1]
    return (
        f"The {workshop.titles['helmholtz']} is scored by bounds, as in practice, and exactly, because its "
        f"few binary latents can be summed over. The ELBO is {plus_minus(*gaps['helmholtz ELBO'])} nats below the "
        f"exact value; {most.removeprefix('helmholtz ')} is {plus_minus(*gaps[most], 3)} nats below it. For the "
        f"{workshop.titles['vae']}, no exact value of log q(x) is known. Its ELBO is {plus_minus(*gaps['vae ELBO'])} "
        "nats below annealed importance sampling. In both cases the distance to the truth p is known, because log p(x) "
        "is: the column KL shows how much of a bad score is due to the bound."
    )


def covered(workshop: Workshop) -> ChapterContent:
    found = on_test(workshop)
    sizes = [size for size in SIZES if 5 * size <= len(found.log_p)]
    quantities: list[tuple[str, Tensor, Tensor | None]] = [("true log p(x)", found.log_p, None)]
    for name, log_q in found.log_q.items():
        quantities.append((f"log p(x) \N{MINUS SIGN} log q(x), {workshop.titles[name]}", found.log_p - log_q, None))
    rows, inside, total = [], 0, 0
    for label, values, exact in quantities:
        shares = [interval_coverage(values, size, exact) for size in sizes]
        inside += sum(one.interval[0] <= 0.95 <= one.interval[1] for one in shares)
        total += len(shares)
        rows.append([label, *(_share(one.value, one.interval, one.trials) for one in shares)])
    text = (
        "A score on n images has a standard error s; the interval mean ± 1.96 s should contain the true mean "
        "in 95 % of cases. The test images are divided into disjoint subsets, and each subset gives one interval. The "
        "table shows the share of intervals that contain the mean of all other images (with allowance for the error of "
        f"that mean). Of {total} shares, {inside} agree with 95 %: their own confidence interval contains it. "
        "Intervals from few images are slightly too short, because they use the normal distribution, not Student's."
    )
    bound_share, bound_interval, trials, size = _bound_coverage(workshop)
    text += (
        "\n\nAn interval of a bound does not cover the exact value: it states the error of sampling images, not the "
        f"distance of the bound. For the ELBO of the {workshop.titles['helmholtz']}, "
        f"{_share(bound_share, bound_interval, trials)} of the intervals from {size} images contain the exact mean of "
        "the other images."
    )
    table = Table(
        ["mean of", *(f"covered, n = {size}" for size in sizes)],
        rows,
        "Share of 95 % intervals that cover, with the 95 % interval of that share and the number of subsets.",
        numeric=set(range(1, len(sizes) + 1)),
    )
    return ChapterContent(text, [table])


def _bound_coverage(workshop: Workshop) -> tuple[float, tuple[float, float], int, int]:
    """Coverage of the exact mean by intervals of the ELBO, on all test images; and the size of the subsets."""
    run, count, size = workshop.runs["helmholtz"], len(on_test(workshop).log_p), SIZES[0]

    def compute() -> dict[str, Any]:
        model, images = run.load(), run.data.held("test", count)
        assert isinstance(model, LatentModel)
        exact = summed_over_states(model, images.first(count).to(model.dtype))
        return {"elbo": elbo(model, images).tolist(), "exact": exact.tolist()}

    kept = workshop.remember("coverage of a bound", compute, count=count)
    values, exact = (torch.tensor(kept[key], dtype=torch.float64) for key in ("elbo", "exact"))
    found = interval_coverage(values, size, exact)
    return found.value, found.interval, found.trials, size


def _share(value: float, interval: tuple[float, float], trials: int) -> str:
    return f"{value:.1%} ({interval[0]:.0%} to {interval[1]:.0%}; {trials})"
