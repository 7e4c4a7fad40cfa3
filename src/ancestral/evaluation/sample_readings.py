"""Measures of samples after each epoch, for trainings without a likelihood: their diversity and their classes."""

from __future__ import annotations

from torch import Tensor

from ancestral.core.random import seed_device, seed_for
from ancestral.data.datasets import Dataset
from ancestral.data.toy import PointDataset
from ancestral.evaluation.diversity import brightness_shift, covered_share, dimension_ratio, spread_ratio
from ancestral.evaluation.quality import class_divergence, class_shares, covered_classes, recognised_share
from ancestral.evaluation.recogniser import shipped_for
from ancestral.models.base import Model
from ancestral.training.log import Reading

ENOUGH = 100  # smallest number of images; with fewer, a class may be missing


class SampleReadings:
    """Readings on split `samples`: samples, always from the same noise, against equally many held-out images or points.

    The readings diversity, coverage, dimension and, for images, brightness are defined in `evaluation.diversity`. There
    are three more if the classifier of the package is for these data, there are at least `ENOUGH` held-out images, and
    they have all classes. modes: number of classes of the samples. class_kl: divergence of the class proportions, nats.
    recognised: share of samples that are classified with high confidence. Classifiers in the user's cache are not used,
    because a log must not depend on earlier work on the machine.

    Args:      x: held-out images or points, shape (N, *event_shape), on the model's device. dataset: the data set of x.
               seed: random seed of the run.
    """

    def __init__(self, x: Tensor, dataset: Dataset | PointDataset, seed: int) -> None:
        self.x, self.seed = x, seed_for(seed, "looks")
        self.recogniser = shipped_for(dataset) if isinstance(dataset, Dataset) and len(x) >= ENOUGH else None
        if self.recogniser is not None:
            self.shares = class_shares(self.recogniser(self.x.cpu()).logits)
            if not bool((self.shares > 0).all()):  # the divergence would be infinite
                self.recogniser = None

    def __call__(self, model: Model) -> list[Reading]:
        seed_device(self.x.device, self.seed)
        draws = model.sample(len(self.x)).to(self.x.dtype)
        looks = {
            "diversity": spread_ratio(draws, self.x),
            "coverage": covered_share(draws, self.x),
            "dimension": dimension_ratio(draws, self.x),
        }
        if len(model.event_shape) == 3:  # images
            looks["brightness"] = brightness_shift(draws, self.x)
        if self.recogniser is not None:
            seen = self.recogniser(draws.cpu())
            shares = class_shares(seen.logits)
            looks["modes"] = float(covered_classes(shares, self.shares))
            looks["class_kl"] = class_divergence(shares, self.shares)
            looks["recognised"] = recognised_share(seen)
        return [Reading("samples", name, value) for name, value in looks.items()]
