"""Figures: exact pixels, reproducible bytes, and notes on clipped or missing values."""

from __future__ import annotations

import os
import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rcParams
from matplotlib.figure import Figure
from PIL import Image

from ancestral.core.errors import InputError
from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.grids import image_grid, manifold_grid, pair_grid, save_image_grid, tile
from ancestral.figures.png import PLACES
from ancestral.figures.series import Curve
from ancestral.figures.style import save_figure


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((7, 1, 4, 5))


def pixels_of(figure: Figure, tmp_path: Path) -> np.ndarray:
    save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        return np.asarray(image.convert("RGB"))


def drawn(figure: Figure) -> np.ndarray:
    """The image array of a grey figure, 1 for white."""
    (image,) = figure.axes[0].images
    array = np.asarray(image.get_array())
    assert (array == array[:, :, :1]).all()
    return array[:, :, 0] / 255


def words(figure: Figure) -> list[str]:
    inside = [text for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in [*figure.texts, *inside]]


class TestTile:
    def test_every_image_is_at_its_row_and_column(self, images: np.ndarray) -> None:
        array = tile(images, 3, 2)
        assert array.shape == (3 * 6 - 2, 3 * 7 - 2)
        for n, image in enumerate(images):
            row, column = divmod(n, 3)
            place = array[row * 6 : row * 6 + 4, column * 7 : column * 7 + 5]
            np.testing.assert_array_equal(place, image[0].astype(np.float32))

    def test_gaps_and_unused_places_are_white(self, images: np.ndarray) -> None:
        array = tile(images * 0, 3, 2)
        assert array.sum() == array.size - 7 * 4 * 5

    def test_colour_keeps_its_channels(self) -> None:
        images = np.zeros((2, 3, 2, 2))
        images[1, 2] = 1  # the second image is blue
        array = tile(images, 2, 0)
        assert array.shape == (2, 4, 3)
        np.testing.assert_array_equal(array[0, 3], [0, 0, 1])
        np.testing.assert_array_equal(array[0, 0], [0, 0, 0])

    def test_tensors_and_arrays_agree(self, images: np.ndarray) -> None:
        tensor = torch.tensor(images, requires_grad=True)
        np.testing.assert_array_equal(tile(tensor, 2, 1), tile(images, 2, 1))


