"""Tables are points of several dimensions: content, errors, and a flow in the units of the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused

from ancestral.data.datasets import load_dataset
from ancestral.data.masks import seen_columns
from ancestral.data.tables import as_points, read_table
from ancestral.distributions.bijections import Standardise
from ancestral.settings.data import ReadOptions

SEED = np.random.default_rng(0)
POINTS = SEED.normal(size=(300, 3)) @ np.array([[100.0, 40, 0], [0, 5, 0.001], [0, 0, 0.01]]) + np.array(
    [1000.0, 0, -3]
)
USUAL = ReadOptions()


def write(path: Path, rows: Sequence[Sequence[object]], separator: str = ",") -> Path:
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


def test_classes_texts_and_row_numbers_are_not_dimensions(table: Path) -> None:
    found = read_table(table, USUAL)
    labels = found.parts["all"].labels
    assert found.columns == ("mass", "length", "width") and found.classes == ("a", "b")
    assert labels is not None and labels.tolist() == [i % 2 for i in range(300)]
    said = " ".join(found.assumptions)
    assert "species is used as the classes" in said and "text are ignored: note" in said and "number the rows" in said


def test_files_that_are_not_tables_raise(tmp_path: Path) -> None:
    good = [["a", "b"], [1, 2.5], [2, 3.5], [4, 1.5]]

    def read(rows: Sequence[Sequence[object]]) -> None:
        read_table(write(tmp_path / "x.csv", rows), USUAL)

    refused(lambda: read([*good, [1]]), "line 5 has 1 columns", "2")
    refused(lambda: read([*good, [5, "1,5"]]), "3 columns")
    refused(lambda: read([["a", "a"], [1, 2], [3, 4]]), "two columns", "'a'")
    refused(lambda: read([["a"], ["x"], ["y"]]), "no column of numbers")
    refused(lambda: read([["a", "b"]]), "only a header")
    refused(lambda: read([]), "no rows")
    refused(lambda: read([["a"] * 10_001]), "10,001 columns")
    refused(lambda: read([["a", "b"], [1, "inf"], [2, 7]]), "1 of 2 rows", "line 2, column b")
    refused(lambda: read([["a", "b"], [1, "1e39"], [2, 7]]), "3e38")
    refused(lambda: read([*good, [7, "x5"]]), "line 5", "column b", "'x5'")
    refused(lambda: read([["a", "b"], [1, '"x'], [2, 3]]), "not a readable table")
    refused(lambda: read_table(write(tmp_path / "x.csv", good), ReadOptions(resize=8)), "--resize")
    refused(lambda: read_table(tmp_path / "none.csv", USUAL), "no such file")
    write(tmp_path / "x.csv", [["a;b"], ["1,5;2"], ["2,5;3"], ["0,5;4"]])
    refused(lambda: read_table(tmp_path / "x.csv", USUAL), "decimal points")
    (tmp_path / "x.csv").write_bytes(b"PK\0\1")
    refused(lambda: read_table(tmp_path / "x.csv", USUAL), "not a text file")


@pytest.mark.parametrize("empty", ["", "NA", "n/a", "?", "NULL", " nan "])
def test_missing_values_are_refused_with_their_place(tmp_path: Path, empty: str) -> None:
    rows = [["a", "b"], [1, 2.5], ["", ""], [2, empty], [4, 1.5], [7, empty]]
    path = write(tmp_path / "x.csv", rows)
    refused(lambda: read_table(path, USUAL), "2 of 4 rows have a missing", "line 4, column b")
    part = read_table(path, ReadOptions(missing=True)).parts["all"]
    assert part.seen is not None and part.seen.tolist() == [[True, True], [True, False], [True, True], [True, False]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.csv").write_bytes("größe,b\n1,2\n2,5\n".encode(encoding))
    found = read_table(tmp_path / "x.csv", USUAL)
    assert found.columns == ("größe", "b")
    assert ("read as Latin-1" in " ".join(found.assumptions)) == (encoding == "latin-1")


def columns_of(path: Path) -> tuple[object, list[list[float]], str]:
    found = read_table(path, USUAL)
    return found.columns, found.parts["all"].images.tolist(), "; ".join(found.assumptions)


def test_a_first_row_of_values_is_not_a_header(tmp_path: Path) -> None:
    """A word where all rows have words names nothing; a number that is missing does not make a header."""
    flowers = write(tmp_path / "x.csv", [[5.1, 3.5, "setosa"], [4.9, 3.0, "setosa"], [6.3, 3.3, "virginica"]])
    names, points, said = columns_of(flowers)
    assert names is None and len(points) == 3 and points[0] == pytest.approx([5.1, 3.5])
    assert "columns of text are ignored: x3" in said
    missing = write(tmp_path / "y.csv", [[1, "NA"], [2, 3], [4, 5]])
    refused(lambda: read_table(missing, USUAL), "1 of 3 rows", "line 1, column x2")
    years = write(tmp_path / "z.csv", [["place", 2001, 2002], [1, 0.5, 0.25], [2, 1.5, 0.75]])
    assert columns_of(years)[0] == ("place", "2001", "2002")
    assert columns_of(write(tmp_path / "w.csv", [[1, 2, 3]]))[:2] == (None, [[1, 2, 3]])


def test_separators_within_quotes_and_words_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('"mass, kg";"length, cm";"a, b, c"\n1.5;2.5;3\n2;4.5;7\n')
    assert columns_of(path)[:2] == (("mass, kg", "length, cm", "a, b, c"), [[1.5, 2.5, 3], [2, 4.5, 7]])
    path.write_text("1,5;2,5;3\n2,5;3,5;4\n")
    refused(lambda: read_table(path, USUAL), "'1,5'", "decimal points")
    path.write_text("1,2,x;y\n2,3,z;w\n5,3,z;u\n")
    assert columns_of(path)[1] == [[1, 2], [2, 3], [5, 3]]
    path.write_text('"a\nb",c\r\n1,2\r\n"3",4\r\n')  # a line break within quotes
    assert columns_of(path)[1] == [[1, 2], [3, 4]]
    path.write_bytes("a,note\n1,x\x85y\n2,\u2028z\n".encode())  # other line separators are text
    assert columns_of(path)[1] == [[1], [2]]
    path.write_text("# a,b\n1,2\n\n2,3\n,\n")
    assert columns_of(path)[:2] == (("a", "b"), [[1, 2], [2, 3]])
    path.write_text("a,b,\n1,2,\n2,3,\n")
    names, _, said = columns_of(path)
    assert names == ("a", "b") and "without values are ignored: column 3" in said


def test_columns_of_classes(tmp_path: Path) -> None:
    def read(name: str, values: Sequence[object]) -> tuple[object, object, str]:
        rows: list[list[object]] = [["x", name], *([i / 7, value] for i, value in enumerate(values))]
        found = read_table(write(tmp_path / "x.csv", rows), USUAL)
        labels = found.parts["all"].labels
        return found.columns, None if labels is None else labels.tolist(), "; ".join(found.assumptions)

    assert read("Class", [0, 1, "", 1])[:2] == (("x",), [0, 1, -1, 1])
    assert read("target", ["NA", "b", "a", "b"])[:2] == (("x",), [-1, 1, 0, 1])
    columns, labels, said = read("target", list(range(25, 346, 2)))
    assert (columns, labels) == (("x", "target"), None) and "target has too many values" in said
    assert read("target", [0.5, 1.5, 2.5])[:2] == (("x", "target"), None)
    assert read("target", [-3, 4, 0])[:2] == (("x", "target"), None)
    columns, labels, said = read("label", [f"file{i}.png" for i in range(30)])
    assert (columns, labels) == (("x",), None) and "text are ignored: label" in said
    both = write(tmp_path / "y.csv", [["x", "target", "species"], [0.5, 0, "a"], [1.5, 1, "b"], [2.5, 1, "b"]])
    found = read_table(both, USUAL)
    assert found.columns == ("x",) and found.classes == ("a", "b")
    assert "other columns of classes are ignored: target" in found.assumptions


@pytest.mark.parametrize(
    ("name", "values", "ignored"),
    [
        ("id", [7, 3, 900], True),
        ("index", [2, 0, 1], True),
        ("", [1, 2, 3], True),
        ("Unnamed: 0", [0, 1, 2], True),
        ("id", [7, 7, 900], False),
        ("row", [2, 7, 900], False),
        ("mass", [0, 1, 2], False),
    ],
)
def test_columns_that_number_the_rows_are_ignored(tmp_path: Path, name: str, values: list[int], ignored: bool) -> None:
    path = write(tmp_path / "x.csv", [[name, "b"], *([value, value / 7] for value in values)])
    columns, points, said = columns_of(path)
    assert (len(points[0]) == 1) == ignored == ("number the rows are ignored" in said)
    if name != "":
        assert columns == (("b",) if ignored else (name, "b"))


def test_rounding_to_single_precision_causes_a_notice(tmp_path: Path) -> None:
    def said(values: Sequence[object]) -> str:
        return columns_of(write(tmp_path / "x.csv", [["t", "b"], *([v, i / 7] for i, v in enumerate(values))]))[2]

    assert "changes t" in said([1.7e9 + i for i in range(9)]) and "changes t" in said([2**24 + 1, 5, 6])
    assert "changes t" in said([1e6 + i / 64 for i in range(9)])
    assert said([1000.125 + i for i in range(9)]) == said([2**24, 5, 7]) == said([0.1, 0.2, 0.3]) == ""
    assert as_points("x", np.array([[0.1, 1 / 3]])).assumptions == ()
    whole = as_points("x", np.array([[2**24 + 1, 0], [1, 5]]))
    assert "changes x1" in whole.assumptions[0]


def test_columns_of_one_or_few_values_are_found_in_the_training_points(tmp_path: Path) -> None:
    rows = [["a", "b", "c"], *([i / 7, i % 3, 7] for i in range(60))]
    path = write(tmp_path / "x.csv", rows)
    assert read_table(path, USUAL).columns == ("a", "b", "c")  # other points for a trained model
    refused(lambda: load_dataset(str(path)), "x: columns with one value in all training points (c)")
    data = load_dataset(str(write(path, [row[:2] for row in rows])))
    assert any("columns with few values (b)" in said for said in data.assumptions)
    doubled = load_dataset(str(write(path, [[1 / (i // 2 + 1), i // 2] for i in range(60)])))
    assert any("training points are copies" in said for said in doubled.assumptions)


def test_missing_numbers_are_marked_on_request(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [["a", "b"], [1, ""], [2, 3], ["", 4]])
    part = read_table(path, ReadOptions(missing=True)).parts["all"]
    assert part.seen is not None and part.seen.tolist() == [[True, False], [True, True], [False, True]]


def test_arrays_of_two_dimensions_are_points(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=POINTS, y=np.arange(300) % 3)
    data = load_dataset(str(tmp_path / "x.npz"))
    assert data.kind == "points" and data.event_shape == (3,) and data.class_count == 3
    assert [len(data.split(part)) for part in ("train", "valid", "test")] == [240, 30, 30]
    refused(lambda: as_points("x", np.array([[0, 1], [2, np.nan]])), "row 1 (from 0), column x2")
    refused(lambda: as_points("x", np.zeros((4, 2, 2))), "(4, 2, 2)")


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


def test_a_dimension_of_a_model_is_never_used_as_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [["target", "index", "b"], [1, 0, 0.5], [2, 1, 1.5]])
    assert read_table(path, USUAL).columns == ("b",)
    found = read_table(path, ReadOptions(columns=("target", "index", "b")))
    assert found.columns == ("target", "index", "b") and found.parts["all"].labels is None


def test_hidden_columns_are_given_by_name() -> None:
    assert seen_columns(("a", "b", "c"), ["b"], 2).tolist() == [[True, False, True]] * 2
    refused(lambda: seen_columns(("a", "b"), ["B"], 1), "--columns B")
    refused(lambda: seen_columns(("a", "b"), ["a", "b"], 1), "1 to 1")
    refused(lambda: seen_columns(("a",), ["a"], 1), "one column")
