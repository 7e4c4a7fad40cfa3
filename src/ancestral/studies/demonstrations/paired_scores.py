"""Paired differences of scores on the same images, which have a smaller standard error than differences of means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.data.toy import PointDataset
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.models.orders import bound_samples
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
        """Whether it is more than three standard errors from 0."""
        return abs(self.nats) > 3 * self.stderr

    @classmethod
    def of(cls, gaps: Tensor, method: str) -> Difference:
        """The mean and its standard error, from differences per image, shape (N,), nats."""
        return cls(*mean_and_error(gaps), method, len(gaps))


def paired_difference(
    first: Run, second: Run, samples: int, count: int, progress: Callable[[int, int], None] | None = None
) -> Difference:
    """Compare two runs image by image on the first test images.

    Args:      samples: samples of z per image, 0 for the ELBO. A model with orders has the ELBO only: more samples need
               an evaluation of its network for each pixel. count: of images. progress: (images scored, total).
    Raises:    InputError: the runs have different pixels or data, so their scores cannot be compared.
    """
    sides = [(run.data.space.describe(run.data.name), run.data.dataset.sha256) for run in (first, second)]
    if sides[0] != sides[1]:
        raise InputError(f"scores of different spaces cannot be compared: {sides[0][0]}; {sides[1][0]}")
    images = first.data.held("test", count)
    advance = counted(progress, 2 * len(images))
    models = [run.load() for run in (first, second)]
    samples = min(bound_samples(model, samples) for model in models)
    (a, method), (b, _) = (log_probs(model, images, samples, progress=advance) for model in models)
    return Difference.of(a - b, method)


def target_difference(run: Run) -> Difference:
    """Paired difference on test points: score of a run minus that of the true density.

    Random variation of the test points is in both scores and cancels. The expectation of the difference is minus the
    KL divergence of the model from the true density.

    Raises:    InputError: the data are images, whose true density is unknown.
    """
    if not isinstance(run.data.dataset, PointDataset):
        raise InputError(f"{run.path}: the true density is known for data sets of points only")
    points = run.data.held("test")
    found, method = log_probs(run.load(), points)
    return Difference.of(found - run.data.dataset.density.log_prob(run.data.dataset.test.images), method)
