"""Folders of images -> arrays of pixels with labels and splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.folder_layout import Layout, Section, find_images, listed, printable, relative_names
from ancestral.data.imported import Imported, Part
from ancestral.data.label_files import labels_beside
from ancestral.data.labels import as_classes
from ancestral.data.pictures import (
    Picture,
    background_colour,
    open_picture,
    picture_size,
    quietly,
    transform,
    transform_notes,
)
from ancestral.data.readers import check_size, parsing
from ancestral.data.values import BYTE_LEVELS, MOST_INFERRED, quantise
from ancestral.settings.data import IMAGE_FILES, ReadOptions


def read_folder(folder: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read a folder of images by Pillow.

    First-level folders `train`, `valid` and `test` are splits; other sub-folders are classes, in natural order. Where
    images are not in folders of classes, a table or JSON file beside them may hold their labels. Images are turned by
    their EXIF orientation, and transparent pixels are composited on a background. Grey files make one channel; any
    coloured image makes all RGB.

    Args:
        folder: holds the images.
        options: how pixels are read.

    Returns: the parts "train", "valid" and "test", or "all", with the names of their files within the folder.
    Raises: InputError for no image, unequal sizes or depths (naming two files), a damaged or oversized image.
    """
    if not options.infer:
        return _read_as_before(folder, options)
    layout = find_images(folder)
    words = labels_beside(folder, layout, layout.assumptions)
    if layout.others:
        verb = "files are not images" if len(layout.others) > 1 else "file is no image"
        layout.assumptions.append(f"{len(layout.others):,} {verb}: ignored ({listed(layout.others)})")
    return _imported(folder, folder, layout, words, options)


