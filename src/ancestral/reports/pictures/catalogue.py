"""The catalogue of drawings: every picture that can be drawn of a run, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.core.arguments import refuse_other_type, refuse_unknown
from ancestral.core.errors import DataNotHere, InputError, NotComputable
from ancestral.core.text import close_matches, type_in_words, with_article
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.families.family import Drawing, Subject, titled
from ancestral.families.hooks import FamilyError, calling
from ancestral.figures.style import save_figure
from ancestral.models.vectors import has_mean
from ancestral.reports.brevity import brief_in_words
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
from ancestral.runs.sample import is_conditional

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_OPTIONS = ("count", "seed")  # of a family's own drawings
TRIED = 3  # images, rows or lines that suffice to see whether a drawing can be made
DRAWINGS = (
    Drawing(
        "samples",
        "Samples of the model: the first ones, not cherry-picked.",
        samples,
    ),
    Drawing(
        "reconstructions",
        "Test images, each above its reconstruction from the latents.",
        reconstructions,
    ),
    Drawing(
        "interpolations",
        "Each row: images decoded along a straight line in the latent space, between the codes of two test images.",
        interpolations,
    ),
    Drawing(
        "walks",
        "Images decoded between two samples of the latents: along a straight line, and below it along the great arc "
        "between the same ends. On the arc the latents have the length that occurs in training.",
        walks,
    ),
    Drawing(
        "manifold",
        "Mean images E[x|z] on a grid of the two latents, at percentiles of the standard normal distribution.",
        manifold,
    ),
    Drawing(
        "steps",
        "Images generated step by step: each pixel is sampled given those before it. Grey pixels are not sampled yet.",
        steps,
    ),
    Drawing(
        "curves",
        "Learning curves.",
        curves,
    ),
    Drawing(
        "density",
        "The true density, the learned density and the base density of the model, in one colour scale, and samples "
        "of the model.",
        density,
    ),
    Drawing(
        "deformation",
        "Above: lines of equal coordinates in the latent plane, and their images in the plane of the data. Where lines "
        "are close together, the model raises the density. Below: lines in the plane of the data, and their images in "
        "the latent plane. Where lines are close together, the density of the data is low.",
        deformation,
    ),
    Drawing(
        "completions",
        "Test images with one half hidden, and samples of that half from the model given the other half. Many "
        "different halves are possible; the true half is one of them.",
        completions,
    ),
    Drawing(
        "latents",
        "Codes of test images in the latent space, coloured by class. With more than two latents, the axes are the two "
        "principal components, with their share of the variance.",
        latents,
    ),
    Drawing(
        "posterior",
        "Test images with the exact posterior probability of each component or latent, and the mean of these "
        "probabilities over the images of each class.",
        posterior,
    ),
    Drawing(
        "traversals",
        "Images decoded while one latent changes and the others are constant, a row for each latent.",
        traversals,
    ),
    Drawing(
        "neighbours",
        "Samples of the model, each above the nearest training image (by pixel distance). For a model that memorises "
        "training images, both would be the same.",
        neighbours,
    ),
    Drawing(
        "frankenstein",
        "Test images, not cherry-picked, and images made of the left half of one test image and the right half of "
        "another of a different class, with the log-probability of each. A good model assigns a lower probability "
        "to images made of two halves.",
        frankenstein_sheet,
    ),
    Drawing(
        "surprise",
        "-log p(pixel | pixels before it) for each pixel of an image. In images made of two halves, it is high where "
        "the right half begins.",
        surprise,
    ),
    Drawing(
        "split",
        "The terms of the score of test images, next to those of images made of halves of different classes. If each "
        "latent has a KL divergence of its own, these are shown, too.",
        split,
    ),
)
"""Drawings that ask for kinds and abilities only; each takes a run, and `count` and `seed` by keyword."""


def drawings_of(run: Run) -> dict[str, Drawing]:
    """All drawings that exist for a run's family, by name: the general ones and the family's own.

    Whether a drawing can be made of this model is known once it is tried.
    """
    return {drawing.name: drawing for drawing in (*DRAWINGS, *find(run.settings.family).code("drawings"))}


def draw(run: Run, name: str, **options: Any) -> Figure:
    """Draw one picture of a run.

    Args:      name: of the drawing. options: count and seed.
    Raises:    InputError: there is no such drawing or option, or the code of a plug-in failed. NotComputable: this
               model has no such picture.
    """
    known, family = drawings_of(run), run.settings.family
    if name not in known:
        raise _unknown(str(name), family, list(known))
    drawing = known[name]
    general = drawing in DRAWINGS
    _refuse_options(name, options, list(inspect.signature(drawing.draw).parameters)[1:] if general else OWN_OPTIONS)
    if general:
        with calling(family, f"code that the drawing {name} uses"):
            return drawing.draw(run, **options)
    model = run.load()
    if not all(isinstance(model, need) for need in drawing.needs):
        needed = " and ".join(need.__name__ for need in drawing.needs)
        raise NotComputable(f"the drawing {name} needs a model that is {needed}; {type_in_words(model)} is not")
    with calling(family, f"drawing {name}"):
        figure = drawing.draw(subject_of(run), options.get("count"), options.get("seed", 0))
    if not hasattr(figure, "savefig"):
        raise FamilyError(f"the drawing {name} of {titled(family)} returns no matplotlib figure")
    return figure


def _refuse_options(name: str, options: dict[str, Any], known: Collection[str]) -> None:
    """Raises:    InputError: an option that the drawing does not have, a value that is no whole number, or no count."""
    refuse_unknown(f"the drawing {name}", options, known)
    for option, value in options.items():
        refuse_other_type(f"the drawing {name}: {option}", value, int)
    if options.get("count", 1) < 1:
        raise InputError(f"the drawing {name}: count is {options['count']}: give a whole number of at least 1")


def subject_of(run: Run) -> Subject:
    """What the family's own drawings take of a run."""
    return Subject(run.load(), run.data, run.settings.model, run.settings.training)


