"""KL between Gaussians in one dimension: the closed form and the integral."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ancestral.core.text import scientific
from ancestral.distributions.conditional import diagonal_gaussian, kl_parts
from ancestral.reports.html import Table

NODES, REACH = 20_001, 12.0  # of the integral: points, and standard deviations on each side of the mean of q


@dataclass(frozen=True)
class Divergence:
    """KL(q || p) of q = N(mean, scale^2) and p = N(0, 1), and KL(p || q); nats.

    Attributes: closed, integral: KL(q || p). reverse: KL(p || q), closed form.
    """

    mean: float
    scale: float
    closed: float
    integral: float
    reverse: float


def divergence_from_standard(mean: float, scale: float) -> Divergence:
    """The closed form that training uses, and the integral of q (log q - log p) by the trapezoidal rule.

    Reference: Kingma and Welling, 2014, appendix B, arXiv 1312.6114.
    """
    m, s = (torch.tensor([value], dtype=torch.float64) for value in (mean, scale))
    q, p = diagonal_gaussian(m, 2 * s.log()), diagonal_gaussian(torch.zeros_like(m), torch.zeros_like(m))
    z = m + s * torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)[:, None]  # (NODES, 1)
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), z[:, 0]).item()
    both = [kl_parts(a, b, z[0]).sum().item() for a, b in ((q, p), (p, q))]
    if not all(map(math.isfinite, both)):
        raise ValueError(f"N({mean}, {scale}^2) has no finite divergence from N(0, 1)")
    return Divergence(mean, scale, both[0], integral, both[1])


def divergence_table(found: Sequence[Divergence]) -> Table:
    """A row for each q."""
    rows = [
        [f"N({f.mean:g}, {f.scale:g}²)", *(nats_in_words(value) for value in (f.closed, f.integral, f.reverse))]
        for f in found
    ]
    return Table(
        ["q", "KL(q || p)", "by quadrature", "KL(p || q)"],
        rows,
        "KL divergence of q from p = N(0, 1), in closed form and by quadrature, and of p from q in closed form; nats.",
        numeric={1, 2, 3},
    )


def nats_in_words(value: float) -> str:
    """A divergence of any size, with four or five digits, as text."""
    return f"{value:.5g}" if value == 0 or 1e-2 <= abs(value) < 1e5 else scientific(value, 3)
