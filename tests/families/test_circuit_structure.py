"""The trees of circuits: mutual information, the maximum spanning tree, its root, and its levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from helpers import refused

from ancestral.core.random import seeded_noise
from ancestral.families.circuit.layout import levels_of
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.structure import (
    HALF,
    Structure,
    balanced,
    binned,
    chow_liu,
    mutual_information,
    rooted,
    spanning_tree,
)


@pytest.mark.parametrize("bins", [2, 3])
def test_mutual_information_is_that_of_the_counts(bins: int) -> None:
    with seeded_noise(0):
        x = torch.randint(bins, (50, 4))
        x[:, 1] = (x[:, 0] + (torch.rand(50) < 0.2)) % bins
    found = mutual_information(x, bins)
    for d, e in itertools.permutations(range(4), 2):
        joint = np.full((bins, bins), HALF)
        np.add.at(joint, (x[:, d].numpy(), x[:, e].numpy()), 1)
        joint /= joint.sum()
        exact = (joint * np.log(joint / joint.sum(0) / joint.sum(1, keepdims=True))).sum()
        assert found[d, e].item() == pytest.approx(exact, abs=1e-12)
    assert found[0, 1] == found.fill_diagonal_(0).max()


def test_the_tree_has_the_largest_total_information_of_all_trees() -> None:
    """All 125 trees over 5 pixels, from their Prüfer sequences."""
    with seeded_noise(1):
        weights = torch.rand(5, 5).double()
    weights = weights + weights.T
    best = max(sum(weights[i, j].item() for i, j in tree_of(code)) for code in itertools.product(range(5), repeat=3))
    edges = spanning_tree(weights)
    assert len(edges) == 4 and all(i != j for i, j in edges)
    assert sum(weights[i, j].item() for i, j in edges) == pytest.approx(best)


def tree_of(code: tuple[int, ...]) -> list[tuple[int, int]]:
    """The edges of the tree with a Prüfer sequence."""
    degree = [1 + code.count(i) for i in range(len(code) + 2)]
    edges = []
    for parent in code:
        leaf = degree.index(1)
        edges.append((leaf, parent))
        degree[leaf] -= 1
        degree[parent] -= 1
    last = [i for i, d in enumerate(degree) if d == 1]
    return [*edges, (last[0], last[1])]


def test_the_root_is_the_centre() -> None:
    """A path of 9 pixels gets 5 levels, whatever the order of its pixels; a star gets 2."""
    path = [3, 0, 7, 8, 1, 2, 6, 5, 4]
    structure = rooted(itertools.pairwise(path), 9)
    assert structure.order[0] == 1 and len(levels_of(*structure)) == 5
    star = rooted([(4, d) for d in range(9) if d != 4], 9)
    assert star.order[0] == 4 and len(levels_of(*star)) == 2
    assert rooted([], 1).order.tolist() == [0] and len(levels_of(*rooted([], 1))) == 1


def test_levels_list_every_parent_and_child_once() -> None:
    with seeded_noise(3):
        structure = rooted([(i, int(torch.randint(i, ()))) for i in range(1, 40)], 40)
    levels = levels_of(*structure)
    assert [level.first for level in levels[1:]] == [level.last for level in levels[:-1]] and levels[-1].last == 40
    for above, level in itertools.pairwise(levels):
        children = torch.cat(above.children)
        assert sorted(children.tolist()) == list(range(level.last - level.first))
        for places in above.children:
            assert torch.equal(level.parents[places], torch.arange(len(places)))
        assert torch.equal(above.first + level.parents, structure.parents[level.first : level.last])
        assert above.inner - above.first == len(above.children[0])


@pytest.mark.parametrize(
    ("order", "parents"),
    [([0, 1, 2], [0, 1, 0]), ([0, 1, 1], [0, 0, 0]), ([0, 1, 2, 3], [0, 0, 0, 2]), ([0, 1, 2], [0, -1, 0])],
    ids=["a self-loop", "a pixel twice", "a leaf before a parent", "no parent"],
)
def test_what_is_no_tree_is_refused(order: list[int], parents: list[int]) -> None:
    refused(lambda: levels_of(torch.tensor(order), torch.tensor(parents)), "the circuit's tree is not valid")
    model = Circuit([1, 1, len(order)], 2)
    model.node_pixels[0], model.node_parents[0] = torch.tensor(order), torch.tensor(parents)
    refused(lambda: model.log_prob(torch.zeros(1, *model.event_shape)), "the circuit's tree is not valid")


def test_a_changed_tree_is_noticed() -> None:
    """The levels are kept between calls; loading other weights replaces them."""
    with seeded_noise(0):
        model, other = Circuit([1, 1, 4], 3), Circuit([1, 1, 4], 3)
    other.set_structure(0, rooted([(3, 0), (3, 1), (3, 2)], 4))
    x = torch.tensor([1.0, 0, 0, 1]).view(1, 1, 1, 4)
    before = model.log_prob(x)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.log_prob(x), other.log_prob(x)) and not torch.equal(model.log_prob(x), before)


def test_constant_columns_are_part_of_the_tree() -> None:
    with seeded_noise(0):
        x = torch.bernoulli(torch.full((100, 6), 0.5))
    x[:, 1], x[:, 4], x[:, 5] = 0, 1, x[:, 0]
    structure = chow_liu(x, 2)
    levels_of(*structure)
    edges = {frozenset((int(structure.order[n]), int(structure.order[structure.parents[n]]))) for n in range(1, 6)}
    assert frozenset((0, 5)) in edges


def test_many_levels_are_cut_at_quartiles() -> None:
    x = torch.arange(100.0).view(-1, 1)
    assert torch.bincount(binned(x, 256)[:, 0]).tolist() == [25, 25, 25, 25]
    assert torch.equal(binned(torch.tensor([[0.0], [2.0]]), 4), torch.tensor([[0], [2]]))
    assert binned(torch.full((10, 1), 7.0), 256).unique().numel() == 1


def test_the_tree_of_an_unfitted_model_is_balanced() -> None:
    assert isinstance(balanced(5), Structure) and balanced(5).parents.tolist() == [0, 0, 0, 1, 1]
    assert len(levels_of(*balanced(784))) == 10
