"""Lossless compression as tables: the file beside the claim, and other codecs."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.core.text import plural
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.reports.html import Table

COMPRESSION_CAPTION = (
    "Claim: -log2 p(x), or the negative of its lower bound, computed before the model's numbers are rounded. File: all "
    "bytes that were written. Overhead: by how much the file is larger than the claim. Exact: images that were decoded "
    "to the same bytes."
)
CODEC_CAPTION = (
    "The same pixels. Each: one file for each image. Sheet: one picture of all images side by side. General "
    "compressors get one byte for each value, or eight binary values in a byte if that is smaller. Files do not "
    "contain the model."
)


def compression_table(named: Sequence[tuple[str, CompressionRecord]], caption: str = COMPRESSION_CAPTION) -> Table:
    """Claim, file and speed, a row for each run."""
    header = ["model", "claim", "claimed bits/image", "file bits/image", "overhead", "bits/dim", "exact"]
    header += ["written/s", "read/s", "code"]
    rows = [
        [
            name,
            _claim_in_words(record),
            f"{record.claimed_bits / record.images:.2f}",
            f"{record.file_bits / record.images:.2f}",
            f"{record.overhead:+.3%}",
            f"{record.bits_per_dim:.4f}",
            f"{record.exact:,} of {record.images:,}",
            f"{record.encode_per_second:,.0f}",
            f"{record.decode_per_second:,.0f}",
            record.code,
        ]
        for name, record in named
    ]
    return Table(header, rows, caption, numeric={2, 3, 4, 5, 6, 7, 8})


def codec_table(named: Sequence[tuple[str, CompressionRecord]], caption: str = CODEC_CAPTION) -> Table:
    """Bytes and bits per dimension under other codecs, beside the files of models on the same pixels."""
    first = named[0][1]
    pixels = first.images * first.dimensions
    sizes = [(f"{name} (this package)", record.file_bits) for name, record in named]
    sizes += [(codec.name, codec.bits) for codec in first.codecs if codec.bits is not None]
    sizes.sort(key=lambda pair: pair[1])
    rows = [[name, f"{bits // 8:,}", f"{bits / pixels:.4f}"] for name, bits in sizes]
    return Table(["codec", "bytes", "bits/dim"], rows, caption, numeric={1, 2})


def compression_lines(named: Sequence[tuple[str, CompressionRecord]]) -> list[str]:
    """What the model itself costs, which codecs are absent, and the conditions, one sentence each."""
    lines = [_cost(name, record) for name, record in named]
    for record in {record.space: record for _, record in named}.values():
        absent = [f"{codec.name} ({codec.absent})" for codec in record.codecs if codec.bits is None]
        lines += [f"not measured, because not installed: {', '.join(absent)}"] if absent else []
    for record in {(r.space, r.split, r.block, r.threads, r.guarantee): r for _, r in named}.values():
        lines.append(
            f"{plural(record.images, 'image')} of {record.space}, {record.split}; blocks of {record.block:,}; "
            f"{plural(record.threads, 'thread')}; readable on {record.guarantee}"
        )
    return lines


def _cost(name: str, record: CompressionRecord) -> str:
    """The size of the model, and for how many images file and model together are smaller than the best other file."""
    size = f"{name}: the model itself has {record.model_bytes:,} bytes"
    best, after = record.best_codec, record.images_to_break_even
    if best is None:
        return size
    if after is None:
        return f"{size}; {best.name} needs no more bits than the file, which does not contain the model"
    return f"{size}; from {plural(after, 'image')} on, file and model together are smaller than with {best.name}"


def _claim_in_words(record: CompressionRecord) -> str:
    score = record.claim
    return f"{score.method} ({score.kind_in_words})"
