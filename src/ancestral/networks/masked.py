"""Linear layers that see only inputs of lower degree: the building block of masked autoregressive networks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class MaskedLinear(nn.Linear):
    """y_i = b_i + sum of w_ij x_j over the inputs j whose degree is at most (or, if strict, below) that of output i.

    The mask is made anew from the degrees, which may change from call to call; the weights themselves are
    never touched, so masked ones keep their values and get no gradient.

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