def _unknown(name: str, family: str | None, known: list[str]) -> InputError:
    called = "a model of one's own" if family is None else with_article(family)
    having = [other for other in BUILT_IN if any(drawing.name == name for drawing in find(other).code("drawings"))]
    if having:
        return NotComputable(f"only a {' or a '.join(having)} has the drawing {name}; this is {called}")
    return InputError(f"unknown drawing {name!r} of {called}: {close_matches(name, known)}")


def draw_all(run: Run, progress: Callable[[int, int], None] | None = None) -> tuple[dict[str, Path], list[str]]:
    """Draw everything this model can draw into the run's `figures`.

    A drawing that needs the data, where they are not at hand, stays as it was drawn before.

    Args:      progress: called with (drawings tried, drawings in all).
    Returns:   name and file of each drawing, and a line for each one that is missing because the code of a plug-in
               failed or the data are not at hand.
    """
    drawn: dict[str, Path] = {}
    failed: list[str] = []
    without_data: dict[str, list[str]] = {}
    tried = [name for name, drawing in drawings_of(run).items() if not drawing.on_request]
    for done, name in enumerate(tried):
        if progress:
            progress(done, len(tried))
        path = run.figures / f"{name}.png"
        try:
            figure = draw(run, name)
        except FamilyError as error:
            failed.append(str(error))
            path.unlink(missing_ok=True)  # of an earlier attempt, which the page would show later
            continue
        except DataNotHere as error:
            if path.exists():
                drawn[name] = path
            else:
                without_data.setdefault(str(error), []).append(name)
            continue
        except InputError:  # this family has no such picture, or there are too few images for it
            continue
        drawn[name] = path
        save_figure(figure, path)
    return drawn, [*failed, *(f"{', '.join(lacking)}; {reason}" for reason, lacking in without_data.items())]


def drawable(run: Run, progress: Callable[[int, int], None] | None = None) -> tuple[dict[str, Drawing], list[str]]:
    """The drawings that can be made of this run's model, which is known once each was tried, with few images.

    One that is drawn on request alone takes long: its needs are checked, and it is not tried.

    Args:      progress: called with (drawings tried, drawings in all).
    Returns:   the drawings by name, and a line for each one in which the code of a plug-in failed.
    """
    found: dict[str, Drawing] = {}
    failed: list[str] = []
    known, model = drawings_of(run), run.load()
    for number, (name, drawing) in enumerate(known.items()):
        try:
            if not drawing.on_request:
                draw(run, name, count=TRIED)
            if all(isinstance(model, need) for need in drawing.needs):
                found[name] = drawing
        except FamilyError as error:
            failed.append(str(error))
        except InputError:  # this family has no such picture, or there are too few images for it
            pass
        if progress is not None:
            progress(number + 1, len(known))
    return found, failed


def caption_of(run: Run, name: str) -> str:
    """What one of the drawings of a run shows, and what has to be known of its numbers or pixels."""
    caption = " ".join(filter(None, [drawings_of(run)[name].caption, brief_in_words(run)]))
    if name == "samples":
        model = run.load()
        whole = not has_mean(model)
        noise = "Pixels are sampled." if whole else "Mean images: pixels are not sampled, each shows its mean."
        of_class = run.data.space.noun == "images" and is_conditional(model)
        return f"{caption} {noise}" + (" Each row is of one class." if of_class else "")
    return f"{caption} {_read_on(run)}" if name == "curves" else caption


def _read_on(run: Run) -> str:
    """Which images the values of learning curves are of."""
    training, noun = run.settings.training, run.data.space.noun
    some = f"the first {training.watch_size:,}" if training.watch_size else "all"
    minibatches = "Training values are means over minibatches during training"
    read = [f"Training values are of {some} training {noun}" if "train" in training.watch else minibatches]
    read += [f"test values of {some} test {noun}"] if "test" in training.watch else []
    return ", ".join(read) + "."
