"""Reading folders of images as arrays of pixels with labels and splits."""

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
from ancestral.data.values import BYTE_LEVELS, MOST_INFERRED, Quantised, quantise
from ancestral.settings.data import IMAGE_FILES, ReadOptions

REMARKS = ("turned", "transparent", "CMYK", "deep", "grey", "equal")  # conversions that are always told


def read_folder(folder: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read a folder of images with Pillow.

    First-level folders `train`, `valid` and `test` are splits; other sub-folders are classes, in natural order. If
    images are not in class folders, a table or JSON file next to them may have their labels. Images are rotated by
    their EXIF orientation, and transparent pixels are composited on a background. If all files are grey, images have
    one channel; if one image has colour, all are RGB.

    Args:
        folder: the folder with the images.
        options: how pixels are read.

    Returns: the parts "train", "valid" and "test", or "all", with the names of their files within the folder.
    Raises: InputError for no image, different sizes or depths (with two files), a damaged or too large image.
    """
    if not options.infer:
        return _read_as_before(folder, options)
    layout = find_images(folder)
    words = labels_beside(folder, layout, layout.assumptions)
    if layout.others:
        verb = "files are not images" if len(layout.others) > 1 else "file is not an image"
        layout.assumptions.append(f"{len(layout.others):,} {verb}: ignored ({listed(layout.others)})")
    return _imported(folder, folder, layout, words, options)


def read_file(path: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read one image file, like a folder with one image.

    Args:
        path: the image.
        options: how pixels are read.

    Returns: the part "all".
    Raises: InputError for several images in the file, or a damaged or too large image.
    """
    layout = Layout({"all": Section(path.parent, [path], None, [])}, [], [], [])
    return _imported(path, path.parent, layout, {}, options)


def _imported(
    subject: Path, folder: Path, layout: Layout, words: dict[str, list[str]], options: ReadOptions
) -> Imported:
    """The images of a layout.

    Args:      subject: file or folder, for errors. words: classes by part, from files next to the images.
    """
    background_colour(options.background)  # check the colour before anything is read
    said = layout.assumptions
    if options.array is not None:  # may come from the settings of the training data
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
    if options.weights is not None:
        raise refusal(subject, "images have no weights in a folder", "store images and weights in one .npz file")
    if options.conditions:
        raise refusal(subject, "images have no conditions in a folder", "store images and conditions in one .npz file")
    seen = None if pile.seen is None else _divided(pile.seen.repeat(images.shape[1], 1), counts)
    parts = {
        part: Part(found.arrays[part], labels[part], names[part], None if seen is None else seen[part])
        for part in counts
    }
    classes = None if classes is None else tuple(map(printable, classes))
    losses = pile.losses() + _depth_loss(images, found)
    return Imported(parts, found.levels, found.value_range, classes, assumptions=tuple(said), losses=tuple(losses))


def _depth_loss(images: np.ndarray, found: Quantised) -> list[str]:
    """A sentence if several stored values become one level."""
    low, high = found.value_range
    if images.dtype.kind != "f" and high - low < found.levels:
        return []
    return [f"pixels of type {images.dtype} become {found.levels} levels"]


def _divided(array: np.ndarray, counts: dict[str, int]) -> dict[str, np.ndarray]:
    pieces = np.split(array, np.cumsum(list(counts.values()))[:-1])
    return dict(zip(counts, pieces, strict=True))


class _Pile:
    """Reads images of one size into one array, which has one channel until an image with colour is read.

    Args:      folder: for errors. files: at least one file. options: how pixels are read.

    Attributes: size: height and width of the first image that is not square, or of the first image.
                seen: boolean, shape (N, 1, H, W), if `options.missing` is set and there are missing pixels.
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
        """All images, shape (N, C, H, W); boolean if every file has one bit per pixel.

        Raises:    InputError: different sizes or depths, or a damaged or too large image.
        """
        images: np.ndarray | None = None
        with quietly():
            for place, file in enumerate(self.files):
                picture = open_picture(file, self.options.background, not self.options.infer)
                pixels = transform(picture.pixels[None], self.options)[0]
                if images is None:
                    self._first = picture.pixels.shape[1:]
                    images = self._empty(pixels.dtype, 1, pixels.shape[1:])
                if pixels.shape[1:] != images.shape[2:]:
                    raise self._other_size(file, picture)
                if pixels.dtype != images.dtype:
                    raise refusal(
                        file,
                        f"pixels of {pixels.dtype}, but {self.files[0].name} has {images.dtype}",
                        "store all images with the same number of bits",
                    )
                if len(pixels) > images.shape[1] and not (self.options.infer and _is_grey(pixels)):
                    images = self._coloured(images, place)
                images[place] = pixels if images.shape[1] == 3 else pixels[:1]
                self._note(place, picture, pixels)
        assert images is not None  # there is at least one file
        return self._finished(images)

    def losses(self) -> list[str]:
        """Conversions of images that cannot be reversed."""
        return self.remarks(("transparent", "CMYK", "deep", "transformed"))

    def remarks(self, kinds: Iterable[str] = REMARKS) -> list[str]:
        """Notices about conversions of images, of some kinds."""
        count = f"of {len(self.files):,} images"
        behind = "missing" if self.options.missing else f"composited on {self.options.background} (--background)"
        sentences = {
            "turned": f"{count} are rotated by their EXIF orientation",
            "transparent": f"{count} have transparent pixels: {behind}",
            "CMYK": f"{count} are CMYK: converted to RGB without a colour profile",
            "deep": f"{count} have colours of 16 bits: read as 8 bits",
            "grey": f"{count} are stored with colour channels, but all are grey: one channel",
            "equal": f"{count} are grey, others have colour: stored with three equal channels",
            "transformed": f"{count} are cropped, scaled or made grey",
        }
        return [f"{self.done[kind]:,} {sentences[kind]}" for kind in kinds if self.done[kind]]

    def _empty(self, dtype: np.dtype, channels: int, size: Iterable[int]) -> np.ndarray:
        shape = (len(self.files), channels, *size)
        check_size(self.folder, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return np.empty(shape, dtype)

    def _coloured(self, images: np.ndarray, count: int) -> np.ndarray:
        """An array with three channels, with the images that were already read."""
        wide = self._empty(images.dtype, 3, images.shape[2:])
        wide[:count] = images[:count]
        return wide

    def _other_size(self, file: Path, picture: Picture) -> Exception:
        height, width = picture.pixels.shape[1:]
        first = f"{self.files[0].name} has {self._first[1]}x{self._first[0]}"
        return refusal(
            file, f"{width}x{height} pixels, but {first}", "make them equal, for example with --crop --resize 32"
        )

    def _note(self, place: int, picture: Picture, pixels: np.ndarray) -> None:
        """Count the conversions of an image, and store its mask of observed pixels.

        Args:      picture: as read. pixels: of the picture after cropping, scaling and making it grey.
        """
        self.done.update(picture.remarks)
        self.done["bits"] += picture.bits
        self.done["stored in colour"] += picture.coloured
        if self.options.crop or self.options.grey or self.options.resize is not None:
            self.done["transformed"] += not _same(pixels, picture.pixels)
        height, width = picture.pixels.shape[1:]
        if height != width:
            self.size = (height, width)
        if self.options.resize is not None and picture.pixels.dtype.kind != "f":
            self.highest = max(self.highest, int(picture.pixels.max()))
        if self.options.missing and picture.opaque is not None:
            # a scaled pixel is observed if all its source pixels are
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
                f"pixels are 0..{self.highest}, but --resize makes values between them",
                f"state their levels: --levels {max(self.highest, 1) + 1} (or {BYTE_LEVELS})",
            )
        return images


def _same(pixels: np.ndarray, stored: np.ndarray) -> bool:
    """Whether pixels have the values of a stored image; one channel may stand for equal ones."""
    return pixels.shape[1:] == stored.shape[1:] and bool((pixels == stored).all())


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())


def _read_as_before(folder: Path, options: ReadOptions) -> Imported:
    """Read a folder as earlier versions did, so that older runs keep their data.

    First-level sub-folders are classes in the order of their names. No image is rotated or composited.
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
        raise refusal(folder, "images in it and in its sub-folders", "keep one or the other")
    if loose:
        return loose, None
    if not classes:
        raise refusal(folder, "no images in this folder", "add .png, .jpg, .bmp or .gif files")
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in classes])
    return [file for files in classes for file in files], labels.astype(np.int64)


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_FILES and file.is_file())
