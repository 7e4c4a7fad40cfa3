"""The gain from more samples of the latents: the ELBO and an importance-weighted bound on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ancestral.core.errors import NotComputable
from ancestral.core.maths import mean_and_error
from ancestral.core.text import type_in_words
from ancestral.evaluation.likelihood import counted, elbo, importance_weighted
from ancestral.models.base import LatentModel
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference

Mean = tuple[float, float]
"""mean over images, and its standard error"""


@dataclass(frozen=True)
class Tightening:
    """Two lower bounds on log p(x) of the same images, nats.

    Attributes: elbo, tighter: with one sample of z per image, and with more. gain: mean paired difference; it is a
                lower bound on the mean of KL(q(z | x) || p(z | x)). count: number of images. samples: samples of z
                per image in the tighter bound.
    """

    elbo: Mean
    tighter: Mean
    gain: Mean
    count: int
    samples: int

    @property
    def clear(self) -> bool:
        """Whether the gain is more than three standard errors above 0."""
        return self.gain[0] > 3 * self.gain[1]

    @property
    def difference(self) -> Difference:
        """The gain as a difference of two scores on the same images."""
        return Difference(*self.gain, f"IWAE_{self.samples}", self.count)


def tightening(run: Run, samples: int, count: int, progress: Callable[[int, int], None] | None = None) -> Tightening:
    """Both bounds on the first test images.

    Args:      samples: K of the importance-weighted bound. count: of images. progress: (images scored, total).
    Raises:    NotComputable: the model has no latents.
    Reference: Burda et al., 2016, theorem 1, arXiv 1509.00519.
    """
    model, images = run.load(), run.data.held("test", count)
    if not isinstance(model, LatentModel):
        raise NotComputable(f"a tighter bound needs samples of latents; {type_in_words(model)} has no latents")
    advance = counted(progress, 2 * len(images))
    low = elbo(model, images, progress=advance)
    high = importance_weighted(model, images, samples, progress=advance)
    return Tightening(mean_and_error(low), mean_and_error(high), mean_and_error(high - low), len(images), samples)