def read_file(path: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read one image file, as `read_folder` reads a folder of one.

    Args:
        path: the image.
        options: how pixels are read.

    Returns: the part "all".
    Raises: InputError for several images in the file, a damaged or oversized one.
    """
    layout = Layout({"all": Section(path.parent, [path], None, [])}, [], [], [])
    return _imported(path, path.parent, layout, {}, options)


def _imported(
    subject: Path, folder: Path, layout: Layout, words: dict[str, list[str]], options: ReadOptions
) -> Imported:
    """The images of a layout.

    Args:      subject: for errors. words: classes by part that were read from files beside the images.
    """
    background_colour(options.background)  # an unknown colour is refused before anything is read
    said = layout.assumptions
    if options.array is not None:  # perhaps of the file that a model was trained on
        said.append(f"--array {printable(options.array)} is ignored: images have no arrays")
    files = [file for section in layout.parts.values() for file in section.files]
    pile = _Pile(subject, files, options)
    images = pile.read()
    said += pile.remarks()
    counts = {part: len(section.files) for part, section in layout.parts.items()}
    pieces = _divided(images, counts)
    found = quantise(subject, pieces, options)
    said += [*found.assumptions, *transform_notes(options, *pile.size, found.levels)]
    raw = {part: words.get(part) or section.classes for part, section in layout.parts.items()}
    labels, classes, assumed = as_classes(
        subject, {part: None if of is None else np.array(of, np.str_) for part, of in raw.items()}, counts
    )
    said += assumed
    names = {part: relative_names(folder, section.files) for part, section in layout.parts.items()}
    seen = None if pile.seen is None else _divided(pile.seen.repeat(images.shape[1], 1), counts)
    parts = {
        part: Part(found.arrays[part], labels[part], names[part], None if seen is None else seen[part])
        for part in counts
    }
    classes = None if classes is None else tuple(map(printable, classes))
    return Imported(parts, found.levels, found.value_range, classes, assumptions=tuple(said))


def _divided(array: np.ndarray, counts: dict[str, int]) -> dict[str, np.ndarray]:
    pieces = np.split(array, np.cumsum(list(counts.values()))[:-1])
    return dict(zip(counts, pieces, strict=True))


class _Pile:
    """Images of one size in one array: grey until a coloured one is read.

    Args:      folder: for errors. files: at least one. options: how pixels are read.

    Attributes: size: height and width of the first stored image that is not square, or of the first.
                seen: boolean, shape (N, 1, H, W), where missing pixels are asked for and there are some.
    """

    def __init__(self, folder: Path, files: list[Path], options: ReadOptions) -> None:
        self.folder, self.files, self.options = folder, files, options
        self.done: Counter[str] = Counter()
        self.seen: np.ndarray | None = None
        self.highest = 0
        height, width = self.size = self._first = picture_size(files[0])
        side = min(height, width)
        height, width = (side, side) if options.crop else (height, width)
        pixels = height * width if options.resize is None else options.resize**2
        check_size(folder, len(files) * pixels)

    def read(self) -> np.ndarray:
        """All images, shape (N, C, H, W); boolean if every file has one bit for each pixel.

        Raises:    InputError: unequal sizes or depths, a damaged or oversized image.
        """
        images: np.ndarray | None = None
        with quietly():
            for place, file in enumerate(self.files):
                picture = open_picture(file, self.options.background, not self.options.infer)
                pixels = transform(picture.pixels[None], self.options)[0]
                if images is None:
                    self._first = picture.pixels.shape[1:]
                    images = self._room(pixels.dtype, 1, pixels.shape[1:])
                if pixels.shape[1:] != images.shape[2:]:
                    raise self._other_size(file, picture)
                if pixels.dtype != images.dtype:
                    raise refusal(
                        file,
                        f"pixels of {pixels.dtype} where {self.files[0].name} has {images.dtype}",
                        "store all images with as many bits",
                    )
                if len(pixels) > images.shape[1] and not (self.options.infer and _is_grey(pixels)):
                    images = self._coloured(images, place)
                images[place] = pixels if images.shape[1] == 3 else pixels[:1]
                self._note(place, picture)
        assert images is not None  # there is at least one file
        return self._finished(images)

    def remarks(self) -> list[str]:
        """What was done to the images, one sentence each."""
        count = f"of {len(self.files):,} images"
        behind = "missing" if self.options.missing else f"composited on {self.options.background} (--background)"
        sentences = {
            "turned": f"{count} are turned as their EXIF orientation says",
            "transparent": f"{count} have transparent pixels: {behind}",
            "CMYK": f"{count} are CMYK: converted to RGB without a colour profile",
            "deep": f"{count} have colours of 16 bits: read as 8 bits",
            "grey": f"{count} are stored as colour and all images are grey: one channel",
            "equal": f"{count} are grey among coloured ones: three equal channels",
        }
        return [f"{self.done[kind]:,} {words}" for kind, words in sentences.items() if self.done[kind]]

    def _room(self, dtype: np.dtype, channels: int, size: Iterable[int]) -> np.ndarray:
        shape = (len(self.files), channels, *size)
        check_size(self.folder, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return np.empty(shape, dtype)

    def _coloured(self, images: np.ndarray, count: int) -> np.ndarray:
        """An array for colour, with the grey images that are read already."""
        wide = self._room(images.dtype, 3, images.shape[2:])
        wide[:count] = images[:count]
        return wide

    def _other_size(self, file: Path, picture: Picture) -> Exception:
        height, width = picture.pixels.shape[1:]
        first = f"{self.files[0].name} has {self._first[1]}x{self._first[0]}"
        return refusal(file, f"{width}x{height} pixels where {first}", "make them equal: --crop --resize 32, say")

    def _note(self, place: int, picture: Picture) -> None:
        """Count what was done to an image, and keep where it has pixels."""
        self.done.update(picture.remarks)
        self.done["bits"] += picture.bits
        self.done["stored in colour"] += picture.coloured
        height, width = picture.pixels.shape[1:]
        if height != width:
            self.size = (height, width)
        if self.options.resize is not None and picture.pixels.dtype.kind != "f":
            self.highest = max(self.highest, int(picture.pixels.max()))
        if self.options.missing and picture.opaque is not None:
            # a scaled pixel is seen if all that it is made of are
            mask = transform(picture.opaque[None, None].astype(np.uint8) * 255, self.options) == 255
            if self.seen is None:
                self.seen = np.ones((len(self.files), *mask.shape[1:]), bool)
            self.seen[place] = mask[0]

    def _finished(self, images: np.ndarray) -> np.ndarray:
        grey, stored = images.shape[1] == 1, self.done["stored in colour"]
        if self.options.infer and not self.options.grey:
            self.done["grey" if grey else "equal"] = stored if grey else len(self.files) - stored
        scaled = self.options.resize is not None
        if self.done["bits"] == len(self.files) and not scaled:
            return images != 0
        stated = self.options.levels is not None or self.options.value_range is not None
        if scaled and not stated and images.dtype.kind != "f" and self.highest < MOST_INFERRED:
            raise refusal(
                self.folder,
                f"pixels are 0..{self.highest}, and scaling makes other values",
                f"state their levels: --levels {max(self.highest, 1) + 1} (or {BYTE_LEVELS})",
            )
        return images


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())


def _read_as_before(folder: Path, options: ReadOptions) -> Imported:
    """Read as earlier versions did: older runs keep their data.

    Sub-folders of the first level are classes in the order of their names, and nothing is turned or composited.
    """
    with parsing(folder, "folder"):
        files, labels = _former_list(folder)
    found = quantise(folder, {"all": _Pile(folder, files, options).read()}, options)
    part = Part(found.arrays["all"], labels, relative_names(folder, files))
    return Imported({"all": part}, found.levels, found.value_range, assumptions=found.assumptions)


def _former_list(folder: Path) -> tuple[list[Path], np.ndarray | None]:
    loose = _images_in(folder)
    visible = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    classes = [files for files in map(_images_in, visible) if files]
    if loose and classes:
        raise refusal(folder, "images both beside and inside its sub-folders", "keep one or the other")
    if loose:
        return loose, None
    if not classes:
        raise refusal(folder, "no images in this folder", "it should hold .png, .jpg, .bmp or .gif files")
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    return [file for files in classes for file in files], labels.astype(np.int64)


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_FILES and file.is_file())
