"""Plain Monte Carlo with z from the prior: how far its estimate of log p(x) falls short, by the dimension of z."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ancestral.evaluation.likelihood import importance_weighted, prior_monte_carlo
from ancestral.figures.curves import learning_curves
from ancestral.figures.series import Curve
from ancestral.models.kinds import LatentModel
from ancestral.report import Table
from ancestral.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = (1, 10, 100, 1000, 10_000)
IMAGES, TIGHT = 100, 5000


@dataclass(frozen=True)
class Shortfall:
    """How far the prior's estimate of log p(x) lies below a tight one, in nats, means over images.

    Attributes: latents: M. images: scored. draws: S of each estimate. nats, stderr: of the shortfall. tight: the tight
                bound itself.
    """

    latents: int
    images: int
    draws: Sequence[int]
    nats: Sequence[float]
    stderr: Sequence[float]
    tight: float


def shortfall(
    model: LatentModel, run: Run, latents: int, draws: Sequence[int] = DRAWS, images: int = IMAGES, tight: int = TIGHT
) -> Shortfall:
    """Compare (1/S) sum_s p(x | z_s), z_s ~ p(z), with the importance-weighted bound of many draws from q(z | x).

    Both are unbiased for p(x), so both logarithms lie below log p(x) in the mean; q looks where z explains x, the
    prior hardly ever does.

    Args:      run: whose first test images are scored. tight: draws of the bound compared with.
    """
    x = run.data.held("test", images)
    bound = importance_weighted(model, x, tight)
    below = [bound - prior_monte_carlo(model, x, s) for s in draws]
    return Shortfall(
        latents,
        len(x),
        tuple(draws),
        tuple(gap.mean().item() for gap in below),
        tuple((gap.std() / math.sqrt(len(gap))).item() for gap in below),
        bound.mean().item(),
    )


def shortfall_figure(found: Mapping[str, Shortfall]) -> Figure:
    """A curve for each model, over the number of draws."""
    curves = [
        Curve(
            name,
            one.draws,
            one.nats,
            ([n - s for n, s in zip(one.nats, one.stderr, strict=True)],
             [n + s for n, s in zip(one.nats, one.stderr, strict=True)]),
        )
        for name, one in found.items()
    ]  # fmt: skip
    return learning_curves(
        curves,
        xlabel="draws of z from the prior",
        ylabel="nats below the tight bound",
        log_x=True,
        ylim=None,
        reference=[(0.0, "no loss")],
    )


def shortfall_table(found: Sequence[Shortfall]) -> Table:
    """A row for each model; all of the same draws and images."""
    header = ["latents", "tight bound, nats", *(f"{s:,} draws" for s in found[0].draws)]
    rows = [
        [str(f.latents), f"{f.tight:.1f}", *(f"{n:.2f} ± {e:.2f}" for n, e in zip(f.nats, f.stderr, strict=True))]
        for f in found
    ]
    caption = f"Nats that plain Monte Carlo falls short, mean over {found[0].images} test images."
    return Table(header, rows, caption, numeric=set(range(len(header))))
