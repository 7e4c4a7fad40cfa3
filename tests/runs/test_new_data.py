"""A trained run on data that are not its own: read as its own were, refused where they do not fit, never stored."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run
from PIL import Image
from small_runs import SmallRuns

from ancestral import fit
from ancestral.data.datasets import load_dataset
from ancestral.runs import unusual
from ancestral.runs.evaluate import score_run
from ancestral.runs.infer import infer_run
from ancestral.runs.new_data import GIVEN, NewData, on_data
from ancestral.runs.run import Run
from ancestral.runs.unusual import Ranking, p_values, rank_run
from ancestral.settings.data import OtherData

DIGITS = load_dataset("digits")


@pytest.fixture(scope="module")
def folder(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.copied(["made", "vae", "grey"], tmp_path_factory.mktemp("new"))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The test digits in a file of one array, as bytes 0..16."""
    assert DIGITS.test.labels is not None
    images, labels = DIGITS.test.images.numpy(), DIGITS.test.labels.numpy()
    np.savez(tmp_path / "others.npz", images=images, labels=labels)
    return tmp_path / "others.npz"


def test_the_same_images_from_a_file_have_the_same_score(folder, saved):
    made = Run(folder / "made")
    own = score_run(made)
    before = (made.path / "scores.json").read_bytes()
    other, split = on_data(made, OtherData(str(saved)))
    assert split == GIVEN and isinstance(other.data, NewData) and not other.keeps_records
    found = score_run(other, split)
    assert (found.nats, found.count) == (own.nats, own.count)
    assert found.space == "others, binary, threshold 0.5" and own.space == "digits, binary, threshold 0.5"
    assert (made.path / "scores.json").read_bytes() == before


@pytest.mark.parametrize(("stored", "stretch"), [("bytes", 255 / 16), ("floats", 1 / 16)])
def test_other_ranges_are_scaled_to_the_levels_of_the_model(folder, tmp_path, stored, stretch):
    images = DIGITS.test.images.numpy() * stretch
    np.save(tmp_path / "scaled.npy", np.rint(images).astype(np.uint8) if stored == "bytes" else images)
    grey = Run(folder / "grey")
    other, split = on_data(grey, OtherData(str(tmp_path / "scaled.npy")))
    assert torch.equal(other.data.stored(split).images.long(), DIGITS.test.images.long())
    assert any("scaled to the 17" in said for said in other.data.dataset.assumptions)  # type: ignore[union-attr]


def test_images_that_do_not_reach_the_last_level_are_not_scaled(folder, tmp_path):
    dark = DIGITS.test.images[(DIGITS.test.images.amax((1, 2, 3)) < 16)]
    assert len(dark) and dark.max() < 16
    np.save(tmp_path / "dark.npy", dark.numpy())
    other, split = on_data(Run(folder / "grey"), OtherData(str(tmp_path / "dark.npy")))
    assert torch.equal(other.data.stored(split).images, dark)


@pytest.mark.parametrize("stored", [np.uint8, bool, np.float32])
@pytest.mark.parametrize("name", ["made", "grey"])
def test_images_of_two_values_are_black_and_white(folder, tmp_path, name, stored):
    """Levels 0 and 1 of 17 would both be black for a model of binary pixels."""
    white = DIGITS.test.images > 8
    np.save(tmp_path / "two.npy", white.numpy().astype(stored))
    other, split = on_data(Run(folder / name), OtherData(str(tmp_path / "two.npy")))
    assert torch.equal(other.data.stored(split).images, white.to(torch.uint8) * 16)
    if stored is np.uint8:
        kept, _ = on_data(Run(folder / name), OtherData(str(tmp_path / "two.npy"), levels=17))
        assert torch.equal(kept.data.stored(split).images, white.to(torch.uint8))


def test_data_that_do_not_fit_are_refused(folder, tmp_path):
    made = Run(folder / "made")
    np.save(tmp_path / "large.npy", np.zeros((5, 9, 9), np.uint8))
    refused(lambda: on_data(made, OtherData(str(tmp_path / "large.npy"))), "1x9x9", "1x8x8", "--resize")
    refused(lambda: on_data(made, OtherData(str(tmp_path / "none.npy"))), "no such file")
    np.savez(tmp_path / "parts.npz", train=np.zeros((5, 8, 8), np.uint8), test=np.ones((3, 8, 8), np.uint8))
    refused(lambda: on_data(made, OtherData(str(tmp_path / "parts.npz")), "valid"), "valid", "--split")
    other, split = on_data(made, OtherData(str(tmp_path / "parts.npz")), "train")
    assert len(other.data.held(split)) == 5 and other.data.name == "parts (train)"
    refused(lambda: OtherData(grey=True), "--grey", "--data")


