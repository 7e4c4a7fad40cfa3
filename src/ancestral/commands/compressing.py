"""Commands that compress images with a trained model, and read them again."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ancestral.commands.console import opened_runs, print_json, print_table, refuse_missing_runs, say, screen
from ancestral.core.errors import InputError
from ancestral.core.text import plural
from ancestral.runs.folder import is_run
from ancestral.settings.data import FileSettings, OtherData

Places = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="RUN [RUN ...] [FILE]", help_behavior_hint="(required)"),
]


def compress(
    places: Places,
    out: Path | None = None,
    split: Literal["train", "valid", "test"] = "test",
    convert: bool = False,
    block: int | None = None,
    report: bool = False,
    devices: int = 1,
    json: bool = False,
    reading: FileSettings = FileSettings(),  # noqa: B008  (frozen)
) -> None:
    """Compress images without loss, with the probabilities of a trained model. `ancestral decompress` reads the file.

    The images are those of --split, in the pixel space of the run, or those of FILE. Pixels of FILE must be values that
    the model knows, so that they come back as they are. With --report, all images of --split are compressed, read again
    and compared, for one run or several; claim, file and other codecs are printed and stored in the runs.

    Args:
        places: run folder, or several with --report; then a file or folder of images, if not --split
        out: .anc file to write
        split: part of the data
        convert: accept images whose pixels the pixel space of the run changes, and state how many
        block: images that are coded together; small blocks are quick to read alone, and cost
            more (default: 2,500; 500 for large networks)
        report: compress, read again, compare every byte, and compare with other codecs; writes no file
        devices: number of processes, one core each; they divide the blocks, and the file is the same
        json: print only the numbers, as JSON, on stdout
    """
    if report:
        if out is not None or convert:
            raise InputError("--report needs runs only: it measures --split; leave out --out and --convert")
        _report(places, split, block, devices, json)
        return
    runs, source = _split_places(places)
    if out is None or len(runs) != 1:
        raise InputError("compress needs one run and --out FILE.anc; several runs need --report")
    refuse_missing_runs(*runs)
    from ancestral.runs.compress import compress_run
    from ancestral.runs.progress import counter
    from ancestral.training.processes import dividing_work

    other = _source(source, reading)
    with (
        dividing_work(devices) as processes,
        counter(screen, f"compressing with {runs[0].name}") as progress,
    ):
        found = compress_run(
            opened_runs(runs)[0], out, other=other, split=split, convert=convert, block=block, progress=progress
        )
    if not processes.first:
        return
    if json:
        print_json([_numbers(runs[0].name, found)])
    if found.how:
        count = f" ({found.changed:,} of {found.pixels:,} pixels)" if found.changed else ""
        say(f"converted, not lossless: {found.how}{count}")
    for line in found.lines:
        say(line)
    say(f"compressed: {out}")


def _split_places(places: tuple[Path, ...]) -> tuple[tuple[Path, ...], Path | None]:
    """The runs, and the source of images if the last place is not a run."""
    if len(places) > 1 and not is_run(places[-1]):
        return places[:-1], places[-1]
    return places, None


def _source(source: Path | None, reading: FileSettings) -> OtherData | None:
    """Raises:    InputError: options for reading without a file."""
    given = {field.name: getattr(reading, field.name) for field in fields(FileSettings)}
    if source is None:
        if reading != FileSettings():
            raise InputError("options for reading images need a FILE: give it after the run")
        return None
    return replace(OtherData(str(source)), **given)


def _numbers(name: str, found: Any) -> dict[str, Any]:
    return {
        "run": name,
        "path": str(found.path),
        "claimed_bits": found.claimed_bits,
        "claim": found.claim,
        "file_bits": found.bits,
        "images": found.images,
        "bits_per_dim": found.bits_per_dim,
        "changed": found.changed,
        "converted": found.how,
    }


def _report(paths: tuple[Path, ...], split: str, block: int | None, devices: int, json: bool) -> None:
    refuse_missing_runs(*paths)
    from ancestral.training.processes import number_of_processes

    if number_of_processes(devices) > 1:
        raise InputError("--report measures the speed of one process: leave out --devices and torchrun")
    from ancestral.figures.style import save_figure
    from ancestral.reports.compression_tables import codec_table, compression_lines, compression_table
    from ancestral.reports.pictures.compression import NAME, compression_figure
    from ancestral.reports.run_page import write_run_page
    from ancestral.runs.compress_report import report_compression
    from ancestral.runs.progress import counter

    named = []
    for run in opened_runs(paths):
        with counter(screen, f"compressing with {run.path.name}") as progress:
            record = report_compression(run, split, block, progress)
        named.append((run.path.name, record))
        save_figure(compression_figure(named[-1:]), run.figures / f"{NAME}.png")
        write_run_page(run, redraw=False)
    if json:
        print_json([{"run": name, **record.to_json()} for name, record in named])
    else:
        print_table(compression_table(named))
        for same in _by_pixels(named):
            if same[0][1].codecs:
                print_table(codec_table(same, f"{same[0][1].space}."))
    for line in compression_lines(named):
        say(line)
    for path in paths:
        say(f"picture: {path / 'figures' / NAME}.png; report: {path / 'report.html'}")
    wrong = [name for name, record in named if record.exact != record.images]
    if wrong:
        raise InputError(f"images of {', '.join(wrong)} did not come back exactly: report this as a bug")


def _by_pixels(named: list[tuple[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Records of the same pixels together."""
    found: dict[Any, list[tuple[str, Any]]] = {}
    for name, record in named:
        found.setdefault((record.space, record.split, record.images), []).append((name, record))
    return list(found.values())


def decompress(
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.anc")],
    run: Path,
    out: Path,
    only: int | None = None,
    salvage: bool = False,
    devices: int = 1,
) -> None:
    """Read the images of a file that `ancestral compress` wrote. The same run is needed.

    Args:
        file: .anc file
        run: run folder of the model that wrote it
        out: .npy file, or new folder for one .png file per image; with --only, a .png file too
        only: read one image only, by its number from 0
        salvage: if the file is damaged, read the images before the damage
        devices: number of processes, one core each; they divide the blocks
    """
    refuse_missing_runs(run)
    from ancestral.runs.compress import check_output, decompress_run, write_pixels
    from ancestral.runs.progress import counter
    from ancestral.training.processes import dividing_work

    check_output(out, only)
    opened = opened_runs((run,))[0]
    with dividing_work(devices) as processes, counter(screen, f"reading {file.name}") as progress:
        found = decompress_run(file, opened, only=only, salvage=salvage, progress=progress)
    if not processes.first:
        return
    note = write_pixels(found, out)
    if found.problem:
        say(f"{found.problem}: {found.lost:,} of {found.header.images:,} images are lost, {len(found.levels):,} kept")
    if note:
        say(note)
    say(f"{plural(len(found.levels), 'image')} of {found.header.space}: {out}")
