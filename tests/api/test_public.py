"""The public face: what `import ancestral` offers."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import refused
from matplotlib.figure import Figure

import ancestral
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.public import names_in
from ancestral.data.datasets import load_dataset

SOURCE = Path(ancestral.__file__).parent
SMALL = {"data": "digits", "epochs": 1, "train_size": 200, "valid_size": 50}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    settings = ancestral.VAESettings(latents=2, hidden=(8,))
    return ancestral.fit("vae", tmp_path_factory.mktemp("public") / "run", model=settings, **SMALL)


PACKAGES = ["ancestral", *(f"ancestral.{path.parent.name}" for path in SOURCE.glob("*/__init__.pyi"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_listed_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        assert value.__name__ == name and value.__doc__, f"{package}.{name}"
        assert not isinstance(value, ModuleType), "a module of the same name would hide it once it is imported"


def test_no_name_is_public_in_two_places() -> None:
    names = [name for package in PACKAGES for name in importlib.import_module(package).__all__]
    assert sorted(names) == sorted(set(names))


def test_the_names_of_a_stub_are_the_names_that_type_checkers_see() -> None:
    """Each line of a stub has the one form that is read: `from MODULE import NAME as NAME`."""
    for stub in [SOURCE / "__init__.pyi", *SOURCE.glob("*/__init__.pyi")]:
        _, *lines = ast.parse(stub.read_text()).body
        names = [name for line in lines if isinstance(line, ast.ImportFrom) for name in line.names]
        assert all(name.name == name.asname for name in names)
        assert len(names_in(stub)) == len(names) > 0
        assert {type(line) for line in lines} <= {ast.ImportFrom, ast.AnnAssign}


def test_the_version_is_that_of_the_installed_package() -> None:
    assert ancestral.__version__ == version("ancestral")
    assert (Path(ancestral.__file__).parent / "py.typed").exists()


def test_the_listing_needs_no_torch() -> None:
    names = "dir(ancestral); ancestral.Family; ancestral.VAESettings"
    program = f"import sys, ancestral; {names}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ancestral.nonsense


def test_settings_as_keywords_and_as_dataclasses(tmp_path: Path, run: ancestral.Run) -> None:
    data = ancestral.DataSettings("digits", train_size=200, valid_size=50)
    training = ancestral.TrainingSettings(epochs=1)
    other = ancestral.fit("vae", tmp_path / "a", data=data, training=training, latents=2, hidden=[8])
    assert other.settings == run.settings


def test_a_misspelt_setting_suggests_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean epochs"):
        ancestral.fit("vae", tmp_path / "a", data="digits", epoch=3)
    with pytest.raises(InputError, match="did you mean vae"):
        ancestral.fit("vea", tmp_path / "a", data="digits")
    assert not (tmp_path / "a").exists()


def test_each_verb_takes_a_run_or_its_folder(run: ancestral.Run) -> None:
    for of in (run, run.path, str(run.path)):
        assert ancestral.evaluate(of).method == "ELBO"
        assert ancestral.sample(of, 3, seed=1).shape == (3, 1, 8, 8)
        assert ancestral.infer(of, count=5).z.shape == (5, 2)
        assert ancestral.complete(of, "left", count=2, draws=1).drawn.shape == (1, 2, 1, 8, 8)
        assert ancestral.explain(of, count=20).total.count == 20
        assert ancestral.quality(of, count=60).count == 60
        assert ancestral.detect(of, "noise", count=40, trials=20).against == "noise"
    assert all(check.passed for check in ancestral.verify(run.path))
    assert len(run.scores()) == 1


def test_a_model_by_itself_is_used_on_named_data(
    run: ancestral.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ancestral.load(run.path)
    assert isinstance(model, ancestral.LatentModel)
    by_run = ancestral.evaluate(run)
    assert ancestral.evaluate(model, data="digits", pixels="threshold").nats == by_run.nats
    assert torch.equal(ancestral.sample(model, 3, seed=1), ancestral.sample(run, 3, seed=1))
    assert torch.equal(ancestral.infer(model, data="digits", count=5).z, ancestral.infer(run, count=5).z)
    assert ancestral.complete(model, "left", data="digits", count=2).drawn.shape == (4, 2, 1, 8, 8)
    assert ancestral.explain(model, data="digits", count=20).total.count == 20
    assert ancestral.quality(model, data="digits", count=60).count == 60
    assert all(check.passed for check in ancestral.check_model(model))
    assert not list(tmp_path.iterdir())  # nothing is stored


def test_a_run_takes_other_data(run: ancestral.Run, tmp_path: Path) -> None:
    images = load_dataset("digits").test.images.numpy()[:50]
    np.save(tmp_path / "some.npy", images)
    stored = run.scores()
    other = ancestral.evaluate(run, data=tmp_path / "some.npy")
    assert (other.count, other.space) == (50, "some, binary, threshold 0.5")
    assert other.nats == ancestral.evaluate(ancestral.load(run.path), data="digits", pixels="threshold", count=50).nats
    assert run.scores() == stored
    assert torch.equal(ancestral.infer(run, data=tmp_path / "some.npy").z, ancestral.infer(run, count=50).z)
    assert ancestral.complete(run, "left", data=tmp_path / "some.npy", count=2).drawn.shape == (4, 2, 1, 8, 8)


def test_requests_that_need_a_run_are_refused_for_a_model(run: ancestral.Run) -> None:
    model = ancestral.load(run.path)
    with pytest.raises(InputError, match="data="):
        ancestral.evaluate(model)
    with pytest.raises(InputError, match="shape"):
        ancestral.evaluate(model, data="digits", pad_to=16)
    with pytest.raises(InputError, match="unknown argument"):
        ancestral.evaluate(run, data="digits", colour=3)
    with pytest.raises(InputError, match="unknown argument"):
        ancestral.evaluate(model, data="digits", colour=3)
    with pytest.raises(NotComputable, match="cannot sample a given class"):
        ancestral.sample(model, label=3)


def test_a_run_shows_its_pictures(run: ancestral.Run) -> None:
    assert {"samples", "manifold", "curves"} <= set(run.drawings())
    assert isinstance(run.show("samples", count=4), Figure)
    with pytest.raises(InputError, match="did you mean samples"):
        run.show("smaples")
    with pytest.raises(NotComputable, match="mixture"):
        run.show("components")
    assert run.report().read_text().lower().startswith("<!doctype html>")


MISUSES: dict[str, tuple[Callable[[ancestral.Run], object], str]] = {
    "drawing": (lambda run: run.show("samples", cuont=3), "did you mean count"),
    "count of a drawing": (lambda run: run.show("samples", count="3"), "count is '3' (str): give a whole number"),
    "count below one": (lambda run: run.show("samples", count=0), "count is 0"),
    "name of a drawing": (lambda run: run.show(3), "unknown drawing '3'"),
    "run of a number": (lambda run: ancestral.Run(5), "Run: path is '5' (int)"),
    "evaluate": (lambda run: ancestral.evaluate(5), "evaluate: of is '5' (int)"),
    "evaluate, misspelt": (lambda run: ancestral.evaluate(run, smaples=3), "did you mean samples"),
    "evaluate, split": (lambda run: ancestral.evaluate(run, split="tset"), "'train' or 'valid' or 'test'"),
    "evaluate, count": (lambda run: ancestral.evaluate(run, count="many"), "count is 'many'"),
    "verify": (lambda run: ancestral.verify(None), "verify: run is 'None'"),
    "load": (lambda run: ancestral.load(5), "load: path is '5'"),
    "sample": (lambda run: ancestral.sample(run, n="3"), "n is '3' (str): give a whole number"),
    "sample, misspelt": (lambda run: ancestral.sample(run, sede=3), "did you mean seed"),
    "complete": (lambda run: ancestral.complete(run, draws=0.5), "draws is '0.5'"),
    "infer": (lambda run: ancestral.infer(run, cuont=1), "did you mean count"),
    "explain": (lambda run: ancestral.explain([run]), "explain: of is "),
    "quality": (lambda run: ancestral.quality(run, means=1), "means is '1' (int): give True or False"),
    "detect": (lambda run: ancestral.detect(run, "noise", trails=3), "did you mean trials"),
    "detect, calibrate": (lambda run: ancestral.detect(run, "noise", calibrate="train"), "'valid' or 'test'"),
    "bracket": (lambda run: ancestral.bracket(run, plan=3), "bracket: plan is '3' (int): give Annealing or None"),
    "bracket, misspelt": (lambda run: ancestral.bracket(run, image=3), "did you mean images"),
    "compare": (lambda run: ancestral.compare(run), "compare: runs is "),
    "compare, no run": (lambda run: ancestral.compare([run, 3]), "compare: a run is '3'"),
    "fit": (lambda run: ancestral.fit("vae"), "fit: missing a required argument: 'out'"),
    "fit, out": (lambda run: ancestral.fit("vae", 5), "fit: out is '5'"),
    "fit, family": (lambda run: ancestral.fit(5, "run"), "a family must be a name"),
    "fit, resume": (lambda run: ancestral.fit("vae", "run", resume="yes"), "resume is 'yes'"),
    "check_model": (lambda run: ancestral.check_model(5), "check_model: model is '5'"),
    "load_model": (lambda run: ancestral.load_model(5), "load_model: folder is '5'"),
    "register_family": (lambda run: ancestral.register_family(5), "register_family needs"),
    "sweep": (lambda run: ancestral.sweep(5, "run", {}), "sweep: family is '5'"),
    "sweep, seeds": (lambda run: ancestral.sweep("vae", "run", {}, seeds="2"), "seeds is '2'"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_wrong_use_is_refused_in_one_line(
    name: str, run: ancestral.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    misuse, words = MISUSES[name]
    refused(lambda: misuse(run), words)
    assert not list(tmp_path.iterdir())


def test_runs_are_compared(run: ancestral.Run, tmp_path: Path) -> None:
    other = ancestral.fit("mixture", tmp_path / "mixture", components=2, **SMALL)
    ancestral.evaluate(run)
    with pytest.raises(InputError, match="mixture"):
        ancestral.compare([run, other])
    scores = {one.path.name: ancestral.evaluate(one).nats for one in (run, other)}
    found = ancestral.compare([run, str(other.path)])
    assert found.names == sorted(scores, key=scores.__getitem__, reverse=True)
    assert [score.nats for score in found.scores] == [scores[name] for name in found.names]
    assert ancestral.compare([run, other], paired=True).differences[0].paired


def test_the_named_data_sets_are_listed() -> None:
    states = {status.name: status.state for status in ancestral.datasets()}
    assert states["digits"] == "ready"
    assert {"mnist", "moons"} <= set(states)
