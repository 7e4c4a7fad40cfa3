"""Chapters of `csds600` on MADE: why its probabilities sum to 1, and a trained model."""

from __future__ import annotations

import math

from ancestral.core.text import plural, scientific
from ancestral.families.autoregressive.made import MADE
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.chain_rule import Chain, chain_rule_holds, masks_figure
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

KNOWN_UNITS, KNOWN = 500, -94.5  # nats, one order
KNOWN_SOURCE = "pytorch-made, after Germain et al., 2015"
LAST_DIGIT = 2.0**-52  # of numbers near 1, in 64 bits


def chain_rule(workshop: Workshop) -> ChapterContent:
    found = chain_rule_holds()
    caption = (
        "Top: which pixels are inputs of each hidden unit. Middle: which pixels are direct inputs of each output. "
        f"Bottom: the largest derivative of each output with respect to each pixel, over all {found.states} images and "
        "along both paths. It is exactly zero on the diagonal and to its right."
    )
    return ChapterContent(
        f"{_MASKS}\n\n{_sums(found)}",
        figures=[workshop.figure("made-masks", masks_figure(found), caption, of=())],
        checks=[
            ReferenceCheck(
                f"a MADE's probabilities of all {found.states} images",
                "sum to 1",
                within_of_one(found.total - 1),
                abs(found.total - 1) < 1e-10,
                "A mask has a connection that the order of the pixels does not allow.",
                AN_IDENTITY,
            )
        ],
    )


_MASKS = (
    "log p(x) = Σ_d log p(x_d | x_1, ..., x_{d-1}). This chain rule holds for every distribution and every order of "
    "the pixels. One network computes all conditionals in one pass if output d depends only on the pixels before d. "
    "Masks on the weights ensure this. The pixel at position d has degree d; hidden units have degrees from 1 to "
    "D − 1. A hidden unit is connected to pixels of its own degree or a lower one. An output is connected only to "
    "hidden units of a lower degree. Direct connections from pixels to outputs follow the same rule: an output is "
    "connected only to pixels of a lower degree."
)


def _sums(found: Chain) -> str:
    """The sum of p(x) over all images of a small MADE, with and without masks, as sentences."""
    return (
        "Each conditional is a Bernoulli distribution: it sums to 1 over its pixel, for all values of the pixels "
        "before. So the sum over the last pixel gives 1, then the sum over the pixel before it, and so on. The product "
        "is a probability distribution and needs no normalising constant. As a check, p(x) of a MADE of 3 by 3 pixels "
        f"with random weights was summed over all {found.states} images: the sum is {within_of_one(found.total - 1)}. "
        "The conditionals of the network differ from those computed from the table of all p(x) by at most "
        f"{scientific(found.gap)}. With the same weights but without masks, so that each output depends on all pixels, "
        f"the sum is {found.unmasked_total:.3f}: this is not a distribution."
    )


def within_of_one(gap: float) -> str:
    """The number 1 + `gap`, which should be 1, as text."""
    return "1 to the last digit of 64 bits" if abs(gap) < LAST_DIGIT else f"1 within {scientific(abs(gap))}"


def trained(workshop: Workshop) -> ChapterContent:
    run, score = workshop.runs["made"], workshop.score("made")
    nats = f"{score.nats:.2f} ± {score.stderr:.2f} nats"
    text = (
        f"The network is {_network(run)}. It was trained for {plural(run.outcome['epochs'], 'epoch')} on binary "
        "pixels, sampled with the grey value as probability. log p(x) is exact and takes one pass of the network: "
        f"{nats} on {score.count:,} test images. Sampling takes one step for each of the {score.dimensions} pixels, in "
        "their order.\n\n"
        f"The coursework sets no target. A. Karpathy's pytorch-made, with {KNOWN_UNITS} hidden units and one order, "
        f"reproduces a point of figure 2 of Germain et al. (2015): about {KNOWN} nats. There the binary pixels were "
        "sampled once and kept fixed, so the images differ from ours.\n\n"
        f"{health_in_words(run)}"
    )
    return ChapterContent(
        text,
        [score_table([(workshop.titles["made"], score)], SCORE_CAPTION)],
        [workshop.draw("made", what) for what in ("samples", "steps", "curves")],
        [
            ReferenceCheck(
                f"MADE of {KNOWN_UNITS} hidden units, test log p(x)",
                f"about {KNOWN} nats, other pixel samples",
                nats,
                score.nats >= KNOWN,
                "Training may have been too short: see whether the curve still falls.",
                KNOWN_SOURCE,
            )
        ],
    )


def _network(run: Run) -> str:
    """The widths of its layers, its direct connections, and its number of parameters."""
    model = run.load()
    assert isinstance(model, MADE)
    pixels = math.prod(model.event_shape)
    widths = "-".join(str(width) for width in (pixels, *run.settings.model.hidden, pixels))  # type: ignore[attr-defined]
    direct = " with direct connections from every pixel to the outputs of all later ones" if model.direct else ""
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{widths}{direct}: {count:,} parameters (including biases and masked weights)"
