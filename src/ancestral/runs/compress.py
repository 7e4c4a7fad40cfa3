"""Compressing images with a trained run or a model, and reading them again."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ancestral.compression.codes import kind_of
from ancestral.compression.container import MOST_BLOCK_IMAGES
from ancestral.compression.files import Compressed, Decompressed, compress_levels, decompress_levels
from ancestral.core.dividing import present
from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.core.text import plural
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.likelihood import log_probs
from ancestral.models.base import Model
from ancestral.models.modes import in_evaluation_mode
from ancestral.runs.coded_pixels import CodedPixels, Target, pixels_of_file, pixels_of_split, target_of
from ancestral.runs.divided import refuse_other_weights
from ancestral.runs.run import Run
from ancestral.settings.data import OtherData

ENDING = ".anc"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Compression:
    """A file that was written, beside what the model claims.

    Args:      path: of the file. images, dimensions: number of images, and of pixels in each. bits: of the whole file.
               block_bits: of what the entropy coder wrote, without header and checksums. claimed_bits: -log2 p(x) of
               all images, or the negative ELBO, by the model before its numbers are rounded. claim: which of the two.
               block, blocks: images in a block, number of blocks. guarantee: where the file can be read. space: data
               and pixel space. changed: pixels that do not come back as they were. how: what changes them.
    """

    path: Path
    images: int
    dimensions: int
    bits: int
    block_bits: int
    claimed_bits: float
    claim: str
    block: int
    blocks: int
    guarantee: str
    space: str
    changed: int
    how: str

    @property
    def pixels(self) -> int:
        """Number of all pixels."""
        return self.images * self.dimensions

    @property
    def overhead(self) -> float:
        """By which share the file is larger than the claim."""
        return self.bits / self.claimed_bits - 1

    @property
    def bits_per_dim(self) -> float:
        """Bits of the file for each pixel."""
        return self.bits / self.pixels

    @property
    def lines(self) -> list[str]:
        """The file, what it claims and what its blocks cost, one sentence each."""
        each = self.claimed_bits / self.images
        rest = (self.bits - self.block_bits) / self.images
        coder = self.block_bits / self.images - each
        many = "1 block" if self.blocks == 1 else f"{self.blocks:,} blocks of up to {self.block:,} images"
        return [
            f"{plural(self.images, 'image')} of {self.space}: {self.bits // 8:,} bytes, "
            f"{self.bits_per_dim:.4f} bits per pixel",
            f"the model claims {self.claimed_bits / 8:,.0f} bytes ({self.claim}): the file is {self.overhead:+.2%}",
            f"{many}: {coder:+.2f} bits an image for the coding and the start of the blocks, "
            f"{rest:.2f} for header and checksums",
            f"the file can be read on {self.guarantee}",
        ]


def compress_run(
    run: Run | Path | str,
    path: Path | str,
    *,
    other: OtherData | None = None,
    split: str = "test",
    convert: bool = False,
    block: int | None = None,
    progress: Progress | None = None,
) -> Compression:
    """Compress a split of a run's data, or other images.

    Args:      run: the run or its folder. path: of the file that is written, with the ending .anc. other: a file, a
               folder or data in memory; None: the run's data. split: of the data. convert: accept pixels that the pixel
               space of the run changes. block: images that are coded together. progress: called with (images done,
               total images).
    Raises:    NotComputable: the model cannot compress, with the reason. InputError: the images cannot be used.
    """
    run = run if isinstance(run, Run) else Run(run)
    _check(Path(path), block)
    model = run.load()
    kind_of(model)  # raises the reason before the data are read
    if other is None or other.data is None:
        coded = pixels_of_split(run.data, split)
    else:
        coded = pixels_of_file(target_of(run), other, split, convert)
    return compress_pixels(model, coded, Path(path), block, progress)


def compress_with_model(
    model: Model,
    target: Target,
    other: OtherData,
    path: Path,
    *,
    split: str = "test",
    convert: bool = False,
    block: int | None = None,
) -> Compression:
    """Compress images with a model without a run; as `compress_run`."""
    _check(path, block)
    kind_of(model)
    coded = pixels_of_file(target, other, split, convert)
    with in_evaluation_mode(model):
        return compress_pixels(model, coded, path, block)


def _check(path: Path, block: int | None) -> None:
    if path.suffix.lower() != ENDING:
        raise InputError(f"--out {path}: choose a name that ends in {ENDING}")
    if block is not None and not 1 <= block <= MOST_BLOCK_IMAGES:
        raise InputError(f"--block {block}: give a whole number from 1 to {MOST_BLOCK_IMAGES:,}")


def compress_pixels(
    model: Model, coded: CodedPixels, path: Path, block: int | None = None, progress: Progress | None = None
) -> Compression:
    """Compress images that are levels of the model already; divided inside of `core.dividing.dividing`."""
    keep_large_blocks()
    refuse_other_weights(present(), model)
    found = compress_levels(model, coded.levels, path, coded.space, coded.form, block, progress)
    claimed, claim = claimed_bits(model, coded)
    return _described(found, coded, claimed, claim)


def _described(found: Compressed, coded: CodedPixels, claimed: float, claim: str) -> Compression:
    header = found.header
    return Compression(
        path=found.path,
        images=header.images,
        dimensions=math.prod(header.shape),
        bits=found.bits,
        block_bits=found.block_bits,
        claimed_bits=claimed,
        claim=claim,
        block=header.block,
        blocks=header.blocks,
        guarantee=header.guarantee,
        space=header.space,
        changed=coded.changed,
        how=coded.how,
    )


def claimed_bits(model: Model, coded: CodedPixels) -> tuple[float, str]:
    """-log2 p(x) of all images together, or their negative ELBO, and the name of the method."""
    images = PixelBatches(coded.levels, PixelSpace("levels", model.levels or 0))
    values, method = log_probs(model, images)
    return -values.sum().item() / math.log(2), method


def decompress_run(
    path: Path | str,
    run: Run | Path | str | Model,
    *,
    only: int | None = None,
    salvage: bool = False,
    progress: Progress | None = None,
) -> Decompressed:
    """The images of a file.

    Args:      path: of the file. run: the run that wrote it, its folder, or the model. only: number of one image.
               salvage: return the images before the first damaged block. progress: called with (images done, total
               images).
    Raises:    InputError: the file is damaged, or was written with another model.
    """
    keep_large_blocks()
    if only is not None and salvage:
        raise InputError("--only and --salvage cannot be combined: leave out one of them")
    model = run if isinstance(run, Model) else (run if isinstance(run, Run) else Run(run)).load()
    with in_evaluation_mode(model):
        found = decompress_levels(model, Path(path), only, salvage, progress)
    if not len(found.levels):
        raise InputError(f"{found.problem or path}: no whole block is left, so nothing can be read")
    return found


def check_output(out: Path, only: int | None = None) -> None:
    """Raises:    InputError: not a name for an array or a new folder."""
    ending = out.suffix.lower()
    if ending not in ("", ".npy") and not (ending == ".png" and only is not None):
        one = " (or .png for --only)" if only is None else " or .png"
        raise InputError(f"--out {out}: choose a folder, or a name that ends in .npy{one}")
    if not ending and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose another --out")


def write_pixels(found: Decompressed, out: Path) -> str:
    """Write images as an array, or as PNG files with the number of each image; returns a note on their values.

    Raises:    InputError: the images cannot be written as PNG.
    """
    check_output(out, found.first if len(found.levels) == 1 else None)
    if out.suffix.lower() == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, found.pixels, allow_pickle=False)
        write_atomically(out, buffer.getvalue())
        return ""
    pictures, note = _pictures(found)
    if out.suffix:
        write_atomically(out, pictures[0])
        return note
    width = len(str(found.header.images - 1))
    for number, content in enumerate(pictures, found.first):
        write_atomically(out / f"{number:0{width}}.png", content)
    return note


def _pictures(found: Decompressed) -> tuple[list[bytes], str]:
    """PNG files, with the stored bytes if these are from 0 to 255, else with the levels spread over 0 to 255."""
    from PIL import Image

    header = found.header
    if header.levels > 256 or len(header.shape) != 3 or header.shape[0] not in (1, 3):
        raise InputError(f"images of shape {header.shape} and {header.levels} levels: choose a .npy file for --out")
    values = range(header.levels) if header.values is None else header.values
    note = ""
    if max(values) == 255 and all(float(value).is_integer() and value >= 0 for value in values):
        table = np.array(values, np.uint8)
    else:
        table = np.rint(np.linspace(0, 255, header.levels)).astype(np.uint8)
        note = f"the {header.levels} levels are spread over 0 to 255 in the pictures; .npy keeps the stored values"
    images = table[found.levels.numpy()].transpose(0, 2, 3, 1)
    files = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
        files.append(buffer.getvalue())
    return files, note
