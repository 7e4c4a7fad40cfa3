"""Compression with runs and models: which pixels are accepted, what comes back, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, Captured, printed, refused, run
from PIL import Image
from small_runs import SmallRuns
from zoo import ZOO

import ancestral
from ancestral.core.errors import NotComputable
from ancestral.evaluation.codecs import codecs_of
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.evaluation.score import best_of, rank
from ancestral.runs.compress import compress_run, decompress_run
from ancestral.runs.records import COMPRESSIONS
from ancestral.runs.run import Run

RUNS = ["made", "mixture", "grey", "vae", "belief-net"]


@pytest.fixture(scope="module")
def folder(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.copied([*RUNS, "flow", "gan", "moons", "helmholtz"], tmp_path_factory.mktemp("runs"))


def images(low: object, high: object, dtype: str, shape: tuple[int, ...] = (9, 8, 8)) -> np.ndarray:
    chosen = np.random.default_rng(0).random(shape) < 0.3
    return np.where(chosen, high, low).astype(dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*RUNS, "helmholtz"])
def test_a_split_comes_back_in_the_pixel_space_of_the_run(folder: Path, tmp_path: Path, name: str) -> None:
    found = compress_run(folder / name, tmp_path / "x.anc", block=200)
    opened = Run(folder / name)
    expected = opened.data.held("test").first(10**6)
    pixels = decompress_run(tmp_path / "x.anc", opened).pixels
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, expected[:, 0].numpy())
    assert found.images == len(expected) and found.bits == 8 * (tmp_path / "x.anc").stat().st_size
    assert found.claim == ("ELBO" if name in ("vae", "grey", "helmholtz") else "log p(x)")
    header = 8 * 600 / found.images
    assert abs(found.bits - found.claimed_bits) / found.images < header + 0.05 * found.claimed_bits / found.images


@pytest.mark.parametrize(
    "low, high, dtype, shape",
    [
        (0, 1, "|u1", (9, 8, 8)),
        (0, 255, "|u1", (9, 8, 8)),
        (0, 255, "|u1", (9, 1, 8, 8)),
        (0, 255, "|u1", (9, 8, 8, 1)),
        (3, 7, "|u1", (9, 8, 8)),
        (200, 201, "|u1", (9, 8, 8)),
        (0, 0, "|u1", (9, 8, 8)),
        (1, 1, "|u1", (9, 8, 8)),
        (255, 255, "|u1", (9, 8, 8)),
        (128, 128, "|u1", (9, 8, 8)),
        (False, True, "|b1", (9, 8, 8)),
        (0, 1, "<f4", (9, 8, 8)),
        (0, 1, ">f8", (9, 8, 8)),
        (0, 1, "<i8", (9, 8, 8)),
        (0, 1000, "<u2", (9, 8, 8)),
    ],
)
def test_files_of_two_values_come_back_byte_by_byte(
    folder: Path, tmp_path: Path, low: object, high: object, dtype: str, shape: tuple[int, ...]
) -> None:
    given = images(low, high, dtype, shape)
    np.save(tmp_path / "given.npy", given)
    assert run("compress", folder / "made", tmp_path / "given.npy", "--out", tmp_path / "x.anc") == 0
    assert run("decompress", tmp_path / "x.anc", "--run", folder / "made", "--out", tmp_path / "back.npy") == 0
    assert (tmp_path / "back.npy").read_bytes() == (tmp_path / "given.npy").read_bytes()


def test_grey_values_come_back_from_a_model_of_levels(folder: Path, tmp_path: Path) -> None:
    """Whole levels of 17, and the same levels as floats, which keep their values."""
    whole = np.random.default_rng(1).integers(0, 17, (7, 8, 8)).astype(np.uint8)
    whole[0, 0, :2] = 0, 16
    for given in (whole, (whole / np.float32(16)).astype(np.float32)):
        np.save(tmp_path / "given.npy", given)
        ancestral.compress(folder / "grey", tmp_path / "x.anc", data=tmp_path / "given.npy", levels=17)
        back = ancestral.decompress(tmp_path / "x.anc", folder / "grey")
        assert back.dtype == given.dtype and np.array_equal(back, given)


def test_pixels_that_would_change_are_refused_and_converted_on_demand(
    folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    given = np.random.default_rng(2).integers(0, 256, (9, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "given.npy", given)
    words = ["compress", folder / "made", tmp_path / "given.npy", "--out", tmp_path / "x.anc"]
    capsys.readouterr()
    assert run(*words) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--convert" in error and "threshold" in error and not (tmp_path / "x.anc").exists()
    changed = int(((given != 0) & (given != 255)).sum())
    assert f"{changed:,} of {given.size:,}" in error
    _, told = printed(capsys, *words, "--convert")
    assert "not lossless" in told and f"{changed:,}" in told
    back = ancestral.decompress(tmp_path / "x.anc", folder / "made")
    assert np.array_equal(back, np.where(np.round(given.astype(float) * 16 / 255) > 8, 255, 0))


@pytest.mark.parametrize("high", [1.0, -0.0])
def test_the_sign_of_a_negative_zero_is_not_lost_in_silence(folder: Path, tmp_path: Path, high: float) -> None:
    given = images(-0.0, high, "<f8", (9, 8, 8))
    refused(lambda: ancestral.compress(folder / "made", tmp_path / "x.anc", data=given), "negative sign", "--convert")
    assert "negative sign" in ancestral.compress(folder / "made", tmp_path / "x.anc", data=given, convert=True).how


def test_changes_of_the_shape_are_conversions(folder: Path, tmp_path: Path) -> None:
    colour = np.random.default_rng(3).integers(0, 2, (4, 3, 8, 8)).astype(np.uint8) * 255
    how = {"data": colour, "grey": True}
    refused(lambda: ancestral.compress(folder / "made", tmp_path / "x.anc", **how), "3x8x8 become 1x8x8", "--convert")
    found = ancestral.compress(folder / "made", tmp_path / "x.anc", convert=True, **how)
    assert found.changed == found.pixels
    assert ancestral.decompress(tmp_path / "x.anc", folder / "made").shape == (4, 8, 8)


def test_pictures_come_back_as_pictures(folder: Path, tmp_path: Path) -> None:
    given = images(0, 255, "|u1")
    (tmp_path / "given").mkdir()
    for i, image in enumerate(given):
        Image.fromarray(image).save(tmp_path / "given" / f"{i}.png")
    assert run("compress", folder / "made", tmp_path / "given", "--out", tmp_path / "x.anc") == 0
    assert run("decompress", tmp_path / "x.anc", "--run", folder / "made", "--out", tmp_path / "back") == 0
    for i, image in enumerate(given):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "back" / f"{i}.png")), image)
    one = tmp_path / "one.png"
    assert run("decompress", tmp_path / "x.anc", "--run", folder / "made", "--only", 7, "--out", one) == 0
    assert np.array_equal(np.asarray(Image.open(one)), given[7])


def transparent(grey: np.ndarray) -> Image.Image:
    alpha = np.where(np.arange(64).reshape(8, 8) < 20, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, grey, grey, alpha], -1))


STORED_WITH_MORE = {
    "transparent pixels": (transparent, {}),
    "CMYK": (lambda grey: Image.fromarray(grey).convert("RGB").convert("CMYK"), {}),
    "16 levels": (lambda grey: Image.fromarray(grey.astype("<u2") * 257), {"levels": 16, "value_range": (0, 65535)}),
    "scaled": (lambda grey: Image.fromarray(grey.repeat(2, 0).repeat(2, 1)), {"resize": 8}),
}


@pytest.mark.parametrize("kind", STORED_WITH_MORE)
def test_a_picture_that_has_more_than_its_pixels_needs_a_conversion(folder: Path, tmp_path: Path, kind: str) -> None:
    make, how = STORED_WITH_MORE[kind]
    (tmp_path / "given").mkdir()
    for place, grey in enumerate(images(0, 255, "|u1")):
        make(grey).save(tmp_path / "given" / f"{place}.{'tif' if kind == 'CMYK' else 'png'}")
    given = {"data": tmp_path / "given", **how}
    refused(lambda: ancestral.compress(folder / "made", tmp_path / "x.anc", **given), kind, "--convert")
    assert kind in ancestral.compress(folder / "made", tmp_path / "x.anc", convert=True, **given).how


def test_missing_pixels_are_not_compressed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    transparent(images(0, 255, "|u1")[0]).save(tmp_path / "given" / "0.png")
    words = {"data": tmp_path / "given", "missing": True, "convert": True}
    refused(lambda: ancestral.compress(folder / "made", tmp_path / "x.anc", **words), "20 of 64", "missing")


def test_a_damaged_file_is_salvaged_on_demand(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    compress_run(folder / "made", tmp_path / "x.anc", block=100)
    whole = ancestral.decompress(tmp_path / "x.anc", folder / "made")
    content = (tmp_path / "x.anc").read_bytes()
    (tmp_path / "x.anc").write_bytes(content[: len(content) * 2 // 3])
    words = ["decompress", tmp_path / "x.anc", "--run", folder / "made", "--out", tmp_path / "y.npy"]
    capsys.readouterr()
    assert run(*words) == 2 and not (tmp_path / "y.npy").exists()
    assert capsys.readouterr().err.count("\n") == 1
    _, told = printed(capsys, *words, "--salvage")
    kept = np.load(tmp_path / "y.npy")
    assert 0 < len(kept) < len(whole) and len(kept) % 100 == 0 and np.array_equal(kept, whole[: len(kept)])
    assert f"{len(whole) - len(kept)} of {len(whole)} images are lost" in told


@pytest.mark.parametrize(
    "words",
    [
        ["compress", "{}/made"],
        ["compress", "{}/made", "--out", "x.zip"],
        ["compress", "{}/made", "{}/vae", "--out", "x.anc"],
        ["compress", "{}/made", "no-such-file.npy", "--out", "x.anc"],
        ["compress", "{}/made", "--out", "x.anc", "--levels", "4"],
        ["compress", "{}/made", "--out", "x.anc", "--block", "0"],
        ["compress", "{}/made", "--report", "--out", "x.anc"],
        ["compress", "{}/made", "no-such-run", "--report"],
        ["compress", "nowhere", "--out", "x.anc"],
        ["compress", "{}/made", "--out", "x.anc", "--blok", "3"],
        ["decompress", "x.anc", "--run", "{}/made", "--out", "y.npy"],
        ["decompress", "{}/made/settings.json", "--run", "{}/made", "--out", "y.npy"],
        ["decompress", "good.anc", "--run", "{}/mixture", "--out", "y.npy"],
        ["decompress", "good.anc", "--run", "{}/made", "--out", "y.jpg"],
        ["decompress", "good.anc", "--run", "{}/made", "--out", "{}"],
        ["decompress", "good.anc", "--run", "{}/made", "--out", "y.npy", "--only", "447"],
        ["decompress", "good.anc", "--run", "{}/made", "--out", "y.npy", "--only", "1", "--salvage"],
    ],
)
def test_wrong_requests_write_nothing(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    compress_run(folder / "made", tmp_path / "good.anc")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert run(*(word.replace("{}", str(folder)) for word in words)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["good.anc"]


@pytest.mark.parametrize(
    "name, reason", [("flow", "neither conditionals"), ("gan", "no likelihood"), ("moons", "density of real numbers")]
)
def test_other_families_say_why_not(folder: Path, tmp_path: Path, name: str, reason: str) -> None:
    refused(lambda: compress_run(folder / name, tmp_path / "x.anc"), reason, kind=NotComputable)


def test_models_without_a_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ZOO["made"]().train()
    given = torch.randint(2, (11, *model.event_shape)).float()
    found = ancestral.compress(model, tmp_path / "x.anc", data=given)
    back = ancestral.decompress(tmp_path / "x.anc", model)
    assert model.training  # the mode is that of before
    assert found.images == 11 and back.dtype == np.float32 and np.array_equal(back, given.numpy())
    refused(lambda: ancestral.compress(model, tmp_path / "x.anc"), "data")
    refused(lambda: ancestral.compress(model, tmp_path / "x.anc", data=given, protocol="uva2018"), "protocol")


def test_a_plug_in_with_conditionals_compresses(tmp_path: Path) -> None:
    run_ = ancestral.fit(ROOT / "examples" / "chain.py", tmp_path / "chain", epochs=1, train_size=100, valid_size=20)
    found = ancestral.compress(run_, tmp_path / "x.anc")
    # the zeros that are pushed first cost nothing: the state of the coder stays 0
    assert -0.02 < found.block_bits / found.claimed_bits - 1 < 1e-3
    expected = run_.data.held("test").first(10**6)[:, 0].numpy()
    assert np.array_equal(ancestral.decompress(tmp_path / "x.anc", run_), expected)


def test_the_report_is_stored_shown_and_kept_apart_from_likelihoods(folder: Path, capsys: Captured) -> None:
    out, told = printed(capsys, "compress", folder / "mixture", folder / "vae", "--report", "--json")
    found = {record["run"]: record for record in json.loads(out)}
    for name, claim in (("mixture", "log p(x)"), ("vae", "ELBO")):
        opened, record = Run(folder / name), found[name]
        assert record["exact"] == record["images"] == 447
        assert record["encode_per_second"] > 0 and record["decode_per_second"] > 0
        (stored,) = COMPRESSIONS.of(opened)
        assert stored == CompressionRecord.from_json(stored.to_json())
        assert stored.file_bits == record["file_bits"] and stored.claimed_bits == pytest.approx(record["claimed_bits"])
        paid, claimed = (
            next(score for score in opened.scores() if (score.kind == "file") == is_file) for is_file in (True, False)
        )
        assert claimed.method == claim and paid.method == f"file, {stored.code}"
        assert paid.bits_per_dim == pytest.approx(stored.bits_per_dim) and paid.nats < claimed.nats
        assert best_of(opened.scores(), name).kind != "file"
        refused(lambda paid=paid, claimed=claimed: rank([paid, claimed]), "cannot be ranked")
        page = opened.page.read_text()
        assert "Lossless compression" in page
        assert "file and model together are smaller" in page or "which does not contain the model" in page
        assert (opened.figures / "compression.png").exists()
        assert all(check.passed for check in ancestral.verify(folder / name))
    assert ("the model itself has" in told and "not measured" in told) or "readable on" in told
    out, _ = printed(capsys, "compress", folder / "mixture", "--report")
    assert "PNG, each" in out and "447 of 447" in out and "zlib" in out


def test_the_report_is_a_function_too(folder: Path) -> None:
    found = ancestral.compress_report(folder / "made", split="valid", block=7)
    assert found.exact == found.images == 20 and found.split == "valid" and found.block == 7
    assert found in COMPRESSIONS.of(Run(folder / "made"))
    model = Run(folder / "made").load()
    refused(lambda: ancestral.compress_report(model), "give Run, Path or a text")  # type: ignore[arg-type]


def test_the_model_pays_for_itself_only_if_its_files_are_smaller() -> None:
    def record(file_bits: int) -> CompressionRecord:
        from ancestral.evaluation.codecs import Codec

        score = ancestral.Score(-1.0, 0.1, "log p(x)", "exact", None, 0, "s", "test", 100, 10)
        codecs = (Codec("a", 5000), Codec("b", 4000), Codec("c", None, "c"))
        return CompressionRecord(score, file_bits, 100, 10, 100, 1, 1, 50, "", "", "", 1000, codecs, "s", "test", 1)

    assert record(4000).images_to_break_even is None and record(4500).images_to_break_even is None
    assert record(2000).images_to_break_even == 400  # 8,000 bits of the model, 20 bits saved for each image


def test_other_codecs_get_the_same_pixels() -> None:
    """Constant images are small under every codec, random ones are not; the sheet contains every image."""
    generator = np.random.default_rng(0)
    random = generator.integers(0, 2, (50, 1, 8, 8))
    sizes = {codec.name: codec.bits for codec in codecs_of(random, 2) if codec.bits is not None}
    assert {"zlib", "bz2", "xz", "PNG, each", "PNG, sheet"} <= set(sizes)
    assert all(bits > 0.95 * random.size for bits in sizes.values())
    constant = {codec.name: codec.bits for codec in codecs_of(random * 0, 2) if codec.bits is not None}
    assert all(constant[name] < 0.6 * bits for name, bits in sizes.items() if name != "PNG, each")
    grey = generator.integers(0, 256, (50, 3, 8, 8))
    found = {codec.name: codec.bits for codec in codecs_of(grey, 256) if codec.bits is not None}
    assert all(bits > 0.95 * 8 * grey.size for bits in found.values()) and "TIFF G4, sheet" not in found
