"""A look at draws after each epoch of a training without a likelihood: how varied they are, and what they show."""

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

ENOUGH = 100  # images; fewer say too little of a data set, and may lack a class of it


class SampleReadings:
    """Readings on split `samples`: draws, always from the same noise, beside as many held-out images or points.

    diversity, coverage, dimension and, for images, brightness are those of `evaluation.diversity`. Where the network
    that is shipped knows the images, and they are `ENOUGH` and of all classes: modes, the classes among the draws;
    class_kl, of their histogram against the held-out one, nats; recognised, the share of draws it is sure of. A
    network trained here and kept for the user alone has no say: a log must not depend on what was done before on a
    machine.

    Args:      x: held-out images or points, shape (N, *event_shape), on the model's device. dataset: which they are
               of. seed: of the run.
    """

    def __init__(self, x: Tensor, dataset: Dataset | PointDataset, seed: int) -> None:
        self.x, self.seed = x, seed_for(seed, "looks")
        self.recogniser = shipped_for(dataset) if isinstance(dataset, Dataset) and len(x) >= ENOUGH else None
        if self.recogniser is not None:
            self.shares = class_shares(self.recogniser(self.x.cpu()).logits)
            if not bool((self.shares > 0).all()):  # no divergence from a histogram with a gap
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
