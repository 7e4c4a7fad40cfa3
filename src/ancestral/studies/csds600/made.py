"""Chapters of `csds600` on MADE: why it is a proper probability model, and one trained."""

from __future__ import annotations

import math

from ancestral.core.text import scientific
from ancestral.families.autoregressive.made import MADE
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.chain_rule import Chain, chain_rule_holds, masks_figure
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

KNOWN_UNITS, KNOWN = 500, -94.5  # nats, one order
KNOWN_SOURCE = "pytorch-made, after Germain et al., 2015"
LAST_DIGIT = 2.0**-52  # of numbers near 1, in 64 bits


def chain_rule(workshop: Workshop) -> ChapterContent:
    found = chain_rule_holds()
    caption = (
        "Above, the pixels that each hidden unit sees; in the middle, those that each output sees directly; below, how "
        f"much each output changes with each pixel by both ways together, the largest derivative over all "
        f"{found.states} images: zero, exactly, on the diagonal and to its right."
    )
    return ChapterContent(
        f"{_MASKS}\n\n{_sums(found)}",
        figures=[workshop.figure("made-masks", masks_figure(found), caption)],
        checks=[
            ReferenceCheck(
                f"a MADE's probabilities of all {found.states} images",
                "sum to 1",
                within_of_one(found.total - 1),
                abs(found.total - 1) < 1e-10,
                "A mask lets a pixel see what it must not.",
                AN_IDENTITY,
            )
        ],
    )


_MASKS = (
    "log p(x) = Σ_d log p(x_d | x_1, ..., x_{d-1}): the chain rule holds for every distribution, whatever the order of "
    "the pixels. One network gives all conditionals at once if output d depends on pixels before d only. Masks see to "
    "that: the pixel at place d has degree d, hidden units have degrees from 1 to D − 1; a hidden unit sees pixels of "
    "its degree or less, an output only hidden units of a lower degree. Direct connections lead from pixels to outputs "
    "past the hidden units, under the same rule: an output sees directly only pixels of a lower degree than its own."
)


def _sums(found: Chain) -> str:
    """What the sum over all images of a small MADE shows."""
    return (
        "Each conditional is a Bernoulli and sums to one over its pixel, whatever came before. So the sum over the "
        "last pixel gives 1, then the sum over the one before it, and so on: the whole is a probability distribution, "
        f"without a normalising constant. A MADE of 3 by 3 pixels with random weights, summed over all {found.states} "
        f"images, gives {within_of_one(found.total - 1)}. Its conditionals differ from those of the table of all p(x) "
        f"by at most {scientific(found.gap)}. The same weights without masks, every pixel seeing itself and all "
        f"others, sum to {found.unmasked_total:.3f}: a number for every image, and no distribution."
    )


def within_of_one(gap: float) -> str:
    """A number that should be 1 and is 1 + `gap`, in words."""
    return "1 to the last digit of 64 bits" if abs(gap) < LAST_DIGIT else f"1 within {scientific(abs(gap))}"


def trained(workshop: Workshop) -> ChapterContent:
    run, score = workshop.runs["made"], workshop.score("made")
    nats = f"{score.nats:.2f} ± {score.stderr:.2f} nats"
    text = (
        f"{_network(run)}, {plural(run.outcome['epochs'], 'epoch')} on pixels drawn with their grey value as "
        f"probability. log p(x) is exact, one pass of the network: {nats} on {score.count:,} test images. Drawing "
        f"takes a step for each pixel: {score.dimensions} in their order, each given those before.\n\n"
        f"The coursework names no number to reach. With {KNOWN_UNITS} hidden units and one order A. Karpathy's "
        f"pytorch-made repeats a point of figure 2 of Germain et al. (2015), about {KNOWN} nats; there the pixels of "
        "the images are one fixed draw, another than ours.\n\n"
        f"{health_in_words(run)}"
    )
    return ChapterContent(
        text,
        [score_table([(workshop.titles["made"], score)], SCORE_CAPTION)],
        [workshop.draw("made", what) for what in ("samples", "steps", "curves")],
        [
            ReferenceCheck(
                f"MADE of {KNOWN_UNITS} hidden units, test log p(x)",
                f"about {KNOWN} nats, on another draw of the pixels",
                nats,
                score.nats >= KNOWN,
                "It was trained too briefly: the curve shows whether it still falls.",
                KNOWN_SOURCE,
            )
        ],
    )


def _network(run: Run) -> str:
    """Its widths, what leads past them, and how many numbers were trained."""
    model = run.load()
    assert isinstance(model, MADE)
    pixels = math.prod(model.event_shape)
    widths = "-".join(str(width) for width in (pixels, *run.settings.model.hidden, pixels))  # type: ignore[attr-defined]
    direct = " with direct connections from every pixel to the outputs of all later ones" if model.direct else ""
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{widths}{direct}: {count:,} parameters (biases, and weights behind a mask, among them)"