def test_classes_are_matched_by_name(tmp_path):
    for part, names in (("own", ("cat", "dog", "owl")), ("new", ("dog", "emu"))):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(12):
                pixels = np.random.default_rng(i).integers(0, 256, (6, 6), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{i}.png")
    trained = fit("vae", tmp_path / "run", data=tmp_path / "own", latents=2, hidden=(4,), epochs=1, pixels="threshold")
    assert trained.record["data"]["classes"] == ["cat", "dog", "owl"]
    other, split = on_data(Run(trained.path), OtherData(str(tmp_path / "new")))
    labels = other.data.stored(split).labels
    assert labels is not None and labels.tolist() == [1] * 12 + [-1] * 12
    assert other.data.stored(split).names == tuple(f"{n}/{i}.png" for n in ("dog", "emu") for i in range(12))


@pytest.mark.parametrize(
    ("own", "stored", "expected", "said"),
    [
        ([0, 1, 2, 3], [2, 3], [2, 3], None),  # sparse numbers, which the reader of files renumbers
        ([5, 6, 7, 8], [0, 5, 8], [-1, 0, 3], "unknown classes are used without a label: 0"),
        ([0, 1, 2, 3], ["cat", "dog"], [-1, -1], "unknown classes are used without a label: cat, dog"),
        (["cat", "dog"], [0, 1, 2], [0, 1, -1], "labels are numbers: 0 is taken as the class cat"),
    ],
)
def test_classes_with_and_without_names_are_matched(tmp_path, own, stored, expected, said):
    images = (np.random.default_rng(0).random((40, 1, 2, 2)) < 0.5).astype(np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.resize(np.array(own), 40))
    np.savez(tmp_path / "new.npz", images=images, labels=np.resize(np.array(stored), 40))
    trained = fit("mixture", tmp_path / "run", data=tmp_path / "own.npz", components=2, epochs=1)
    other, split = on_data(Run(trained.path), OtherData(str(tmp_path / "new.npz")))
    part = other.data.stored(split)
    assert part.labels is not None and part.labels.tolist() == np.resize(expected, 40).tolist()
    assert said is None or any(said in line for line in other.data.dataset.assumptions)


def test_moved_data_of_a_run_have_the_same_split(tmp_path):
    np.savez(tmp_path / "own.npz", images=DIGITS.train.images.numpy()[:300], labels=np.arange(300) % 10)
    fitted = fit("vae", tmp_path / "run", data=tmp_path / "own.npz", latents=2, hidden=(4,), epochs=1)
    own = Run(fitted.path)
    expected, score = own.data.held("test").first(99), score_run(own)
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "own.npz", tmp_path / "moved" / "own.npz")
    refused(lambda: Run(fitted.path).data.dataset, "are not at", "--data")
    other, split = on_data(Run(fitted.path), OtherData(str(tmp_path / "moved" / "own.npz")))
    assert split == "test" and torch.equal(other.data.held(split).first(99), expected) and other.keeps_records
    assert score_run(other, split).nats == score.nats


def test_commands_accept_new_data(folder, saved, tmp_path, capsys):
    table = tmp_path / "each.csv"
    out, said = printed(capsys, "evaluate", folder / "made", "--data", saved, "--per-image", table, "--json")
    assert "not stored" in said and '"count": 447' in out
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 447 and list(rows[0]) == ["index", "label", "log_prob_nats", "bits_per_dim"]
    mean = np.mean([float(row["log_prob_nats"]) for row in rows])
    assert mean == pytest.approx(score_run(folder / "made").nats, abs=1e-6)
    assert run("infer", folder / "vae", "--data", saved, "--out", tmp_path / "z.npz") == 0
    found = np.load(tmp_path / "z.npz")
    own = infer_run(Run(folder / "vae"))
    assert np.array_equal(found["z"], own.z.numpy()) and np.array_equal(found["labels"], DIGITS.test.labels)
    assert run("complete", folder / "made", "--data", saved, "--out", tmp_path / "c.png", "--count", 3) == 0
    assert run("explain", folder / "vae", "--data", saved, "--count", 50) == 0
    assert run("draw", "reconstructions", folder / "vae", "--data", saved, "--out", tmp_path / "r.png") == 0
    assert run("evaluate", folder / "made", "--grey") == 2


def test_p_values_are_calibrated_with_and_without_ties():
    generator = torch.Generator().manual_seed(1)
    for digits in (6, 0):  # many ties where values are whole
        natural, new = torch.randn(2, 300, 40, generator=generator, dtype=torch.float64).mul(2).round(decimals=digits)
        p = torch.cat([torch.stack(p_values(n, m)) for n, m in zip(natural, new, strict=True)], 1)  # (2, 300 * 40)
        for level in (0.05, 0.2, 0.5):
            rates = (p <= level).double().mean(1)
            # 40 p-values share a calibration: the standard deviation of the rate over 300 sets is below 0.004
            assert (rates <= level + 0.016).all(), (digits, level, rates)
            if digits:
                assert (rates >= level - 0.06).all(), (digits, level, rates)
    low, both = p_values(torch.arange(9.0), torch.tensor([-1.0, 4.0, 100.0]))
    assert low.tolist() == pytest.approx([0.1, 0.6, 1.0]) and both.tolist() == pytest.approx([0.2, 1.0, 0.2])


