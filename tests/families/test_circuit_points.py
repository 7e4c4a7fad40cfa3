"""Circuits of real columns: densities by quadrature, marginals, conditionals, samples, and their training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo
from helpers import refused, run
from scipy import stats
from torch import Tensor

import ancestral
from ancestral.core.errors import NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.families.circuit.gaussian_leaves import NARROWEST, GaussianLeaves
from ancestral.families.circuit.initialise import initialise
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.structure import binned, mutual_information


def model_of() -> Circuit:
    model = zoo.seeded(zoo.ZOO["circuit of points"])
    assert isinstance(model, Circuit)
    return model.requires_grad_(False)


def axis(column: int, count: int = 401) -> tuple[Tensor, float]:
    """A fine grid of one column, and the width of its cells. Twelve standard deviations contain all of the density."""
    x = torch.linspace(-12, 12, count, dtype=torch.float64)
    x = x * (0.5, 2.0)[column] + (1.0, -0.5)[column]
    return x, (x[1] - x[0]).item()


def test_the_density_integrates_to_one_and_so_does_each_marginal() -> None:
    model = model_of()
    (first, a), (second, b) = axis(0), axis(1)
    x = torch.cartesian_prod(first, second)
    density = model.log_prob(x).exp().view(len(first), len(second))
    assert density.sum().item() * a * b == pytest.approx(1, abs=1e-8)
    for column, (values, other) in enumerate(((first, b), (second, a))):
        points = torch.full((len(values), 2), math.nan, dtype=torch.float64)
        points[:, column] = values
        seen = ~points.isnan()
        marginal = density.sum(1 - column) * other
        assert torch.allclose(model.log_prob_seen(points, seen).exp(), marginal, atol=1e-10)
        assert torch.allclose(model.log_prob_observed(points, seen).exp(), marginal, atol=1e-10)


def test_a_conditional_is_the_joint_over_the_marginal() -> None:
    model = model_of()
    x = model.sample(300)
    seen = torch.tensor([True, False]).expand_as(x)
    wanted = model.log_prob(x) - model.log_prob_observed(x, seen)
    assert torch.allclose(model.log_prob_missing(x, seen), wanted, atol=1e-12)
    predicted = model.column_mixture(x.where(seen, torch.nan), seen)
    assert torch.allclose(predicted.log_prob(x)[:, 1], wanted, atol=1e-10)
    by_column = model.conditionals(x).log_prob(x)
    assert by_column.shape == x.shape and torch.allclose(by_column.sum(1), model.log_prob(x), atol=1e-10)


def test_samples_and_completions_fit_the_distribution_function() -> None:
    """Kolmogorov-Smirnov tests of each column, and of the second column given the first."""
    model = model_of()
    with seeded_noise(0):
        x = model.sample(4000)
        fixed = x[:1].expand(4000, -1)
        seen = torch.tensor([True, False]).expand_as(fixed)
        completed = model.complete(fixed, seen)
        again = model.complete(x, torch.zeros_like(seen))
    assert torch.equal(completed[:, 0], fixed[:, 0])
    whole = model.column_mixture(x[:1], torch.zeros(1, 2, dtype=torch.bool))
    given = model.column_mixture(x[:1], seen[:1])
    for drawn, of, column in ((x, whole, 0), (x, whole, 1), (again, whole, 1), (completed, given, 1)):
        uniform = of.cdf(drawn)[:, column].numpy()
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4


def test_the_most_probable_completion_has_the_highest_joint_density() -> None:
    """Over all trees and states, with the missing column at the mean of its state."""
    model = model_of()
    x, seen = model.sample(20), torch.tensor([True, False]).expand(20, 2)
    found, log_prob = model.most_probable(x, seen)
    best = torch.full((20,), -math.inf, dtype=torch.float64)
    for c in range(model.components):
        root, transitions, _ = model.log_probabilities(c)
        leaves, order = model.leaves, model.node_pixels[c]
        assert isinstance(leaves, GaussianLeaves)
        density = leaves.log_density(c, order, found[:, order].T)  # (2, B, K)
        joint = root[:, None] + transitions[0]
        one, other = (density[n].clone() for n in (0, 1))
        hidden = int((order == 1).nonzero())
        peaks = leaves.log_peak(c, order)[hidden].expand(20, -1)
        one, other = (peaks, other) if hidden == 0 else (one, peaks)
        total = joint[None] + one[:, :, None] + other[:, None] + model.log_component_probs[c]
        best = torch.maximum(best, total.flatten(1).amax(1))
    assert torch.allclose(log_prob, best, atol=1e-10) and torch.equal(found[:, 0], x[:, 0])


def test_the_mean_of_samples_given_their_states_is_that_of_the_density() -> None:
    model = model_of()
    with seeded_noise(0):
        codes = model.encode(model.sample(4000)).mean(0, keepdim=True)
        means = model.sample_mean(4000)
    assert torch.allclose(codes.sum(), torch.ones((), dtype=codes.dtype))
    mean = model.column_mixture(means[:1], torch.zeros(1, 2, dtype=torch.bool)).mean[0]
    assert torch.allclose(model.decode(codes)[0], mean, atol=0.1) and torch.allclose(means.mean(0), mean, atol=0.15)


def test_a_leaf_has_the_moments_of_its_counts_and_is_not_narrower_than_the_limit() -> None:
    leaves = GaussianLeaves(1, 1, 2, 0.5).double().requires_grad_(False)
    x = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    shares = torch.tensor([[[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]], dtype=torch.float64)
    leaves.fit(0, leaves.sums(shares, torch.tensor([0]), x))
    mean = (shares[0] * x.T).sum(0) / shares[0].sum(0)
    variance = (shares[0] * (x.T - mean).square()).sum(0) / shares[0].sum(0)
    found = leaves.moments(0, torch.tensor([0]))
    assert torch.allclose(found[0][0], mean) and torch.allclose(found[1][0], variance.sqrt())
    leaves.fit(0, leaves.sums(shares, torch.tensor([0]), torch.full_like(x, 3.0)))
    assert torch.allclose(leaves.moments(0, torch.tensor([0]))[1], torch.full((1, 2), NARROWEST, dtype=torch.float64))


def table(count: int = 1200) -> Tensor:
    """Five columns in different units: two pairs of dependent ones, of which one is not linear, and noise."""
    with seeded_noise(2):
        a, b, c = (torch.randn(count) for _ in range(3))
        return torch.stack(
            [1000 + 300 * a, a + 0.3 * torch.randn(count), b, b.square() + 0.2 * torch.randn(count), c], 1
        )


def test_the_tree_has_the_edges_of_dependent_columns() -> None:
    """Also of dependence without correlation, from quartiles of the rows in which both columns are seen."""
    x = table()
    with seeded_noise(0):
        seen = torch.rand(x.shape) > 0.3
    for mask in (None, seen):
        model = Circuit([5], 4, 1, "gaussian", None)
        split = Split(x, None, seen=mask)
        with seeded_noise(0):
            initialise(model, PixelBatches(split, PixelSpace("points", 0, 5)))
        order, parents = model.node_pixels[0], model.node_parents[0]
        edges = [{int(order[n]), int(order[parents[n]])} for n in range(1, 5)]
        assert {0, 1} in edges and {2, 3} in edges
        leaves = model.leaves
        assert isinstance(leaves, GaussianLeaves)
        column = x[:, 0] if mask is None else x[mask[:, 0], 0]
        assert leaves.centre[0] == pytest.approx(column.mean().item(), rel=1e-4)
        assert leaves.spread[0] == pytest.approx(column.std(correction=0).item(), rel=1e-4)


def test_information_comes_from_the_rows_in_which_both_are_seen() -> None:
    x = table(400)
    with seeded_noise(1):
        seen = torch.rand(x.shape) > 0.4
    found = mutual_information(binned(x, None, seen), 4)
    for d, e in ((0, 1), (2, 4)):
        both = seen[:, d] & seen[:, e]
        values = torch.stack(
            [binned(x[:, [d]], None, seen[:, [d]])[both, 0], binned(x[:, [e]], None, seen[:, [e]])[both, 0]], 1
        )
        assert found[d, e] == pytest.approx(mutual_information(values, 4)[0, 1].item(), abs=1e-9)


def test_a_constant_column_is_refused() -> None:
    x = torch.cat([table(50), torch.ones(50, 1)], 1)
    model = Circuit([6], 2, 1, "gaussian", None)
    refused(lambda: initialise(model, PixelBatches(x, PixelSpace("points", 0, 6))), "constant: 6")


def test_levels_and_points_have_different_queries() -> None:
    model, x = model_of(), torch.zeros(1, 2, dtype=torch.float64)
    refused(lambda: model.pixel_probs(x, x > 0), "column_mixture", kind=NotComputable)
    levels = zoo.seeded(zoo.ZOO["circuit"])
    assert isinstance(levels, Circuit)
    image = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    refused(lambda: levels.column_mixture(image, image > 0), "pixel_probs", kind=NotComputable)
    refused(lambda: model.log_prob(x + math.nan), "finite")
    refused(lambda: Circuit([2], 3, 1, "bernoulli", None), "choose gaussian")


def test_a_table_with_missing_values_is_learned_scored_and_completed(tmp_path: Path) -> None:
    """The score of complete test rows after training without 30 % of the values, or with means in their place."""
    x = table().numpy()
    hidden = np.random.default_rng(0).random(x.shape) < 0.3
    hidden[1000:] = False
    means = np.nanmean(np.where(hidden, np.nan, x)[:1000], 0)
    scores = {}
    for name, rows, missing in (
        ("complete", x, False),
        ("missing", np.where(hidden, np.nan, x), True),
        ("mean", np.where(hidden, means, x), False),
    ):
        data = {"train": rows[:900], "valid": rows[900:1000], "test": x[1000:]}
        found = ancestral.fit(
            "circuit", tmp_path / name, data=data, missing=missing, states=8, epochs=20, batch_size=100, report=False
        )
        scores[name] = ancestral.evaluate(found).nats
    assert scores["missing"] > scores["complete"] - 0.4
    assert scores["missing"] > scores["mean"] + 0.8


def test_the_commands_train_and_complete_a_table(tmp_path: Path) -> None:
    x = table(400).numpy()
    lines = ["a,b,c,d,e", *(",".join(f"{value:.5g}" for value in row) for row in x)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    out = tmp_path / "run"
    assert run("train", "circuit", "--data", tmp_path / "t.csv", "--states", 4, "--epochs", 2, "--out", out) == 0
    assert run("complete", out, "--columns", "b", "--out", tmp_path / "c.csv") == 0
    assert run("sample", out, "--out", tmp_path / "s.csv") == 0
