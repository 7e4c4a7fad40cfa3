"""Compressing arrays of pixel levels to a file, and reading them back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.compression.code import Code
from ancestral.compression.codes import code_of, pop_images, push_images
from ancestral.compression.container import Block, CompressedFile, Form, Header, block_bytes, content_bits, header_bytes
from ancestral.compression.stack import CODER, Array, Stack
from ancestral.compression.tables import rounded
from ancestral.compression.threads import in_threads
from ancestral.core.digest import digest_of
from ancestral.core.dividing import present
from ancestral.core.errors import InputError
from ancestral.core.files import read_bytes, write_atomically
from ancestral.models.base import Model

Progress = Callable[[int, int], None]
BLOCK_IMAGES, SMALL_BLOCK_IMAGES = 2500, 500
LARGE = 1 << 18  # activations of an image: reading a block needs memory for those of all its images
STEPS_AT_ONCE = 8  # a step of the sampler needs less memory than an evaluation of all pixels


@dataclass(frozen=True)
class Compressed:
    """A file that was written.

    Attributes: path: of the file. header: its header. bits: of the whole file. block_bits: of its blocks only, without
                the header and the checksums of blocks.
    """

    path: Path
    header: Header
    bits: int
    block_bits: int


@dataclass(frozen=True)
class Decompressed:
    """Images that were read. levels: shape (n, *event_shape), whole numbers. first: number of the first image in the
    file. lost: number of images that could not be read (`salvage`). problem: why."""

    levels: Tensor
    header: Header
    first: int = 0
    lost: int = 0
    problem: str | None = None

    @property
    def pixels(self) -> Array:
        """The images as they were before: with their values, type and layout."""
        header, found = self.header, self.levels.numpy()
        if header.values is not None:
            found = np.array(header.values, header.dtype)[found]
        found = found.astype(header.dtype)
        if header.axes == "NHW":
            return found[:, 0]
        return found.transpose(0, 2, 3, 1) if header.axes == "NHWC" else found


def compress_levels(
    model: Model,
    levels: Tensor,
    path: Path,
    space: str,
    form: Form | None = None,
    block: int | None = None,
    progress: Progress | None = None,
) -> Compressed:
    """Write images to a file, with the probabilities of a model.

    Inside of `core.dividing.dividing`, the blocks are divided among the processes, and the first one writes the file.

    Args:      model: with probabilities of levels. levels: whole levels, shape (N, *event_shape). path: of the file.
               space: pixel space of the levels. form: of the images when they are read again; None: the levels. block:
               images that are coded together, and read as a whole; None: 2,500, or 500 for large networks. progress:
               called with (images done, all images).
    Raises:    NotComputable: the model cannot compress, with the reason. InputError: values are not levels of the
               model, or the file does not decode to these images (only where the guarantee is weak); or several
               processes, where the numbers of the model may depend on the process.
    """
    _refuse_other_levels(model, levels)
    code, processes = code_of(model), present()
    if processes.world > 1 and not code.portable:
        raise InputError(
            f"--devices {processes.world}: the numbers of a {type(model).__name__} are not calculated exactly, so "
            "other processes may not be able to read its blocks: use one process"
        )
    block = block or (SMALL_BLOCK_IMAGES if code.numbers > LARGE else BLOCK_IMAGES)
    header = Header(
        model=type(model).__name__,
        model_sha256=digest_of(model.state_dict()),
        canary=canary_of(code),
        arithmetic=code.arithmetic,
        guarantee=code.guarantee,
        code=code.method,
        coder=CODER,
        borrowed=code.borrowed,
        images=len(levels),
        block=block,
        shape=tuple(model.event_shape),
        levels=code.levels,
        space=space,
        content_sha256=_content_hash(levels, code.levels),
        **(form or Form.of_levels(code.levels, tuple(model.event_shape)))._asdict(),
    )
    images, encoded = levels.split(block), []
    jobs = [(number, images[number]) for number in processes.own(len(images))]
    for (number, part), found in zip(jobs, in_threads(code, _encoded, jobs), strict=True):
        if not code.portable:
            _verify(code, header, found, part)
        encoded.append(block_bytes(found))
        if progress is not None:
            progress(processes.done(number, block, len(levels)), len(levels))
    blocks = processes.collect(encoded, len(images))
    content = b"".join([header_bytes(header), *blocks])
    if processes.first:
        write_atomically(path, content)
    return Compressed(path, header, 8 * len(content), sum(map(content_bits, blocks)))


def decompress_levels(
    model: Model,
    path: Path,
    only: int | None = None,
    salvage: bool = False,
    progress: Progress | None = None,
) -> Decompressed:
    """The images of a file. Inside of `core.dividing.dividing`, the blocks are divided among the processes.

    Args:      model: the model that wrote the file. only: number of one image; only its block is decoded. salvage:
               return the images of the whole blocks before the first damaged one, if there is one.
    Raises:    InputError: the file is damaged, or was written with another model or another arithmetic: then nothing is
               decoded.
    """
    file = CompressedFile(path, read_bytes(path))
    header = file.header
    if only is not None:
        if not 0 <= only < header.images:
            raise InputError(f"image {only}: {path} has the images 0 to {header.images - 1}")
        block = file.block(only // header.block)
        images = _decoded(_matching_code(model, file), header, [block])
        return Decompressed(images[only % header.block][None], header, only)
    problem, blocks = None, []
    try:
        for block in file.blocks():
            blocks.append(block)
    except InputError as error:
        if not salvage:
            raise
        problem = str(error)
    levels = _all(_matching_code(model, file), header, blocks, progress)
    if problem is None and _content_hash(levels, header.levels) != header.content_sha256:
        raise InputError(f"{path}: the decoded images are not those that were compressed (their SHA-256 differs)")
    return Decompressed(levels, header, 0, header.images - len(levels), problem)


def _encoded(code: Code, job: tuple[int, Tensor]) -> Block:
    number, images = job
    stack = push_images(code, images)
    return Block(number, len(images), stack.lowest, stack.content())


def _all(code: Code, header: Header, blocks: list[Block], progress: Progress | None) -> Tensor:
    """The images of some blocks. A thread decodes several together: a step costs little more for more images."""
    if not blocks:
        return torch.empty(0, *header.shape, dtype=torch.int64)
    processes, count = present(), sum(block.images for block in blocks)
    threads = sum(int(one) for one in processes.gather(torch.tensor(torch.get_num_threads())))
    most = 1 if code.chained else max(1, STEPS_AT_ONCE * code.together // header.block)
    together = max(1, min(most, len(blocks) // threads))
    rows, needed = together * header.block, processes.needed(count, together * header.block)
    jobs = [blocks[number * together : (number + 1) * together] for number in needed]

    def decoded() -> Iterator[Tensor]:
        found = in_threads(code, lambda own, some: _decoded(own, header, some), jobs)
        for number, part in zip(needed, found, strict=True):
            yield part
            if progress is not None:
                progress(processes.done(number, rows, count), header.images)

    return processes.rows(decoded(), count, rows)


def _decoded(code: Code, header: Header, blocks: list[Block]) -> Tensor:
    stacks = [Stack.from_content(block.words, block.lowest, header.borrowed) for block in blocks]
    return pop_images(code, stacks, [block.images for block in blocks]).long()


def _matching_code(model: Model, file: CompressedFile) -> Code:
    """The code of the model, if it is the one that the file was written with.

    Raises:    InputError: it is another model, or this machine calculates otherwise.
    """
    header = file.header
    if header.model_sha256 != digest_of(model.state_dict()):
        raise InputError(
            f"{file.path} was written with another model: a {header.model} whose weights have the SHA-256 "
            f"{header.model_sha256[:12]}..."
        )
    code = code_of(model)
    same = (tuple(model.event_shape), code.levels, code.method, code.arithmetic, code.borrowed, CODER)
    stored = (header.shape, header.levels, header.code, header.arithmetic, header.borrowed, header.coder)
    if same != stored:
        raise InputError(f"{file.path} needs another version of ancestral: it uses {header.arithmetic}, {header.code}")
    if canary_of(code) != header.canary:
        raise InputError(
            f"{file.path}: this machine calculates other numbers with the model than the one that wrote the file "
            f"(guarantee: {header.guarantee}): decompress there"
        )
    return code


def canary_of(code: Code) -> str:
    """The first 64 bits of the SHA-256 of rounded numbers of the model for a probe image: a pattern of all levels."""
    found = hashlib.sha256()
    for numbers in code.probe(code.pattern):
        found.update(np.ascontiguousarray(rounded(numbers), dtype="<i8").tobytes())
    return found.hexdigest()[:16]


def _verify(code: Code, header: Header, block: Block, images: Tensor) -> None:
    if not torch.equal(_decoded(code, header, [block]), images.long()):
        raise InputError(
            "the model's numbers depend on the size of a batch, so the file could not be decoded: no file is written"
        )


def _content_hash(levels: Tensor, count: int) -> str:
    kind = "<u1" if count <= 256 else "<u2"
    return hashlib.sha256(levels.numpy().astype(kind).tobytes()).hexdigest()


def _refuse_other_levels(model: Model, levels: Tensor) -> None:
    """Raises:    InputError: images of another shape, or values that are not levels of the model."""
    if tuple(levels.shape[1:]) != tuple(model.event_shape):
        raise InputError(f"the model needs images of shape {tuple(model.event_shape)}, not {tuple(levels.shape[1:])}")
    if not len(levels):
        raise InputError("there are no images to compress")
    if model.levels is not None and (int(levels.min()) < 0 or int(levels.max()) >= model.levels):
        raise InputError(f"the model needs whole levels 0 to {model.levels - 1}: found other values")
