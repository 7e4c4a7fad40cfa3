"""Settings read from JSON have the types of their dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from helpers import refused

from ancestral.settings.stored import dataclass_from, typed

FITS: list[tuple[Any, Any, Any]] = [
    (3, int, 3),
    (3, float, 3.0),
    (None, int | None, None),
    (4, float | None, 4.0),
    ("em", Literal["em", "gradient"], "em"),
    ([1, 2], tuple[int, ...], (1, 2)),
    ([[1, 2], [3, 4]], tuple[tuple[int, int], ...], ((1, 2), (3, 4))),
    ([1, "a"], tuple[float, str], (1.0, "a")),
    (True, bool, True),
]
WRONG: list[tuple[Any, Any]] = [
    (True, int),
    (False, float),
    (1, bool),
    (3.0, int),
    ("3", int),
    (2**60, float),
    (None, int),
    ("x", Literal["em", "gradient"]),
    (["em"], Literal["em", "gradient"]),
    ("ab", tuple[str, ...]),
    ([1, 2.5], tuple[int, ...]),
    ([1, 2, 3], tuple[int, int]),
    ({}, tuple[int, ...] | None),
]


@pytest.mark.parametrize(("value", "hint", "expected"), FITS)
def test_a_value_of_its_type(value: Any, hint: Any, expected: Any) -> None:
    found = typed("size", value, hint)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(("value", "hint"), WRONG)
def test_a_value_of_another_type_is_refused(value: Any, hint: Any) -> None:
    refused(lambda: typed("size", value, hint), "size")


def test_missing_settings_have_their_defaults() -> None:
    @dataclass(frozen=True)
    class Sizes:
        width: int = 3
        depth: int = 2

    assert dataclass_from(Sizes, {"depth": 5}, "model") == Sizes(3, 5)
    refused(lambda: dataclass_from(Sizes, {"deepth": 5}, "model"), "deepth", "depth")
    refused(lambda: dataclass_from(Sizes, [], "model"), "model")
