"""Settings of a family that cannot be flags, or not be read back, are refused when the record is made."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import refused

import ancestral
from ancestral.core.modules import load_module
from ancestral.families.catalogue import load_file

HEAD = """
from __future__ import annotations
import enum, pathlib
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Annotated, ClassVar, Literal
import ancestral

class Colour(enum.Enum):
    RED = 1

Size = Literal["small", "large"]

@dataclass(frozen=True)
class Settings:
    \"\"\"Some settings.\"\"\"
    {line}

FAMILY = ancestral.Family("some", Settings, build="no.such:thing", tiny={{}})
"""
REFUSED = {
    "x: pathlib.Path = pathlib.Path('a')": ("'x'", "pathlib.Path", "Literal"),
    "x: Colour = Colour.RED": ("'x'", "Colour", "Literal"),
    "x: frozenset[int] = frozenset()": ("'x'", "frozenset", "Literal"),
    "x: complex = 1j": ("'x'", "complex"),
    "x: Callable[[], int] = int": ("'x'", "Callable"),
    "x: list[int] = field(default_factory=list)": ("'x'", "list[int]"),
    "x: tuple = ()": ("'x'", "tuple[int, ...]"),
    "x: tuple[tuple[int, ...], ...] = ()": ("'x'", "tuple[tuple"),
    "x: int | dict[str, int] = 3": ("'x'", "dict"),
    "x: Nowhere = 3": ("'x'", "Nowhere", "cannot be evaluated"),
    "x: 1 / 0 = 3": ("'x'", "cannot be evaluated"),
    "x: int = field(default=3, init=False)": ("'x'", "init=False"),
    "x: InitVar[int] = 3": ("'x'", "is not a field"),
    "x = 3": ("'x'", "has no type", "x: int = 3"),
    "x: float = float('nan')": ("'x'", "nan"),
    "x: tuple[float, ...] = (1.0, float('nan'))": ("'x'", "nan"),
    "x: int = None": ("'x'", "default None"),
    "x: int = 0.5": ("'x'", "default 0.5"),
    "x: bool = 1": ("'x'", "default 1"),
    "x: Size = 'huge'": ("'x'", "default 'huge'"),
    "x: tuple[int, ...] = field(default_factory=list)": ("'x'", "default []"),
    "x: int = 1 ; __post_init__ = lambda self: 1 / 0": ("reject their own defaults", "ZeroDivisionError", "line 17"),
}
ALLOWED = [
    *("x: int = 1", "x: float = 1", "x: bool = False", "x: str = 'a'", "x: float | None = None", "x: Size = 'small'"),
    *("x: tuple[int, ...] = ()", "x: tuple[float, float] = (0.0, 1.0)", "x: tuple[Size, ...] | None = None"),
    *("x: tuple[str, int] = ('a', 1)", "x: Annotated[int, 'a note'] = 1", "x: int | str = 'auto'"),
    *("x: ClassVar[dict[str, int]] = {}", "LIMIT = 3", "default_pixels = 'unit'", "x: float = float('inf')"),
    *("x: 'int' = 3", "x: tuple[int, ...] = field(default_factory=tuple)"),
]


@pytest.mark.parametrize("line", REFUSED)
def test_a_setting_that_cannot_be_stored_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD.format(line=line))
    refused(lambda: load_file(path), "mine.py", "some", *REFUSED[line])


@pytest.mark.parametrize("line", ALLOWED)
def test_a_setting_that_can_be_stored_is_accepted(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD.format(line=line))
    module = load_module(path, "settings")
    assert isinstance(module.FAMILY, ancestral.Family)


def test_a_type_that_is_local_to_a_function_is_refused() -> None:
    class Inner:
        pass

    made = dataclasses.make_dataclass("Made", [("x", "Inner", 3)], bases=(ancestral.FamilySettings,), frozen=True)
    refused(lambda: ancestral.Family("some", made, build=print, tiny={}), "'x'", "cannot be evaluated")


def test_records_are_checked_without_torch() -> None:
    program = (
        "import sys; from ancestral.families.catalogue import BUILT_IN, find\n"
        "for name in BUILT_IN: find(name)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
