"""Distributions over layers of binary latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ancestral.distributions.pixels import BernoulliImage


class BernoulliChain(Distribution):
    """Layers of binary units that are independent given the previous layer: p(h_1) p(h_2 | h_1) ... p(h_L | h_(L-1)).

    An event is one vector of all layers.

    Args:      first_logits: of h_1, shape (*batch, width). maps: functions from h_l to the logits of h_(l+1), any batch
               shape. widths: of the layers, in the order of the event. backwards: whether h_1 is the last layer of the
               event, as in a generative chain, where the layer nearest the image is first.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012 (as in the base class)
    has_rsample = False

    def __init__(
        self,
        first_logits: Tensor,
        maps: Sequence[Callable[[Tensor], Tensor]],
        widths: Sequence[int],
        backwards: bool = False,
    ) -> None:
        self.first_logits, self.maps, self.widths, self.backwards = first_logits, maps, list(widths), backwards
        super().__init__(first_logits.shape[:-1], torch.Size([sum(widths)]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.boolean, 1)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            layers = [torch.bernoulli(self.first_logits.sigmoid().expand(*sample_shape, *self.first_logits.shape))]
            for logits_of in self.maps:
                layers.append(torch.bernoulli(logits_of(layers[-1]).sigmoid()))
            return self.joined(layers)

    def layers(self, value: Tensor) -> list[Tensor]:
        """The layers of an event, h_1 first."""
        layers = list(value.split(self.widths, -1))
        return layers[::-1] if self.backwards else layers

    def joined(self, layers: Sequence[Tensor]) -> Tensor:
        """The event with these layers, h_1 first."""
        return torch.cat(list(reversed(layers)) if self.backwards else list(layers), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        layers = self.layers(value)
        total = BernoulliImage(self.first_logits, 1).log_prob(layers[0])
        for logits_of, (before, after) in zip(self.maps, pairwise(layers), strict=True):
            total = total + BernoulliImage(logits_of(before), 1).log_prob(after)
        return total
