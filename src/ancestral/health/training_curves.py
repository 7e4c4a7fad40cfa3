"""Curves of a training, read from its log."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.core.errors import NotComputable
from ancestral.figures.series import Curve
from ancestral.training.log import LogLine

IN_WORDS = {
    "loss": "loss",
    "nll": "negative log-likelihood",
    "negative_elbo": "negative ELBO",
    "reconstruction": "reconstruction",
    "kl": "KL divergence",
}


class TrainingCurves:
    """The readings of a log as curves over epochs.

    Args:      log: its lines. images: number of training images. batch_size: of the training. of: name of the training,
               for the error.
    Raises:    NotComputable: the log is empty.
    """

    def __init__(self, log: Sequence[LogLine], images: int, batch_size: int, of: object = "this") -> None:
        if not log:
            raise NotComputable(f"{of} has no log, because nothing was trained yet: train it first")
        self.log, self.images, self.batch_size = log, images, batch_size
        self.per_epoch = -(-images // batch_size)
        self.known = {(line.split, line.name) for line in self.log}

    def curve(self, split: str, name: str, label: str) -> Curve:
        lines = [line for line in self.log if (line.split, line.name) == (split, name)]
        return Curve(label, [line.step / self.per_epoch for line in lines], [line.value for line in lines])

    def value(self, split: str, name: str, epoch: float = 0.0) -> float:
        """The first reading of a quantity at or after an epoch, or the last reading if the training ended earlier.

        Raises:    NotComputable: the quantity is not in the log.
        """
        if (split, name) not in self.known:
            raise NotComputable(f"the log has no {name} of the split {split}")
        curve = self.curve(split, name, "")
        later = (value for step, value in zip(curve.steps, curve.values, strict=True) if step >= epoch)
        return float(next(later, curve.values[-1]))

    def epoch_means(self, name: str) -> Curve:
        """The mean of a quantity of the training minibatches over all images of each epoch.

        A reading is the mean over the images since the previous reading, which may be a single minibatch.
        """
        sums: dict[int, float] = {}
        counts: dict[int, int] = {}
        before = 0
        for line in self.log:
            if (line.split, line.name) == ("train", name):
                epochs, steps = divmod(line.step, self.per_epoch)
                seen = epochs * self.images + steps * self.batch_size
                sums[line.epoch] = sums.get(line.epoch, 0.0) + (seen - before) * line.value
                counts[line.epoch] = counts.get(line.epoch, 0) + seen - before
                before = seen
        return Curve("train", list(sums), [sums[epoch] / counts[epoch] for epoch in sums])

    def both(self, name: str) -> list[Curve]:
        """Training and held-out curves of one quantity; evaluated training images are used instead of minibatches."""
        first = next(key for key in (("train-set", name), ("train", name), ("train", "loss")) if key in self.known)
        # a loss that is not the ELBO (an importance-weighted bound, for example) must not be labelled as the ELBO
        label = "training loss" if name == "negative_elbo" and first[1] == "loss" else "train"
        held_out = [self.curve(split, name, split) for split in ("valid", "test") if (split, name) in self.known]
        return [self.curve(*first, label), *held_out]
