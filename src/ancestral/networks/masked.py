"""Masked linear layers, the building block of masked autoregressive networks."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mask_of(in_degrees: Tensor, out_degrees: Tensor, strict: bool = False) -> Tensor:
    """Which inputs an output may depend on: those with at most its degree (if strict: below it).

    Args:      in_degrees: shape (in,), whole numbers. out_degrees: shape (out,).
    Returns:   boolean, shape (out, in).
    """
    seen, asking = in_degrees[None, :], out_degrees[:, None]
    return seen < asking if strict else seen <= asking


class MaskedLinear(nn.Linear):
    """y_i = b_i + sum_j m_ij w_ij x_j with a mask m of zeros and ones.

    A layer can keep one mask, see `keep_mask`; otherwise each call gets a mask. With a kept mask, a training sets the
    masked weights to zero at its first step. Their gradient is zero, so they stay zero, and a step need not multiply
    all weights by the mask. In evaluation mode, and for weights that are not trained, the mask is applied in each call
    and the weights are not changed.

    Reference: Germain et al., 2015, eqs. 8 to 9, arXiv 1502.03509.
    Example:
        >>> layer, degrees = MaskedLinear(3, 3), torch.arange(3)
        >>> mask = mask_of(degrees, degrees, strict=True)
        >>> torch.autograd.functional.jacobian(lambda x: layer(x, mask), torch.zeros(3)).triu().any()
        tensor(False)
    """

    in_degrees: Tensor | None
    out_degrees: Tensor | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        for name in ("in_degrees", "out_degrees"):
            self.register_buffer(name, None, persistent=False)
        self.strict = False
        self._kept: Tensor | None = None
        self._zeroed: tuple[Tensor, ...] = ()  # the parameter whose masked weights are zero; a tuple is no parameter
        self.register_load_state_dict_post_hook(_forget_zeros)

    def keep_mask(self, in_degrees: Tensor, out_degrees: Tensor, strict: bool = False) -> None:
        """Use the mask of these degrees, see `mask_of`, in every call that gets none."""
        self.in_degrees, self.out_degrees, self.strict = in_degrees, out_degrees, strict
        self._kept, self._zeroed = None, ()

    @property
    def kept(self) -> Tensor | None:
        """The kept mask, with the type of the weights. It is made at its first use, because it is as large as they."""
        if self.in_degrees is None or self.out_degrees is None:
            return None
        weight, known = self.weight, self._kept
        if known is None or (known.device, known.dtype) != (weight.device, weight.dtype):
            known = mask_of(self.in_degrees, self.out_degrees, self.strict).to(weight)
            if not torch.compiler.is_exporting():  # a traced tensor has no values that could be used again
                self._kept = known
        return known

    def train(self, mode: bool = True) -> Self:
        self._zeroed = ()  # the weights may have been set from outside
        return super().train(mode)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        """x: (..., in); mask: (out, in), or None for the kept one; returns (..., out)."""
        used = self.kept if mask is None else mask
        assert used is not None, "without a kept mask, each call needs one"
        if mask is None and self.training and torch.is_grad_enabled() and self._is_trained():
            if not torch.compiler.is_compiling():  # the first step of a run, which sets them, is not compiled
                self._set_zeros(used)
            weight: Tensor = _WithMaskedGradient.apply(self.weight, used)  # type: ignore[assignment]
            return F.linear(x, weight, self.bias)
        return F.linear(x, self.weight * used, self.bias)

    def _is_trained(self) -> bool:
        """Whether the weights are a parameter that may change: not frozen, and not given by a functional call."""
        return isinstance(self.weight, nn.Parameter) and self.weight.requires_grad

    def _set_zeros(self, mask: Tensor) -> None:
        if not (self._zeroed and self._zeroed[0] is self.weight):
            with torch.no_grad():
                self.weight.mul_(mask)
            self._zeroed = (self.weight,)


def _forget_zeros(layer: Any, _: object) -> None:
    """Loaded weights may not be zero where they are masked, as in runs of early versions."""
    layer._zeroed = ()


class _WithMaskedGradient(torch.autograd.Function):
    """The weights themselves; their gradient is multiplied by a mask."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, mask: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (mask,) = ctx.saved_tensors
        return gradient * mask, None
