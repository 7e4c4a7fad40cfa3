"""What the families are: their draws, how each uses z, what it was trained with, and what it can do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ancestral.families.abilities import abilities_of
from ancestral.reports.html import Table
from ancestral.reports.pictures.samples import sample_rows
from ancestral.runs.run import Run
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

DRAWS = 8
PIXELS = {"binary": "drawn binary", "levels": "256 levels", "unit": "grey, 0 to 1"}
LATENTS = {  # what z is, where it comes from, how x comes from z, how z is found
    "mixture": (
        "one of {components} components",
        "a learned share each",
        "the pixels' probabilities",
        "exact posterior",
    ),
    "belief-net": (
        "{latents} bits",
        "a learned coin each",
        "a logistic layer",
        "exact posterior, by a sum over all {states} states",
    ),
    "vae": (
        "{latents} real numbers",
        "standard normal",
        "decoder, then pixel noise",
        "q(z | x), one pass: approximate",
    ),
    "made": ("none", "none", "pixel after pixel", "nothing to find"),
    "pixelcnn": ("none", "none", "pixel after pixel", "nothing to find"),
    "flow": (
        "{pixels} real numbers, one a pixel",
        "standard normal",
        "an invertible map, then rounding",
        "z = f(y), one pass: exact for y, which is x with noise added, approximate for x",
    ),
    "gan": ("{latents} real numbers", "standard normal", "generator, no noise after it", "by search: approximate"),
}
VERDICTS = {  # strengths, weaknesses
    "mixture": ("exact, every question answered exactly", "independent pixels given z: dotted"),
    "belief-net": ("exact, parts combine", "cost doubles with each latent"),
    "vae": ("fast both ways, smooth latent space", "a bound only; noise of its own on every pixel"),
    "made": ("exact, one pass to score", "as many steps as pixels to draw; no latents"),
    "pixelcnn": ("exact, learns local patterns with few weights", "as many steps as pixels to draw; no latents"),
    "flow": ("exact on real numbers, one code for each x", "as wide as the data; a bound on pixels"),
    "gan": ("sharp draws in one pass", "no likelihood; may drop parts of the data"),
}
OF_PROBABILITIES = ("log p(x)", "pixel by pixel", "detect", "bracket")
MEANINGS = (
    "What each can do with probabilities. Pixel by pixel: how probable each pixel is given those before it. Detect: "
    "tell images that do not belong. Bracket: bounds on log p(x) from both sides, by annealing; a model with the exact "
    "value needs none. `none, and says so`: to ask for it is an error that says why.",
    "What each can do with latents and pixels. Infer: latents behind an image; for the flow they are exact once noise "
    "has been added to it. Decode: an image from latents. Complete: draw hidden pixels given the others; MADE and "
    "PixelCNN do so exactly where the hidden ones come last in their order.",
)


def side_by_side(workshop: Workshop) -> ChapterContent:
    runs = workshop.runs
    rows = [[workshop.titles[name], *(part.format(**numbers(runs[name])) for part in LATENTS[name])] for name in runs]
    table = Table(["family", "z", "its prior", "from z to x", "from x to z"], rows, "How each family uses z.")
    drawn = sample_rows(list(runs.values()), titles=[workshop.titles[name] for name in runs], count=DRAWS)
    grey = listed([workshop.titles[name] for name, run in runs.items() if run.data.space.name != "binary"])
    caption = (
        f"{DRAWS} draws of each, the first of them, none picked. Pixels of the {grey} are grey, those of the others "
        "drawn black or white."
    )
    return ChapterContent("", [table, _conditions(workshop)], [workshop.figure("draws", drawn, caption)])


def numbers(run: Run) -> dict[str, str]:
    """How many latents, their states, components and pixels a run has, for sentences."""
    model = run.settings.model
    latents = getattr(model, "latents", 0)
    latents = sum(latents) if isinstance(latents, Sequence) else latents
    return {
        "latents": f"{latents}",
        "states": f"{2**latents:,}",
        "components": f"{getattr(model, 'components', 0)}",
        "pixels": f"{math.prod(run.data.event_shape)}",
    }


def _conditions(workshop: Workshop) -> Table:
    rows = [
        [
            workshop.titles[name],
            PIXELS[run.data.space.name],
            f"{len(run.data.dataset.train):,}",
            str(run.outcome["epochs"]),
            f"{sum(p.numel() for p in run.load().parameters()):,}",
        ]
        for name, run in workshop.runs.items()
    ]
    header = ["family", "pixels", "training images", "epochs", "weights"]
    return Table(header, rows, "What each was trained with.", numeric={2, 3, 4})


def abilities(workshop: Workshop) -> ChapterContent:
    """A table of questions about probabilities and one of the others; what is the same for all is said beforehand."""
    can = {workshop.titles[name]: abilities_of(type(run.load())) for name, run in workshop.runs.items()}
    names = list(next(iter(can.values())))
    same = [name for name in names if {one[name] for one in can.values()} == {"yes"}]
    differing = [name for name in names if name not in same]
    split = sorted(differing, key=lambda name: name not in OF_PROBABILITIES)
    first = sum(name in OF_PROBABILITIES for name in differing)
    words = [[workshop.titles[name], *VERDICTS[name]] for name in workshop.runs]
    return ChapterContent(
        "What a family offers is read off its class. Where mathematics does not allow something, the program says so."
        + "".join(f" Every family can {name}." for name in same),
        [
            *(
                _abilities_table(can, part, meaning)
                for part, meaning in zip((split[:first], split[first:]), MEANINGS, strict=True)
            ),
            Table(["family", "strength", "weakness"], words, "In a few words."),
        ],
    )


def _abilities_table(can: Mapping[str, Mapping[str, str]], names: Sequence[str], meaning: str) -> Table:
    """What each family can do of the named things; `can` by family and ability."""
    rows = [[title, *(one[name] for name in names)] for title, one in can.items()]
    return Table(["family", *names], rows, meaning)
