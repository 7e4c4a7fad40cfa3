"""Chapter: completions of every family beside the exact conditional distribution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.maths import mean_and_error
from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.masks import seen_pixels
from ancestral.evaluation.known_conditionals import energy_scores, pixel_calibration
from ancestral.families.circuit.model import Circuit
from ancestral.figures.grids import image_grid
from ancestral.models.base import Completes, Model, ScoresMissing
from ancestral.reports.html import Figure, Table
from ancestral.runs.run import Run
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.truth.divergences import plus_minus
from ancestral.studies.truth.measure import test_images, truth
from ancestral.studies.workshop import Workshop

HIDDEN = {"bottom": "the bottom half", "random": "half of the pixels, at random"}
TRUTH = "the true conditional"
PICTURED = 6
CALIBRATION = (
    "Calibration error: mean gap of predicted and true probabilities of hidden pixels, over ten bins; with few "
    "completions it is above 0 even for the truth. Distance: root of the mean squared difference of the two "
    "probabilities of a pixel, without the noise of few completions. "
)


def measured(workshop: Workshop, hide: str) -> dict[str, Any]:
    """For each model and for the truth: calibration, energy scores, log-probability of the hidden part, mean images."""
    count, draws = workshop.size(16, 2), workshop.size(10, 2)

    def compute() -> dict[str, Any]:
        x, _ = test_images(workshop, count)
        generator = torch.Generator().manual_seed(seed_for("truth", hide))
        seen = seen_pixels(hide, count, x.shape[1:], generator=generator)
        model = truth(workshop)
        exact = model.pixel_probs(x.double(), seen)[..., 1] if isinstance(model, Circuit) else None
        found: dict[str, Any] = {"pictures": {"seen": _listed(torch.where(seen, x, 0.5))}}
        found["pictures"]["x"] = _listed(x)
        able = {name: run for name, run in workshop.runs.items() if isinstance(run.load(), Completes)}
        with workshop.progress.counter_for(f"completing: {HIDDEN[hide]}") as progress:
            for done, (name, run) in enumerate([(TRUTH, None), *able.items()], 1):
                drawn = completed(run, model, x, seen, draws)
                found[name] = {
                    "calibration": None if exact is None else _calibration(drawn.mean(0), exact, seen, draws),
                    "energy": energy_scores(drawn, x).tolist(),
                    "log_prob": hidden_log_probs(run.load() if run else model, x, seen),
                }
                found["pictures"][name] = _listed(drawn.mean(0) if run or exact is None else exact)
                progress(done, 1 + len(able))
        return found

    return workshop.remember(f"completions {hide}", compute, count=count, draws=draws)


def _calibration(mean: Tensor, exact: Tensor, seen: Tensor, draws: int) -> list[float]:
    """Calibration error and distance of the mean of some completions from the exact probabilities of hidden pixels."""
    found = pixel_calibration(mean[~seen].double(), exact[~seen], draws)
    return [found.error, found.distance]


def _listed(images: Tensor) -> list[Any]:
    return (images[:PICTURED].double() * 1000).round().div(1000).tolist()


def completed(run: Run | None, model: Model, x: Tensor, seen: Tensor, draws: int) -> Tensor:
    """Binary completions of images, shape (K, N, ...), of a run; or of the truth, if the run is None."""
    network = model if run is None else run.load()
    assert isinstance(network, Completes)
    rows = [one.repeat_interleave(draws, 0) for one in (x.to(network.dtype), seen)]  # type: ignore[attr-defined]
    with seeded_noise(seed_for("truth", "complete")), torch.no_grad():
        drawn = network.complete(*rows)
    if run is not None:
        drawn = run.data.space.to_unit(drawn.float())
    binary = (drawn.float() > 0.5).float().unflatten(0, (len(x), draws)).transpose(0, 1)
    return torch.where(seen, x, binary)


def hidden_log_probs(model: Model, x: Tensor, seen: Tensor) -> list[float] | None:
    """log q(hidden | seen) of the true hidden pixels, shape (N,); None if the model cannot compute it."""
    if not isinstance(model, ScoresMissing):
        return None
    try:
        with torch.no_grad():
            return model.log_prob_missing(x.to(model.dtype), seen).double().tolist()
    except NotComputable:  # hidden pixels come before visible ones in its order
        return None


def completions(workshop: Workshop) -> ChapterContent:
    tables, figures = [], []
    any_mask = isinstance(truth(workshop), Circuit)
    for hide in HIDDEN if any_mask else ["bottom"]:
        found = measured(workshop, hide)
        names = [name for name in found if name != "pictures"]
        best = torch.tensor(found[TRUTH]["energy"], dtype=torch.float64)
        rows = []
        for name in sorted(names, key=lambda one: (found[one]["calibration"] or [0])[-1]):
            energy = torch.tensor(found[name]["energy"], dtype=torch.float64)
            rows.append(
                [
                    workshop.titles.get(name, name),
                    *(f"{value:.3f}" for value in found[name]["calibration"] or ()),
                    plus_minus(*mean_and_error(energy)),
                    "\N{EN DASH}" if name == TRUTH else plus_minus(*mean_and_error(energy - best)),
                    _lost(found, name),
                ]
            )
        first = (
            f"{len(best)} test images, {workshop.size(10, 2)} completions of each. {CALIBRATION if any_mask else ''}"
            "Energy score: lower is better. KL: the mean of "
            "log p(hidden | seen) \N{MINUS SIGN} log q(hidden | seen), exact (any-order model: in raster order); "
            "\N{EN DASH}: not computable."
        )
        tables.append(
            Table(
                [
                    "completions by",
                    *(["calibration error", "distance"] if any_mask else []),
                    "energy score",
                    "above the truth",
                    "KL, nats",
                ],
                rows,
                f"Hidden: {HIDDEN[hide]}. " + (first if not tables else "Columns as above."),
                numeric={1, 2, 3, 4, 5} if any_mask else {1, 2, 3},
            )
        )
        figures.append(_pictured(workshop, found, hide))
    text = (
        "Every family completes images, exactly or approximately. The true distribution of the hidden pixels given the "
        f"seen ones is known {'for any mask' if any_mask else 'for a bottom half'}, so a completion is compared with "
        "the right distribution, not only with the one hidden part that happened to occur. "
    )
    if any_mask:
        text += "The row `truth, exact` of each figure is the answer that no model can improve."
    else:
        text += (
            "Other masks and calibration are left out: a PixelCNN can compute neither the probability of a hidden "
            "pixel alone nor that of pixels before visible ones."
        )
    return ChapterContent(text, tables, figures)


def _lost(found: dict[str, Any], name: str) -> str:
    """Mean of log p(hidden | seen) - log q(hidden | seen), as text."""
    values = found[name]["log_prob"]
    if values is None or name == TRUTH:
        return "\N{EN DASH}"
    return plus_minus(*mean_and_error(torch.tensor(found[TRUTH]["log_prob"]) - torch.tensor(values)))


def _pictured(workshop: Workshop, found: dict[str, Any], hide: str) -> Figure:
    pictures = found["pictures"]
    order = ["x", "seen", TRUTH, *(name for name in pictures if name in workshop.titles)]
    exact = found[TRUTH]["calibration"] is not None
    words = {"x": "image", "seen": "seen part", TRUTH: "truth, exact" if exact else "truth, sampled"} | workshop.titles
    count = len(pictures["x"])
    drawn = image_grid(
        torch.cat([torch.tensor(pictures[name]) for name in order]),
        columns=count,
        row_titles=[words[name] for name in order],
        title=f"Probability of each pixel; hidden: {HIDDEN[hide]}",
    )
    caption = (
        "Rows: the image, its seen part (hidden pixels are grey), "
        f"{'the exact conditional probability of each pixel' if exact else 'completions by the truth'}, and "
        f"the mean of {workshop.size(10, 2)} completions of each model."
    )
    return workshop.figure(f"completions-{hide}", drawn, caption, of=[name for name in order if name in workshop.runs])
