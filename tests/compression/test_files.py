"""The file format: round trips, damage, wrong models, forged headers."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused
from pretended_processes import of_all
from torch import Tensor
from zoo import ZOO

from ancestral.compression.container import CompressedFile, Form, Header, block_bytes, header_bytes
from ancestral.compression.files import compress_levels, decompress_levels
from ancestral.compression.operations import HANDLERS
from ancestral.core.digest import digest_of
from ancestral.core.dividing import Alone, dividing
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.models.base import Model
from ancestral.settings.data import MAX_LEVELS

BLOCK = 7
KINDS = ("made", "made, three orderings", "mixture", "vae", "pixelcnn, categorical")


def model_of(name: str) -> Model:
    torch.manual_seed(0)
    return ZOO[name]().eval()


def images_of(model: Model, n: int = 24) -> Tensor:
    assert model.levels is not None
    generator = torch.Generator().manual_seed(1)
    return torch.randint(model.levels, (n, *model.event_shape), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of("made")


@pytest.fixture
def written(model: Model, tmp_path: Path) -> Path:
    compress_levels(model, images_of(model), tmp_path / "x.anc", "digits, binary", block=BLOCK)
    return tmp_path / "x.anc"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_256_levels_of_one_byte_each(dtype: torch.dtype, tmp_path: Path) -> None:
    """The level 255 fits a byte, and the number of levels does not."""
    torch.manual_seed(0)
    model = PixelCNN([1, 4, 4], "zero-flag", 256, channels=8, hidden=4, blocks=1, first_kernel=3, frequent=2).eval()
    levels = torch.randint(256, (9, 1, 4, 4)).to(dtype)
    levels[0], levels[1] = 0, 255
    compress_levels(model, levels, tmp_path / "x.anc", "levels")
    assert torch.equal(decompress_levels(model, tmp_path / "x.anc").levels, levels.long())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("block", [1, BLOCK, 2500])
def test_files_give_the_same_images(name: str, block: int, tmp_path: Path) -> None:
    model = model_of(name)
    levels = images_of(model)
    levels[0], levels[1] = 0, model.levels - 1  # type: ignore[operator]
    compress_levels(model, levels, tmp_path / "x.anc", "", block=block)
    found = decompress_levels(model, tmp_path / "x.anc")
    assert torch.equal(found.levels, levels.long()) and not found.lost


@pytest.mark.parametrize("number", [0, 6, 7, 23])
def test_one_image_is_read_from_its_block(model: Model, written: Path, number: int) -> None:
    found = decompress_levels(model, written, only=number)
    assert torch.equal(found.levels[0], images_of(model)[number].long())


def test_an_image_that_is_not_there_is_refused(model: Model, written: Path) -> None:
    refused(lambda: decompress_levels(model, written, only=24), "0 to 23")


def test_each_changed_byte_is_refused(model: Model, written: Path) -> None:
    """Every byte of the file in turn, with one bit of it flipped."""
    whole = written.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        written.write_bytes(changed)
        refused(lambda: decompress_levels(model, written), str(written))


def test_a_thousand_flipped_bits_are_refused(model: Model, tmp_path: Path) -> None:
    path, generator = tmp_path / "x.anc", np.random.default_rng(0)
    compress_levels(model, images_of(model, 400), path, "", block=100)
    whole = path.read_bytes()
    for place in generator.integers(0, 8 * len(whole), 1000):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        refused(lambda: decompress_levels(model, path))


def with_one_bit_changed(model: Model, name: str) -> Model:
    twin = ZOO["made"]().eval()
    twin.load_state_dict(model.state_dict())
    values = dict(twin.named_parameters())[name].detach().view(-1)
    values[0:1] = torch.nextafter(values[0:1], torch.tensor(torch.inf))
    return twin


def test_a_model_with_one_changed_bit_is_refused(model: Model, written: Path) -> None:
    for name, _ in model.named_parameters():
        refused(lambda name=name: decompress_levels(with_one_bit_changed(model, name), written), "another model")


def test_bytes_after_the_end_are_refused(model: Model, written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"\0")
    refused(lambda: decompress_levels(model, written), "bytes follow")


def test_whole_blocks_before_the_damage_can_be_saved(model: Model, written: Path) -> None:
    """The file cut at many places: without `salvage` it is refused; with it, the whole blocks come back."""
    whole, levels = written.read_bytes(), images_of(model).long()
    ends = _ends(written)
    cuts = {*range(ends[0], len(whole), 9), *(end + step for end in ends for step in (-1, 0, 1))}
    for size in sorted(cuts & set(range(ends[0], len(whole)))):
        written.write_bytes(whole[:size])
        refused(lambda: decompress_levels(model, written), "ends")
        found = decompress_levels(model, written, salvage=True)
        kept = BLOCK * sum(end <= size for end in ends[1:])
        assert torch.equal(found.levels, levels[:kept]) and found.lost == len(levels) - kept
        assert found.problem is not None


def _ends(path: Path) -> list[int]:
    """Where the header and each block end."""
    file = CompressedFile(path, path.read_bytes())
    ends = [file.start]
    for block in file.blocks():
        ends.append(ends[-1] + len(block_bytes(block)))
    return ends


def test_words_that_are_left_over_are_refused(model: Model, written: Path) -> None:
    """A block with one more word than its images need, and right checksums."""
    file = CompressedFile(written, written.read_bytes())
    first, *others = file.blocks()
    longer = first._replace(words=np.concatenate([np.array([5], np.uint32), first.words]))
    written.write_bytes(bytes(file.content[: file.start]) + b"".join(map(block_bytes, [longer, *others])))
    refused(lambda: decompress_levels(model, written), "do not end where its images end")


def test_blocks_in_another_order_are_refused(model: Model, written: Path) -> None:
    whole = written.read_bytes()
    start, first, second = _ends(written)[:3]
    written.write_bytes(whole[:start] + whole[first:second] + whole[start:first] + whole[second:])
    refused(lambda: decompress_levels(model, written), "checksum of block 0")


def forged(path: Path, **changes: object) -> None:
    """Replace the header by one with other values and a right checksum."""
    file = CompressedFile(path, path.read_bytes())
    header = dataclasses.replace(file.header, **changes)  # type: ignore[arg-type]
    path.write_bytes(header_bytes(header) + bytes(file.content[file.start :]))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": 10**12}, "ends before block"),
        ({"images": 10**12, "block": 1 << 20}, "ends before block"),
        ({"block": 1 << 40}, "not possible"),
        ({"shape": (1 << 20, 1 << 20, 1), "axes": "NCHW"}, "more pixels"),
        ({"borrowed": 1 << 40}, "not possible"),
        ({"images": -1}, "not possible"),
        ({"images": 24.0}, "not possible"),
        ({"levels": 3}, "another version"),
        ({"code": "pixel by pixel, backwards"}, "another version"),
        ({"arithmetic": "fixed-point-20"}, "another version"),
        ({"canary": "0" * 16}, "other numbers"),
        ({"content_sha256": "0" * 64}, "SHA-256 differs"),
        ({"format": 2}, "another version of ancestral"),
        ({"dtype": "|O"}, "form of its images"),
        ({"axes": "CWH"}, "form of its images"),
        ({"values": (1, 2, 3)}, "form of its images"),
        ({"values": (0, 300)}, "form of its images"),
    ],
)
def test_forged_headers_are_refused(model: Model, written: Path, changes: dict[str, object], words: str) -> None:
    forged(written, **changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(lambda: decompress_levels(model, written), words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB; promises allocate nothing


@pytest.mark.parametrize("content", [b"", b"\x89ANC", b"PK\3\4" + bytes(100), b"\x89ANC\r\n\x1a\n" + b"\xff" * 50])
def test_other_files_are_refused(model: Model, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.anc"
    path.write_bytes(content)
    refused(lambda: decompress_levels(model, path), str(path))


def test_a_header_that_unpacks_to_much_is_refused(model: Model, tmp_path: Path) -> None:
    path, text = tmp_path / "x.anc", zlib.compress(b" " * (1 << 26), 9)
    start = b"\x89ANC\r\n\x1a\n" + len(text).to_bytes(4, "little") + text
    path.write_bytes(start + zlib.crc32(start).to_bytes(4, "little"))
    refused(lambda: decompress_levels(model, path), "header")


def test_the_values_of_the_most_levels_fit_a_header(written: Path) -> None:
    """Text of 65,536 stored values, as long as the text of a double can be."""
    values = tuple((-1.2345678901234567e-300 * np.linspace(1, 2, MAX_LEVELS)).tolist())
    forged(written, levels=MAX_LEVELS, values=values, dtype="<f8")
    assert CompressedFile(written, written.read_bytes()).header.values == values


def test_images_that_the_model_does_not_know_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "x.anc"
    refused(lambda: compress_levels(model, images_of(model) + 1, path, ""), "levels 0 to 1")
    refused(lambda: compress_levels(model, images_of(model)[:, :, 1:], path, ""), "shape")
    refused(lambda: compress_levels(model, images_of(model)[:0], path, ""), "no images")
    assert not path.exists()


def test_images_return_in_their_form(model: Model, tmp_path: Path) -> None:
    levels, path = images_of(model), tmp_path / "x.anc"
    for form, shape in (
        (Form(), levels.shape),
        (Form((0, 255), "|u1", "NHW"), levels[:, 0].shape),
        (Form((-1.5, 2.25), ">f4", "NHWC"), (*levels.shape[0:1], *levels.shape[2:], 1)),
        (Form((0, 1), "|b1", "NHW"), levels[:, 0].shape),
    ):
        compress_levels(model, levels, path, "", form)
        pixels = decompress_levels(model, path).pixels
        low, high = form.values or (0, 1)
        assert pixels.shape == tuple(shape) and pixels.dtype == np.dtype(form.dtype)
        assert (pixels.reshape(levels.shape) == np.where(levels.numpy() == 1, high, low)).all()


def test_the_hash_covers_names_shapes_and_types(model: Model) -> None:
    assert digest_of(model.state_dict()) == digest_of(model_of("made").state_dict())
    assert digest_of(model.state_dict()) != digest_of(model_of("made").double().state_dict())


def test_the_same_images_give_the_same_bytes(model: Model, written: Path, tmp_path: Path) -> None:
    """Batches, threads and the order of blocks have no influence."""
    torch.set_num_threads(2)
    try:
        compress_levels(model, images_of(model), tmp_path / "y.anc", "digits, binary", block=BLOCK)
    finally:
        torch.set_num_threads(1)
    assert written.read_bytes() == (tmp_path / "y.anc").read_bytes()


SCRIPT = """
import sys, torch
from pathlib import Path
import ancestral
from ancestral.compression.files import decompress_levels
torch.set_num_threads(2)
folder = Path(sys.argv[1])
found = decompress_levels(ancestral.load_model(folder / "model"), folder / "x.anc")
print(torch.backends.cpu.get_cpu_capability(), found.levels.flatten().tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "pixelcnn"])
def test_files_are_read_with_other_instructions_and_threads(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    compress_levels(model, images_of(model), tmp_path / "x.anc", "")
    model.save(tmp_path / "model")
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    capability, _, values = done.stdout.partition(" ")
    assert capability == "DEFAULT" and eval(values) == images_of(model).flatten().tolist()


def test_a_code_without_a_guarantee_is_checked_when_it_is_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the arithmetic is not exact, each block is decoded at once; a difference means that no file is written."""
    monkeypatch.setattr("ancestral.compression.files._decoded", _wrong)
    for packet in [packet for packet in HANDLERS if "addmm" in packet.__name__]:
        monkeypatch.delitem(HANDLERS, packet)
    refused(lambda: compress_levels(model, images_of(model), tmp_path / "x.anc", ""), "no file is written")
    assert not (tmp_path / "x.anc").exists()


@pytest.mark.parametrize(
    ("name", "worlds"), [("made", (2, 3, 7)), ("vae", (3,)), pytest.param("vae", (2, 7), marks=pytest.mark.slow)]
)
def test_several_processes_write_the_same_file_once(name: str, worlds: tuple[int, ...], tmp_path: Path) -> None:
    model = model_of(name)
    images = images_of(model)
    alone = compress_levels(model, images, tmp_path / "alone.anc", "", block=5)  # 5 blocks

    def work(processes: Alone) -> tuple[int, int, Tensor]:
        path = tmp_path / f"{processes.world}-{processes.rank}.anc"
        with dividing(processes):
            found = compress_levels(model, images, path, "", block=5)
            return found.bits, found.block_bits, decompress_levels(model, tmp_path / "alone.anc").levels

    for world in worlds:
        for bits, block_bits, levels in of_all(world, work):
            assert (bits, block_bits) == (alone.bits, alone.block_bits) and torch.equal(levels, images.long())
        assert (tmp_path / f"{world}-0.anc").read_bytes() == (tmp_path / "alone.anc").read_bytes()
    assert len(list(tmp_path.iterdir())) == 1 + len(worlds)


def test_several_processes_need_exact_numbers(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for packet in [packet for packet in HANDLERS if "addmm" in packet.__name__]:
        monkeypatch.delitem(HANDLERS, packet)
    two = Alone()
    two.world = 2
    with dividing(two):
        refused(lambda: compress_levels(model, images_of(model), tmp_path / "x.anc", ""), "use one process")


def _wrong(code: object, header: Header, blocks: list[object]) -> Tensor:
    return torch.zeros(header.images, *header.shape, dtype=torch.int64)
