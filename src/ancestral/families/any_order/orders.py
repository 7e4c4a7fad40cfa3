"""Orders of the pixels: by name, at random, and the order that the model itself chooses step by step."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ancestral.core.errors import InputError
from ancestral.core.random import lasting_permutation, seed_for
from ancestral.core.text import close_matches
from ancestral.distributions.outputs import PixelOutput
from ancestral.models.orders import CONFIDENCE, RASTER

COLUMNS, RANDOM = "columns", "random"
NAMES = (RASTER, COLUMNS, f"{RANDOM}:SEED", CONFIDENCE)


class UniformOrders(Distribution):
    """The uniform distribution over all D! orders of D pixels.

    A value holds the indices of the pixels in the order in which they are generated, shape (..., D).
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, pixels: int, batch_shape: Sequence[int] = (), device: torch.device | None = None) -> None:
        self.device = device
        super().__init__(torch.Size(batch_shape), torch.Size([pixels]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.nonnegative_integer, 1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        return torch.rand(shape, device=self.device).argsort(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """-log D!, nats."""
        return torch.full(value.shape[:-1], -math.lgamma(self.event_shape[0] + 1), device=value.device)


class Order(Protocol):
    """A rule that names the next pixel, given the observed ones. So p(x) of the model in this order sums to one."""

    def next(self, parameters: Tensor, observed: Tensor) -> Tensor:
        """The next pixel of each image, shape (B,).

        Args:      parameters: of p(x_d | observed pixels) for all d, shape (B, D, size). observed: boolean, (B, D).
        """
        ...


class FixedOrder:
    """The pixels by their turns, whatever their values are.

    Args:      turns: turn of each pixel, 0 to D - 1, shape (D,) for all images or (B, D) for each.
    """

    def __init__(self, turns: Tensor) -> None:
        self.turns = turns

    def next(self, parameters: Tensor, observed: Tensor) -> Tensor:
        return self.turns.expand_as(observed).masked_fill(observed, observed.shape[1]).argmin(1)


class ConfidenceOrder:
    """The hidden pixel whose conditional distribution has the lowest entropy; of equal ones, the first.

    The distribution depends on observed pixels only, so the order is a function of what has been generated, and the
    product of the conditionals is the exact probability of the image under the generation in this order.

    Args:      output: of the model.
    Reference: deterministic orders of masked diffusion: Kim et al., 2025, arXiv 2502.06768.
    """

    def __init__(self, output: PixelOutput) -> None:
        self.output = output

    def next(self, parameters: Tensor, observed: Tensor) -> Tensor:
        return self.output.entropy(parameters).masked_fill(observed, math.inf).argmin(1)


def scans(event_shape: Sequence[int]) -> Tensor:
    """Turns of the pixels in four scans: by rows, by columns, and both reversed; all channels of a pixel together.

    Args:      event_shape: (C, H, W).
    Returns:   shape (4, C H W).
    """
    channels, height, width = event_shape
    each = torch.arange(channels)
    rows = torch.arange(height * width).view(height, width)
    columns = torch.arange(height * width).view(width, height).T
    found = []
    for places in (rows, columns):
        turns = places[None] * channels + each[:, None, None]
        found += [turns.flatten(), channels * height * width - 1 - turns.flatten()]
    return torch.stack([found[0], found[2], found[1], found[3]])


def order_of(name: str, event_shape: Sequence[int], output: PixelOutput) -> Order:
    """The order of a name: raster, columns, random:SEED or confidence.

    Args:      event_shape: (C, H, W). output: of the model.
    Raises:    InputError: an unknown name.
    """
    if name in (RASTER, COLUMNS):
        return FixedOrder(scans(event_shape)[(RASTER, COLUMNS).index(name)])
    if name == CONFIDENCE:
        return ConfidenceOrder(output)
    if found := re.fullmatch(rf"{RANDOM}:(\d{{1,18}})", name):
        order = lasting_permutation(math.prod(event_shape), seed_for(int(found[1]), "order"))
        return FixedOrder(torch.from_numpy(order).argsort())
    raise InputError(f"unknown order {name!r}: {close_matches(name, NAMES)}; SEED is a whole number")


def turns_of(order: Tensor) -> Tensor:
    """The turn of each pixel from the pixels in order, shape (..., D)."""
    return order.argsort(-1)


def random_turns(count: int, pixels: int, device: torch.device) -> Tensor:
    """Turns of the pixels in independent random orders, shape (count, pixels)."""
    return torch.rand(count, pixels, device=device).argsort(1)


def stratified(count: int, pixels: int | Tensor, device: torch.device) -> Tensor:
    """Numbers of observed pixels, 0 to D - 1, one from each of `count` equal strata, in random order, shape (count,).

    Args:      pixels: D; or one for each number, shape (count,), in which 0 gives the number 0.

    Each number alone is uniform, so their mean estimates an expectation without bias, with less variance than
    independent numbers.
    """
    shift = torch.rand(1, device=device)
    spread = ((torch.arange(count, device=device) + shift) / count)[torch.randperm(count, device=device)]
    numbers = (spread * pixels).long()
    if isinstance(pixels, int):
        return numbers.clamp_max(pixels - 1)
    return torch.minimum(numbers, pixels - 1).clamp_min(0)


def missing_last(turns: Tensor, seen: Tensor | None) -> Tensor:
    """The turns of an order in which the seen pixels come first, in the same sequence. turns, seen: shape (B, D)."""
    return turns if seen is None else (turns + turns.shape[1] * ~seen).argsort(1).argsort(1)