class TestImageGrid:
    @pytest.mark.parametrize("count", [1, 7, 64])
    def test_each_pixel_is_a_whole_square_in_the_png(self, count: int, tmp_path: Path) -> None:
        levels = np.random.default_rng(1).integers(0, 256, (count, 1, 28, 28))
        figure = image_grid(levels / 255, title="t", note="n")
        array, png = drawn(figure), pixels_of(figure, tmp_path)
        box = figure.axes[0].get_window_extent()
        left, top = round(box.x0), png.shape[0] - round(box.y1)
        shown = png[top : top + array.shape[0], left : left + array.shape[1]]
        np.testing.assert_array_equal(shown, np.repeat((array * 255)[..., None], 3, axis=2))
        side = int(np.ceil(np.sqrt(count)))
        pitch = (array.shape[1] + (gap := gap_of(array.shape[1], side))) // side
        scale = (pitch - gap) // 28
        assert scale >= 2
        last = divmod(count - 1, side)
        corner = array[last[0] * pitch :, last[1] * pitch :][: 28 * scale : scale, : 28 * scale : scale]
        np.testing.assert_allclose(corner, levels[-1, 0] / 255, atol=1e-6)

    def test_default_columns_make_a_square(self) -> None:
        array = drawn(image_grid(np.zeros((64, 1, 28, 28))))
        assert array.shape[0] == array.shape[1]
        white = (array == 1).all(axis=0)
        assert np.diff(white.astype(int)).clip(0).sum() == 7  # seven separators, hence eight columns

    def test_drawing_400_images_takes_less_than_a_second(self) -> None:
        images = np.random.default_rng(0).random((400, 1, 28, 28))
        image_grid(images[:4]).savefig(BytesIO())  # loads the fonts
        start = time.process_time()
        image_grid(images, columns=20).savefig(BytesIO())
        assert time.process_time() - start < 1.0

    @pytest.mark.parametrize("text", ["-93.1 nats", "class 3", "reconstruction", "a long caption of words"])
    def test_captions_do_not_overlap_captions_or_images(self, text: str) -> None:
        captions = [f"{text} {n}" for n in range(60)]
        figure = image_grid(np.zeros((60, 1, 28, 28)), captions=captions)
        figure.draw_without_rendering()
        boxes = [t.get_window_extent() for t in figure.texts if t.get_text()]
        assert len(boxes) == 60
        for n, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[n + 1 :])
            assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0
        array = drawn(figure)
        area = figure.axes[0].get_window_extent()
        for box in boxes[:52]:  # the captions of the last row are below the image array
            rows = slice(round(area.y1 - box.y1), round(area.y1 - box.y0))
            assert (array[rows, round(box.x0 - area.x0) : round(box.x1 - area.x0)] == 1).all()

    def test_groups_of_rows_have_a_wider_gap(self) -> None:
        array = drawn(image_grid(np.zeros((4, 1, 8, 8)), columns=1, gap_every=2))
        edges = np.flatnonzero(np.diff(np.r_[0, (array == 1).all(axis=1), 0].astype(int)))
        gaps = np.diff(edges)[::2]
        assert gaps[1] > 2 * gaps[0] and gaps[0] == gaps[2]

    def test_texts_are_not_read_as_mathematics(self) -> None:
        figure = image_grid(np.zeros((1, 1, 8, 8)), captions=["$x^2"], title="50 $ and $", row_titles=["_a_"])
        figure.savefig(BytesIO())
        assert {"$x^2", "50 $ and $", "_a_"} <= set(words(figure))

    @pytest.mark.parametrize(
        ("images", "said"),
        [
            (np.full((1, 1, 2, 2), np.nan), "not finite"),
            (np.full((1, 1, 2, 2), np.inf), "not finite"),
            (np.full((1, 1, 2, 2), 1.001), "1.001"),
            (np.full((1, 1, 2, 2), -0.5), "-0.5"),
            (np.zeros((2, 2)), "shape"),
            (np.zeros((1, 2, 2, 2)), "shape"),
            (np.zeros((0, 1, 2, 2)), "shape"),
            (np.zeros((1, 1, 2, 2), complex), "complex"),
        ],
    )
    def test_invalid_images_are_refused(self, images: np.ndarray, said: str) -> None:
        with pytest.raises(InputError, match=said):
            image_grid(images)

    def test_rounding_errors_beyond_the_range_are_accepted(self) -> None:
        assert drawn(image_grid(np.full((1, 1, 2, 2), 1 + 5e-7))).max() == 1

    @pytest.mark.parametrize(
        "wrong", [{"captions": ["one"]}, {"row_titles": ["a", "b", "c"]}, {"columns": 0}, {"gap_every": 1.5}]
    )
    def test_invalid_layouts_are_refused(self, images: np.ndarray, wrong: dict) -> None:
        with pytest.raises(InputError):
            image_grid(images[:4], **wrong)


class TestPairGrid:
    def test_images_of_a_pair_are_adjacent_and_pairs_have_a_gap(self) -> None:
        top, bottom = np.full((5, 1, 8, 8), 0.2), np.full((5, 1, 8, 8), 0.8)
        figure = pair_grid(top, bottom, columns=2)
        column = drawn(figure)[:, 0]
        changes = np.flatnonzero(np.diff(column)) + 1
        order = [float(part[0]) for part in np.split(column, changes)]
        assert order == [0.2, 1, 0.8, 1] * 2 + [0.2, 1, 0.8]
        lengths = [len(part) for part in np.split(column, changes)]
        assert lengths[3] > 2 * lengths[1]
        assert words(figure).count("real") == words(figure).count("reconstruction") == 3

    def test_unequal_shapes_are_refused(self) -> None:
        with pytest.raises(InputError, match="equal shapes"):
            pair_grid(np.zeros((2, 1, 4, 4)), np.zeros((3, 1, 4, 4)), columns=2)


