"""The search for the nearest image: exact for whole levels, with products of integers and without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ancestral.evaluation import closest as searches
from ancestral.evaluation.closest import IntegerSearch, closest, has_integer_products, levels_of

needs_integers = pytest.mark.skipif(not has_integer_products(), reason="no products of 8-bit integers here")


def levels(count: int, steps: int, seed: int, columns: int = 30) -> Tensor:
    drawn = torch.randint(0, steps + 1, (count, columns), generator=torch.Generator().manual_seed(seed))
    return drawn.float() / steps


def by_definition(rows: Tensor, others: Tensor) -> Tensor:
    return (rows.double()[:, None] - others.double()).square().sum(2).argmin(1)


@pytest.mark.parametrize("steps", [1, 3, 16, 127, 128, 255])
def test_levels_are_found_and_the_search_is_exact(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, others = levels(40, steps, 0), levels(90, steps, 1)
    others[:, 4] = 0.0  # a column that is constant
    others[70] = others[3]  # the first of two equal ones is the result
    rows[5] = others[3]
    own, their = levels_of(rows, steps), levels_of(others, steps)
    assert own is not None and their is not None and own.dtype == torch.int8
    assert torch.equal(own.int() - their[:40].int(), (steps * rows).round().int() - (steps * others[:40]).round().int())
    monkeypatch.setattr(searches, "ROWS", 7)
    monkeypatch.setattr(searches, "OTHERS", 20)
    found = IntegerSearch(their).of(own)
    assert torch.equal(found, by_definition((steps * rows).round(), (steps * others).round())) and found[5] == 3


def test_other_values_are_searched_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, others = torch.rand(20, 9, generator=torch.Generator().manual_seed(0)), levels(50, 255, 1, 9)
    others[:, 2] = 0.5
    assert [levels_of(one, 255) for one in (rows, 2 * others, others - 1)] == [None] * 3
    assert torch.equal(closest(rows, others), by_definition(rows, others))
    assert torch.equal(closest(others, rows), by_definition(others, rows))
    monkeypatch.setattr(searches, "has_integer_products", lambda: False)
    assert torch.equal(closest(levels(20, 1, 0, 9), others), by_definition(levels(20, 1, 0, 9), others))


@needs_integers
def test_the_way_of_a_block_does_not_depend_on_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So several processes, which divide the blocks, find what one process finds."""
    used: list[int] = []
    real = IntegerSearch.of
    monkeypatch.setattr(
        IntegerSearch, "of", lambda self, rows, below=None: (used.append(len(rows)), real(self, rows, below))[1]
    )
    monkeypatch.setattr(searches, "BLOCK", 8)
    rows, others = levels(20, 255, 0), levels(30, 1, 1)
    rows[3] += 1e-2 / 255
    assert torch.equal(closest(rows, others), by_definition(rows, others)) and used == [8, 4]


@needs_integers
def test_sums_that_do_not_fit_32_bits_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = torch.eye(3, 9000) / 255
    monkeypatch.setattr(IntegerSearch, "of", lambda *_: pytest.fail("integers were used"))
    assert torch.equal(closest(wide, wide), torch.arange(3))


@needs_integers
def test_integer_products_are_used_for_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "addmm", lambda *_, **__: pytest.fail("float32 was used"))
    rows, others = levels(8, 255, 0), levels(30, 255, 1)
    assert torch.equal(closest(rows, others), by_definition(rows, others))
