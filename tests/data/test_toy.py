"""Two-dimensional densities: they integrate to one, samples agree with them, entropies are right, seeds are fixed."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.toy import DENSITIES, Ribbon, density_of, load_points
from ancestral.settings.data import POINT_SETS

DRAWS = 100_000
FALSE_ALARM = 1e-4  # per density; seeds are fixed
EDGE = 6.0


def cells(per_side: int, within: int) -> Tensor:
    """Midpoints of `within`^2 points in each of `per_side`^2 cells of the square, shape (cells, points, 2)."""
    axis = (torch.arange(per_side * within, dtype=torch.float64) + 0.5) / (per_side * within) * 2 * EDGE - EDGE
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    return (
        grid.unflatten(0, (per_side, within))
        .unflatten(2, (per_side, within))
        .transpose(1, 2)
        .flatten(0, 1)
        .flatten(1, 2)
    )


def cell_probabilities(name: str, per_side: int = 24, within: int = 10) -> Tensor:
    """Mass of each cell by the midpoint rule; far finer than the narrowest noise, so exact to many digits."""
    points = cells(per_side, within)
    density = DENSITIES[name].log_prob(points.flatten(0, 1)).exp().unflatten(0, points.shape[:2])
    return density.sum(1) * (2 * EDGE / (per_side * within)) ** 2


def test_every_name_of_the_settings_has_its_density() -> None:
    assert tuple(DENSITIES) == POINT_SETS


@pytest.mark.parametrize("name", POINT_SETS)
def test_a_density_integrates_to_one(name: str) -> None:
    assert abs(cell_probabilities(name).sum().item() - 1) < 1e-6


@pytest.mark.parametrize("name", POINT_SETS)
def test_samples_agree_with_the_density(name: str) -> None:
    """Pearson's chi-square over the cells of a grid, rare cells together."""
    expected = DRAWS * cell_probabilities(name)
    x = DENSITIES[name].sample(DRAWS, seed=1)
    assert x.abs().max() < EDGE and x.dtype == torch.float32
    place = ((x.double() + EDGE) / (2 * EDGE) * 24).long()
    counts = torch.bincount(place[:, 0] * 24 + place[:, 1], minlength=24 * 24).double()
    common = expected >= 5
    seen, wanted = (torch.cat([v[common], v[~common].sum()[None]]) for v in (counts, expected))
    if wanted[-1] < 1:  # nothing but the grid's own error: the draws may not be there at all
        assert seen[-1] <= 10
        seen, wanted = seen[:-1], wanted[:-1]
    statistic = ((seen - wanted).square() / wanted).sum().item()
    assert stats.chi2.sf(statistic, len(seen) - 1) > FALSE_ALARM


@pytest.mark.parametrize("name", POINT_SETS)
def test_the_entropy_is_minus_the_mean_log_density(name: str) -> None:
    density = DENSITIES[name]
    surprise = -density.log_prob(density.sample(DRAWS, seed=2))
    error = surprise.std().item() / math.sqrt(DRAWS)
    assert abs(surprise.mean().item() - density.entropy) <= 4 * error + 1e-9


def test_entropies_known_by_hand() -> None:
    assert DENSITIES["checkerboard"].entropy == pytest.approx(math.log(32), abs=1e-9)
    apart = math.log(2) + 1 + math.log(2 * math.pi * 0.3**2)  # as if the two did not overlap, which they hardly do
    assert DENSITIES["two-gaussians"].entropy == pytest.approx(apart, abs=1e-4)
    assert DENSITIES["two-gaussians"].entropy / (2 * math.log(2)) == pytest.approx(0.810, abs=5e-4)


def test_the_two_gaussians_are_those_of_the_coursework() -> None:
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [1.3, 0.4]])
    parts = [stats.multivariate_normal([m, m], 0.3**2).pdf(x.numpy()) for m in (1.0, -1.0)]
    torch.testing.assert_close(
        DENSITIES["two-gaussians"].log_prob(x), torch.from_numpy(sum(parts) / 2).log(), rtol=1e-9, atol=0
    )