class TestManifoldGrid:
    def test_coordinates_increase_right_and_up_and_ticks_match_images(self) -> None:
        side, values = 5, [-2.0, -1.0, 0.0, 1.0, 2.0]
        images = np.zeros((side * side, 1, 6, 6)) + np.arange(side * side).reshape(-1, 1, 1, 1) / 255
        figure = manifold_grid(images, axis_values=values)
        array = drawn(figure)
        cell = array.shape[0] // side
        np.testing.assert_allclose(array[-1, 0], 0)  # z = (-2, -2)
        np.testing.assert_allclose(array[-1, -1], 4 / 255)  # z = (2, -2)
        np.testing.assert_allclose(array[0, 0], 20 / 255)  # z = (-2, 2)
        ticks = dict(
            zip(
                [t.get_text() for t in figure.axes[0].get_yticklabels()],
                figure.axes[0].get_yticks(),
                strict=True,
            )
        )
        assert 2 <= len(ticks) <= 7
        assert ticks["0"] == pytest.approx(2.5 * cell - 0.5)
        assert ticks["2"] == pytest.approx(0.5 * cell - 0.5)

    @pytest.mark.parametrize("values", [[0.0, 1.0, 2.0], [1.0, 0.0], [0.0, np.nan]])
    def test_invalid_axis_values_are_refused(self, values: list[float]) -> None:
        with pytest.raises(InputError):
            manifold_grid(np.zeros((4, 1, 2, 2)), axis_values=values)


