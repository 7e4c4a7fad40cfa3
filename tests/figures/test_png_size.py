"""Figures of any size become PNG files."""

from __future__ import annotations

from io import BytesIO

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ancestral.figures.png import png_bytes


@pytest.mark.parametrize("height", [3.0, 9.04666, 9.05333, 4.999999999])
def test_sizes_that_are_not_whole_pixels_are_written(height: float) -> None:
    figure = Figure(figsize=(8, height))
    figure.subplots().plot([0, 1])
    picture = Image.open(BytesIO(png_bytes(figure, 150)))
    assert picture.width == 1200
    assert abs(picture.height - 150 * height) <= 1
