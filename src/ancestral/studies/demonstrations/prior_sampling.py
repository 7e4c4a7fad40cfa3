"""Plain Monte Carlo with z from the prior: the shortfall of its estimate of log p(x), and its effective sample size."""

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
TOGETHER = 20  # images per batch


@dataclass(frozen=True)
class Shortfall:
    """Shortfall of the Monte Carlo estimate of log p(x) with z from the prior, in nats, means over images.

    Attributes: latents, epochs: of the model. active: latents whose posterior mean varies over images. kl: of q from
                the prior, mean over images. images: number of images. draws: sample size S of each estimate.
                nats, stderr: the shortfall. bound: (mean, standard error) of the importance-weighted bound with
                `tight` samples. reference: the same for log p(x) by quadrature if there are two latents, else for
                that bound. change: of the quadrature on a grid half as fine; None without quadrature.
                effective: median over images of the effective sample size, for the most samples from the prior and
                for the `tight` samples from q.
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
    """Compare log (1/S) sum_s p(x | z_s), z_s ~ p(z), with log p(x) or with the bound with many samples from q(z | x).

    Estimates with fewer samples use the first of the largest set. Both sides are logarithms of unbiased estimates of
    p(x), so their expectations are below log p(x).

    Args:      run: of a VAE. draws: sample sizes S. images: number of test images. tight: samples of the bound.
               explained: test images over which the KL divergence is averaged. step: spacing of the grid.
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
    """log p(x | z_s) of z_s ~ p(z), with different samples for each image; shape (N, samples), float64 nats."""

    def draw(x: Tensor, k: int) -> Tensor:
        z = model.prior().sample(torch.Size((k, len(x))))
        return model.likelihood(z).log_prob(x).T

    return _weights(draw, model, images, samples)


def effective_size(log_weights: Tensor) -> Tensor:
    """Effective sample size (sum_s w_s)^2 / sum_s w_s^2 of each row, shape (N,), from 1 to S.

    Reference: Kong, 1992, "A note on importance sampling using standardized weights".
    Example:
        >>> effective_size(torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -50.0, -50.0, -50.0]]))
        tensor([4., 1.])
    """
    return (2 * log_weights.logsumexp(1) - (2 * log_weights).logsumexp(1)).exp()


def clear_growth(found: Sequence[Shortfall]) -> list[bool]:
    """Whether the shortfall at the largest sample size grows clearly from each model to the next."""
    ends = [(one.nats[-1], one.stderr[-1]) for one in found]
    return [b - a > CLEAR * math.hypot(s, t) for (a, s), (b, t) in pairwise(ends)]


def shortfall_figure(found: Mapping[str, Shortfall]) -> Figure:
    """The shortfall of each model against the number of samples, on log axes; values near 0 are left out."""
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
        xlabel="samples of z from the prior",
        ylabel="shortfall of the estimate, nats",
    )


def model_table(found: Sequence[Shortfall]) -> Table:
    """A row for each model: use of its latents, reference values, and effective sample sizes."""
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
    header = ["latents", "epochs", "active", "KL", f"IWAE_{first.tight}", "log p(x)", "ESS, prior", "ESS, q"]
    caption = (
        "Active: latents whose posterior mean varies over test images (variance above 0.01). KL: divergence of "
        f"q(z | x) from the prior, nats. Over {first.images} test images, in nats: the importance-weighted bound, and "
        "log p(x) by quadrature (two latents only). ESS: effective sample size, median over images, of "
        f"{first.draws[-1]:,} samples from the prior and of {first.tight:,} samples from q."
    )
    return Table(header, rows, caption, numeric=set(range(len(header))))


def shortfall_table(found: Sequence[Shortfall]) -> Table:
    """A row for each model; all use the same numbers of samples and images."""
    header = ["latents", *(f"{s:,} sample{'s' * (s > 1)}" for s in found[0].draws)]
    rows = [[str(f.latents), *(_with_error(*pair) for pair in zip(f.nats, f.stderr, strict=True))] for f in found]
    caption = f"Shortfall of plain Monte Carlo in nats, mean over {found[0].images} test images ± standard error."
    return Table(header, rows, caption, numeric=set(range(len(header))))


def _weights(draw: Callable[[Tensor, int], Tensor], model: VAE, images: PixelBatches, samples: int) -> Tensor:
    """Log-weights for each image, shape (N, samples), float64; `draw(x, k)` returns (B, k) of them."""

    def value(x: Tensor) -> Tensor:
        at_once = max(1, ROWS // len(x))
        return torch.cat([draw(x, min(at_once, samples - done)) for done in range(0, samples, at_once)], 1)

    return per_image(model, images, TOGETHER, value, 0, None)


def _with_error(nats: float, stderr: float) -> str:
    return f"{nats:.1f} ± {stderr:.1f}"
