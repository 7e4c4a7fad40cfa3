"""Two models on the same images: the mean of the differences is far surer than the difference of the means."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ancestral.errors import InputError
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.run import Run


@dataclass(frozen=True)
class Difference:
    """Score of the first model minus that of the second, mean over images, nats; larger is better for the first.

    Attributes: nats, stderr: of the mean. method: `ELBO`, `IWAE_100`, `log p(x)`. count: of images.
    """

    nats: float
    stderr: float
    method: str
    count: int

    @property
    def clear(self) -> bool:
        """Whether it is more than three standard errors from nothing."""
        return abs(self.nats) > 3 * self.stderr


def paired_difference(
    first: Run, second: Run, samples: int, count: int, progress: Callable[[int, int], None] | None = None
) -> Difference:
    """Compare two runs image by image on the first test images.

    Args:      samples: latent draws per image, 0 for the ELBO. count: of images. progress: (images scored, in all).
    Raises:    InputError: runs of different pixels or data, whose scores do not compare.
    """
    sides = [(run.data.space.describe(run.data.name), run.data.dataset.sha256) for run in (first, second)]
    if sides[0] != sides[1]:
        raise InputError(f"scores of different spaces do not compare: {sides[0][0]}; {sides[1][0]}")
    images = first.data.held("test", count)
    advance = counted(progress, 2 * len(images))
    (a, method), (b, _) = (log_probs(run.load(), images, samples, progress=advance) for run in (first, second))
    gaps = a - b
    return Difference(gaps.mean().item(), (gaps.std() / math.sqrt(len(gaps))).item(), method, len(gaps))
