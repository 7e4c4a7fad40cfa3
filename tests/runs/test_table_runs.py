"""Runs on tables: a flow in the units of the table, other tables matched by name, and what each verb does."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run
from matplotlib.collections import QuadMesh

import ancestral
from ancestral.data.splits import Dataset
from ancestral.distributions.bijections import Standardise
from ancestral.families.flow.points import NormalizingFlow
from ancestral.figures.pairs import pair_figure
from ancestral.reports.pictures.density import density
from ancestral.runs.new_data import on_data
from ancestral.runs.run import Run
from ancestral.settings.data import OtherData

SEED = np.random.default_rng(0)
POINTS = SEED.normal(size=(300, 3)) @ np.array([[100.0, 40, 0], [0, 5, 0.001], [0, 0, 0.01]]) + np.array(
    [1000.0, 0, -3]
)


def write(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    return path


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


def test_columns_of_other_tables_are_matched_by_name(trained: Path, tmp_path: Path) -> None:
    """The order of the columns and further ones do not matter; a single row, or a column of one value, is scored."""
    opened = Run(trained / "one")

    def read(rows: Sequence[Sequence[object]]) -> tuple[torch.Tensor, str]:
        other, split = on_data(opened, OtherData(str(write(tmp_path / "new.csv", rows))))
        assert isinstance(other.data.dataset, Dataset)
        return other.data.stored(split).images, "; ".join(other.data.dataset.assumptions)

    expected = torch.tensor([[1000.0, 5, -3]])
    assert torch.equal(read([["mass", "length", "width"], [1000, 5, -3]])[0], expected)
    points, said = read([["width", "note", "id", "length", "depth", "mass"], [-3, "x", 7, 5, 8, 1000]])
    assert torch.equal(points, expected)
    assert "does not have are ignored: depth" in said and "number the rows are ignored: id" in said
    points, said = read([[1000, 5, -3], [1100, 5, -3]])
    assert torch.equal(points[:1], expected) and "without names are used as mass, length, width" in said
    refused(lambda: read([["mass", "lenght", "width"], [1000, 5, -3]]), "no column length", "did you mean lenght")
    refused(lambda: read([[1000, 5], [1100, 6]]), "points of 2 columns")
    assert opened.data.columns == ("mass", "length", "width")


def test_the_density_of_two_columns_is_drawn_where_the_points_are(tmp_path: Path) -> None:
    """Centre of mass of the heat map above the diagonal, where the second column runs to the right."""
    points = POINTS[:, :2] * np.array([1, 1e-3])
    path = write(tmp_path / "two.csv", [["mass", "length"], *[list(map(float, p)) for p in points]])
    ancestral.fit("flow", tmp_path / "two", data=path, depth=1, hidden=(4,), epochs=1)
    first, above, below, second = density(Run(tmp_path / "two"), count=40).axes
    (mesh,) = above.collections
    assert isinstance(mesh, QuadMesh)
    corners, weights = np.asarray(mesh.get_coordinates()), np.asarray(mesh.get_array())
    middles = (corners[1:, 1:] + corners[:-1, :-1]) / 2
    centre = (middles * weights.reshape(*middles.shape[:2], 1)).sum((0, 1)) / weights.sum()
    assert np.abs((centre[::-1] - points.mean(0)) / points.std(0)).max() < 0.3
    assert above.get_xlim() == second.get_xlim() and below.get_ylim() == second.get_xlim()
    assert above.get_ylim() == first.get_xlim() == below.get_xlim()
    assert len(below.collections) == 1


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
    row = write(tmp_path / "row.csv", [["mass", "length", "width"], [1000.1, 5, -3]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run("draw", "density", trained / "one", "--data", row, "--out", tmp_path / "row.png") == 0
    model, picture = trained / "one", ["--out", tmp_path / "x.png"]
    assert run("complete", model, *picture) == run("complete", model, "--columns", "weight", *picture) == 2
    assert run("quality", model) == run("detect", model, "--against", "noise") == 2
    assert run("draw", "manifold", model, *picture) == 2
    assert not (tmp_path / "x.png").exists()
    for family in ("vae", "gan", "mixture", "made", "pixelcnn", "belief-net", "autoencoder"):
        assert run("train", family, "--data", trained / "one.csv", "--out", tmp_path / "vae") == 2
    assert (
        run("sample", model, "--mean", "--out", tmp_path / "x.npy") == run("draw", "deformation", model, *picture) == 2
    )
    assert run("train", "flow", "--data", trained / "one.csv", "--pixels", "levels", "--out", tmp_path / "vae") == 2
    assert not (tmp_path / "vae").exists()


def test_samples_outside_the_axes_are_omitted_without_a_warning() -> None:
    data = SEED.normal(size=(50, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = pair_figure(data, data + 100, names=("a", "b"))
    near = pair_figure(data, data, names=("a", "b"))
    assert len(figure.axes) == 4
    assert len(near.axes[0].patches) == len(figure.axes[0].patches) + 1  # their outline
    low, high = pair_figure(data[:1], data + 9, names=("a", "b")).axes[0].get_xlim()
    assert low < data[0, 0] and high > 9  # a single point has no range of its own
