"""Limits, ticks and tick labels of plots of curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.figures.series import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def limit_values(axes: Axes, series: list[Series], lines: list[float], ylim: str | None) -> float:
    """Set the limits and ticks of the value axis; returns the largest value, which may be above the limits."""
    from matplotlib.ticker import MaxNLocator

    low, high, peak = _limits(series, lines, ylim)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(_formatter(max(abs(low), abs(high))))
    return peak


def limit_steps(axes: Axes, steps: np.ndarray, log_x: bool, ticks: int) -> None:
    """Set the limits and ticks of the step axis, which may be logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = float(steps.min()), float(steps.max())
    if log_x:
        axes.set_xscale("log")
        margin = (high / low) ** 0.01 if high > low else 2
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(LogLocator(numticks=ticks + 1))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = 0.01 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)
        whole = bool((steps == steps.round()).all())
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=whole))
    axes.xaxis.set_major_formatter(_formatter(high) if low >= 1 or not log_x else FuncFormatter(lambda x, _: f"{x:g}"))


def _limits(series: list[Series], lines: list[float], ylim: str | None) -> tuple[float, float, float]:
    """(low, high, largest value): limits of the value axis, and the largest value, which may be above them."""
    heights = [h for h in (s.extremes() for s in series) if len(h)] or [np.array([0.0, 1.0])]
    low = min([float(h.min()) for h in heights] + lines)
    peak = max([float(h.max()) for h in heights] + lines)
    high = _robust_end(heights, lines, low, peak) if ylim == "robust" else peak
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + (margin if high == peak else 0.0), peak


def _robust_end(heights: list[np.ndarray], lines: list[float], low: float, peak: float) -> float:
    """Upper limit of an axis that shows most values of all curves.

    For each curve, the limit is its upper quartile plus 2.5 times the distance from the minimum to that quartile. The
    axis is not clipped if the largest value is only slightly above that limit.
    """
    quartiles = [float(np.quantile(h, 0.75)) for h in heights]
    bulk = [q + 2.5 * (q - float(h.min())) for q, h in zip(quartiles, heights, strict=True)]
    cut = max(bulk + lines)
    return cut if low < cut and peak - low > 1.5 * (cut - low) else peak


def _formatter(largest: float) -> Any:
    """Tick labels as short numbers: 0.05, 540, 20k, 1M; without an offset in the corner of the plot."""
    from matplotlib.ticker import EngFormatter, FormatStrFormatter, ScalarFormatter

    if largest >= 10_000:
        return EngFormatter(sep="")
    if 0 < largest < 1e-3:
        return FormatStrFormatter("%.1e")
    plain = ScalarFormatter(useOffset=False, useMathText=False)
    plain.set_scientific(False)
    return plain
