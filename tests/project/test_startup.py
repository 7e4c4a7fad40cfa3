"""Imports of new processes: heavy packages are imported only when they are used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from zoo import ZOO

NUMERIC = ("torch", "numpy", "scipy", "matplotlib", "sklearn", "lightning_fabric", "torchmetrics")
BESIDE_TORCH = (
    *("lightning_fabric", "torchmetrics", "torch._dynamo", "torch._inductor", "sympy"),
    *("matplotlib", "scipy", "sklearn", "PIL", "optuna", "tensorboard", "pandas"),
)
LIST = "import json; print(json.dumps([name for name in {names!r} if name in sys.modules]))"


def imported(program: str, names: tuple[str, ...], folder: Path) -> tuple[list[str], str, str]:
    """Which of some modules a new process has imported at its end, with its stdout and stderr."""
    words = [sys.executable, "-c", f"import sys\n{program}\n{LIST.format(names=names)}"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    *out, last = done.stdout.splitlines()
    return json.loads(last), "\n".join(out), done.stderr


WORDS: dict[str, tuple[int, str]] = {
    "": (0, "usage: "),
    "--help": (0, "usage: "),
    "--version": (0, "ancestral "),
    "train --help": (0, "usage: "),
    "train vae --help": (0, "--learning-rate"),
    "train nosuchfamily": (2, "unknown family 'nosuchfamily'"),
    "train vae --no-such-flag": (2, "--no-such-flag"),
    "train vae --epochs none": (2, "--epochs"),
    "train vae --epochs 0": (2, "--epochs 0"),
    "evaluate nosuchrun": (2, "nosuchrun is not a run folder: it has no settings.json"),
    "nosuchverb": (2, "unknown command 'nosuchverb'"),
    "train vae --data no/such/path": (2, "data source 'no/such/path': unknown; choose one of digits, mnist, "),
    "train vae --data no/such/file.npz": (2, "no/such/file.npz: no such file; check the path"),
    "train vae --data moons --pixels unit": (2, "--data moons has points, not images"),
}


@pytest.mark.parametrize("words", WORDS)
def test_commands_that_need_no_torch_do_not_import_it(words: str, tmp_path: Path) -> None:
    code, answer = WORDS[words]
    program = f"from ancestral.commands.main import main\nassert main({words.split()!r}) == {code}"
    heavy, out, err = imported(program, NUMERIC, tmp_path)
    assert heavy == []
    assert answer in (err if code else out)
    assert (out if code else err) == ""
    assert err.count("\n") == (1 if code else 0)
    assert not list(tmp_path.iterdir())


def test_the_package_alone_imports_nothing(tmp_path: Path) -> None:
    assert imported("import ancestral", NUMERIC, tmp_path)[0] == []


def test_the_public_functions_import_little_beside_torch(tmp_path: Path) -> None:
    names = ("fit", "load", "evaluate", "Model")
    program = f"""
import ancestral
for name in {names!r}:
    getattr(ancestral, name)
    found = [heavy for heavy in {BESIDE_TORCH!r} if heavy in sys.modules]
    assert not found, (name, found)
"""
    assert imported(program, ("torch", *BESIDE_TORCH), tmp_path)[0] == ["torch"]


TRAININGS = {
    "vae": ({"hidden": (8,), "clip_norm": 1.0}, True),
    "made": ({"hidden": (8,)}, True),
    "flow": ({"width": 4, "couplings": 1}, True),
    "gan": ({"hidden": (8,), "critic_hidden": (8,)}, False),
}


def test_a_training_up_to_its_score_imports_little_beside_torch(tmp_path: Path) -> None:
    """The first update imports nothing heavy either, such as torch's compiler or plotting packages."""
    program = f"""
import ancestral
for family, (settings, scored) in {TRAININGS!r}.items():
    alone = dict(device="cpu", report=False, **settings)
    run = ancestral.fit(family, family, data="digits", train_size=64, epochs=1, **alone)
    if scored:
        assert ancestral.evaluate(run, samples=2).nats < 0
    found = [heavy for heavy in {BESIDE_TORCH!r} if heavy in sys.modules]
    assert not found, (family, found)
"""
    assert imported(program, ("torch", *BESIDE_TORCH), tmp_path)[0] == ["torch"]


OLD_RUNS = Path(__file__).parents[1] / "fixtures" / "runs_e7fe433"


def test_loading_a_model_imports_little_beside_torch(tmp_path: Path) -> None:
    """A model is first built on the device "meta", where arithmetic makes torch import its compiler."""
    for name, model in ZOO.items():
        model().save(tmp_path / name)
    folders = [str(folder) for folder in [*tmp_path.iterdir(), *OLD_RUNS.glob("*/model")]]
    program = f"""
from ancestral.families.build import load_model
for folder in {folders!r}:
    load_model(folder)
    found = [name for name in {BESIDE_TORCH!r} if name in sys.modules]
    assert not found, (folder, found)
"""
    assert imported(program, ("torch", *BESIDE_TORCH), tmp_path)[0] == ["torch"]
