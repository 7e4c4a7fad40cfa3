"""Averaged weights: an exponential moving average of the weights over the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError

EARLY = 10.0  # the average of the first steps is shorter: its decay at step t is at most (1 + t) / (EARLY + t)


class AveragedWeights:
    """Exponential moving average of the parameters of a model: a <- d a + (1 - d) w after each step.

    The decay d grows from 0.1 to its final value, so that the initial weights are forgotten soon. Validation, best
    weights, pictures and the saved model use the average; the steps continue from the latest weights. Buffers, such as
    the statistics of a batch normalisation, are not averaged.

    Args:      model: on its device, with its initial weights. decay: the final value of d, above 0 and below 1.
    Reference: Polyak and Juditsky, 1992; Tarvainen and Valpola, 2017, arXiv 1703.01780.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = dict(model.named_parameters())
        self.averages = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Include the present weights. steps: number of earlier updates."""
        decay = min(self.decay, (1 + steps) / (EARLY + steps))
        # a + (w - a) (1 - d): the average of a frozen weight stays exactly that weight
        for name, weight in self.weights.items():
            self.averages[name].lerp_(weight.detach(), 1 - decay)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Context in which the model has the averages. Afterwards it has exactly its latest weights again."""
        latest = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._set(self.averages)
        try:
            yield
        finally:
            self._set(latest)

    def take(self) -> None:
        """Set the model to the averages, at the end of a training."""
        self._set(self.averages)

    def state(self) -> dict[str, Tensor]:
        """The averages, by the names of the weights."""
        return self.averages

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the result of `state`.

        Raises:    InputError: the names or shapes differ from those of the model.
        """
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if shapes != {name: average.shape for name, average in self.averages.items()}:
            raise InputError("the checkpoint has no averaged weights of this model")
        for name, average in self.averages.items():
            average.copy_(tensors[name])

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.copy_(values[name])