class TestSaveFigure:
    def test_the_same_figure_gives_the_same_bytes(self, images: np.ndarray, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            save_figure(image_grid(images, title="t"), tmp_path / name)
            save_figure(learning_curves([Curve("a", [1, 2], [3.0, 2.0])]), tmp_path / f"curve-{name}")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert (tmp_path / "curve-a.png").read_bytes() == (tmp_path / "curve-b.png").read_bytes()
        with Image.open(tmp_path / "a.png") as image:
            assert set(image.info) == {"dpi", PLACES}, "no date and no version"

    @pytest.mark.parametrize(
        ("shape", "options"),
        [
            ((7, 1, 20, 5), {}),
            ((5, 3, 30, 40), {"columns": 2}),
            ((3, 1, 9, 9), {"smooth": True}),
            ((2, 1, 700, 700), {}),
        ],
    )
    def test_a_grid_without_text_is_the_same_file_without_matplotlib(
        self, shape: tuple[int, ...], options: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = np.random.default_rng(0).random(shape).round(1)
        save_figure(image_grid(images, **options), tmp_path / "figure.png")
        save_image_grid(images, tmp_path / "titled.png", row_titles=["digits"], columns=shape[0])
        save_figure(image_grid(images, row_titles=["digits"], columns=shape[0]), tmp_path / "titled-figure.png")
        if "smooth" not in options:  # the figure of these has a note
            monkeypatch.setattr("ancestral.figures.sheet.new_figure", lambda *_: pytest.fail("matplotlib was used"))
        save_image_grid(images, tmp_path / "grid.png", **options)
        assert (tmp_path / "grid.png").read_bytes() == (tmp_path / "figure.png").read_bytes()
        assert (tmp_path / "titled.png").read_bytes() == (tmp_path / "titled-figure.png").read_bytes()

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
    def test_an_interrupted_write_keeps_the_old_file(
        self, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
    ) -> None:
        path = tmp_path / "figure.png"
        path.write_bytes(b"old")

        def interrupted(*_: object) -> None:
            raise interruption

        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises((KeyboardInterrupt, InputError)):
            save_figure(image_grid(images), path)
        assert [file.name for file in tmp_path.iterdir()] == ["figure.png"]
        assert path.read_bytes() == b"old"

    def test_a_missing_folder_is_created_and_bad_endings_are_refused(self, images: np.ndarray, tmp_path: Path) -> None:
        save_figure(image_grid(images), tmp_path / "new" / "figure.png")
        assert (tmp_path / "new" / "figure.png").exists()
        with pytest.raises(InputError, match=r"\.png"):
            save_figure(image_grid(images), tmp_path / "figure.bmp")
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot write"):
            save_figure(image_grid(images), tmp_path / "file" / "figure.png")


class TestLearningCurves:
    def test_names_of_curves_do_not_overlap(self) -> None:
        curves = [Curve(f"learning rate {k}", [1, 2, 3], [3, 2, 1 + k / 1000]) for k in range(9)]
        figure = learning_curves(curves, ylabel="nats", title="t", reference=[(1.0, "paper")])
        figure.draw_without_rendering()
        names = [t for t in figure.texts if t.get_text().startswith(("learning", "paper"))]
        assert len(names) == 10
        boxes = [t.get_window_extent() for t in names]
        assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])
        assert all(b.x1 <= figure.bbox.width and b.y0 >= 0 and b.y1 <= figure.bbox.height for b in boxes)

    def test_robust_limits_clip_a_large_start_with_a_note_and_keep_low_values(self) -> None:
        steps = np.arange(1, 101)
        good, poor = 90 + 1000 * np.exp(-steps / 2), 140 + 1000 * np.exp(-steps / 2)
        good[40] = 60.0
        figure = learning_curves([Curve("good", steps, good), Curve("poor", steps, poor)])
        low, high = figure.axes[0].get_ylim()
        assert low < 60 and 140 < high < 400
        assert any("clipped" in text and "746" in text for text in words(figure))

    def test_without_robust_limits_all_values_are_shown(self) -> None:
        figure = learning_curves([Curve("a", range(20), [1000.0] + [1.0] * 19)], ylim=None)
        assert figure.axes[0].get_ylim()[1] > 1000
        assert not any("clipped" in text for text in words(figure))

    @pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
    def test_values_that_are_not_finite_break_the_line_and_are_marked(self, lost: float) -> None:
        values = [5.0, 4.0, lost, lost, 3.0, lost]
        figure = learning_curves([Curve("a", range(6), values)])
        line, alone, crosses = figure.axes[0].lines
        assert np.isnan(np.asarray(line.get_ydata())[[2, 3, 5]]).all()
        np.testing.assert_array_equal(crosses.get_xdata(), [2, 5])
        assert crosses.get_marker() == "x"
        np.testing.assert_array_equal(alone.get_xdata(), [4])  # a line of one point is invisible
        assert "diverged" in words(figure)
        figure.savefig(BytesIO())

    def test_a_curve_without_finite_values_is_still_named(self) -> None:
        figure = learning_curves([Curve("lost", [1, 2], [np.nan, np.nan])])
        figure.savefig(BytesIO())
        assert {"lost", "diverged"} <= set(words(figure))

    def test_a_hundred_thousand_points_draw_quickly_and_keep_their_extremes(self) -> None:
        steps = np.arange(1, 100_001)
        values = np.random.default_rng(0).normal(100, 5, 100_000)
        values[70_123] = 60.0
        start = time.process_time()
        figure = learning_curves([Curve("raw", steps, values)], xlabel="step")
        figure.savefig(BytesIO())
        assert time.process_time() - start < 2.0
        raw, bold, *_ = figure.axes[0].lines
        assert raw.get_linewidth() < bold.get_linewidth()
        assert 60.0 in np.asarray(raw.get_ydata()) and len(np.asarray(raw.get_xdata())) < 10_000
        assert np.std(np.asarray(bold.get_ydata())[1000:]) < 0.5
        assert any("mean over" in text for text in words(figure))

    def test_marks_bands_and_a_logarithmic_axis_are_drawn(self) -> None:
        band = ([0.5, 0.4, 0.3], [1.5, 1.4, 1.3])
        curve = Curve("a", torch.tensor([1, 10, 100]), torch.tensor([1.0, 0.9, 0.8]), band=band, style="dashed")
        figure = learning_curves([curve], marks=[(10, "best epoch"), (100, "end")], log_x=True)
        low, high = figure.axes[0].get_ylim()
        assert low < 0.3 and high > 1.5 and figure.axes[0].get_xscale() == "log"
        assert {"best epoch", "end"} <= set(words(figure))
        figure.savefig(BytesIO())

    @pytest.mark.parametrize(
        "curves",
        [
            [],
            [Curve("a", [1, 2], [1.0])],
            [Curve("a", [], [])],
            [Curve("a", [1, np.nan], [1.0, 2.0])],
            [Curve("a", [1, 2], [1.0, 2.0], band=([1.0], [2.0]))],
            [Curve("a", [1, 2], ["x", "y"])],  # type: ignore[list-item]
            [Curve("a", [1, 2], [1.0, 2.0], style="wavy")],  # type: ignore[arg-type]
        ],
    )
    def test_invalid_curves_are_refused(self, curves: list[Curve]) -> None:
        with pytest.raises(InputError):
            learning_curves(curves)

    def test_step_zero_is_refused_on_a_logarithmic_axis(self) -> None:
        with pytest.raises(InputError, match="positive"):
            learning_curves([Curve("a", [0, 1], [1.0, 2.0])], log_x=True)


