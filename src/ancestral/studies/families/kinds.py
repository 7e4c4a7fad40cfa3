"""An overview of the families: samples, use of z, training conditions and abilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ancestral.families.abilities import abilities_of, kind_of
from ancestral.reports.html import Table
from ancestral.reports.pictures.samples import sample_rows
from ancestral.runs.run import Run
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

DRAWS = 8
PIXELS = {"binary": "binary, sampled", "levels": "256 levels", "unit": "grey, 0 to 1"}
LATENTS = {  # z, its prior, from z to x, from x to z
    "mixture": (
        "one of {components} components",
        "categorical, learned weights",
        "Bernoulli pixels of the component",
        "exact posterior",
    ),
    "belief-net": (
        "{latents} binary numbers",
        "independent Bernoullis, learned",
        "a linear layer and Bernoulli pixels",
        "exact posterior, by a sum over all {states} states",
    ),
    "circuit": (
        "a class, and one state of each of the {pixels} pixels",
        "a tree of states for each class, learned",
        "Bernoulli pixels of the states",
        "exact posterior, by messages along the tree",
    ),
    "vae": (
        "{latents} real numbers",
        "standard normal",
        "decoder, then Bernoulli pixels",
        "q(z | x), one pass: approximate",
    ),
    "made": ("none", "–", "pixel after pixel", "–"),
    "pixelcnn": ("none", "–", "pixel after pixel", "–"),
    "any-order": ("an order of the pixels", "uniform over all orders", "pixel after pixel in this order", "any order"),
    "flow": (
        "{pixels} real numbers, one per pixel",
        "standard normal",
        "an invertible map, then rounding",
        "z = f(y), one pass: exact for y = x + noise, approximate for x",
    ),
    "gan": ("{latents} real numbers", "standard normal", "generator, no pixel noise", "by optimisation: approximate"),
}
VERDICTS = {  # strengths, weaknesses
    "mixture": ("likelihood, posterior and conditionals are exact", "pixels independent given z: noisy samples"),
    "belief-net": ("exact likelihood; latents combine", "cost doubles with each latent"),
    "circuit": ("any marginal and conditional is exact", "dependence only along a tree of pixels"),
    "vae": ("fast encoding and sampling, smooth latent space", "only a bound; independent noise on every pixel"),
    "made": ("exact likelihood in one pass", "sampling takes one step per pixel; no latents"),
    "pixelcnn": ("exact likelihood; few weights for local patterns", "sampling takes one step per pixel; no latents"),
    "any-order": ("completes any mask in any order", "a bound over orders; sampling takes one step per pixel"),
    "flow": ("exact density of real numbers; one z for each x", "z as large as the data; only a bound on grey levels"),
    "gan": ("sharp samples in one pass", "no likelihood; may miss parts of the data"),
}
OF_PROBABILITIES = ("log p(x)", "any marginal", "any conditional", "entropy", "conditionals", "bracket")
MEANINGS = (
    "Queries for probabilities. Any marginal: the probability of some pixels, the others summed out. Any conditional: "
    "the probability of hidden pixels given the others. Entropy: estimated from samples of the model. Conditionals: "
    "log p of each pixel given the pixels before it. Bracket: a lower and an upper bound on log p(x) by annealing; not "
    "needed where log p(x) is exact. If a query is not available, the request raises an error with the reason.",
    "Queries for pixels, classes and latents. Complete: sample hidden pixels given the others; MADE and PixelCNN do "
    "this exactly if the hidden pixels come last in their order, an any-order model for any mask. p(y | x): for models "
    "trained with classes. Infer: the latents of an image; for the flow they are exact for the image with noise added. "
    "Decode: an image from latents.",
)


def side_by_side(workshop: Workshop) -> ChapterContent:
    runs = workshop.runs
    rows = [[workshop.titles[name], *(part.format(**numbers(runs[name])) for part in LATENTS[name])] for name in runs]
    table = Table(["family", "z", "its prior", "from z to x", "from x to z"], rows, "How each family uses z.")
    drawn = sample_rows(list(runs.values()), titles=[workshop.titles[name] for name in runs], count=DRAWS)
    grey = listed([workshop.titles[name] for name, run in runs.items() if run.data.space.name != "binary"])
    caption = (
        f"The first {DRAWS} samples of each family, not cherry-picked. {grey}: grey pixels; the other families: binary "
        "pixels."
    )
    text = (
        "The figure shows samples of each family. The tables show what z is in each family, how x follows from z and z "
        "from x, and how each model was trained."
    )
    return ChapterContent(text, [table, _conditions(workshop)], [workshop.figure("draws", drawn, caption, of=runs)])


def numbers(run: Run) -> dict[str, str]:
    """Numbers of latents, their states, components and pixels of a run, as text."""
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
    return Table(header, rows, "Training conditions.", numeric={2, 3, 4})


def abilities(workshop: Workshop) -> ChapterContent:
    """A table of queries for probabilities, and one of the others; queries that all families answer are in the text."""
    can = {workshop.titles[name]: abilities_of(type(run.load())) for name, run in workshop.runs.items()}
    names = list(next(iter(can.values())))
    same = [name for name in names if {one[name] for one in can.values()} == {"yes"}]
    differing = [name for name in names if name not in same]
    split = sorted(differing, key=lambda name: name not in OF_PROBABILITIES)
    first = sum(name in OF_PROBABILITIES for name in differing)
    words = [[workshop.titles[name], *VERDICTS[name]] for name in workshop.runs]
    return ChapterContent(
        "The tables show the queries that each family answers, as its class defines them."
        + "".join(f" Every family can {name}." for name in same),
        [
            *(
                _abilities_table(can, part, meaning)
                for part, meaning in zip((split[:first], split[first:]), MEANINGS, strict=True)
            ),
            Table(["family", "strength", "weakness"], words, "Strengths and weaknesses."),
        ],
    )


def _abilities_table(can: Mapping[str, Mapping[str, str]], names: Sequence[str], meaning: str) -> Table:
    """A table of the named abilities; `can` by family and ability."""
    rows = [[title, *(kind_of(one[name]) for name in names)] for title, one in can.items()]
    return Table(["family", *names], rows, meaning)
