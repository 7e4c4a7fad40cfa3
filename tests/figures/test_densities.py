"""Plots of the plane: orientation, a common colour scale, and notes on what is not shown."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from ancestral.core.errors import InputError
from ancestral.figures.densities import Plane, draw_planes, scatter


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_the_first_coordinate_increases_to_the_right_and_the_second_upwards() -> None:
    density = np.zeros((4, 4))
    density[0, 3] = 1.0  # the lowest row, the last column: around (1.5, -1.5)
    (panel, *_) = draw_planes([Plane("p", 2.0, density)]).axes
    (image,) = panel.images
    assert image.origin == "lower" and image.get_extent() == [-2, 2, -2, 2]
    assert np.asarray(image.get_array())[0, 3] == 1
    pixels = drawn(draw_planes([Plane("p", 2.0, density)]))
    box = panel.get_window_extent()
    height = pixels.shape[0]
    dark = pixels[height - int(box.y0 + 0.1 * box.height), int(box.x0 + 0.9 * box.width)]
    light = pixels[height - int(box.y0 + 0.9 * box.height), int(box.x0 + 0.9 * box.width)]
    assert dark[0] < 50 < 240 < light[0]


def drawn(figure: Figure) -> np.ndarray:
    from PIL import Image

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def test_panels_are_square_and_share_one_colour_scale() -> None:
    faint, strong = np.full((5, 5), 0.1), np.full((5, 5), 2.0)
    figure = draw_planes([Plane("a", 1.0, faint), Plane("b", 3.0, torch.from_numpy(strong)), Plane("c", 2.0)])
    *panels, bar = figure.axes
    assert [image.get_clim() for panel in panels for image in panel.images] == [(0, 2.0)] * 2
    figure.draw_without_rendering()
    boxes = [panel.get_window_extent() for panel in panels]
    assert all(abs(box.width - box.height) < 1 for box in boxes)
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])
    assert bar.get_ylim() == (0, 2.0) and "density" in words(figure)
    assert bar.get_window_extent().x0 > boxes[1].x1


def test_a_note_names_a_density_beyond_the_colour_scale() -> None:
    density = np.full((3, 3), 0.5)
    figure = draw_planes([Plane("a", 1.0, density), Plane("b", 1.0, 4 * density)], scale=0.5)
    assert "The colour scale ends at 0.5; 'b' reaches 2." in words(figure)
    assert "colour scale ends" not in words(draw_planes([Plane("a", 1.0, density)]))


def test_points_outside_are_counted_including_nan() -> None:
    points = np.array([[0.0, 0.0], [0.5, -0.9], [1.5, 0.0], [np.nan, 0.0], [np.inf, 0.0]])
    figure = scatter(points, 1.0, title="t")
    (marks,) = figure.axes[0].collections
    np.testing.assert_array_equal(marks.get_offsets(), points[:2])
    assert "3 of 5 points are outside the plot." in words(figure)
    assert "outside" not in words(scatter(points[:2], 1.0))


def test_each_family_of_lines_has_a_colour_and_a_bold_axis() -> None:
    lines = np.random.default_rng(0).random((3, 20, 2))
    figure = draw_planes([Plane("a", 1.0, lines=[lines, torch.from_numpy(lines[:2])])])
    drawn_lines = figure.axes[0].lines
    assert len(drawn_lines) == 5 and len({line.get_color() for line in drawn_lines}) == 2
    assert [line.get_linewidth() > 1 for line in drawn_lines] == [False, True, False, False, False]
    np.testing.assert_allclose(drawn_lines[0].get_xydata(), lines[0])


@pytest.mark.parametrize(
    "plane",
    [
        Plane("a", 1.0, np.full((2, 2), np.nan)),
        Plane("a", 1.0, np.full((2, 2), -1.0)),
        Plane("a", 1.0, np.zeros(4)),
        Plane("a", 0.0),
        Plane("a", np.inf),
        Plane("a", 1.0, points=np.zeros((3, 3))),
        Plane("a", 1.0, points=np.zeros((0, 2))),
        Plane("a", 1.0, lines=[np.zeros((3, 2))]),
    ],
)
def test_invalid_planes_are_refused(plane: Plane) -> None:
    with pytest.raises(InputError):
        draw_planes([plane])


def test_an_empty_list_of_planes_is_refused() -> None:
    with pytest.raises(InputError):
        draw_planes([])


def test_the_same_figure_of_planes_gives_the_same_bytes() -> None:
    def picture() -> Figure:
        return draw_planes([Plane("$x$", 1.0, np.eye(3), np.zeros((2, 2)))], title="50 $", note="n $")

    assert (drawn(picture()) == drawn(picture())).all()
    assert "50 $" in words(picture()) and "n $" in words(picture())
