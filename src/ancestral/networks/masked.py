"""Masked linear layers, the building block of masked autoregressive networks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class MaskedLinear(nn.Linear):
    """y_i = b_i + sum_j w_ij x_j over inputs j with degree at most that of output i (if strict: below it).

    Each call makes the mask from the degrees, which may change between calls. The weights are not changed: masked
    weights keep their values and have zero gradient.

    Reference: Germain et al., 2015, eqs. 8 to 9, arXiv 1502.03509.
    Example:
        >>> import torch
        >>> layer, degrees = MaskedLinear(3, 3), torch.arange(3)
        >>> torch.autograd.functional.jacobian(lambda x: layer(x, degrees, degrees, True), torch.zeros(3)).triu().any()
        tensor(False)
    """

    def forward(self, x: Tensor, in_degrees: Tensor, out_degrees: Tensor, strict: bool = False) -> Tensor:  # type: ignore[override]
        """x: (..., in); in_degrees: (in,), out_degrees: (out,), whole numbers; returns (..., out)."""
        seen, asking = in_degrees[None, :], out_degrees[:, None]
        mask = seen < asking if strict else seen <= asking
        return F.linear(x, self.weight * mask, self.bias)
