"""The catalogue of drawings: every picture that can be drawn of a run, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.text import close_matches
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.families.family import Drawing, Subject
from ancestral.figures.style import save_figure
from ancestral.models.base import Model
from ancestral.reports.pictures.completion import completions
from ancestral.reports.pictures.density import deformation, density
from ancestral.reports.pictures.detection import frankenstein_sheet
from ancestral.reports.pictures.explanation import split, surprise
from ancestral.reports.pictures.latents import (
    interpolations,
    latents,
    manifold,
    posterior,
    reconstructions,
    traversals,
    walks,
)
from ancestral.reports.pictures.samples import neighbours, samples, steps
from ancestral.reports.pictures.training import curves
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWINGS = (
    Drawing(
        "samples",
        "Draws from the model: the first ones, not cherry-picked.",
        samples,
    ),
    Drawing(
        "reconstructions",
        "Test images above, their reconstructions from the latents beneath.",
        reconstructions,
    ),
    Drawing(
        "interpolations",
        "Straight lines in the latent space between the codes of two test images (the ends of each row).",
        interpolations,
    ),
    Drawing(
        "walks",
        "From one draw of the latents to another, in straight lines and, beneath each, along the great arc "
        "between the same ends, which keeps to latents as long as those the model was trained on.",
        walks,
    ),
    Drawing(
        "manifold",
        "The decoder's mean over the plane of the two latents, at percentiles of the standard normal.",
        manifold,
    ),
    Drawing(
        "steps",
        "Images generated step by step: each pixel given those before it. Grey pixels are not drawn yet.",
        steps,
    ),
    Drawing(
        "curves",
        "Learning curves.",
        curves,
    ),
    Drawing(
        "density",
        "The density the points were drawn from, the one learned, and where the model starts from, in one "
        "colour scale; and draws from the model.",
        density,
    ),
    Drawing(
        "deformation",
        "Above, lines of equal coordinates in the latent plane and where they lie among the data: where they "
        "crowd, density is raised. Beneath, lines among the data and where they lie in the latent plane: "
        "where they crowd, the data's density is low.",
        deformation,
    ),
    Drawing(
        "completions",
        "Test images with one half hidden, and draws of it from the model given the other half. The true half "
        "is one of many that fit.",
        completions,
    ),
    Drawing(
        "latents",
        "Codes of test images in the latent space, by class. More than two latents are shown along the two "
        "directions in which codes vary most, with the share of the variance there.",
        latents,
    ),
    Drawing(
        "posterior",
        "Test images beside the exact probability of each component or latent given them, and the mean of "
        "that over the images of each class.",
        posterior,
    ),
    Drawing(
        "traversals",
        "What each latent does: it moves, the others stay where they are.",
        traversals,
    ),
    Drawing(
        "neighbours",
        "Draws from the model above, the training image nearest to each (by distance of pixels) beneath: a "
        "model that memorises would show the same image twice.",
        neighbours,
    ),
    Drawing(
        "frankenstein",
        "Test images, not cherry-picked, and images made of the left half of one and the right half of "
        "another of a different class, with the log-probability of each: a good model finds these less "
        "probable.",
        frankenstein_sheet,
    ),
    Drawing(
        "surprise",
        "How surprising each pixel of an image is given those before it. At the seam of a Frankenstein image "
        "the right half comes as a surprise.",
        surprise,
    ),
    Drawing(
        "split",
        "The terms of the score of test images, beside that of images made of halves of different classes; "
        "where latents have a divergence each, how much each takes.",
        split,
    ),
)
"""Drawings that ask for kinds and abilities only; each takes a run, and `count` and `seed` by keyword."""


def drawings_of(run: Run) -> dict[str, Drawing]:
    """All drawings that exist for a run's family, by name: the general ones and the family's own.

    Whether a drawing can be made of this model is known once it is tried.
    """
    own = find(run.settings.family).code("drawings")
    taken = {drawing.name for drawing in DRAWINGS} & {drawing.name for drawing in own}
    if taken:
        raise InputError(
            f"the family {run.settings.family} has a drawing {min(taken)}, a name that is taken: rename it"
        )
    return {drawing.name: drawing for drawing in (*DRAWINGS, *own)}


def draw(run: Run, name: str, **options: Any) -> Figure:
    """Draw one picture of a run.

    Args:      name: of the drawing. options: count, seed and others that the drawing takes.
    Raises:    InputError: there is no such drawing. NotComputable: this model has no such picture.
    """
    known = drawings_of(run)
    if name not in known:
        raise _unknown(name, run.settings.family, list(known))
    drawing = known[name]
    if drawing in DRAWINGS:
        return drawing.draw(run, **options)
    model = run.load()
    if not all(isinstance(model, need) for need in drawing.needs):
        needed = " and ".join(need.__name__ for need in drawing.needs)
        raise NotComputable(f"the drawing {name} needs a model that is {needed}; a {type(model).__name__} is not")
    try:
        figure = drawing.draw(subject_of(run), options.get("count"), options.get("seed", 0))
    except InputError:
        raise
    except Exception as error:  # a plug-in's drawing may fail in any way
        raise InputError(f"the drawing {name} of the family {run.settings.family} failed: {error}") from error
    if not hasattr(figure, "savefig"):
        raise InputError(f"the drawing {name} of the family {run.settings.family} returns no matplotlib figure")
    return figure


def subject_of(run: Run) -> Subject:
    """What the family's own drawings take of a run."""
    return Subject(run.load(), run.data, run.settings.model, run.settings.training)


def _unknown(name: str, family: str, known: list[str]) -> InputError:
    having = [other for other in BUILT_IN if any(drawing.name == name for drawing in find(other).code("drawings"))]
    if having:
        return NotComputable(f"only a {' or a '.join(having)} has the drawing {name}; this is a {family}")
    return InputError(f"unknown drawing {name!r} of a {family}: {close_matches(name, known)}")


def draw_all(run: Run) -> dict[str, Path]:
    """Draw everything this model can draw into the run's `figures`; returns name and file of each."""
    drawn: dict[str, Path] = {}
    for name, drawing in drawings_of(run).items():
        if drawing.on_request:
            continue
        try:
            figure = draw(run, name)
        except InputError:  # this family has no such picture, or there are too few images for it
            continue
        drawn[name] = run.figures / f"{name}.png"
        save_figure(figure, drawn[name])
    return drawn


def caption_of(run: Run, name: str) -> str:
    """What one of the drawings of a run shows, and what has to be known of its numbers or pixels."""
    caption = drawings_of(run)[name].caption
    if name == "samples":
        whole = type(run.load()).sample_mean is Model.sample_mean
        noise = "Whole draws, pixels included." if whole else "The pixels are not drawn: each shows its mean."
        return f"{caption} {noise}"
    return f"{caption} {_read_on(run)}" if name == "curves" else caption


def _read_on(run: Run) -> str:
    """Which images the values of learning curves are of."""
    training, noun = run.settings.training, run.data.space.noun
    some = f"the first {training.watch_size:,}" if training.watch_size else "all"
    minibatches = "Training values are means over the minibatches as they were used"
    read = [f"Training values are of {some} training {noun}" if "train" in training.watch else minibatches]
    read += [f"test values of {some} test {noun}"] if "test" in training.watch else []
    return ", ".join(read) + "."
