"""Two models on the same images: the mean of the differences is far surer than the difference of the means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.data.toy import PointDataset
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.runs.run import Run


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

    @classmethod
    def of(cls, gaps: Tensor, method: str) -> Difference:
        """Of differences image by image, shape (N,), nats."""
        return cls(*mean_and_error(gaps), method, len(gaps))


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
    return Difference.of(a - b, method)


def target_difference(run: Run) -> Difference:
    """Score of a run on its test points minus that of the density they were drawn from, point by point.

    The luck of the draw is in both, and leaves no trace in the difference, whose expectation is minus the divergence
    of the model from the density.

    Raises:    InputError: the run is one of images, whose density nobody knows.
    """
    if not isinstance(run.data.dataset, PointDataset):
        raise InputError(f"{run.path}: only points are drawn from a density that is known")
    points = run.data.held("test")
    found, method = log_probs(run.load(), points)
    return Difference.of(found - run.data.dataset.density.log_prob(run.data.dataset.test.images), method)
