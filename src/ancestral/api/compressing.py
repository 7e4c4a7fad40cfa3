"""Public functions that compress images with a model, and read them again.

In a script that torchrun or SLURM has started, each process must call `compress` and `decompress`, because they divide
their work.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ancestral.api.run import run_of, source_of
from ancestral.core.arguments import plain_arguments, refuse_unknown
from ancestral.core.errors import InputError
from ancestral.models.base import Model
from ancestral.runs.run import Run as StoredRun
from ancestral.settings.data import IMAGE_SETS, DataSettings, FileSettings, OtherData

if TYPE_CHECKING:
    import numpy as np

    from ancestral.evaluation.compression_record import CompressionRecord
    from ancestral.runs.compress import Compression

log = logging.getLogger("ancestral")
Split = Literal["train", "valid", "test"]
Of = StoredRun | Path | str | Model
READING = tuple(FileSettings.__dataclass_fields__)


@plain_arguments((*DataSettings.__dataclass_fields__,))
def compress(
    of: Of,
    out: Path | str,
    *,
    data: Any = None,
    split: Split = "test",
    convert: bool = False,
    block: int | None = None,
    **data_settings: Any,
) -> Compression:
    """Compress images without loss, with the probabilities of a run or a model.

    Args:      of: a run, its folder, or a model with `data`. out: the .anc file to write. data: a file, a folder,
               arrays or tensors; None: the run's data. For a model, a named set too. split: of the data, if any.
               convert: accept pixels that the pixel space of the model changes. block: images that are coded together;
               None: 2,500, or 500 for large networks.
               data_settings: how to read `data`, for example `levels=17`.
    Returns:   a `Compression`: `bits` of the file, `claimed_bits` of the model, `lines` in words.
    Raises:    NotComputable: the model cannot compress, with the reason. InputError: the images cannot be used,
               or their pixels would change and `convert` is False.
    Example:   `compress("runs/made", "test.anc").overhead`
    """
    from ancestral.runs.coded_pixels import target_of_model
    from ancestral.runs.compress import compress_run, compress_with_model
    from ancestral.training.processes import dividing_work

    named = isinstance(data, DataSettings) or (isinstance(data, str) and data in IMAGE_SETS)
    how: dict[str, Any] = {"split": split, "convert": convert, "block": block}
    with dividing_work():
        if isinstance(of, Model) and (data is None or named):
            used, part = run_of(of, data, split, **data_settings)
            return compress_run(used, out, **{**how, "split": part})
        refuse_unknown("compress: the data", data_settings, READING)
        other = None if data is None else OtherData(source_of(data), **data_settings)
        if other is None and data_settings:
            raise InputError(f"compress: {next(iter(data_settings))} applies to data only: give data too")
        if isinstance(of, Model):
            assert other is not None
            return compress_with_model(of, target_of_model(of), other, Path(out), **how)
        return compress_run(run_of(of, None)[0], out, other=other, **how)


@plain_arguments()
def decompress(path: Path | str, of: Of, *, only: int | None = None, salvage: bool = False) -> np.ndarray:
    """The images of a file that `compress` wrote.

    Args:      path: of the file. of: the run or the model that wrote it. only: number of one image, from 0. salvage: if
               the file is damaged, return the images before the damage; a notice says how many are lost.
    Returns:   an array with the values, the type and the layout of the images that were compressed. Images of a split
               are the levels of the model: bytes of shape (N, H, W), or (N, C, H, W) if there are several channels.
    Raises:    InputError: the file is damaged, or was written with another model.
    """
    from ancestral.runs.compress import decompress_run
    from ancestral.training.processes import dividing_work

    model = of if isinstance(of, Model) else run_of(of, None)[0]
    with dividing_work():
        found = decompress_run(path, model, only=only, salvage=salvage)
    if found.problem:
        log.warning("%s: %s of %s images are lost", found.problem, f"{found.lost:,}", f"{found.header.images:,}")
    return found.pixels


@plain_arguments()
def compress_report(
    run: StoredRun | Path | str, *, split: Split = "test", block: int | None = None
) -> CompressionRecord:
    """Compress all images of a split, read them again, compare every byte, and measure other codecs.

    Args:      run: the run or its folder. split: of its data. block: images that are coded together; None: 2,500, or
               500 for large networks.
    Returns:   a `CompressionRecord`: bits of the file beside those of the claim, images that came back exactly, images
               per second, other codecs on the same pixels. It is stored with the run, and shown on its page.
    Raises:    NotComputable: the model cannot compress, with the reason. InputError: the split is empty.
    Example:   `compress_report("runs/made").overhead`
    """
    from ancestral.runs.compress_report import report_compression

    return report_compression(run_of(run, None)[0], split, block)
