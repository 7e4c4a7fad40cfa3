"""Sampling from a MADE at the cost of one forward pass instead of D.

A hidden unit of degree m depends on the first m pixels only. After pixel m is drawn, the units of degree m are computed
once and do not change again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from ancestral.distributions.outputs import PixelOutput
from ancestral.models.particles import Particles
from ancestral.networks.masked import MaskedLinear


class MaskedModel(Protocol):
    """The attributes of a MADE that sampling uses; see `MADE`."""

    inputs: int
    output: PixelOutput
    positions: Tensor
    activation: nn.Module
    last: MaskedLinear | None
    direct: MaskedLinear | None

    def added(self) -> list[Tensor | None]:
        """What the given class adds to each hidden layer and to the output, shapes (1 or n, width), or None."""
        ...

    def hidden_layers(self, ordering: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Weight, bias and degrees of each hidden layer in one ordering."""
        ...

    def seen(self, x: Tensor) -> Tensor:
        """The inputs of the network for some levels, (B, D) to (B, D * inputs)."""
        ...


class Stage:
    """A hidden layer whose units are sorted by degree, the order in which they are computed.

    Args:      weight: of the layer, (units, inputs). bias: (1 or n, units). degrees: of its units, (units,). inputs:
               order of its inputs. pixels: D. n: number of images.
    """

    def __init__(self, weight: Tensor, bias: Tensor, degrees: Tensor, inputs: Tensor, pixels: int, n: int) -> None:
        self.order = degrees.argsort(stable=True)
        self.weight, self.bias = weight[self.order][:, inputs], bias[:, self.order].T
        steps = torch.arange(pixels + 1, device=degrees.device)
        self.ends = torch.searchsorted(degrees[self.order], steps, right=True).tolist()  # units of degree <= m
        self.values = weight.new_empty(len(degrees), n)

    def complete(self, m: int, seen: Tensor, activation: torch.nn.Module) -> None:
        """Compute the units of degree m from the inputs of degree m or less, shape (inputs so far, n)."""
        first, last = self.ends[m - 1], self.ends[m]
        if first < last:
            rows = torch.addmm(self.bias[first:last], self.weight[first:last, : len(seen)], seen)
            self.values[first:last] = activation(rows)

    def so_far(self, m: int) -> Tensor:
        """The activations of the units of degree m or less."""
        return self.values[: self.ends[m]]


def with_added(values: Tensor, added: Tensor | None) -> Tensor:
    """The sum, or the values alone."""
    return values if added is None else values + added


def draw_in_order(model: MaskedModel, ordering: int, noise: Tensor, particles: Particles | None = None) -> Tensor:
    """Images from uniform noise of shape (n, D), in one ordering of the model; shape (n, D).

    Args:      particles: n rows of observed pixels; the other pixels are drawn given these.
    """
    n, pixels = noise.shape
    inputs, size, output = model.inputs, model.output.size, model.output
    order = model.positions[ordering].argsort()
    turns, columns, rows = order.tolist(), _spread(order, inputs), _spread(order, size)
    noise = output.noise(noise)[:, order].T.contiguous()
    # one row per pixel, so that a prefix of pixels is contiguous
    x, seen = torch.empty_like(noise), noise.new_empty(pixels * inputs, n)

    stages: list[Stage] = []
    feeding = columns
    *of_hidden, of_output = model.added()
    for (weight, bias, degrees), added in zip(model.hidden_layers(ordering), of_hidden, strict=True):
        stages.append(Stage(weight, with_added(bias[None], added), degrees, feeding, pixels, n))
        feeding = stages[-1].order
    last = model.last.weight[rows][:, feeding] if model.last else None
    direct = model.direct.weight[rows][:, columns] if model.direct else None
    bias = with_added((model.last or model.direct).bias[None], of_output)[:, rows].T  # type: ignore[union-attr]

    for p in range(pixels):  # p pixels are known
        here = slice(p * size, (p + 1) * size)
        parameters = bias[here]
        if last is not None:
            known = stages[-1].so_far(p)
            parameters = torch.addmm(parameters, last[here, : len(known)], known)
        if direct is not None:
            parameters = torch.addmm(parameters, direct[here, : p * inputs], seen[: p * inputs])
        x[p] = output.draw(parameters.T, noise[p])
        if particles is not None:
            x[p] = particles.clamp(turns[p], output, parameters.T, x[p])
            if (ancestors := particles.ancestors()) is not None:
                x, seen = x[:, ancestors], seen[:, ancestors]
                for stage in stages:
                    stage.values = stage.values[:, ancestors]
        seen[p * inputs : (p + 1) * inputs] = model.seen(x[p, :, None]).T
        below = seen[: (p + 1) * inputs]
        for stage in stages:
            stage.complete(p + 1, below, model.activation)
            below = stage.so_far(p + 1)
    return torch.empty_like(x).index_copy_(0, order, x).T


def _spread(order: Tensor, each: int) -> Tensor:
    """Indices of the `each` adjacent entries of every pixel, with the pixels in `order`."""
    return (order[:, None] * each + torch.arange(each, device=order.device)).flatten()
