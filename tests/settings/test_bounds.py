"""Every number in the settings has an upper bound, and every value is checked against its type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from helpers import refused

from ancestral.families.catalogue import BUILT_IN, find
from ancestral.settings.checks import check_fields, flag, without_none
from ancestral.settings.data import DataSettings
from ancestral.settings.family import FamilySettings
from ancestral.settings.training import TrainingSettings

PARTS = {name: find(name).settings for name in BUILT_IN} | {"data": DataSettings, "training": TrainingSettings}
WRONG_WHOLE = (2**63, -(2**63), 10**400, 10**5000, 0.5, float("nan"), "3", True, [1])
WRONG_REAL = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 10**400, 10**5000, "0.5", True)
UP_TO_63_BITS = ("seed", "split_seed")


def numeric_fields() -> Iterator[tuple[str, str, type, bool]]:
    """Family, field, type of its numbers, and whether it has several."""
    for part, settings in PARTS.items():
        hints = get_type_hints(settings)
        for field in fields(settings):
            hint = without_none(hints[field.name])
            several = get_origin(hint) is tuple
            kind = get_args(hint)[0] if several else hint
            if kind in (int, float):
                yield part, field.name, kind, several


def values_of(name: str, kind: type, several: bool) -> Iterator[Any]:
    wrong = WRONG_REAL if kind is float else WRONG_WHOLE + (() if name in UP_TO_63_BITS else (2**31,))
    for value in wrong:
        yield (value, value) if several else value


@pytest.mark.parametrize(("part", "name", "kind", "several"), list(numeric_fields()))
def test_every_number_has_bounds(part: str, name: str, kind: type, several: bool) -> None:
    for value in values_of(name, kind, several):
        refused(lambda value=value: PARTS[part](**{name: value}), flag(name))  # type: ignore[misc]


def test_numeric_fields_include_known_settings() -> None:
    found = {(part, name) for part, name, *_ in numeric_fields()}
    assert len(found) > 70
    assert {("made", "orderings"), ("gan", "critic_hidden"), ("data", "value_range"), ("training", "seed")} <= found


@pytest.mark.parametrize("part", PARTS)
def test_words_and_switches_have_their_types(part: str) -> None:
    settings, hints = PARTS[part], get_type_hints(PARTS[part])
    for field in fields(settings):
        hint = without_none(hints[field.name])
        if hint in (bool, str) or get_origin(hint) is Literal:
            refused(lambda name=field.name: settings(**{name: 5}), f"{flag(field.name)} 5")  # type: ignore[misc]


def test_the_usual_numbers_are_taken() -> None:
    PARTS["training"](epochs=10**9, seed=2**63 - 1, samples_at=tuple(range(1000)))
    PARTS["vae"](hidden=(2**16,), beta=0)
    PARTS["made"](orderings=10_000)
    refused(lambda: PARTS["made"](orderings=10_001), "--orderings 10001", "at most 10000")
    refused(lambda: PARTS["vae"](hidden=(1,) * 1001), "--hidden", "1000 values")


def test_settings_of_a_user_family_have_bounds() -> None:
    @dataclass(frozen=True)
    class Own(FamilySettings):
        size: int = 3
        rates: tuple[float, ...] = ()
        pair: tuple[int, str] = (1, "a")
        either: int | str = 0
        steps: int = 1

        upper_bounds = {"steps": 2**40}  # noqa: RUF012

    assert Own(size=2**16, pair=(1, "b"), either="x", steps=2**40).steps == 2**40
    refused(lambda: Own(size=2**16 + 1), "--size 65537", "at most 65536")
    refused(lambda: Own(rates=(0.1, float("nan"))), "--rates 0.1 nan", "finite")
    refused(lambda: Own(steps=2**41), "--steps")


def test_the_error_is_short_for_a_long_value() -> None:
    @dataclass(frozen=True)
    class Held:
        word: Literal["a"] = "a"
        numbers: tuple[int, ...] = ()

    for wrong in ({"word": "x" * 10_000}, {"word": "a\nb"}, {"numbers": (2**31,) * 900}):
        with pytest.raises(ValueError, match="--") as caught:
            check_fields(Held(**wrong))  # type: ignore[arg-type]
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)
