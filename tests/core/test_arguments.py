"""Unknown arguments of a function, and arguments of a wrong type, raise an error of one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from helpers import refused

from ancestral.core.arguments import plain_arguments

if TYPE_CHECKING:
    from nowhere import Unknown


@plain_arguments()
def plain(
    path: Path | str,
    count: int | None = None,
    *,
    rate: float = 0.5,
    kind: Literal["a", "b"] = "a",
    flag: bool = False,
    sizes: Sequence[int] = (),
    other: Unknown | None = None,
) -> tuple[Any, ...]:
    return path, count, rate, kind, flag, sizes, other


@plain_arguments(("levels",))
def with_more(count: int = 1, **more: int) -> int:
    return count + sum(more.values())


@plain_arguments()
def with_any(count: int = 1, **more: int) -> int:
    return count + sum(more.values())


REFUSED: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (("a",), {"cuont": 3}, "plain: unknown argument 'cuont': did you mean count?"),
    ((3,), {}, "plain: path is '3' (int): give Path or a text"),
    ((None,), {}, "plain: path is 'None' (NoneType)"),
    (("a", "3"), {}, "plain: count is '3' (str): give a whole number or None"),
    (("a", True), {}, "plain: count is 'True' (bool)"),
    (("a", 1.5), {}, "plain: count is '1.5' (float)"),
    (("a",), {"rate": "fast"}, "plain: rate is 'fast' (str): give a number"),
    (("a",), {"kind": "c"}, "plain: kind is 'c' (str): give 'a' or 'b'"),
    (("a",), {"flag": 1}, "plain: flag is '1' (int): give True or False"),
    (("a",), {"sizes": 3}, "plain: sizes is '3' (int): give Sequence"),
    ((), {}, "plain: missing a required argument: 'path'"),
    (("a", 1, 2), {}, "plain: too many positional arguments"),
    (("a",), {"path": "b"}, "plain: multiple values for argument 'path'"),
]


@pytest.mark.parametrize(("args", "kwargs", "words"), REFUSED, ids=[words for _, _, words in REFUSED])
def test_arguments_that_do_not_fit_raise(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    refused(lambda: plain(*args, **kwargs), words)


def test_valid_arguments_are_passed_to_the_function() -> None:
    count, rate = np.int64(3), np.float32(0.5)
    assert plain(Path("a"), count, rate=rate, kind="b") == (Path("a"), count, rate, "b", False, (), None)
    assert plain("a", rate=1, flag=True, sizes=[1, 2], other=3) == ("a", None, 1, "a", True, [1, 2], 3)
    assert plain.__name__ == "plain"


def test_further_keywords_are_those_that_are_named() -> None:
    assert with_more(2, levels=3) == 5
    refused(lambda: with_more(levesl=3), "with_more: unknown argument 'levesl': did you mean levels?")
    assert with_any(2, anything=3) == 5
