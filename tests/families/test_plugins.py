"""Families from outside the package: one file, an installed distribution, a session; and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from helpers import ROOT, forget_families_after, train_without_page

import ancestral
from ancestral.commands.main import main
from ancestral.core.errors import InputError
from ancestral.families import catalogue

CHAIN = ROOT / "examples" / "chain.py"
SMALL = ["--data", "digits", "--epochs", "2", "--train-size", "300", "--device", "cpu"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(autouse=True)
def _not_interactive(catalogue_as_before: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "_interactive", lambda: False)


def command(*words: object, code: int = 0, **environment: str) -> str:
    """Output of one command in a process of its own."""
    program = [sys.executable, "-c", "from ancestral.commands.main import entry; entry()", *map(str, words)]
    done = subprocess.run(program, env={**ENVIRONMENT, **environment}, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def here(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    """Output of one command in this process, which knows no family from outside the package before."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == code
    return "".join(capsys.readouterr())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a family file, whose family no test knows before."""
    run = tmp_path_factory.mktemp("chain") / "run"
    with pytest.MonkeyPatch.context() as patch:
        forget_families_after(patch)
        train_without_page(CHAIN, *SMALL, "--out", run)
    return run


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "{run}"],
        ["sample", "{run}", "--out", "{out}/a.png"],
        ["draw", "samples", "{run}", "--out", "{out}/b.png"],
        ["draw", "curves", "{run}", "--out", "{out}/c.png"],
        ["detect", "{run}", "--against", "noise", "--count", "40", "--trials", "20"],
        ["quality", "{run}", "--count", "60"],
        ["compare", "{run}"],
        ["explore", "{run}"],
        ["verify", "{run}"],
        ["train", str(CHAIN), *SMALL, "--out", "{run}", "--resume"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_works_with_a_run_of_a_family_file(
    words: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(run=trained, out=tmp_path) for word in words]
    here(capsys, *filled, *([] if words[0] == "train" else ["--family", CHAIN]))


def test_what_the_model_cannot_do_is_refused_in_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["complete", trained, "--out", tmp_path / "a.png"], ["infer", trained, "--out", tmp_path / "a.npz"]):
        said = here(capsys, *words, "--family", CHAIN, code=2)
        assert "PixelChain" in said and said.count("\n") == 1


@pytest.mark.slow
def test_the_environment_names_family_files(trained: Path) -> None:
    """In a process of its own; the next test does it in this one."""
    assert "exact" in command("evaluate", trained, ANCESTRAL_FAMILIES=str(CHAIN))


def test_a_broken_file_in_the_environment_does_not_hide_the_others(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.setenv("ANCESTRAL_FAMILIES", os.pathsep.join([str(tmp_path / "broken.py"), str(CHAIN)]))
    assert "ZeroDivisionError" in here(capsys, "train", "other", code=2)
    assert "exact" in here(capsys, "evaluate", trained)


def test_opening_a_run_of_an_unknown_family_names_the_missing_family(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = here(capsys, "evaluate", trained, code=2)
    assert said.count("\n") == 1
    assert "'chain'" in said and "--family" in said and "install" in said


def test_nothing_in_a_run_names_a_path_or_a_module(trained: Path) -> None:
    assert '"chain:PixelChain"' in (trained / "model" / "config.json").read_text()
    for name in ("settings.json", "model/config.json"):
        text = (trained / name).read_text()
        settings = text.split('"settings"')[-1]  # `command` records what was typed
        assert "chain.py" not in settings and "ancestral_family" not in text


def test_the_flags_of_a_family_file_are_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    said = here(capsys, "train", CHAIN, "--help")
    assert "--scale" in said and "standard deviation of the initial weights" in said


def test_verify_checks_the_tiny_models_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        forget_families_after(patch)
        assert "chain: probabilities of all images sum to one" in here(capsys, "verify", CHAIN)
    broken = tmp_path / "broken.py"
    broken.write_text(CHAIN.read_text().replace(".flatten(1).sum(1)", ".flatten(1).mean(1)"))
    said = here(capsys, "verify", broken, code=2)
    assert "FAILED  chain: probabilities of all images sum to one" in said


BUILDER = "build=lambda settings, spec: "
DRAWING = 'drawings=[ancestral.Drawing("../a", "", print)],'
BAD = {
    "no record": ("x = 1", "defines no FAMILY"),
    "syntax error": ("FAMILY = (", "line 1"),
    "another thing": ("FAMILY = 3", "not an ancestral.Family"),
    "error on the way": ("1 / 0", "ZeroDivisionError"),
    "taken name": (CHAIN.read_text().replace('name="chain"', 'name="vae"'), "of another family"),
    "name that is none": (CHAIN.read_text().replace('name="chain"', 'name="My Chain"'), "lower-case"),
    "taken flag": (CHAIN.read_text().replace("scale: float", "epochs: float"), "epochs"),
    "flag of the command": (CHAIN.read_text().replace("scale: float", "out: float"), "rename"),
    "path as a drawing": (CHAIN.read_text().replace("    tiny=", f"    {DRAWING}\n    tiny="), "drawing name"),
    "model for other pixels": (CHAIN.read_text().replace('"binary", "static", "threshold"', "'levels',"), "--pixels"),
    "model that is not registered": (CHAIN.read_text().replace("@ancestral.registered\n", ""), "not registered"),
    "program that ends": (CHAIN.read_text().replace("super().__init__()", "raise SystemExit(0)"), "no model of"),
    "setting without default": (CHAIN.read_text().replace("scale: float = 0.1", "scale: float"), "default"),
    "builder that raises": (CHAIN.read_text().replace(BUILDER, f"{BUILDER}1 / 0 or "), "division"),
    "builder of no model": (CHAIN.read_text().replace(BUILDER, f"{BUILDER}3 or "), "int"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_family_file_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, words = BAD[name]
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert main(["train", str(path), *SMALL, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error, error
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != "__pycache__") == ["mine.py"]


def test_a_missing_family_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nowhere.py"]) == 2
    assert "nowhere.py" in capsys.readouterr().err


def distribution(folder: Path, name: str) -> None:
    """An installed package with the chain as a family: a module and its dist-info."""
    (folder / "chain_package.py").write_text(CHAIN.read_text().replace('name="chain"', f'name="{name}"'))
    entry_points(folder, f"{name} = chain_package:FAMILY")


def entry_points(folder: Path, *points: str) -> None:
    """What an installer writes about a package that offers families."""
    info = folder / "chain_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chain-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[ancestral.families]", *points, ""]))


SHARED = """
import torch
from torch import nn
import ancestral

