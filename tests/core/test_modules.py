"""Python files of the user: run when loaded, found by dataclasses, with errors of one line."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from helpers import refused

from ancestral.core.errors import InputError
from ancestral.core.modules import load_module

DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass, KW_ONLY
from typing import ClassVar

@dataclass
class Sizes:
    shared: ClassVar[int] = 1
    wide: int = 3
    _: KW_ONLY
    deep: Depth | None = None

class Depth: ...
"""


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_dataclass_with_postponed_annotations(tmp_path: Path) -> None:
    module = load_module(written(tmp_path, DATACLASS), "study")
    assert [field.name for field in dataclasses.fields(module.Sizes)] == ["wide", "deep"]
    assert get_type_hints(module.Sizes)["deep"] == module.Depth | None
    assert sys.modules[module.__name__] is module
    assert module.__file__ == str(tmp_path / "mine.py")


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = load_module(written(tmp_path, "VALUE = 1"), "study")
    second = load_module(written(tmp_path / "other", "VALUE = 2"), "study")
    assert (first.VALUE, second.VALUE) == (1, 2) and first.__name__ != second.__name__


def test_a_file_with_the_name_of_a_module_does_not_hide_the_module(tmp_path: Path) -> None:
    load_module(written(tmp_path, "loads = None", "json.py"), "study")
    import json

    assert json.loads("1") == 1 and sys.modules["json"] is json


def test_a_changed_file_is_run_again(tmp_path: Path) -> None:
    assert load_module(written(tmp_path, "VALUE = 1"), "study").VALUE == 1
    assert load_module(written(tmp_path, "VALUE = 2"), "study").VALUE == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


WRONG = {
    "syntax": ("a = 1\nb = (", ["mine.py, line 2: syntax error"]),
    "no Python": ("\0", ["mine.py"]),
    "exception": ("a = 1\n\nb = a / 0", ["mine.py, line 3: ZeroDivisionError: division by zero"]),
    "below": ("def f():\n    return {}['x']\n\nf()", ["mine.py, line 2: KeyError: 'x'"]),
    "two lines": ("raise ValueError('one\\ntwo')", ["mine.py, line 1: ValueError: one two"]),
    "no words": ("raise ValueError", ["mine.py, line 1: ValueError"]),
    "missing module": ("import nowhere_to_be_found", ["mine.py, line 1: ModuleNotFoundError"]),
    "exit": ("import sys\nsys.exit(0)", ["mine.py, line 2: SystemExit: 0"]),
    "refusal": (
        "from ancestral.core.errors import InputError\nraise InputError('choose another')",
        ["mine.py, line 2: choose another"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_with_an_error_raises_and_leaves_no_module(tmp_path: Path, case: str) -> None:
    text, words = WRONG[case]
    before = set(sys.modules)
    refused(lambda: load_module(written(tmp_path, text), "study"), *words)
    assert not [name for name in set(sys.modules) - before if "mine" in name]


def test_a_missing_file_raises(tmp_path: Path) -> None:
    refused(lambda: load_module(tmp_path / "nowhere.py", "study"), "nowhere.py", "No such file")
    refused(lambda: load_module(tmp_path, "study"), str(tmp_path), "directory")


def test_an_interrupt_is_not_converted_to_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_module(written(tmp_path, "raise KeyboardInterrupt"), "study")


def test_a_failed_second_load_leaves_the_first(tmp_path: Path) -> None:
    module = load_module(written(tmp_path, "VALUE = 1"), "study")
    with pytest.raises(InputError):
        load_module(written(tmp_path, "VALUE = 1 / 0"), "study")
    assert sys.modules[module.__name__] is module