def test_the_false_discovery_rate_is_that_of_benjamini_and_hochberg():
    p = torch.tensor([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216])
    ranking = Ranking(p, p, p, p.argsort(), "log p(x)", 9999, "given")
    assert ranking.found == 2  # 0.001 <= 0.005 and 0.008 <= 0.01; 0.039 > 0.015, ..., 0.042 > 0.025


def test_unusual_images_come_first(folder, tmp_path, capsys):
    images = DIGITS.test.images.numpy()[:60].copy()
    strange = [3, 17, 42]
    images[strange] = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8), np.uint8)
    np.save(tmp_path / "mixed.npy", images)
    well = fit("made", tmp_path / "made", data="digits", hidden=(50,), epochs=15, valid_size=300)
    other, split = on_data(Run(well.path), OtherData(str(tmp_path / "mixed.npy")))
    found = rank_run(other, split)
    assert set(found.order[:3].tolist()) == set(strange)
    assert found.columns["rank"][found.order].tolist() == list(range(1, 61))
    table = tmp_path / "ranked.csv"
    _, said = printed(capsys, "detect", well.path, "--data", tmp_path / "mixed.npy", "--per-image", table)
    assert "p-values compare with 300 validation" in said
    rows = list(csv.DictReader(table.open()))
    assert {int(row["index"]) for row in rows[:3]} == set(strange) and len(rows) == 60
    assert [int(row["rank"]) for row in rows] == list(range(1, 61))
    assert run("detect", well.path) == 2 and run("detect", well.path, "--against", "noise", "--data", "digits") == 2
    assert run("detect", well.path, "--against", "noise", "--per-image", table) == 2


def test_images_of_probability_zero_rank_first(folder, saved, monkeypatch):
    """NaN counts as minus infinity, of held-out data as well; infinities are not replaced by large numbers."""
    known = torch.tensor([math.nan, -math.inf, 1.0, 2.0] + [3.0] * 296)
    values = iter([known, torch.tensor([-math.inf, math.nan, 2.5])])
    monkeypatch.setattr(unusual, "log_probs", lambda *_, **__: (next(values), "exact"))
    found = rank_run(*on_data(Run(folder / "made"), OtherData(str(saved))))
    assert found.log_prob.tolist() == [-math.inf, -math.inf, 2.5]
    assert found.p_low[:2].tolist() == pytest.approx([3 / 301] * 2)


def test_runs_are_compared_on_new_data(folder, saved, tmp_path, capsys):
    runs = [folder / "made", folder / "vae"]
    out, said = printed(capsys, "compare", *runs, "--data", saved, "--json")
    scores = {row["run"]: row for row in json.loads(out)}
    assert scores["made"]["nats"] == score_run(folder / "made").nats and scores["vae"]["space"].startswith("others")
    assert "not paired" not in said
    assert run("compare", *runs, "--split", "train") == 2
    table = tmp_path / "each.csv"
    assert run("evaluate", folder / "vae", "--data", saved, "--samples", 40, "--per-image", table, "--count", 30) == 0
    rows = list(csv.DictReader(table.open()))
    assert list(rows[0]) == ["index", "label", "lower_bound_nats", "bits_per_dim", "standard_error_nats"]
    assert all(0 < float(row["standard_error_nats"]) < 1 for row in rows)


def test_a_run_and_its_data_may_move_together(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "own.npy", DIGITS.train.images.numpy()[:200])
    monkeypatch.chdir(tmp_path / "a")
    fitted = fit("vae", "run", data="own.npy", latents=2, hidden=(4,), epochs=1)
    score = score_run(fitted)
    assert fitted.record["data"]["relative_path"] == "../own.npy"
    monkeypatch.chdir(tmp_path)
    assert score_run(tmp_path / "a" / "run").nats == score.nats  # from another working directory
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert score_run(tmp_path / "b" / "run").nats == score.nats
    assert run("sample", tmp_path / "b" / "run", "--out", tmp_path / "x.png") == 0


def test_a_run_never_downloads_its_data(folder, monkeypatch, tmp_path):
    opened = Run(folder / "made")
    opened.record["settings"]["data"]["data"] = "kmnist"
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("it was downloaded"))
    refused(lambda: opened.data.dataset, "kmnist", "--fetch")
