"""The course of a training as curves, read from its log."""

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
    """The readings of a training's log as curves over epochs.

    Args:      log: its lines. images: how many training images there are. batch_size: of the training.
               of: the training's name, for the error.
    Raises:    NotComputable: the log is empty, so nothing was trained.
    """

    def __init__(self, log: Sequence[LogLine], images: int, batch_size: int, of: object = "this") -> None:
        if not log:
            raise NotComputable(f"{of} has no log yet: nothing was trained")
        self.log, self.images, self.batch_size = log, images, batch_size
        self.per_epoch = -(-images // batch_size)
        self.known = {(line.split, line.name) for line in self.log}

    def curve(self, split: str, name: str, label: str) -> Curve:
        lines = [line for line in self.log if (line.split, line.name) == (split, name)]
        return Curve(label, [line.step / self.per_epoch for line in lines], [line.value for line in lines])

    def value(self, split: str, name: str, epoch: float = 0.0) -> float:
        """The first reading of a quantity at or after so many epochs; the last one where the training ended before.

        Raises:    NotComputable: it was never read.
        """
        if (split, name) not in self.known:
            raise NotComputable(f"the log holds no {name} of {split}")
        curve = self.curve(split, name, "")
        later = (value for step, value in zip(curve.steps, curve.values, strict=True) if step >= epoch)
        return float(next(later, curve.values[-1]))

    def epoch_means(self, name: str) -> Curve:
        """A quantity of the training minibatches, as they were used: its mean over all images of each epoch.

        A reading is the mean over the images since the one before, which may be a single minibatch.
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
        """Training and held-out curves of one quantity; evaluated training images stand for minibatches."""
        first = next(key for key in (("train-set", name), ("train", name), ("train", "loss")) if key in self.known)
        # a loss that is not the bound (importance-weighted, say) must not pass for it
        label = "training loss" if name == "negative_elbo" and first[1] == "loss" else "train"
        held_out = [self.curve(split, name, split) for split in ("valid", "test") if (split, name) in self.known]
        return [self.curve(*first, label), *held_out]
