"""Plain Monte Carlo with z from the prior: how far its estimate of log p(x) falls short, and how few draws count."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.maths import log_mean_exp, mean_and_error
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import ROWS, per_image
from ancestral.families.vae.vae import VAE
from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve
from ancestral.reports.html import Table
from ancestral.runs.explain import explain_run
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.latent_grid import STEP, grid_log_prob

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWS = (1, 10, 100, 1000, 10_000)
IMAGES, TIGHT, EXPLAINED = 100, 5000, 1000
CLEAR = 3.0  # standard errors
TOGETHER = 20  # images at once


@dataclass(frozen=True)
class Shortfall:
    """How far the prior's estimate of log p(x) lies below what it estimates, in nats, means over images.

    Attributes: latents, epochs: of the model. active: latents whose posterior mean varies over images. kl: of q from
                the prior, mean over images. images: scored. draws: S of each estimate. nats, stderr: the shortfall.
                bound, reference: (mean, standard error) of the importance-weighted bound of `tight` draws, and of what
                is fallen short of: log p(x) by quadrature where there are two latents, else that bound.
                change: of the quadrature on a grid half as fine, None where there is none.
                effective: median over images of the effective sample size, of the most draws from the prior and of
                the `tight` draws from q.
    """

    latents: int
    epochs: int
    active: int
    kl: float
    images: int
    draws: Sequence[int]
    nats: Sequence[float]
    stderr: Sequence[float]
    tight: int
    bound: tuple[float, float]
    reference: tuple[float, float]
    change: float | None
    effective: tuple[float, float]


def shortfall(
    run: Run,
    draws: Sequence[int] = DRAWS,
    images: int = IMAGES,
    tight: int = TIGHT,
    explained: int = EXPLAINED,
    step: float = STEP,
) -> Shortfall:
    """Compare log (1/S) sum_s p(x | z_s), z_s ~ p(z), with log p(x) or with the bound of many draws from q(z | x).

    The estimates of fewer draws use the first of the most. Both sides are logarithms of unbiased estimates of p(x), so
    each lies below log p(x) in the mean.

    Args:      run: of a VAE, whose first test images are scored. tight: draws of the bound. explained: test images
               over which the divergence is averaged. step: of the grid.
    """
    model, x = run.load(), run.data.held("test", images)
    assert isinstance(model, VAE)
    from_prior, from_q = prior_weights(model, x, max(draws)), _weights(model.log_weights, model, x, tight)
    bound = log_mean_exp(from_q, 1)
    latents = run.settings.model.latents  # type: ignore[attr-defined]
    grid = grid_log_prob(model, x.first(images), step=step) if latents == 2 else None
    reference = bound if grid is None else grid.fine
    below = [mean_and_error(reference - log_mean_exp(from_prior[:, :s], 1)) for s in draws]
    parts = explain_run(run, explained)
    assert parts.active is not None
    return Shortfall(
        latents=latents,
        epochs=run.outcome["epochs"],
        active=int(parts.active.sum()),
        kl=parts.divergences.sum().item(),
        images=len(x),
        draws=tuple(draws),
        nats=tuple(nats for nats, _ in below),
        stderr=tuple(stderr for _, stderr in below),
        tight=tight,
        bound=mean_and_error(bound),
        reference=mean_and_error(reference),
        change=None if grid is None else grid.change,
        effective=(effective_size(from_prior).median().item(), effective_size(from_q).median().item()),
    )


def prior_weights(model: VAE, images: PixelBatches, samples: int) -> Tensor:
    """log p(x | z_s) of z_s ~ p(z), other draws for each image; shape (N, samples), float64 nats."""

    def draw(x: Tensor, k: int) -> Tensor:
        z = model.prior().sample(torch.Size((k, len(x))))
        return model.likelihood(z).log_prob(x).T

    return _weights(draw, model, images, samples)


def effective_size(log_weights: Tensor) -> Tensor:
    """(sum_s w_s)^2 / sum_s w_s^2 of each row, shape (N,): how many of the draws count, 1 to S.

    Reference: Kong, 1992, "A note on importance sampling using standardized weights".
    Example:
        >>> effective_size(torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -50.0, -50.0, -50.0]]))
        tensor([4., 1.])
    """
    return (2 * log_weights.logsumexp(1) - (2 * log_weights).logsumexp(1)).exp()


def clear_growth(found: Sequence[Shortfall]) -> list[bool]:
    """Whether the shortfall at the most draws grows clearly from each model to the next."""
    ends = [(one.nats[-1], one.stderr[-1]) for one in found]
    return [b - a > CLEAR * math.hypot(s, t) for (a, s), (b, t) in pairwise(ends)]


def shortfall_figure(found: Mapping[str, Shortfall]) -> Figure:
    """A curve for each model over the number of draws, as far as it lies clearly above nothing, on log axes."""
    curves = []
    for name, one in found.items():
        kept = [i for i, (n, s) in enumerate(zip(one.nats, one.stderr, strict=True)) if n > 2 * s]
        low, high = ([one.nats[i] + sign * one.stderr[i] for i in kept] for sign in (-1, 1))
        if kept:
            curves.append(Curve(name, [one.draws[i] for i in kept], [one.nats[i] for i in kept], (low, high)))
    most = next(iter(found.values())).draws
    return panel_figure(
        [Panel("", curves, log_x=True, log_y=True, ticks=most)],
        plot_height=150.0,
        xlabel="draws of z from the prior",
        ylabel="nats that the estimate falls short",
    )


def model_table(found: Sequence[Shortfall]) -> Table:
    """A row for each model: what it uses of its latents, what it falls short of, and how many draws count."""
    rows = [
        [
            str(f.latents),
            str(f.epochs),
            str(f.active),
            f"{f.kl:.1f}",
            _with_error(*f.bound),
            _with_error(*f.reference) if f.change is not None else "–",
            f"{f.effective[0]:,.1f}",
            f"{f.effective[1]:,.0f}",
        ]
        for f in found
    ]
    first = found[0]
    header = ["latents", "epochs", "active", "KL", f"IWAE_{first.tight}", "log p(x)", "count, prior", "count, q"]
    caption = (
        "Active latents are those whose posterior mean varies over test images (variance above 0.01); KL is that of "
        f"q(z | x) from the prior, nats. Then over {first.images} test images, in nats: the importance-weighted bound, "
        "and log p(x) by quadrature where there are two latents. Last, how many draws count (effective sample size, "
        f"median over images) of {first.draws[-1]:,} from the prior and of {first.tight:,} from q."
    )
    return Table(header, rows, caption, numeric=set(range(len(header))))


def shortfall_table(found: Sequence[Shortfall]) -> Table:
    """A row for each model; all of the same draws and images."""
    header = ["latents", *(f"{s:,} draw{'s' * (s > 1)}" for s in found[0].draws)]
    rows = [[str(f.latents), *(_with_error(*pair) for pair in zip(f.nats, f.stderr, strict=True))] for f in found]
    caption = f"Nats by which plain Monte Carlo falls short, mean over {found[0].images} test images ± standard error."
    return Table(header, rows, caption, numeric=set(range(len(header))))


def _weights(draw: Callable[[Tensor, int], Tensor], model: VAE, images: PixelBatches, samples: int) -> Tensor:
    """Log-weights of so many draws for each image, shape (N, samples), float64; `draw(x, k)` gives (B, k) of them."""

    def value(x: Tensor) -> Tensor:
        at_once = max(1, ROWS // len(x))
        return torch.cat([draw(x, min(at_once, samples - done)) for done in range(0, samples, at_once)], 1)

    return per_image(model, images, TOGETHER, value, 0, None)


def _with_error(nats: float, stderr: float) -> str:
    return f"{nats:.1f} ± {stderr:.1f}"
