"""Figures of any size become PNG files, with a palette that keeps the colours of their images."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ancestral.figures.png import WHOLE, mark_images, places_of, png_bytes


@pytest.mark.parametrize("height", [3.0, 9.04666, 9.05333, 4.999999999])
def test_sizes_that_are_not_whole_pixels_are_written(height: float) -> None:
    figure = Figure(figsize=(8, height))
    figure.subplots().plot([0, 1])
    picture = Image.open(BytesIO(png_bytes(figure, 150)))
    assert picture.width == 1200
    assert abs(picture.height - 150 * height) <= 1


def test_a_palette_keeps_the_colours_of_images_and_of_the_background_exactly() -> None:
    figure = Figure(figsize=(4, 2), dpi=100, facecolor="#fcfbf7")
    shown, around = figure.subplots(1, 2, gridspec_kw={"wspace": 0.6})
    steps = np.linspace(0, 255, 36).astype(np.uint8).reshape(6, 6)
    shown.imshow(np.stack([steps, steps[::-1], steps.T], -1), interpolation="nearest", aspect="auto")
    shown.set_axis_off()
    x = np.linspace(0, 1, 400)
    around.scatter(x, x, c=x, cmap="hsv", s=20)
    mark_images(shown, [WHOLE])
    picture = Image.open(BytesIO(png_bytes(figure, 100)))
    assert picture.mode == "P"
    figure.savefig(raw := BytesIO(), format="png", dpi=100)
    drawn = np.asarray(Image.open(raw).convert("RGB")).astype(int)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 256, "more colours than a palette has"
    away = np.abs(np.asarray(picture.convert("RGB")).astype(int) - drawn).max(2)
    ((left, top, right, bottom),) = places_of(figure)
    height, width = away.shape
    assert not away[round(top * height) : round(bottom * height), round(left * width) : round(right * width)].any()
    assert not away[(drawn == drawn[0, 0]).all(2)].any()
    assert away.mean() < 1
