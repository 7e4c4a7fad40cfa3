"""What a code of images is: it pushes images onto a stack, and pops them again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import ClassVar

import torch
from torch import Tensor

from ancestral.compression.fixed_point import FixedPoint, fixed_point_copy
from ancestral.compression.grid import ARITHMETIC
from ancestral.compression.stack import Array, Stack
from ancestral.core.errors import NotComputable
from ancestral.models.base import Model

BORROWED = 1 << 16  # words on the stack before the first image, from which its latents are popped
NUMBERS_AT_ONCE, FEWEST_NUMBERS = 1 << 24, 1 << 12  # activations in memory; the least of one image


class Stopped(Exception):
    """Another block failed, or the user interrupted the command."""


class Code:
    """How to code the images of one model.

    Args:      model: in any number format; a copy on the fixed-point grid is used. portable: whether the numbers of the
               model are calculated exactly (`FixedPoint`), or only in double precision.
    Attributes: method: in words, for the header of a file. chained: batches grow, because the latents of a batch need
                the bits of the images before it. numbers: activations for one image, set by `measure`. stopped: set if
                the result is not needed any more; None if nothing can set it.
    """

    method: str
    chained: ClassVar[bool] = True

    def __init__(self, model: Model, portable: bool = True) -> None:
        self.portable, self.numbers, self._computed = portable, 0, 0
        self.stopped: Event | None = None
        assert model.levels is not None
        self.model, self.levels = fixed_point_copy(model), model.levels
        numbers = [values for values in self.model.state_dict().values() if values.is_floating_point()]
        stored = [values for values in model.state_dict().values() if values.is_floating_point()]
        if any(bool((values.isnan() | (values == torch.inf)).any()) for values in stored):
            raise NotComputable(f"{type(model).__name__} has weights that are NaN or infinite: it cannot compress")
        self._largest = max([float(self.levels), *(values.abs().max().item() for values in numbers if values.numel())])

    @property
    def arithmetic(self) -> str:
        """The arithmetic of the model's numbers."""
        return ARITHMETIC if self.portable else "float64"

    @property
    def guarantee(self) -> str:
        """Where a file can be read."""
        return "any machine" if self.portable else "the machine that wrote the file"

    @property
    def together(self) -> int:
        """Number of images for which the model is evaluated at once, by the memory that they need."""
        return max(1, NUMBERS_AT_ONCE // max(self.numbers, FEWEST_NUMBERS))

    @property
    def borrowed(self) -> int:
        """Words of the generator that are on the stack before the first image."""
        return BORROWED if self.chained else 0

    @contextmanager
    def exact(self) -> Iterator[None]:
        """A context for calculations of the model; see `FixedPoint`."""
        self.check_stopped()
        if not self.portable:
            with torch.no_grad():
                yield
            return
        mode = FixedPoint(self._largest)
        with torch.no_grad(), mode:
            yield
        self._computed += mode.numbers

    def check_stopped(self) -> None:
        """Raise an error if the result is not needed any more."""
        if self.stopped is not None and self.stopped.is_set():
            raise Stopped

    @property
    def pattern(self) -> Tensor:
        """An image of all levels, shape (1, *event_shape), in double precision."""
        places = torch.arange(math.prod(self.model.event_shape), dtype=torch.float64)
        return (places * 7919 % self.levels).view(1, *self.model.event_shape)

    def measure(self) -> None:
        """Set `numbers`: what two images need more than one. Masked weights, for example, are not counted.

        Raises:    NotExact: an operation that a file needs has no exact version. NotComputable: the model cannot
                   compress, with the reason.
        """
        probe, found = self.pattern.repeat(2, *[1] * len(self.model.event_shape)), []
        for count in (1, 2):
            self._computed = 0
            self.probe(probe[:count])
            found.append(self._computed)
        self.numbers = found[1] - found[0]
        self.rehearse(probe)

    def rehearse(self, x: Tensor) -> None:
        """Push images onto a stack of their own, because `probe` may leave out operations that a file needs."""
        self.push(Stack(self.borrowed), x)

    def push(self, stack: Stack, x: Tensor) -> None:
        """Push images of whole levels, shape (n, *event_shape), in double precision."""
        raise NotImplementedError

    def pop(self, stack: Stack, n: int) -> Tensor:
        """Pop `n` images, shape (n, *event_shape)."""
        raise NotImplementedError

    def probe(self, x: Tensor) -> list[Array]:
        """Numbers of the model for some images, which differ if its weights or the arithmetic differ."""
        raise NotImplementedError
