"""The report of a compression: all test images are written, read again and compared; the record is stored."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ancestral.compression.codes import kind_of
from ancestral.compression.files import compress_levels, decompress_levels
from ancestral.core.threads import keep_large_blocks
from ancestral.evaluation.codecs import Codec, codecs_of
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.evaluation.score import Score
from ancestral.models.base import Model
from ancestral.runs.coded_pixels import CodedPixels, pixels_of_split
from ancestral.runs.evaluate import score_run
from ancestral.runs.manifest import WEIGHTS
from ancestral.runs.records import COMPRESSIONS
from ancestral.runs.run import Run

MOST_LEVELS = 256  # of the other codecs
Progress = Callable[[int, int], None]


def report_compression(
    run: Run | Path | str,
    split: str = "test",
    block: int | None = None,
    progress: Progress | None = None,
) -> CompressionRecord:
    """Compress all images of a split, read the file again, compare every byte, and store the record with the run.

    The size of the file is stored as a score of the kind `file` too, beside the claim.

    Args:      run: the run or its folder. split: of its data. block: images that are coded together. progress: called
               with (images done, total images), where writing and reading an image count as one each.
    Raises:    NotComputable: the model cannot compress, with the reason. InputError: the split is empty.
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model = run.load()
    kind_of(model)  # raises the reason before the data are read
    coded = pixels_of_split(run.data, split)
    measured = _measured(model, coded, block, progress)
    record = CompressionRecord(
        claim=_claim(run, split, len(coded.levels)),
        model_bytes=_size_of(run, model),
        codecs=_others(coded, model),
        split=split,
        **measured,
    )
    COMPRESSIONS.add(run, record)
    run.add_score(record.score)
    return record


def _measured(model: Model, coded: CodedPixels, block: int | None, progress: Progress | None) -> dict[str, Any]:
    """The fields of the record that come from writing and reading the file."""
    n = len(coded.levels)

    def told(first: int) -> Progress:
        return lambda done, total: progress(first + done, 2 * n) if progress else None

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.anc"
        begun = time.perf_counter()
        written = compress_levels(model, coded.levels, path, coded.space, None, block, told(0))
        middle = time.perf_counter()
        read = decompress_levels(model, path, progress=told(n))
        ended = time.perf_counter()
    same = (read.levels == coded.levels).flatten(1).all(1)
    header = written.header
    return {
        "file_bits": written.bits,
        "images": n,
        "dimensions": coded.levels[0].numel(),
        "exact": int(same.sum()),
        "encode_per_second": n / (middle - begun),
        "decode_per_second": n / (ended - middle),
        "block": written.header.block,
        "code": header.code,
        "arithmetic": header.arithmetic,
        "guarantee": header.guarantee,
        "space": coded.space,
        "threads": torch.get_num_threads(),
    }


def _claim(run: Run, split: str, count: int) -> Score:
    """The exact score or the ELBO of these images: the stored one, or a new one."""
    for score in run.scores() if run.keeps_records else ():
        if (score.split, score.count, score.samples) == (split, count, 0) and score.method == "log p(x)":
            return score
    return score_run(run, split)


def _size_of(run: Run, model: Model) -> int:
    """Bytes of the weights as they are stored."""
    stored = run.path / WEIGHTS
    if stored.exists():
        return stored.stat().st_size
    return len(safetensors.torch.save({name: one.contiguous().clone() for name, one in model.state_dict().items()}))


def _others(coded: CodedPixels, model: Model) -> tuple[Codec, ...]:
    levels = model.levels or 0
    if levels > MOST_LEVELS or coded.levels.dim() != 4:
        return ()
    return tuple(codecs_of(coded.levels.numpy(), levels))
