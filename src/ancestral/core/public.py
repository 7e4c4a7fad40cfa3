"""Public names of a package, imported at first use.

The type stub `__init__.pyi` next to a package's `__init__.py` is the only list of its public names. Readers, type
checkers and Python use the same list.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def names_in(stub: Path) -> dict[str, str]:
    """The module that defines each name, from the lines `from MODULE import NAME as NAME` of a type stub."""
    lines = ast.parse(stub.read_text(encoding="utf-8")).body
    imports = (line for line in lines if isinstance(line, ast.ImportFrom) and line.module)
    return {name.asname: str(line.module) for line in imports for name in line.names if name.asname}


def exports(package: str, init_file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package whose stub lists its public names.

    Args:
        package:      `__name__` of the package
        init_file:    `__file__` of the package
    """
    places = names_in(Path(init_file).with_name("__init__.pyi"))
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        namespace[name] = getattr(importlib.import_module(places[name]), name)
        return namespace[name]

    return get, lambda: sorted({*namespace, *places}), sorted(places)
