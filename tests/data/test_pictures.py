"""Image files: orientation, transparency and depth; and arrays that are cropped, scaled and made grey."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ancestral.core.errors import InputError
from ancestral.data import pictures, readers
from ancestral.data.folders import read_folder
from ancestral.data.imported import Imported
from ancestral.data.pictures import background_colour, quietly, read_picture, transform
from ancestral.settings.data import ReadOptions

RNG = np.random.default_rng(0)


def grey(height: int = 4, width: int = 5) -> np.ndarray:
    pixels = RNG.integers(0, 256, (height, width), np.uint8)
    pixels[0, 0] = 255  # so that the levels are 256
    return pixels


def read(folder: Path, **options: object) -> tuple[np.ndarray, Imported]:
    found = read_folder(folder, ReadOptions(**options))  # type: ignore[arg-type]
    return found.parts["all"].images, found


def said(found: Imported, *words: str) -> bool:
    """Whether one of the assumptions holds all the words."""
    return any(all(word in line for word in words) for line in found.assumptions)


# --- orientation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_rotated_by_their_exif_orientation(tmp_path, kind, orientation):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = 255, 0, 0  # a red corner at the top left, a blue one at the bottom left
    upright[8:, :8] = 0, 0, 255
    # how a camera stores it: the inverse of the turn that a viewer makes
    stores = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(stores[orientation](upright)))
    more: dict[str, Any] = {"quality": 100, "subsampling": 0} if kind == "jpg" else {}
    more |= {"lossless": True} if kind == "webp" else {}
    stored.save(tmp_path / f"a.{kind}", exif=exif, **more)
    images, found = read(tmp_path)
    assert images.shape == (1, 3, 16, 24)
    assert np.abs(images[0].transpose(1, 2, 0).astype(int) - upright).max() <= 4
    assert said(found, "1 of 1 images", "EXIF") == (orientation > 1)


def test_an_invalid_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    pixels = grey()
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path)[0][0, 0], pixels)


# --- transparency ---------------------------------------------------------------------------------------------


def transparent(mode: str) -> Image.Image:
    """Two pixels, the first red or dark, the second transparent with a hidden colour."""
    if mode == "RGBA":
        image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
        image.putpixel((1, 0), (0, 255, 0, 0))
    elif mode == "LA":
        image = Image.new("LA", (2, 1), (10, 255))
        image.putpixel((1, 0), (77, 0))
    elif mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((1, 0), 1)
        image.info["transparency"] = 1
    else:
        image = Image.new(mode, (2, 1), {"1": 0, "L": 10, "RGB": (255, 0, 0)}[mode])
        hidden: int | tuple[int, ...] = {"1": 255, "L": 77, "RGB": (0, 255, 0)}[mode]
        image.putpixel((1, 0), hidden)
        image.info["transparency"] = hidden if mode != "1" else 1
    return image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "RGB"])
@pytest.mark.parametrize(
    ("background", "behind"), [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#0a141e", (10, 20, 30))]
)
def test_hidden_colours_never_show(tmp_path, mode, background, behind):
    image = transparent(mode)
    image.save(tmp_path / "a.png", transparency=image.info.get("transparency"))
    red = (255, 0, 0) if mode in ("RGBA", "P", "RGB") else (10,) * 3 if mode != "1" else (0,) * 3
    images, found = read(tmp_path, background=background, levels=256)
    wide = np.broadcast_to(images, (1, 3, 1, 2))
    assert wide[0, :, 0].T.tolist() == [list(red), list(behind)]
    assert said(found, "1 of 1 images", "transparent", background)


def test_a_transparent_palette_colour_is_turned_with_its_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    transparent("P").save(tmp_path / "a.png", transparency=1, exif=exif)
    assert read(tmp_path)[0][0, :, 0].T.tolist() == [[255, 255, 255], [255, 0, 0]]


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path):
    Image.new("RGBA", (1, 1), (200, 100, 0, 51)).save(tmp_path / "a.png")  # alpha 0.2
    assert read(tmp_path)[0].ravel().tolist() == [244, 224, 204]


def test_an_opaque_alpha_channel_is_not_transparency(tmp_path):
    pixels = RNG.integers(0, 256, (3, 3, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images, found = read(tmp_path)
    assert np.array_equal(images[0].transpose(1, 2, 0), pixels[..., :3]) and not said(found, "transparent")


def test_transparent_pixels_may_be_missing(tmp_path):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[:2, :2, 3] = 0
    pixels[3, 3, 3] = 200  # mixes with what is behind it: not known either
    Image.fromarray(pixels).save(tmp_path / "b.png")
    Image.fromarray(grey(4, 4)).save(tmp_path / "a.png")
    seen = read_folder(tmp_path, ReadOptions(missing=True)).parts["all"].seen
    expected = np.ones((2, 1, 4, 4), bool)
    expected[1, 0, :2, :2] = expected[1, 0, 3, 3] = False
    assert seen is not None and seen.dtype == bool and np.array_equal(seen, expected)
    assert read_folder(tmp_path, ReadOptions()).parts["all"].seen is None
    (tmp_path / "b.png").unlink()
    assert read_folder(tmp_path, ReadOptions(missing=True)).parts["all"].seen is None


def test_missing_pixels_are_scaled_with_their_image(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[..., 0] = 7  # coloured: three channels
    pixels[:4, :4, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_folder(tmp_path, ReadOptions(missing=True, resize=4)).parts["all"]
    assert found.seen is not None and found.seen.shape == found.images.shape == (1, 3, 4, 4)
    assert not found.seen[0, :, :2, :2].any() and found.seen[0, :, 3:, 3:].all()


@pytest.mark.parametrize("name", ["whit", "#12", "", "#ffffff80"])
def test_an_unknown_background_is_refused(tmp_path, name):
    Image.fromarray(grey()).save(tmp_path / "a.png")
    refused(lambda: read(tmp_path, background=name), "--background", "#rrggbb")


def test_backgrounds():
    assert background_colour("orange") == (255, 165, 0) and background_colour("#010203") == (1, 2, 3)


# --- depth and colour -----------------------------------------------------------------------------------------


def test_bits_have_two_levels(tmp_path):
    pixels = np.array([[0, 255], [255, 255]], np.uint8)
    Image.fromarray(pixels).convert("1").save(tmp_path / "a.png")
    images, found = read(tmp_path)
    assert images[0, 0].tolist() == [[0, 1], [1, 1]] and found.levels == 2
    Image.fromarray(pixels).save(tmp_path / "b.png")
    images, found = read(tmp_path)
    assert images[:, 0].tolist() == [[[0, 255], [255, 255]]] * 2 and found.levels == 256


@pytest.mark.parametrize("kind", ["png", "tif", "pgm"])
def test_16_bits_of_grey_are_kept(tmp_path, kind):
    pixels = np.array([[0, 258], [40_000, 65_535]], np.uint16)
    if kind == "pgm":
        (tmp_path / "a.pgm").write_bytes(b"P5 2 2 65535\n" + pixels.astype(">u2").tobytes())
    else:
        Image.fromarray(pixels).save(tmp_path / f"a.{kind}")
    images, found = read(tmp_path, levels=65_536)
    assert images.dtype == np.uint16 and np.array_equal(images[0, 0], pixels) and found.levels == 65_536
    images, found = read(tmp_path)
    assert images[0, 0].tolist() == [[0, 1], [156, 255]] and said(found, "uint16", "scaled from 0..65,535")
    Image.fromarray(grey(2, 2)).save(tmp_path / "b.png")
    refused(lambda: read(tmp_path), "b.png", "uint8", "a.", "uint16")


def test_16_bits_of_colour_cause_a_notice(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 65535\n" + np.array([0, 40_000, 65_535], ">u2").tobytes())
    rows = b"\0" + np.array([0, 40_000, 65_535], ">u2").tobytes()
    (tmp_path / "b.png").write_bytes(png(struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), rows))
    images, found = read(tmp_path)
    assert images.reshape(2, 3).tolist() == [[0, 156, 255]] * 2 and said(found, "2 of 2 images", "16 bits", "8 bits")


def png(header: bytes, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(("colour", "count"), [(2, 3), (0, 1)])
def test_a_transparent_colour_of_16_bits_is_refused(tmp_path, colour, count):
    values = np.arange(count, dtype=">u2").tobytes()
    header = struct.pack(">IIBBBBB", 1, 1, 16, colour, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(header, b"\0" + values, (b"tRNS", values)))
    refused(lambda: read(tmp_path), "a.png", "16 bits", "transparent")


def test_floats_need_a_range(tmp_path):
    Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32)).save(tmp_path / "a.tif")
    refused(lambda: read(tmp_path), "--value-range -1 1")
    images, found = read(tmp_path, value_range=(-1.0, 1.0), levels=3)
    assert images.ravel().tolist() == [0, 1, 2] and found.value_range == (-1.0, 1.0)


def test_cmyk_and_palettes_become_rgb(tmp_path):
    Image.new("CMYK", (2, 2), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "b.png")
    images, found = read(tmp_path)
    assert np.abs(images[0, :, 0, 0].astype(int) - (0, 255, 255)).max() <= 2
    assert images[1, :, 0, 0].tolist() == [10, 20, 30] and said(found, "1 of 2 images are CMYK")


def test_grey_that_is_stored_as_colour_is_one_channel(tmp_path):
    first, second = grey(), grey()
    Image.fromarray(np.stack([first] * 3, -1)).save(tmp_path / "a.png")
    Image.fromarray(second).save(tmp_path / "b.png")
    images, found = read(tmp_path)
    assert np.array_equal(images, np.stack([first, second])[:, None]) and said(found, "1 of 2", "one channel")
    coloured = np.stack([first, second, first], -1)
    Image.fromarray(coloured).save(tmp_path / "c.png")
    images, found = read(tmp_path)
    assert images.shape == (3, 3, 4, 5) and np.array_equal(images[1], np.stack([second] * 3))
    assert np.array_equal(images[0], np.stack([first] * 3)) and said(found, "1 of 3", "grey", "three equal channels")
    assert np.array_equal(images[2], coloured.transpose(2, 0, 1))


def test_several_images_in_a_file_are_refused(tmp_path):
    frames = [Image.fromarray(grey()) for _ in range(3)]
    for name, kind in (("a.gif", "animated GIF"), ("a.webp", "animated WEBP"), ("a.png", "animated PNG")):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        refused(lambda: read(tmp_path), name, kind, "save each image in its own file")
        (tmp_path / name).unlink()
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    refused(lambda: read(tmp_path), "a.tif", "several pages")


def test_one_file_is_read_as_grey(tmp_path):
    image = transparent("RGBA")
    image.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").tolist() == [[255, 0]]
    Image.new("RGB", (2, 3), (0, 0, 1)).save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png").tolist() == [[1, 1]] * 3
    refused(lambda: read_picture(tmp_path / "c.png"), "c.png", "no such file")


# --- hostile files --------------------------------------------------------------------------------------------


def test_a_picture_with_a_huge_size_in_its_header_raises(tmp_path, recwarn):
    Image.fromarray(grey()).save(tmp_path / "a.png")
    raw = bytearray((tmp_path / "a.png").read_bytes())
    for width, height in ((100_000, 100_000), (10_000, 9_000), (2**12, 2**12 + 1)):
        raw[16:24] = struct.pack(">II", width, height)
        raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
        (tmp_path / "a.png").write_bytes(raw)
        refused(lambda: read(tmp_path), "a.png")
        refused(lambda: read_picture(tmp_path / "a.png"), "a.png")
    assert not recwarn.list


def test_sizes_are_checked_before_memory_is_allocated(tmp_path, monkeypatch):
    for number in range(4):
        Image.fromarray(grey()).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(readers, "MAX_BYTES", 79)
    refused(lambda: read(tmp_path), str(tmp_path), "80 bytes")
    monkeypatch.setattr(readers, "MAX_BYTES", 80)
    assert read(tmp_path)[0].nbytes == 80
    Image.fromarray(np.stack([grey(), grey(), grey()], -1)).save(tmp_path / "3.png")
    refused(lambda: read(tmp_path), "240 bytes")
    refused(lambda: read(tmp_path, grey=True, resize=5), "100 bytes")
    monkeypatch.undo()
    monkeypatch.setattr(pictures, "MAX_IMAGE_PIXELS", 19)
    refused(lambda: read(tmp_path), "0.png", "19 pixels")


def test_messages_of_pillow_are_not_printed(tmp_path, capfd, recwarn):
    pixels = grey(40, 40)
    for kind in ("tif", "png", "jpg"):
        stream = io.BytesIO()
        extra = {"compression": "tiff_lzw"} if kind == "tif" else {}
        Image.fromarray(pixels).save(stream, {"tif": "TIFF", "png": "PNG", "jpg": "JPEG"}[kind], **extra)
        good = stream.getvalue()
        for seed in range(60):
            rng = np.random.default_rng(seed)
            bad = bytearray(good)
            for place in rng.integers(0, len(bad), 4):
                bad[place] = int(rng.integers(256))
            (tmp_path / f"a.{kind}").write_bytes(bad)
            try:
                read(tmp_path)
            except InputError as error:
                assert str(error).isprintable()
        (tmp_path / f"a.{kind}").unlink()
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_pillow_logs_nothing_while_images_are_read(caplog):
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with quietly():
        logger.error("more samples than can be decoded")
    assert not caplog.records
    logger.error("not while images are read")
    assert len(caplog.records) == 1


def test_an_image_of_another_mode_is_refused(tmp_path):
    Image.new("LAB", (2, 2)).save(tmp_path / "a.tif")
    refused(lambda: read(tmp_path), "a.tif", "mode LAB", "RGB")


# --- transformations ------------------------------------------------------------------------------------------


def test_grey_crop_and_resize_together():
    images = RNG.integers(0, 256, (3, 3, 6, 9), np.uint8)
    assert transform(images, ReadOptions()) is images
    cut = transform(images, ReadOptions(crop=True))
    assert np.array_equal(cut, images[:, :, :, 1:7])
    made = transform(images, ReadOptions(grey=True))
    for image, expected in zip(images, made, strict=True):
        assert np.array_equal(np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L")), expected[0])
    assert made.dtype == np.uint8 and transform(made, ReadOptions(grey=True)) is made
    assert transform(images, ReadOptions(grey=True, crop=True, resize=4)).shape == (3, 1, 4, 4)
    wide = np.full((1, 3, 2, 2), 65_535, np.uint16)
    assert (transform(wide, ReadOptions(grey=True)) == 65_535).all()


@pytest.mark.parametrize("side", [3, 7, 20, 33])
def test_scaling_is_that_of_a_lanczos_kernel(side):
    # far from 0 and 255, where Pillow would cut the lobes of the kernel between its two passes
    ramps = 70 + np.add.outer(np.arange(20), 2 * np.arange(17)) * 4 % 100
    images = (ramps + RNG.integers(0, 20, (2, 1, 20, 17))).astype(np.uint8)
    scaled = transform(images, ReadOptions(resize=side))
    assert scaled.shape == (2, 1, side, side) and scaled.dtype == np.uint8
    for image, found in zip(images, scaled, strict=True):
        pillow = np.asarray(Image.fromarray(image[0]).resize((side, side), Image.Resampling.LANCZOS)).astype(int)
        limited = np.clip(pillow, image.min(), image.max())  # Pillow lets the lobes leave the range of the image
        assert np.abs(found[0].astype(int) - limited).max() <= 1  # it rounds between its passes


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_scaling_keeps_constants_and_the_range(dtype):
    flat = np.full((1, 1, 9, 9), 201, dtype)
    assert (transform(flat, ReadOptions(resize=5)) == 201).all()
    edges = np.zeros((2, 1, 10, 10), dtype)
    edges[:, :, :5] = 16
    scaled = transform(edges, ReadOptions(resize=7))
    assert scaled.dtype == dtype and scaled.min() == 0 and scaled.max() == 16  # no overshoot
    deep = np.zeros((1, 1, 4, 4), dtype)
    deep[..., 2:] = np.iinfo(dtype).max if np.dtype(dtype).kind != "f" else 1e6
    assert transform(deep, ReadOptions(resize=4)) is deep
    assert transform(deep, ReadOptions(resize=8)).max() == deep.max()


def test_small_details_are_averaged_not_dropped():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[None, None]
    scaled = transform(board, ReadOptions(resize=8)).astype(int)
    assert np.abs(scaled[..., 1:-1, 1:-1] - 127.5).max() < 2  # nearest neighbours would give 0 or 255


def test_a_size_that_is_too_large_is_refused():
    refused(lambda: transform(np.zeros((1, 1, 4, 4), np.uint8), ReadOptions(resize=100_000)), "bytes")
    many = np.broadcast_to(np.uint8(0), (2**12, 1, 4, 4))
    refused(lambda: transform(many, ReadOptions(resize=2**11)), "scaled images", "17,179,869,184 bytes")
    refused(lambda: transform(np.zeros((1, 1, 4, 2**22), np.uint8), ReadOptions(resize=2**10)), "--resize")


def test_images_of_several_sizes_are_refused_with_the_flags_that_help(tmp_path):
    Image.fromarray(grey(4, 5)).save(tmp_path / "a.png")
    Image.fromarray(grey(4, 6)).save(tmp_path / "b.png")
    Image.fromarray(grey(6, 6)).save(tmp_path / "c.png")
    refused(lambda: read(tmp_path), "b.png", "6x4", "a.png has 5x4", "--crop --resize 32")
    refused(lambda: read(tmp_path, crop=True), "c.png", "6x6", "--resize 32")
    images, found = read(tmp_path, crop=True, resize=4)
    assert images.shape == (3, 1, 4, 4) and not said(found, "proportions")
    images, found = read(tmp_path, resize=4)
    assert images.shape == (3, 1, 4, 4) and said(found, "proportions", "--crop")


def test_levels_that_are_scaled_are_stated(tmp_path):
    pixels = RNG.integers(0, 17, (8, 8), np.uint8)
    pixels[0, 0] = 16
    Image.fromarray(pixels).save(tmp_path / "a.png")
    refused(lambda: read(tmp_path, resize=4), "0..16", "--levels 17")
    images, found = read(tmp_path, resize=4, levels=17)
    assert found.levels == 17 and images.max() <= 16 and said(found, "rounded to the 17 levels")
    Image.fromarray(pixels > 8).save(tmp_path / "a.png")  # bits have no levels between, greys have
    images, found = read(tmp_path, resize=4)
    assert found.levels == 256 and len(np.unique(images)) > 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=64),
    st.sampled_from([("png", b"\x89PNG\r\n\x1a\n"), ("gif", b"GIF89a"), ("tif", b"II*\0\x08\0\0\0"), ("bmp", b"BM")]),
)
def test_arbitrary_bytes_raise_nothing_but_input_errors(tmp_path, data, kind):
    path = tmp_path / f"fuzz.{kind[0]}"
    path.write_bytes(kind[1] + data)
    try:
        read(tmp_path)
    except InputError as error:
        assert str(error).isprintable()
    finally:
        path.unlink()
