"""Chapters of `csds600` with derivations: KL from the standard normal, and the density after several maps."""

from __future__ import annotations

import math

import torch

from ancestral.core.text import scientific
from ancestral.families.vae.vae import VAE
from ancestral.reports.html import Table
from ancestral.studies.csds600.made import within_of_one
from ancestral.studies.demonstrations.divergence_by_draws import divergence_by_draws, divergence_figure
from ancestral.studies.demonstrations.gaussian_divergence import divergence_from_standard
from ancestral.studies.demonstrations.pushforward import DRAWS, MAPS, REACH, pushforward, pushforward_figure
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

_DIVERGENCE = """KL(q || p) = E_q[log q(z) − log p(z)]. The latents are independent under q = N(m, diag s^2) and under \
p = N(0, I), so both logarithms are sums over the latents, and the divergence is the sum of the divergences of the \
single latents.

For one latent, log q(z) = −(z − m)^2 / (2 s^2) − log s − (log 2π) / 2 and log p(z) = −z^2 / 2 − (log 2π) / 2. The \
term (log 2π) / 2 cancels in the difference.

E_q[(z − m)^2] = s^2 and E_q[z^2] = m^2 + s^2. So E_q[log q(z) − log p(z)] = −1/2 − log s + (m^2 + s^2) / 2. The sum \
over all latents is KL(N(m, diag s^2) || N(0, I)) = Σ_d (s_d^2 + m_d^2 − 1 − log s_d^2) / 2."""
_PUSHFORWARD = """One map x = f(z): a small region of x has the same probability as the region of z that is mapped to \
it, p_1(x) |dx| = p_0(z) |dz|. This gives the change of variables p_1(x) = p_0(z) |det ∂z / ∂x| at z = f^{-1}(x).

f^{-1}(f(z)) = z, so the Jacobian of the inverse is the inverse of the Jacobian, and det ∂z / ∂x = 1 / det ∂f / ∂z. \
Therefore log p_1(x) = log p_0(z) − log |det ∂f / ∂z|.

The rest is induction: z_i = f_i(z_{i-1}) is one map of z_{i-1}, whose density is known, so each map adds one term. \
The density of x = z_n is log p_n(x) = log p_0(z_0) − Σ_i log |det ∂f_i / ∂z_{i-1}|, i = 1 to n, at \
z_0 = f_1^{-1}(... f_n^{-1}(x))."""


def divergence(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    model = run.load()
    assert isinstance(model, VAE)
    with torch.no_grad():
        q = model.posterior(run.data.held("test").first(1))
    found = divergence_by_draws(q.mean[0], q.stddev[0])
    small, large = divergence_from_standard(0.01, 1.0), divergence_from_standard(10.0, 0.1)
    last, error = found.nats[-1], found.stderr[-1]
    of_image = f"q(z | x) of the first test image, {len(q.mean[0])} latents"
    known = [(of_image, found.closed, found.quadrature)]
    known += [("N(0.01, 1), one latent", small.closed, small.integral)]
    known += [("N(10, 0.1^2), one latent", large.closed, large.integral)]
    return ChapterContent(
        f"{_DIVERGENCE}\n\nThe formula was checked on q(z | x) of the first test image, from the trained encoder. The "
        f"closed form gives {found.closed:.4f} nats. The sum of the numerical integrals of the latents gives "
        f"{found.quadrature:.4f}. The mean of log q(z) − log p(z) over {found.draws[-1]:,} samples gives {last:.4f} ± "
        f"{error:.4f}. Training uses the closed form because it is cheap and has no noise.",
        [
            Table(
                ["q", "closed form", "integral"],
                [[name, _nats(closed), _nats(integral)] for name, closed, integral in known],
                "KL divergence from the standard normal, in nats.",
                {1, 2},
            )
        ],
        [
            workshop.figure(
                "divergence",
                divergence_figure(found),
                "Monte Carlo estimates of the same divergence; each estimate uses its own samples of z. The shaded "
                "band is the mean ± one standard error.",
                of=(),
            )
        ],
        [
            ReferenceCheck(
                "KL of a posterior from the standard normal",
                f"{found.closed:.4f} nats in closed form",
                f"{found.quadrature:.4f} by integrals, {last:.4f} ± {error:.4f} by samples",
                abs(found.quadrature - found.closed) < 1e-6 * max(1, found.closed)
                and abs(last - found.closed) < 5 * error,
                "One of the three values is wrong.",
                AN_IDENTITY,
            )
        ],
    )


def _nats(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 1e-3 else scientific(value)


def pushed(workshop: Workshop) -> ChapterContent:
    stages = pushforward(workshop.size(DRAWS, DRAWS // 5))
    rows = [[one.name, f"{one.integral:.6f}", f"{one.fit:.2f}"] for one in stages]
    worst = max((one.integral - 1 for one in stages), key=abs)
    least = min(one.fit for one in stages)
    beyond = scientific(math.erfc(REACH / math.sqrt(2)), 0)
    return ChapterContent(
        f"{_PUSHFORWARD}\n\nAs a check, N(0, 1) is pushed through {len(MAPS)} maps, one after the other: "
        f"{', '.join(f'`{one.name}`' for one in MAPS)}. Where a map has slope s, it divides the density by s; the "
        "logarithms of the slopes add up.",
        [
            Table(
                ["density", "integral", "p-value of the samples"],
                rows,
                "The integral of each density, and the p-value of a chi-square test that compares the pushed samples "
                f"with it; a small p-value means that they do not fit. The grids end at {REACH:g} standard deviations "
                f"of z; the probability beyond is {beyond}.",
                {1, 2},
            )
        ],
        [
            workshop.figure(
                "pushforward", pushforward_figure(stages), "Lines: density by the formula. Points: samples.", of=()
            )
        ],
        [
            ReferenceCheck(
                "pushed densities integrate to",
                "1, and fit the pushed samples (p above 0.0001)",
                f"{within_of_one(worst)}; p at least {least:.2f}",
                abs(worst) < 1e-5 and least > 1e-4,
                "A log-determinant is wrong or missing.",
                AN_IDENTITY,
            )
        ],
    )
