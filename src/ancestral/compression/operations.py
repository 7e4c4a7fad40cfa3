"""Exact versions of the operations of PyTorch, for numbers on the grid; see `fixed_point`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from ancestral.compression import functions
from ancestral.compression.grid import FRACTION, NotExact, on_grid

aten = torch.ops.aten


class Bounds(Protocol):
    """What the operations use of `FixedPoint`."""

    largest: float

    def check_sum(self, total_of_weights: Tensor, other: Tensor) -> None:
        """Raise an error unless sums of |weight| times |other| stay exact."""
        ...


def packets(names: str) -> set[Any]:
    """The operations of these names that this version of PyTorch has."""
    return {getattr(aten, name) for name in names.split() if hasattr(aten, name)}


Handler = Callable[..., Any]
HANDLERS: dict[Any, Handler] = {}


def _handles(names: str) -> Callable[[Handler], Handler]:
    def register(function: Handler) -> Handler:
        for packet in packets(names):
            HANDLERS[packet] = function
        return function

    return register


@_handles("add")
def _add(mode: Bounds, a: Any, b: Any, alpha: float = 1, *, minus: bool = False) -> Any:
    if alpha != 1:
        b = on_grid(b * alpha) if isinstance(b, Tensor) else b * alpha
    found = a - b if minus else a + b
    both = isinstance(a, Tensor) and isinstance(b, Tensor)
    return found if both else on_grid(found)


HANDLERS[aten.sub] = lambda mode, a, b, alpha=1: _add(mode, a, b, alpha, minus=True)
HANDLERS[aten.rsub] = lambda mode, a, b, alpha=1: _add(mode, b, a, alpha, minus=True)


@_handles("mul")
def _mul(mode: Bounds, a: Any, b: Any) -> Any:
    whole = any(isinstance(x, int) or (isinstance(x, Tensor) and not x.is_floating_point()) for x in (a, b))
    return a * b if whole else on_grid(a * b)


@_handles("div")
def _div(mode: Bounds, a: Any, b: Any, rounding_mode: str | None = None) -> Any:
    return on_grid(torch.div(a, b, rounding_mode=rounding_mode))


@_handles("reciprocal")
def _reciprocal(mode: Bounds, a: Tensor) -> Tensor:
    return on_grid(1 / a)


@_handles("sqrt")
def _sqrt(mode: Bounds, a: Tensor) -> Tensor:
    return on_grid(a.sqrt())


@_handles("rsqrt")
def _rsqrt(mode: Bounds, a: Tensor) -> Tensor:
    return on_grid(1 / a.sqrt())


@_handles("pow")
def _pow(mode: Bounds, a: Any, exponent: Any) -> Tensor:
    if exponent == 2:
        return on_grid(a * a)
    if exponent == 0.5:
        return on_grid(a.sqrt())
    if exponent == -1:
        return on_grid(1 / a)
    raise NotExact("powers other than 2, 1/2 and -1 are not known to give the same bits everywhere")


@_handles("square")
def _square(mode: Bounds, a: Tensor) -> Tensor:
    return on_grid(a * a)


@_handles("addcmul")
def _addcmul(mode: Bounds, a: Tensor, b: Tensor, c: Tensor, value: float = 1) -> Tensor:
    return a + on_grid(b * c * value if value != 1 else b * c)


@_handles("lerp")
def _lerp(mode: Bounds, a: Tensor, b: Tensor, weight: Any) -> Tensor:
    return a + on_grid((b - a) * weight)


@_handles("mm bmm mv dot")
def _product(mode: Bounds, a: Tensor, b: Tensor) -> Tensor:
    # the bound needs the sums of one factor along the common axis: those of the smaller one are cheaper
    if b.numel() <= a.numel():
        mode.check_sum(b.abs().sum(0 if b.dim() < 3 else 1), a)
    else:
        mode.check_sum(a.abs().sum(-1), b)
    return on_grid(torch.matmul(a.double(), b.double()))


@_handles("addmm baddbmm addmv addbmm")
def _sum_and_product(mode: Bounds, bias: Tensor, a: Tensor, b: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    if beta != 1 or alpha != 1:
        raise NotExact("scaled sums of matrix products are not known to give the same bits everywhere")
    return bias + _product(mode, a, b)


@_handles("convolution")
def _convolution(
    mode: Bounds, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, extra: Any, groups: int,
) -> Tensor:  # fmt: skip
    mode.check_sum(weight.abs().sum((0, 2, 3) if transposed else (1, 2, 3)), x)
    found = torch.convolution(
        x.double(), weight.double(), None, stride, padding, dilation, transposed, extra, groups
    )  # fmt: skip
    found = on_grid(found)
    return found if bias is None else found + bias.view(-1, *[1] * (found.dim() - 2))


@_handles("sum")
def _sum(mode: Bounds, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    found = x.double().sum(dim, keepdim) if dim is not None else x.double().sum()
    terms = x.numel() / max(1, found.numel())
    if mode.largest * terms >= 2.0 ** (53 - FRACTION):
        raise NotExact("numbers of this model are too large to be added exactly")
    return found


@_handles("mean")
def _mean(mode: Bounds, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    total = _sum(mode, x, dim, keepdim)
    return on_grid(total / (x.numel() // max(1, total.numel())))


@_handles("cumsum")
def _cumsum(mode: Bounds, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    if mode.largest * x.shape[dim] >= 2.0 ** (53 - FRACTION):
        raise NotExact("numbers of this model are too large to be added exactly")
    return x.cumsum(dim)


@_handles("logsumexp")
def _logsumexp(mode: Bounds, x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    top = x.amax(dim, keepdim=True)
    # the exponentials are put on a finer grid than other numbers; their sum is then exact as well
    shares = (functions.exp(x - top) * float(1 << 40)).floor_().sum(dim, keepdim=True).div_(float(1 << 40))
    found = top + on_grid(functions.log(shares))
    return found if keepdim else found.squeeze(dim)


@_handles("_log_softmax log_softmax")
def _log_softmax(mode: Bounds, x: Tensor, dim: int, half: Any = False) -> Tensor:
    return x - _logsumexp(mode, x, dim, keepdim=True)


@_handles("_softmax softmax")
def _softmax(mode: Bounds, x: Tensor, dim: int, half: Any = False) -> Tensor:
    return on_grid(functions.exp(_log_softmax(mode, x, dim)))


@_handles("nll_loss_forward")
def _nll_loss(
    mode: Bounds, log_probs: Tensor, target: Tensor, weight: Tensor | None, reduction: int, ignored: int
) -> tuple[Tensor, Tensor]:
    if weight is not None or reduction != 0 or log_probs.dim() != 2:
        raise NotExact("a weighted or averaged cross-entropy is not known to give the same bits everywhere")
    chosen = log_probs.gather(1, target.clamp_min(0)[:, None])[:, 0]
    return torch.where(target == ignored, 0.0, -chosen), log_probs.new_empty(0)


@_handles("log_sigmoid_forward")
def _log_sigmoid(mode: Bounds, x: Tensor) -> tuple[Tensor, Tensor]:
    return -on_grid(functions.softplus(-x)), x


@_handles("softplus")
def _softplus(mode: Bounds, x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    return on_grid(functions.softplus(x) if beta == 1 else functions.softplus(x * beta) / beta)


@_handles("silu")
def _silu(mode: Bounds, x: Tensor) -> Tensor:
    return on_grid(x * functions.sigmoid(x))


@_handles("glu")
def _glu(mode: Bounds, x: Tensor, dim: int = -1) -> Tensor:
    a, b = x.chunk(2, dim)
    return on_grid(a * functions.sigmoid(b))


@_handles("native_layer_norm")
def _layer_norm(mode: Bounds, x: Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, ...]:
    axes = list(range(-len(shape), 0))
    centred = x - _mean(mode, x, axes, keepdim=True)
    variance = _mean(mode, on_grid(centred * centred), axes, keepdim=True)
    found = on_grid(centred / (variance + eps).sqrt())
    found = found if weight is None else on_grid(found * weight)
    return (found if bias is None else found + bias, variance, variance)


@_handles("gelu")
def _gelu(mode: Bounds, x: Tensor, approximate: str = "none") -> Tensor:
    if approximate != "none":
        raise NotExact("an approximate GELU is not known to give the same bits everywhere")
    return on_grid(x * functions.normal_cdf(x))


@_handles("elu")
def _elu(mode: Bounds, x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    below = (functions.exp(x.clamp_max(0) * input_scale) - 1) * (alpha * scale)
    return on_grid(torch.where(x > 0, x * scale, below))


@_handles("leaky_relu")
def _leaky_relu(mode: Bounds, x: Tensor, slope: float = 0.01) -> Tensor:
    return on_grid(torch.where(x > 0, x, x * slope))


@_handles("hardtanh")
def _hardtanh(mode: Bounds, x: Tensor, low: float = -1, high: float = 1) -> Tensor:
    return on_grid(x.clamp(low, high))


@_handles("native_batch_norm _native_batch_norm_legit_no_training _native_batch_norm_legit cudnn_batch_norm")
def _batch_norm(mode: Bounds, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    weight, bias, mean, variance = rest[:4]
    if len(rest) == 7 and rest[4]:
        raise NotExact("a batch normalisation with the statistics of the batch depends on the batch")
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = on_grid(1 / (variance + rest[-1]).sqrt() * (1 if weight is None else weight))
    shifted = x - mean.view(shape)
    found = on_grid(shifted * scale.view(shape))
    if bias is not None:
        found = found + bias.view(shape)
    return found, x.new_empty(0), x.new_empty(0)


def _elementwise(function: Callable[[Tensor], Tensor]) -> Handler:
    return lambda mode, x: on_grid(function(x))


for _name, _function in {
    "exp": functions.exp,
    "log": functions.log,
    "log1p": lambda x: functions.log(x + 1),
    "expm1": lambda x: functions.exp(x) - 1,
    "tanh": functions.tanh,
    "sigmoid": functions.sigmoid,
}.items():
    HANDLERS[getattr(aten, _name)] = _elementwise(_function)
