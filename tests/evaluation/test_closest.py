"""The search for the nearest image: exact for whole levels, with products of integers and without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ancestral.evaluation import closest as searches
from ancestral.evaluation.closest import closest, has_integer_products, whole_levels


def levels(count: int, steps: int, seed: int, columns: int = 30) -> Tensor:
    drawn = torch.randint(0, steps + 1, (count, columns), generator=torch.Generator().manual_seed(seed))
    return drawn.float() / steps


def by_definition(rows: Tensor, others: Tensor) -> Tensor:
    return (rows.double()[:, None] - others.double()).square().sum(2).argmin(1)


@pytest.mark.parametrize("steps", [1, 3, 16, 127, 128, 255])
def test_levels_are_found_and_the_search_is_exact(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, others = levels(40, steps, 0), levels(90, steps, 1)
    others[:, 4] = 0.0  # a column that is constant is left out
    others[70] = others[3]  # the first of two equal ones is the result
    rows[5] = others[3]
    found = whole_levels(rows, others)
    assert found is not None and found[0].dtype == torch.int8
    distances = (found[0].double()[:, None] - found[1].double()).square().sum(2) / steps**2
    torch.testing.assert_close(
        distances, (rows.double()[:, None] - others.double()).square().sum(2), rtol=1e-5, atol=1e-5
    )
    monkeypatch.setattr(searches, "ROWS", 7)
    monkeypatch.setattr(searches, "OTHERS", 20)
    rounded = (steps * rows).round(), (steps * others).round()
    torch.testing.assert_close(searches._closest_of_integers(*found), by_definition(*rounded))
    assert searches._closest_of_integers(*found)[5] == 3


def test_other_values_are_searched_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, others = torch.rand(20, 9, generator=torch.Generator().manual_seed(0)), levels(50, 255, 1, 9)
    assert whole_levels(rows, others) is None  # means of pixels between levels
    assert whole_levels(others, rows) is None
    assert whole_levels(2 * others, others) is None and whole_levels(others - 1, others) is None
    assert whole_levels(others[:0], others) is None
    torch.testing.assert_close(closest(rows, others), by_definition(rows, others))
    monkeypatch.setattr(searches, "has_integer_products", lambda: False)
    torch.testing.assert_close(closest(levels(20, 1, 0, 9), others), by_definition(levels(20, 1, 0, 9), others))


def test_sums_that_do_not_fit_32_bits_are_not_made() -> None:
    wide = torch.ones(1, 9000)
    wide[0, 0] = 254 / 255
    assert whole_levels(wide, wide) is None
    assert whole_levels(wide.round(), wide.round()) is not None


@pytest.mark.skipif(not has_integer_products(), reason="this processor has no products of 8-bit integers")
def test_integer_products_are_used_for_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Tensor:
        raise AssertionError("float32 was used")

    monkeypatch.setattr(torch, "addmm", refuse)
    rows, others = levels(8, 255, 0), levels(30, 255, 1)
    torch.testing.assert_close(closest(rows, others), by_definition(rows, others))