class TestSmallMultiples:
    def test_panels_share_their_steps_and_colours(self) -> None:
        short, long = Curve("training", [1, 2], [3.0, 2.0]), Curve("validation", [1, 50], [3.0, 2.0])
        figure = small_multiples([("bound", [short, long]), ("KL", [long])], ylabel="nats")
        first, second = figure.axes
        assert first.get_xlim() == second.get_xlim()
        assert first.lines[2].get_color() == second.lines[0].get_color() != first.lines[0].get_color()
        assert {"bound", "KL", "training", "validation", "nats"} <= set(words(figure))
        figure.savefig(BytesIO())

    def test_with_more_labels_than_colours_each_panel_has_a_legend(self) -> None:
        panels = [(f"panel {i}", [Curve(f"{i}-{k}", [1, 2], [0.0, 1.0]) for k in range(4)]) for i in range(2)]
        figure = small_multiples(panels)
        looks = [[line.get_color() for line in axes.lines] for axes in figure.axes]
        assert looks[0] == looks[1] and len(set(looks[0])) == 4  # no two names of a panel have the same colour
        places = {text.get_text(): text.get_position() for text in figure.texts}
        for i, axes in enumerate(figure.axes):
            box = axes.get_position()
            for k in range(4):
                x, y = places[f"{i}-{k}"]
                assert box.y1 < y < places[f"panel {i}"][1] and x < box.x1
                assert i == 0 or x > figure.axes[0].get_position().x1

    def test_an_empty_panel_is_refused(self) -> None:
        with pytest.raises(InputError):
            small_multiples([("empty", [])])


def test_figures_keep_no_global_state_and_can_be_drawn_in_threads(images: np.ndarray, tmp_path: Path) -> None:
    before = dict(rcParams)

    def draw(n: int) -> None:
        save_figure(image_grid(images, captions=[f"{k}" for k in range(7)]), tmp_path / f"{n}.png")

    threads = [threading.Thread(target=draw, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 4
    assert dict(rcParams) == before


def gap_of(width: int, side: int) -> int:
    """The separator that fits `side` whole images of 28 pixels into `width`."""
    return next(gap for gap in range(2, 12) if (width + gap) % side == 0 and ((width + gap) // side - gap) % 28 == 0)
