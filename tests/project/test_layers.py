"""The layers of the package: a file imports only from packages below its own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers import ROOT

from ancestral.families.catalogue import BUILT_IN

SOURCE = ROOT / "src" / "ancestral"
LAYERS = [
    {"core"},
    {"settings"},
    {"networks", "data", "figures"},
    {"distributions"},
    {"models"},
    {"compression"},
    {"training"},
    {"evaluation"},
    {"families"},
    {"health"},
    {"runs"},
    {"reports"},
    {"explorer"},
    {"lightning"},
    {"api"},
    {"sweeps"},
    {"studies"},
    {"commands"},
]
LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}
AT_ROOT = {"__init__.py", "__main__.py"}
HEAVY = {"torch", "numpy", "lightning_fabric", "matplotlib", "sklearn", "scipy", "torchmetrics"}
LAZY = "exports(__name__, __file__)"
LIGHT = {"commands", "settings", "core/errors", "core/text", "families/catalogue", "families/settings"}


def files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix()


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, whether at the top of the file) for every import in a file, including those for type checkers."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if (SOURCE.parent / node.module.replace(".", "/")).is_dir():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [(name, node in tree.body) for name in names]
    return found


def test_the_root_contains_only_the_public_api() -> None:
    assert {path.name for path in SOURCE.glob("*.py")} == AT_ROOT
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages == set(LEVEL)


def test_imports_go_to_lower_layers_only() -> None:
    wrong = []
    for path in files():
        here = path.relative_to(SOURCE).parts[0]
        for name, _ in imports(path):
            parts = name.split(".")
            if here in AT_ROOT or parts[0] != "ancestral" or len(parts) < 2 or parts[1] == here:
                continue
            if LEVEL[parts[1]] >= LEVEL[here]:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


def test_there_are_no_circular_imports() -> None:
    """Between modules, including imports for type checkers and inside functions."""
    modules = {"ancestral." + name_of(path).replace("/", ".").removesuffix(".__init__"): path for path in files()}
    graph = {module: {m for m, _ in imports(path)} & set(modules) for module, path in modules.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail(" -> ".join([*trail[trail.index(module) :], module]))
        if module not in done:
            for other in sorted(graph[module] - {module}):
                visit(other, (*trail, module))
            done.add(module)

    for module in modules:
        visit(module, ())


def test_the_command_line_starts_without_heavy_libraries() -> None:
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in files()
        if any(name_of(path).startswith(light) for light in LIGHT) or name_of(path).endswith("/settings")
        for name, at_top in imports(path)
        if at_top and name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_init_files_only_export() -> None:
    """A docstring, imports and `__all__`; the root package exports the public API and has its own tests."""
    wrong = []
    for path in SOURCE.rglob("*/__init__.py"):
        for node in ast.parse(path.read_text()).body:
            doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            exports = isinstance(node, ast.Assign) and (
                ast.unparse(node.targets[0]) in ("__all__", "STUDY") or ast.unparse(node.value) == LAZY
            )
            if not (doc or exports or isinstance(node, ast.Import | ast.ImportFrom)):
                wrong.append(f"{path.relative_to(SOURCE)}: {ast.unparse(node)[:60]}")
    assert not wrong


def test_files_are_not_too_long() -> None:
    """Files have about 300 lines; above 400 they should be split."""
    long = {name_of(path): n for path in files() if (n := len(path.read_text().splitlines())) > 400}
    assert not long


OPEN = {"training", "evaluation", "compression", "health", "runs", "reports", "explorer", "lightning", "api"}
OPEN |= {"sweeps", "commands"}
SHARED = {"abilities", "build", "catalogue", "family", "hooks", "run_settings", "score_parts", "size", "tiny"}


def concrete_names() -> set[str]:
    """Classes of models and settings that are defined in folders of families."""
    folders = [path for path in SOURCE.glob("families/*/*.py") if path.name != "__init__.py"]
    trees = [ast.parse(path.read_text()) for path in folders]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


def test_code_above_the_families_imports_no_concrete_family() -> None:
    wrong = []
    for path in files():
        if path.relative_to(SOURCE).parts[0] in OPEN:
            for name, _ in imports(path):
                parts = name.split(".")
                if parts[:2] == ["ancestral", "families"] and len(parts) > 2 and parts[2] not in SHARED:
                    wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


def test_code_above_the_families_asks_for_kinds_and_abilities() -> None:
    """No isinstance or issubclass test of a family's class, and no comparison with the name of a family or class."""
    concrete, families = concrete_names(), set(BUILT_IN)
    assert {"VAE", "GAN", "MADE", "VAESettings"} <= concrete
    wrong = []
    for path in files():
        if path.relative_to(SOURCE).parts[0] not in OPEN:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
                named = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & concrete
            elif isinstance(node, ast.Compare):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                named = {text for text in texts if isinstance(text, str)} & (families | concrete)
            else:
                continue
            wrong += [f"{name_of(path)}, line {node.lineno}: {name}" for name in named]
    assert not wrong