def test_rings_are_noise_around_circles() -> None:
    """Bessel's closed form against the sum over a fine polygon."""
    angles = torch.arange(4000, dtype=torch.float64) / 4000 * 2 * math.pi
    radii = torch.tensor([0.75, 1.5, 2.25, 3.0], dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], -1)
    nodes = (radii[:, None, None] * circle).flatten(0, 1)
    x = torch.tensor([[0.0, 0.0], [0.7, 0.1], [3.0, 0.2], [-2.0, 1.0], [4.0, -4.0]], dtype=torch.float64)
    log_kernel = -(x[:, None] - nodes).square().sum(-1) / (2 * 0.08**2) - math.log(2 * math.pi * 0.08**2)
    torch.testing.assert_close(
        DENSITIES["rings"].log_prob(x), log_kernel.logsumexp(1) - math.log(len(nodes)), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", ["moons", "spirals"])
def test_more_nodes_do_not_change_the_density(name: str) -> None:
    few = DENSITIES[name]
    assert isinstance(few, Ribbon)
    many = Ribbon(few.curve, few.partner, few.noise, 3 * few.nodes, few.power)
    x = few.sample(2000)
    torch.testing.assert_close(few.log_prob(x), many.log_prob(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", POINT_SETS)
def test_samples_depend_on_the_seed_only(name: str) -> None:
    density = DENSITIES[name]
    state = torch.get_rng_state()
    x = density.sample(100, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(density.sample(100, seed=3), x) and not torch.equal(density.sample(100, seed=4), x)
    assert torch.equal(density.sample(50, seed=3), x[:50]), "more draws go on where fewer stop"
    assert x.shape == (100, 2) and density.log_prob(x).isfinite().all()


def test_the_density_is_zero_outside_the_checkerboard() -> None:
    log_p = DENSITIES["checkerboard"].log_prob(torch.tensor([[0.5, 0.5], [0.5, -0.5], [9.0, 9.0], [0.5, 4.5]]))
    torch.testing.assert_close(log_p, torch.tensor([-math.log(32), *[-math.inf] * 3], dtype=torch.float64))


# ---- as data


def test_the_splits_are_different_samples() -> None:
    data = load_points("moons", train_size=500, valid_size=100)
    assert (len(data.split("train")), len(data.split("valid")), len(data.split("test"))) == (500, 100, 50_000)
    assert (data.event_shape, data.levels, data.name) == ((2,), 0, "moons")
    points = torch.cat([data.split(part).images for part in ("train", "valid", "test")])
    assert len(points.unique(dim=0)) == len(points) and points.dtype == torch.float32
    assert len(load_points("moons").train) == 10_000


def test_the_seed_chooses_training_and_validation_points_and_never_those_for_testing() -> None:
    first, again, other = (load_points("rings", split_seed=seed) for seed in (None, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256 and len(first.sha256) == 64
    for part in ("train", "valid"):
        assert not torch.equal(first.split(part).images, other.split(part).images)
    assert torch.equal(first.test.images, other.test.images)


def test_fewer_training_points_are_the_first_of_them() -> None:
    few, many = load_points("spirals", train_size=100, valid_size=0), load_points("spirals")
    assert torch.equal(few.train.images, many.train.images[:100]) and len(few.valid) == 0
    assert few.sha256 != many.sha256


def test_unknown_names_raise() -> None:
    with pytest.raises(InputError, match=r"circles.*two-gaussians"):
        density_of("circles")
    with pytest.raises(InputError, match="holdout"):
        load_points("moons").split("holdout")


def test_batches_have_the_points_unchanged() -> None:
    points = load_points("pinwheel", train_size=10).train.images
    batches = PixelBatches(points, PixelSpace("points", 0), seed=0, fresh=True)
    assert batches.event_shape == (2,) and len(batches) == 10
    assert torch.equal(torch.cat(list(batches.in_order(3))), points) and torch.equal(batches.first(4), points[:4])
    shuffled = torch.cat([batch.x for batch in batches.shuffled(0, 4)])
    assert not torch.equal(shuffled, points) and torch.equal(shuffled.sort(0).values, points.sort(0).values)
    assert PixelSpace("points", 0).describe("pinwheel") == "pinwheel, R^2"