@ancestral.registered
class Scale(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.value = nn.Parameter(0.1 * torch.randn(size))
"""
MODEL = """
import torch
from torch.distributions import Bernoulli
import ancestral
from chain_package.shared import Scale

@ancestral.registered
class Pixels(ancestral.ExactModel):
    spaces, levels = ("binary", "static", "threshold"), 2
    def __init__(self, event_shape, scale):
        super().__init__()
        self.event_shape, self.scale = tuple(event_shape), scale
    def log_prob(self, x):
        return Bernoulli(logits=self.scale.value).log_prob(x.flatten(1)).sum(1)
    def sample(self, n):
        return Bernoulli(logits=self.scale.value).sample((n,)).unflatten(1, self.event_shape)

def build(settings, spec):
    return Pixels(list(spec.event_shape), Scale(torch.Size(spec.event_shape).numel()))

TINY = {"pixels": lambda: Pixels([1, 2, 2], Scale(4))}
"""
RECORD = """
from dataclasses import dataclass
import ancestral

@dataclass(frozen=True)
class Settings(ancestral.FamilySettings):
    "{summary}"

FAMILY = ancestral.Family("{name}", Settings, "chain_package.{name}.model:build", "chain_package.{name}.model:TINY")
"""


def package(folder: Path) -> str:
    """A package of two families, of several modules each and one that both use; returns the path to import it from."""
    place = folder / "site" / "chain_package"
    for name in ("first", "second"):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("")
        (place / name / "record.py").write_text(RECORD.format(name=name, summary=" "))
        (place / name / "model.py").write_text(MODEL)
    (place / "__init__.py").write_text("")
    (place / "shared.py").write_text(SHARED)
    entry_points(folder / "site", *(f"{name} = chain_package.{name}.record:FAMILY" for name in ("first", "second")))
    return os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.slow
def test_a_package_of_several_modules_and_families(tmp_path: Path) -> None:
    """Whichever family is loaded first, each class has one name, and a run opens in a process of its own."""
    path, runs = package(tmp_path), [tmp_path / name for name in ("first", "second")]
    for run in runs:
        command("train", run.name, *SMALL, "--out", run, PYTHONPATH=path)
        config = (run / "model" / "config.json").read_text()
        assert f'"{run.name}:Pixels"' in config and '"first:Scale"' in config
    for order in (runs, runs[::-1]):
        assert "exact" in command("evaluate", *order, PYTHONPATH=path)
    assert "--epochs" in command("train", "first", "--help", PYTHONPATH=path)  # its settings have a blank docstring
    program = (
        "import ancestral; from ancestral.families.catalogue import family_of\n"
        f"for run in {[str(run) for run in runs]!r}: print(family_of(ancestral.load(run)).name)"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env={**ENVIRONMENT, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["first", "second"]


def test_an_entry_point_that_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "chain_package.py").write_text("raise SystemExit('not today')")
    entry_points(tmp_path, "ending = chain_package:FAMILY")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert "ending" in command("train", "--help", PYTHONPATH=path)
    said = command("train", "ending", code=2, PYTHONPATH=path)
    assert said.count("\n") == 1
    assert "ending" in said and "SystemExit: not today" in said and "chain_package.py, line 1" in said


@pytest.mark.slow
def test_every_command_works_with_an_installed_plug_in(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    distribution(tmp_path / "site", "packaged")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    run = tmp_path / "run"
    assert "packaged" in command("train", "--help", PYTHONPATH=path)
    command("train", "packaged", *SMALL, "--out", run, PYTHONPATH=path)
    assert "exact" in command("evaluate", run, PYTHONPATH=path)
    command("sample", run, "--out", tmp_path / "a.npy", PYTHONPATH=path)
    command("verify", run, PYTHONPATH=path)
    command("train", "packaged", *SMALL, "--out", run, "--resume", PYTHONPATH=path)
    assert "'packaged'" in command("evaluate", run, code=2)  # without the package


def test_an_installed_plug_in_cannot_take_a_built_in_name(tmp_path: Path) -> None:
    distribution(tmp_path, "vae")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert "--scale" not in command("train", "vae", "--help", PYTHONPATH=path)


def chain(name: str) -> ancestral.Family:
    """The chain as a notebook cell would define it."""
    module = types.ModuleType("a_session")
    sys.modules["a_session"] = module
    exec(compile(CHAIN.read_text().replace('"chain"', f'"{name}"'), "cell", "exec"), vars(module))
    return module.FAMILY


def test_a_session_registers_a_family(tmp_path: Path) -> None:
    ancestral.register_family(chain("in-session"))
    run = ancestral.fit("in-session", tmp_path / "run", data="digits", epochs=1, train_size=200)
    assert ancestral.evaluate(run).kind == "exact"
    assert ancestral.load(tmp_path / "run").sample(2).shape == (2, 1, 8, 8)


def test_a_second_registration_needs_an_interactive_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ancestral.register_family(chain("twice"))
    with pytest.raises(InputError, match="registered already"):
        ancestral.register_family(chain("twice"))
    monkeypatch.setattr(catalogue, "_interactive", lambda: True)
    second = ancestral.register_family(chain("twice"))
    assert catalogue.find("twice") is second
    assert "replaces" in caplog.text


TWO = """
from dataclasses import dataclass
import ancestral

@ancestral.registered
class Other(PixelChain):
    pass

OTHER = ancestral.Family("other", ChainSettings, lambda s, spec: Other(list(spec.event_shape)), {other})
"""


@pytest.mark.parametrize("first", ["FAMILY", "OTHER"])
def test_two_families_of_one_module(first: str, tmp_path: Path) -> None:
    """Each class has the name of its own family before it, whichever is registered first."""
    module = types.ModuleType("a_session")
    sys.modules["a_session"] = module
    text = CHAIN.read_text() + TWO.format(other='{"other": lambda: Other([1, 2, 2])}')
    exec(compile(text, "cell", "exec"), vars(module))
    for name in (first, "OTHER" if first == "FAMILY" else "FAMILY"):
        ancestral.register_family(getattr(module, name))
    for name, cls in (("chain", "PixelChain"), ("other", "Other")):
        run = ancestral.fit(name, tmp_path / name, data="digits", epochs=1, train_size=40)
        assert f'"{name}:{cls}"' in (run.path / "model" / "config.json").read_text()
        found = catalogue.family_of(ancestral.load(run.path))
        assert found is not None and found.name == name


def test_the_tiny_models_of_a_second_family_of_a_module_are_made() -> None:
    module = types.ModuleType("a_session")
    sys.modules["a_session"] = module
    text = CHAIN.read_text() + TWO.format(other='{"a": lambda: 1 / 0}')
    exec(compile(text, "cell", "exec"), vars(module))
    ancestral.register_family(module.FAMILY)
    with pytest.raises(InputError, match="tiny model of the family other"):
        ancestral.register_family(module.OTHER)
    assert "other" not in catalogue._LOADED


def test_classes_of_a_renamed_family_are_registered_again(tmp_path: Path) -> None:
    path = tmp_path / "renamed.py"
    for name in ("before", "after"):
        path.write_text(CHAIN.read_text().replace('"chain"', f'"{name}"'))
        run = ancestral.fit(path, tmp_path / name, data="digits", epochs=1, train_size=40)
        assert f'"{name}:PixelChain"' in (run.path / "model" / "config.json").read_text()


def test_a_built_in_name_cannot_be_taken() -> None:
    with pytest.raises(InputError, match="belongs to a family of this package"):
        ancestral.register_family(chain("made"))


def test_two_plug_ins_with_a_class_of_the_same_name(tmp_path: Path) -> None:
    classes = set()
    for name in ("one", "two"):
        path = tmp_path / f"{name}.py"
        path.write_text(CHAIN.read_text().replace('"chain"', f'"{name}"'))
        run = ancestral.fit(str(path), tmp_path / name, data="digits", epochs=1, train_size=200)
        classes.add(type(run.load()))
        assert f'"{name}:PixelChain"' in (tmp_path / name / "model" / "config.json").read_text()
    assert len(classes) == 2


IMPLICIT = '''
from dataclasses import dataclass
import torch
from torch import nn
import ancestral

@dataclass(frozen=True)
class Settings(ancestral.FamilySettings):
    """A Gaussian that only samples, trained by matching moments."""
    default_pixels = "unit"

@ancestral.registered
class Sampler(ancestral.ImplicitModel):
    spaces, levels = ("unit",), None
    def __init__(self, event_shape):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.mean = nn.Parameter(torch.zeros(event_shape))
        self.raw = nn.Parameter(torch.zeros(event_shape))
    def sample(self, n):
        noise = torch.randn(n, *self.event_shape).to(self.mean)
        return (self.mean + self.raw.exp() * noise).detach().clamp(0, 1)

def moments(model, batch):
    gap = (model.mean - batch.x).square() + (model.raw.exp() - batch.x.std(0)).square()
    return {"loss": gap.flatten(1).sum(1)}

FAMILY = ancestral.Family(
    name="sampler", settings=Settings, build=lambda settings, spec: Sampler(list(spec.event_shape)),
    tiny={"sampler": lambda: Sampler([1, 3, 3])}, objective=lambda settings, model: moments,
)
'''


def test_a_user_s_implicit_family_trains(tmp_path: Path) -> None:
    path = tmp_path / "sampler.py"
    path.write_text(IMPLICIT)
    run = ancestral.fit(str(path), tmp_path / "run", data="digits", epochs=2, train_size=300, log_every=1)
    assert {"diversity", "coverage"} <= {line.name for line in run.log() if line.split == "samples"}
    assert ancestral.quality(run, count=60).count == 60
    path.write_text(IMPLICIT.replace("objective=lambda settings, model: moments,", "").replace('"sampler"', '"other"'))
    other = path.rename(tmp_path / "other.py")
    with pytest.raises(InputError, match="objective"):
        ancestral.fit(str(other), tmp_path / "none", data="digits")
    assert not (tmp_path / "none").exists()


def test_terms_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "terms.py"
    parts = "ancestral.ScoreParts(['a', 'b'], torch.stack([m.log_prob(x)] * 2, 1), x[:, 0, 0, :0])"
    terms = f"score_parts=lambda m, x: {parts},"
    path.write_text(CHAIN.read_text().replace('"chain"', '"terms"').replace("    tiny=", f"    {terms}\n    tiny="))
    run = ancestral.fit(str(path), tmp_path / "run", data="digits", epochs=1, train_size=200)
    with pytest.raises(InputError, match="add up to"):
        ancestral.explain(run)


def test_a_file_that_has_changed_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "changing.py"
    path.write_text(CHAIN.read_text().replace('"chain"', '"changing"'))
    first = catalogue.load_file(path)
    assert catalogue.load_file(path) is first
    path.write_text(path.read_text().replace("scale: float = 0.1", "scale: float = 0.9"))
    assert catalogue.load_file(path).settings().scale == 0.9


def test_data_of_another_type_are_refused(tmp_path: Path) -> None:
    for data in (tmp_path / "nowhere.npz", 5):
        with pytest.raises(InputError, match=r"nowhere|data are the name"):
            ancestral.fit("mixture", tmp_path / "run", data=data, epochs=1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="settings dataclasses"):
        ancestral.fit("vae", tmp_path / "run", model=5)


@pytest.mark.slow
def test_a_description_that_names_no_class_is_refused(trained: Path, tmp_path: Path) -> None:
    import shutil

    for name in ('["a"]', "3", '"os:system"', '"../x"', "null"):
        run = tmp_path / "copy"
        shutil.copytree(trained, run, dirs_exist_ok=True)
        config = run / "model" / "config.json"
        config.write_text(config.read_text().replace('"chain:PixelChain"', name))
        command("evaluate", run, "--family", CHAIN, code=2)


def test_a_family_without_a_docstring_has_an_empty_summary() -> None:
    for text in ("", "   ", "\n\n"):
        settings = type("Settings", (ancestral.FamilySettings,), {"__doc__": text})
        assert ancestral.Family("blank", settings, build=print, tiny={}).summary == ""
