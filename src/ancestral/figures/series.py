"""Named series of values, checked and prepared for drawing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.style import PALETTE, as_floats

if TYPE_CHECKING:
    from torch import Tensor

DASHES = {"line": "-", "dashed": (0, (4, 2)), "points": ""}
Look = tuple[str, Any]  # colour and dashes
MANY = 400  # longer lines are drawn thin, with their running mean above


@dataclass
class Curve:
    """One named series of values.

    Args:
        label: its name in the legend; may be empty.
        steps: shape (n,); finite.
        values: shape (n,); NaN and infinities are drawn as crosses.
        band: (low, high), each (n,): a shaded region such as plus and minus one standard error.
        style: a line, a dashed line, or points only.
    """

    label: str
    steps: Sequence[float] | np.ndarray | Tensor
    values: Sequence[float] | np.ndarray | Tensor
    band: tuple[Any, Any] | None = None
    style: Literal["line", "dashed", "points"] = "line"


@dataclass
class Series:
    """A checked curve: plain arrays."""

    label: str
    style: str
    x: np.ndarray  # (n,) finite
    y: np.ndarray  # (n,) NaN where the value was not finite
    band: tuple[np.ndarray, np.ndarray] | None
    smooth: np.ndarray | None  # (n,) running mean of a long line
    window: int

    @classmethod
    def of(cls, curve: Curve, log_x: bool) -> Series:
        name = f"curve {curve.label!r}"
        x, y = as_floats(f"{name}: steps", curve.steps), as_floats(f"{name}: values", curve.values)
        band = None if curve.band is None else _as_band(f"{name}: band", curve.band)
        for what, array in [("values", y), *(("band values", side) for side in band or ())]:
            if len(array) != len(x):
                raise InputError(f"{name}: {len(x)} steps but {len(array)} {what}")
        if curve.style not in DASHES:
            raise InputError(f"{name}: style must be one of {', '.join(DASHES)}, got {curve.style!r}")
        if not np.isfinite(x).all() or (log_x and x.min() <= 0):
            raise InputError(f"{name}: steps must be finite" + (" and positive on a log axis" if log_x else ""))
        y = np.where(np.isfinite(y), y, np.nan)
        window = _window(len(y), curve.style)
        smooth = running_mean(y, window) if window else None
        return cls(curve.label, curve.style, x, y, band, smooth, window)

    def end(self) -> float:
        """The last finite value of the drawn line; NaN if there is none."""
        line = self.y if self.smooth is None else self.smooth
        seen = line[np.isfinite(line)]
        return float(seen[-1]) if len(seen) else np.nan

    def extremes(self) -> np.ndarray:
        """All finite values, including those of the band."""
        heights = np.concatenate([self.y, *(self.band or ())])
        return heights[np.isfinite(heights)]


def panels_of(panels: Iterable[Iterable[Curve]], log_x: bool) -> list[list[Series]]:
    """The checked curves of each panel.

    Raises: InputError if a curve is malformed, or a panel has none.
    """
    content = [[Series.of(curve, log_x) for curve in curves] for curves in panels]
    check_panels(content)
    return content


def check_panels(content: Sequence[Sequence[Series]]) -> None:
    """Raises:    InputError: a panel has no curve."""
    if not content or not all(content):
        raise InputError("every panel needs at least one curve")


def looks_of(styles: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """Colour and dashes of each label, from (label, style) pairs; the last style of a label counts."""
    by_label = dict(styles)
    return {label: (PALETTE[i % len(PALETTE)], DASHES[style]) for i, (label, style) in enumerate(by_label.items())}


def _as_band(name: str, band: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    low, high = (as_floats(name, side) for side in band)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def _window(points: int, style: str) -> int:
    """Window of the running mean of a long line; 0 for a short line and for points."""
    return 0 if points <= MANY or style == "points" else 2 * max(points // 200, 5) + 1


def running_mean(y: np.ndarray, window: int) -> np.ndarray:
    """The mean of the finite values around each point; NaN where the value itself is NaN.

    Near the start, the window shrinks on both sides, so that a steep start stays steep.
    """
    finite = np.isfinite(y)
    totals = np.r_[0.0, np.cumsum(np.where(finite, y, 0.0))]
    counts = np.r_[0, np.cumsum(finite)]
    i = np.arange(len(y))
    low = np.maximum(i - window // 2, 0)
    high = np.minimum(i + np.minimum(window // 2, np.maximum(i, window // 20)), len(y) - 1) + 1
    mean = (totals[high] - totals[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(finite, mean, np.nan)


def outline(x: np.ndarray, y: np.ndarray, log_x: bool, bins: int = 1000) -> np.ndarray:
    """Indices of the points that determine the shape of a long line: ends, extremes and gaps of each pixel column."""
    place = np.log(x) if log_x else x
    span = place.max() - place.min() or 1.0
    column = ((place - place.min()) / span * (bins - 1)).astype(int)
    starts = np.flatnonzero(np.r_[True, column[1:] != column[:-1]])
    kept = {0, len(x) - 1, *np.flatnonzero(~np.isfinite(y))}
    for begin, stop in zip(starts, np.r_[starts[1:], len(x)], strict=True):
        part = y[begin:stop]
        kept |= {int(begin), int(stop) - 1}
        if np.isfinite(part).any():
            kept |= {int(begin) + int(np.nanargmin(part)), int(begin) + int(np.nanargmax(part))}
    return np.array(sorted(kept))
