"""Tables are points of several dimensions: what is read, what is refused, and a flow in the units of the table."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run

import ancestral
from ancestral.data.datasets import load_dataset
from ancestral.data.masks import seen_columns
from ancestral.data.tables import as_points, read_table
from ancestral.distributions.bijections import Standardise
from ancestral.families.flow.points import NormalizingFlow
from ancestral.runs.new_data import on_data
from ancestral.runs.run import Run
from ancestral.settings.data import OtherData, ReadOptions

SEED = np.random.default_rng(0)
POINTS = SEED.normal(size=(300, 3)) @ np.array([[100.0, 40, 0], [0, 5, 0.001], [0, 0, 0.01]]) + np.array(
    [1000.0, 0, -3]
)
USUAL = ReadOptions()


def write(path: Path, rows: list[list[object]], separator: str = ",") -> Path:
    path.write_text("\n".join(separator.join(map(str, row)) for row in rows))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [["id", "mass", "length", "note", "width", "species"]]
    rows += [[i, *map(repr, map(float, p[:2])), f"n{i}", repr(float(p[2])), "ab"[i % 2]] for i, p in enumerate(POINTS)]
    return write(tmp_path / "table.csv", rows)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False])
def test_rows_are_points(tmp_path: Path, separator: str, header: bool) -> None:
    rows = ([["a", "b", "c"]] if header else []) + [list(map(float, point)) for point in POINTS]
    found = read_table(write(tmp_path / "x.csv", rows, separator), USUAL)
    assert np.array_equal(found.parts["all"].images, POINTS.astype(np.float32))
    assert (found.kind, found.levels, found.columns) == ("points", 0, ("a", "b", "c") if header else None)


def test_classes_texts_and_row_numbers_are_no_dimensions(table: Path) -> None:
    found = read_table(table, USUAL)
    labels = found.parts["all"].labels
    assert found.columns == ("mass", "length", "width") and found.classes == ("a", "b")
    assert labels is not None and labels.tolist() == [i % 2 for i in range(300)]
    said = " ".join(found.assumptions)
    assert "species holds the classes" in said and "text are ignored: note" in said and "count the rows" in said


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    good = [["a", "b"], [1, 2.5], [2, 3.5], [4, 1.5]]

    def read(rows: list[list[object]]) -> None:
        read_table(write(tmp_path / "x.csv", rows), USUAL)

    refused(lambda: read([*good, [1]]), "row 5 has 1 columns", "2")
    refused(lambda: read([*good, [5, ""]]), "column b", "row 4")
    refused(lambda: read([*good, [5, "1,5"]]), "3 columns")
    refused(lambda: read([["a", "a"], [1, 2], [3, 4]]), "two columns", "'a'")
    refused(lambda: read([["a", "b"], [1, 7], [2, 7]]), "constant columns (b)")
    refused(lambda: read([["a", "b"], [1, "nan"], [2, 7]]), "NaN", "column b")
    refused(lambda: read([["a"], ["x"], ["y"]]), "no column of numbers")
    refused(lambda: read([["a", "b"]]), "fewer than two rows")
    refused(lambda: read_table(write(tmp_path / "x.csv", good), ReadOptions(resize=8)), "--resize")
    refused(lambda: read_table(tmp_path / "none.csv", USUAL), "no such file")
    write(tmp_path / "x.csv", [["a;b"], ["1,5;2"], ["2,5;3"], ["0,5;4"]])
    refused(lambda: read_table(tmp_path / "x.csv", USUAL), "decimal points")
    (tmp_path / "x.csv").write_bytes(b"gr\xf6\xdfe,b\n1,2\n2,5\n")
    assert read_table(tmp_path / "x.csv", USUAL).columns == ("größe", "b")


def test_missing_numbers_are_kept_apart_where_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [["a", "b"], [1, ""], [2, 3], ["", 4]])
    part = read_table(path, ReadOptions(missing=True)).parts["all"]
    assert part.seen is not None and part.seen.tolist() == [[True, False], [True, True], [False, True]]


def test_arrays_of_two_dimensions_are_points(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=POINTS, y=np.arange(300) % 3)
    data = load_dataset(str(tmp_path / "x.npz"))
    assert data.kind == "points" and data.event_shape == (3,) and data.class_count == 3
    assert [len(data.split(part)) for part in ("train", "valid", "test")] == [240, 30, 30]
    refused(lambda: as_points("x", np.zeros((4, 2))), "constant")
    assert any("discrete" in said for said in as_points("x", np.arange(8).reshape(4, 2) % 3 + 0.0).assumptions)


def test_the_standardisation_is_part_of_the_score() -> None:
    step = Standardise(3).double()
    x = torch.from_numpy(POINTS)
    step.fit(x.mean(0), x.std(0))
    z, log_det = step(x)
    assert torch.allclose(z.mean(0), torch.zeros(3).double(), atol=1e-12) and torch.allclose(
        z.std(0), torch.ones(3).double()
    )
    jacobian = torch.autograd.functional.jacobian(lambda row: step(row[None])[0][0], x[0])
    assert torch.allclose(jacobian.slogdet()[1], log_det[0])  # type: ignore[union-attr]
    back, inverse = step.inverse(z)
    assert torch.allclose(back, x) and torch.allclose(inverse, -log_det)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    for name, factor in (("one", 1.0), ("thousand", 1000.0)):
        scaled = POINTS * np.array([factor, 1, 1])
        write(folder / f"{name}.csv", [["mass", "length", "width"], *[list(map(float, p)) for p in scaled]])
        ancestral.fit("flow", folder / name, data=folder / f"{name}.csv", layers="affine", depth=2, epochs=3)
    return folder


def test_scores_are_in_the_units_of_the_table(trained: Path) -> None:
    """A column in other units changes log p(x) by the logarithm of the factor, and nothing else."""
    one, thousand = (ancestral.evaluate(trained / name) for name in ("one", "thousand"))
    assert one.nats - thousand.nats == pytest.approx(math.log(1000), abs=0.02)
    assert one.space == "one, R^3"
    model = ancestral.load(trained / "one")
    assert isinstance(model, NormalizingFlow)
    (step,) = [module for module in model.modules() if isinstance(module, Standardise)]
    train = Run(trained / "one").data.dataset.train.images.double()
    assert torch.allclose(step.mean.double(), train.mean(0), rtol=1e-5)
    assert torch.allclose(step.scale.double(), train.std(0), rtol=1e-5)
    drawn = ancestral.sample(trained / "one", 4000)
    assert torch.allclose(drawn.mean(0), train.mean(0).float(), atol=0.5 * train.std(0).max().item())


def test_named_densities_are_not_standardised(tmp_path: Path) -> None:
    model = ancestral.fit("flow", tmp_path / "m", data="moons", depth=1, epochs=1, train_size=200, valid_size=50).load()
    assert not [module for module in model.modules() if isinstance(module, Standardise)]


def test_verbs_of_a_table(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "done.csv"
    printed(capsys, "complete", trained / "one", "--columns", "length", "--count", 4, "--draws", 3, "--out", out)
    rows = list(csv.reader(out.open()))
    test = Run(trained / "one").data.dataset.test.images[:4].repeat_interleave(3, 0)
    found = np.array(rows[1:], float)
    assert rows[0] == ["mass", "length", "width"] and found.shape == (12, 3)
    assert np.allclose(found[:, [0, 2]], test[:, [0, 2]].numpy()) and not np.allclose(found[:, 1], test[:, 1].numpy())
    for name in ("density", "latents"):
        assert run("draw", name, trained / "one", "--out", tmp_path / f"{name}.png") == 0
    assert run("sample", trained / "one", "--out", tmp_path / "new.csv") == 0
    assert run("detect", trained / "one", "--data", trained / "one.csv") == 0
    holes = write(tmp_path / "holes.csv", [["mass", "length", "width"], [1000, "", -3], [1100, 30, ""]])
    other, split = on_data(Run(trained / "one"), OtherData(str(holes)), missing=True)
    assert len(other.data.held(split)) == 2
    assert run("complete", trained / "one", "--data", holes, "--hide", "missing", "--out", tmp_path / "h.csv") == 0
    model, picture = trained / "one", ["--out", tmp_path / "x.png"]
    assert run("complete", model, *picture) == run("complete", model, "--columns", "weight", *picture) == 2
    assert run("quality", model) == run("detect", model, "--against", "noise") == 2
    assert run("draw", "manifold", model, *picture) == 2
    assert not (tmp_path / "x.png").exists()
    assert run("train", "vae", "--data", trained / "one.csv", "--out", tmp_path / "vae") == 2
    assert run("train", "flow", "--data", trained / "one.csv", "--pixels", "levels", "--out", tmp_path / "vae") == 2
    assert not (tmp_path / "vae").exists()


def test_hidden_columns_are_named() -> None:
    assert seen_columns(("a", "b", "c"), ["b"], 2).tolist() == [[True, False, True]] * 2
    refused(lambda: seen_columns(("a", "b"), ["B"], 1), "--columns B")
    refused(lambda: seen_columns(("a", "b"), ["a", "b"], 1), "1 to 1")
