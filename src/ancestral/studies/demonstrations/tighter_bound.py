"""What more draws of the latents gain: the ELBO and an importance-weighted bound of the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ancestral.core.errors import NotComputable
from ancestral.core.maths import mean_and_error
from ancestral.evaluation.likelihood import counted, elbo, importance_weighted
from ancestral.models.base import LatentModel
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference

Mean = tuple[float, float]
"""over images, and its standard error"""


@dataclass(frozen=True)
class Tightening:
    """Two lower bounds on log p(x) of the same images, nats.

    Attributes: elbo, tighter: of one draw of z for each image, and of more. gain: of the tighter on the ELBO, image
                by image; its mean is also the least that KL(q(z | x) || p(z | x)) can be. count: images.
                samples: draws of the tighter bound.
    """

    elbo: Mean
    tighter: Mean
    gain: Mean
    count: int
    samples: int

    @property
    def clear(self) -> bool:
        """Whether the gain is more than three standard errors."""
        return self.gain[0] > 3 * self.gain[1]

    @property
    def difference(self) -> Difference:
        """The gain as that of any two scores of the same images."""
        return Difference(*self.gain, f"IWAE_{self.samples}", self.count)


def tightening(run: Run, samples: int, count: int, progress: Callable[[int, int], None] | None = None) -> Tightening:
    """Both bounds on the first test images.

    Args:      samples: K of the importance-weighted bound. count: images. progress: (images scored, in all).
    Raises:    NotComputable: the run's model has no latents to draw more of.
    Reference: Burda et al., 2016, theorem 1, arXiv 1509.00519.
    """
    model, images = run.load(), run.data.held("test", count)
    if not isinstance(model, LatentModel):
        raise NotComputable(f"a bound grows tighter with draws of latents; a {type(model).__name__} has none")
    advance = counted(progress, 2 * len(images))
    low = elbo(model, images, progress=advance)
    high = importance_weighted(model, images, samples, progress=advance)
    return Tightening(mean_and_error(low), mean_and_error(high), mean_and_error(high - low), len(images), samples)
