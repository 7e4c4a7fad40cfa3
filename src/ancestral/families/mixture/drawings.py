"""The drawing of the family: the mixture components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ancestral.families.family import Drawing, Subject
from ancestral.families.mixture.model import MixtureOfBernoullis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPONENTS = 100
MOST_CAPTIONS = 60


def components(subject: Subject, count: int | None = None, seed: int = 0) -> Figure:
    """A figure of p(X = 1 | Z = k) for the most probable components, with p(Z = k)."""
    from ancestral.figures.grids import image_grid

    model = subject.model
    order = model.component_probs.argsort(descending=True)[: count or COMPONENTS]
    captions = [f"{model.component_probs[k]:.1%}" for k in order.tolist()] if len(order) <= MOST_CAPTIONS else None
    images = subject.data.space.to_unit(model.component_images[order].detach().float())
    return image_grid(images, captions=captions, title="mixture: components and their probabilities", smooth=True)


DRAWINGS = (
    Drawing(
        "components",
        "The mean image of each component, with its probability.",
        components,
        needs=(MixtureOfBernoullis,),
    ),
)
