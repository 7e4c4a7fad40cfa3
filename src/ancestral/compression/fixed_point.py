"""Calculations of a network that give the same bits on every machine, for any batch size and number of threads.

Sums in floating point depend on their order, which depends on batch size, threads and processor. Here, each number is
a multiple of 2^-16, held in double precision. A product is then a multiple of 2^-32, and a sum of products is exact in
any order while it is below 2^53 2^-32 = 2^21. Before each matrix product or convolution, `FixedPoint` checks that this
holds; after it, it rounds to the grid. Elementwise operations are rounded as IEEE 754 says, each in a call of its own,
and then to the grid; functions such as tanh are those of `functions`. Ties are rounded upwards, so that rounding
commutes with adding multiples of 2^-16: a sum of layers is the same, rounded together or term by term.

The operations of PyTorch are intercepted when they reach its dispatcher, so any model works, without code of its own.
An operation that is not known to be exact raises `NotExact`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ancestral.compression.grid import EXACT, NotExact, on_grid
from ancestral.compression.operations import HANDLERS, packets
from ancestral.models.base import Model

aten = torch.ops.aten


def fixed_point_copy(model: Model) -> Model:
    """A copy of the model on the CPU, in double precision and evaluation mode, with its numbers on the grid."""
    twin = copy.deepcopy(model).cpu().double().eval()
    for values in [*twin.parameters(), *twin.buffers()]:
        if values.is_floating_point():
            values.requires_grad_(False)
            values.copy_(on_grid(values))
    return twin


class FixedPoint(TorchDispatchMode):
    """A context in which all calculations are exact; see the module. Use it without gradients.

    Args:      largest: a bound on the absolute values of the inputs and of the model's numbers.
    Attributes: numbers: how many results were computed.
    Raises:    NotExact: at an operation that is not known, or for numbers too large to be added exactly.
    """

    def __init__(self, largest: float = 1.0) -> None:
        super().__init__()
        self.largest, self.numbers = largest, 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, because otherwise torch imports its compiler at the first operation, and each one takes longer."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in AS_IS or not (_has_real(args) or _has_real(kwargs.values())):
            found = func(*args, **kwargs)
            return self._entered(packet, found)
        name = packet.__name__
        if name.endswith("_") and not name.startswith("_") and (into := _functional(packet)) in HANDLERS:
            return args[0].copy_(self._value(into, args, kwargs))
        if packet not in HANDLERS:
            raise NotExact(f"the operation {packet.__name__} of PyTorch is not known to give the same bits everywhere")
        return self._value(packet, args, kwargs)

    def _value(self, packet: Any, args: Any, kwargs: Any) -> Any:
        return self.noted(HANDLERS[packet](self, *args, **kwargs))

    def _entered(self, packet: Any, found: Any) -> Any:
        """Numbers that enter the calculation as constants are rounded; all others are on the grid already."""
        if packet in SOURCES and isinstance(found, Tensor) and found.is_floating_point():
            return self.noted(on_grid(found).to(found.dtype))
        return found

    def noted(self, x: Any) -> Any:
        """The same value; its largest absolute value counts for the check of later sums."""
        if isinstance(x, Tensor) and x.is_floating_point() and x.numel():
            self.numbers += x.numel()
            low, high = (value.item() for value in torch.aminmax(x))
            self.largest = max(self.largest, -low, high)
        return x

    def check_sum(self, total_of_weights: Tensor, other: Tensor) -> None:
        """Raise an error unless sums of |weight| times |other| stay exact. The bound by `largest` is tried first."""
        weights = total_of_weights.max().item() if total_of_weights.numel() else 0.0
        limit = float(1 << EXACT)
        if weights * self.largest < limit:
            return
        if weights * (other.abs().max().item() if other.numel() else 0.0) >= limit:
            raise NotExact("numbers of this model are too large to be added exactly")


def _has_real(args: Iterable[Any]) -> bool:
    """Whether a tensor of real numbers is among the arguments; whole numbers are always exact."""
    for one in args:
        if isinstance(one, Tensor):
            if one.is_floating_point():
                return True
        elif isinstance(one, (list, tuple)) and _has_real(one):
            return True
    return False


def _functional(packet: Any) -> Any:
    return getattr(aten, packet.__name__.rstrip("_"), None)


# operations that move, compare or select numbers, or whose result is on the grid if the arguments are
AS_IS = packets(
    """view _unsafe_view reshape _reshape_alias t transpose permute expand slice select unbind split split_with_sizes
    chunk unsqueeze squeeze alias detach clone copy_ contiguous cat stack index index_select gather index_put index_put_
    index_copy index_copy_ scatter scatter_ where masked_fill masked_fill_ relu relu_ clamp clamp_ clamp_min clamp_min_
    clamp_max clamp_max_ neg abs sign maximum minimum max min amax amin argmax argmin sort topk eq ne lt le gt ge
    ceil round trunc empty empty_like new_empty zeros zeros_like new_zeros ones ones_like new_ones _to_copy
    zero_ constant_pad_nd flip roll repeat isnan isinf isfinite unfold as_strided searchsorted max_pool2d_with_indices
    upsample_nearest2d any all nonzero logical_and logical_or logical_not lift_fresh_copy lift_fresh scalar_tensor full
    full_like new_full fill_ fill diag diagonal tril triu movedim eye set_ empty_strided new_empty_strided
    _local_scalar_dense remainder fmod is_same_size masked_scatter pixel_shuffle pixel_unshuffle repeat_interleave"""
) | {aten.floor}
SOURCES = packets("lift_fresh_copy lift_fresh scalar_tensor full full_like new_full fill")
