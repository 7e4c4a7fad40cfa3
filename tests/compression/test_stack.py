"""The entropy coder against its definition in whole numbers, and its tables."""

from __future__ import annotations

import numpy as np
import pytest

from ancestral.compression.stack import TOTAL, Stack, Stacks, random_words
from ancestral.compression.tables import edges_from_cumulative, edges_of, frequency_of_one, rounded
from ancestral.core.errors import InputError


def pushed(starts: list[int], sizes: list[int]) -> list[int]:
    """The words of a stack after pushing the intervals, the last one first, by the definition of the coder."""
    state, words = 0, list[int]()
    for start, size in zip(reversed(starts), reversed(sizes), strict=True):
        if state >= size << 40:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // size) * TOTAL + start + state % size
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return words


def test_words_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    edges = edges_of(3 * generator.normal(size=(500, 7)))
    symbols = generator.integers(0, 7, 500)
    rows = np.arange(500)
    starts, sizes = edges[rows, symbols], edges[rows, symbols + 1] - edges[rows, symbols]
    stack = Stack()
    stack.push_symbols(symbols, edges)
    assert stack.content().tolist() == pushed(starts.tolist(), sizes.tolist())


def test_words_of_bits_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(1)
    ones = frequency_of_one(6 * generator.normal(size=800))
    values = generator.integers(0, 2, 800)
    starts, sizes = np.where(values == 1, TOTAL - ones, 0), np.where(values == 1, ones, TOTAL - ones)
    stack = Stack()
    stack.push_bits(values, ones)
    assert stack.content().tolist() == pushed(starts.tolist(), sizes.tolist())


@pytest.mark.parametrize("levels", [1, 2, 3, 256])
def test_pops_return_what_was_pushed_and_restore_the_initial_bits(levels: int) -> None:
    generator = np.random.default_rng(levels)
    edges = edges_of(5 * generator.normal(size=(300, levels)))
    ones = frequency_of_one(5 * generator.normal(size=200))
    symbols, values = generator.integers(0, levels, 300), generator.integers(0, 2, 200)
    stack = Stack(1000)
    latents = stack.pop_bits(ones)
    stack.push_symbols(symbols, edges)
    stack.push_bits(values, ones)
    assert stack.lowest < 998
    read = Stack.from_content(stack.content(), stack.lowest, 1000)
    assert read.pop_bits(ones).tolist() == values.tolist()
    assert read.pop(edges).tolist() == symbols.tolist()
    assert not read.is_initial()
    read.push_bits(latents, ones)
    assert read.is_initial()


def test_stacks_are_read_together_as_one_by_one() -> None:
    generator = np.random.default_rng(3)
    counts, edges = [2, 3], edges_of(generator.normal(size=(5, 4)))
    symbols = generator.integers(0, 4, 5)
    stacks = []
    for rows in (slice(0, 2), slice(2, 5)):
        stacks.append(Stack())
        stacks[-1].push_symbols(symbols[rows], edges[rows])
    assert Stacks(stacks, counts).pop(edges).tolist() == symbols.tolist()


def test_the_generator_of_initial_bits_is_the_documented_one() -> None:
    # the first outputs of splitmix64 with the seed 0 are e220a8397b1dcdaf and 6e789e6aa1b965f4
    assert random_words(2).tolist() == [0xE220A839 | 1, 0x6E789E6A | 1]


def test_pops_beyond_the_initial_bits_are_refused() -> None:
    stack = Stack(4)
    with pytest.raises(InputError, match="initial bits"):
        stack.pop_bits(np.full(400, TOTAL // 2))


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
def test_tables_are_whole_and_near_the_probabilities(levels: int) -> None:
    generator = np.random.default_rng(levels)
    logits = 4 * generator.normal(size=(1000, levels))
    sizes = np.diff(edges_of(logits))
    assert (sizes >= 2).all() and (sizes.sum(-1) == TOTAL).all()
    probs = np.exp(logits - logits.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    divergence = (probs * np.log2(probs * TOTAL / sizes)).sum(-1)
    assert 0 <= divergence.mean() < 2e-5  # bits


def test_frequencies_of_one_are_symmetric_and_near_the_sigmoid() -> None:
    logits = np.linspace(-20, 20, 10_001)
    ones = frequency_of_one(logits)
    assert (ones >= 2).all() and (TOTAL - ones >= 2).all()
    grid = np.arange(-4096, 4097) / 256
    assert np.abs(frequency_of_one(grid) - np.clip(TOTAL / (1 + np.exp(-grid)), 2, TOTAL - 2)).max() <= 0.51
    assert (frequency_of_one(grid) + frequency_of_one(-grid) == TOTAL).all()


def test_edges_of_a_cumulative_function_increase_where_it_is_constant() -> None:
    edges = edges_from_cumulative(np.array([[0, 0, 0.5, 0.5, 1, 1.0]]))
    assert (np.diff(edges) >= 2).all() and edges[0, 0] == 0 and edges[0, -1] == TOTAL


def test_infinite_logits_are_levels_without_probability() -> None:
    sizes = np.diff(edges_of(np.array([0.0, -np.inf, 0.0])))
    assert sizes[1] == 2


def test_ties_of_logits_are_rounded_upwards() -> None:
    halves = (np.arange(-9, 9) + 0.5) / 256
    assert rounded(halves).tolist() == list(range(-8, 10))
    assert rounded(np.array([np.inf, -np.inf])).tolist() == [1 << 48, -(1 << 48)]
