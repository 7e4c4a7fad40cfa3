"""The house stands on its floors: a file imports only from lower ones, save the neighbours named here."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "ancestral"
FLOORS = {
    "errors": 0, "files": 0, "numerics": 0, "registry": 0, "settings": 0,
    "networks": 1, "data": 1, "figures": 1,
    "distributions": 2,
    "models": 3,
    "training": 4, "evaluation": 4,
    "run": 5, "report": 5, "checkup": 5, "looks": 5, "starvation": 5,
    "fitting": 6, "scoring": 6, "measuring": 6, "completing": 6, "detecting": 6, "courses": 6,
    "verification": 6, "progress": 6, "explaining": 6, "inferring": 6, "bracketing": 6,
    "drawings": 7, "powers": 7, "tables": 7,
    "run_page": 8, "experiments": 8,
    "studies": 9, "sweeping": 9,
    "commands": 10,
    "cli": 11,
}  # fmt: skip
NEIGHBOURS = {("registry", "errors"), ("settings", "errors"), ("files", "errors")}
HEAVY = {"torch", "numpy", "lightning_fabric", "matplotlib", "sklearn", "scipy"}
LIGHT = {"cli", "commands", "settings", "errors"}


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, at the top of the file) for every import in a file."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "ancestral" else [node.module]
            )
        found += [(name, node in tree.body) for name in names]
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in SOURCE.rglob("*.py") if path.name != "__init__.py"]


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in files()} == set(FLOORS)


def test_imports_go_down_only() -> None:
    wrong = []
    for path in files():
        here = room(path)
        for name, _ in imports(path):
            parts = name.split(".")
            if parts[0] != "ancestral" or len(parts) < 2 or parts[1] == here:
                continue
            if (here, parts[1]) not in NEIGHBOURS and FLOORS[parts[1]] >= FLOORS[here]:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert not wrong


def test_the_command_line_starts_without_heavy_libraries() -> None:
    wrong = [
        f"{path.name} imports {name}"
        for path in files()
        if room(path) in LIGHT
        for name, at_top in imports(path)
        if at_top and (name.split(".")[0] in HEAVY or name.split(".")[:2] == ["ancestral", "models"])
    ]
    assert not wrong


def test_files_stay_readable() -> None:
    """About 300 lines a file: over 500 it should have become two."""
    long = {str(path.relative_to(SOURCE)): n for path in files() if (n := len(path.read_text().splitlines())) > 500}
    assert not long
