"""Configuration files are read as text and checked against the types of settings: no value becomes a flag."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers import refused, train_without_page

from ancestral.commands.config_files import expand_configs
from ancestral.commands.config_text import MAX_BYTES
from ancestral.commands.dispatch import COMMANDS
from ancestral.commands.main import main
from ancestral.families.catalogue import load_file
from ancestral.families.run_settings import settings_for
from ancestral.runs.config_file import config_text
from ancestral.runs.run import Run


def words_of(folder: Path, text: str | bytes, family: str = "vae", axes: bool = False) -> list[str]:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return expand_configs(["--recipe", str(path)], family, axes)


def parsed(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, family: str = "vae", verb: str = "train") -> Any:
    """The arguments of the command for a recipe; nothing is trained."""
    called: dict[str, Any] = {}
    command = COMMANDS[verb]

    def record(**given: Any) -> None:
        called.update(given)

    record.__doc__, record.__signature__ = command.__doc__, __import__("inspect").signature(command)  # type: ignore[attr-defined]
    monkeypatch.setitem(COMMANDS, verb, record)
    (folder / "recipe.yaml").write_text(text)
    assert main([verb, family, "--recipe", str(folder / "recipe.yaml")]) == 0
    return called


WRONG: dict[str, tuple[str | bytes, str]] = {
    "a flag among numbers": ("seed: ['1', '--out', 'elsewhere']", "--seed takes one value, not a list"),
    "a flag in a list": ("hidden: [8, --out, elsewhere]", "--hidden takes a whole number, not '--out'"),
    "a flag in a list of words": ("watch: [valid, --out=elsewhere]", "--watch"),
    "a flag as a text": ("data: --resume", "--data cannot be '--resume'"),
    "a short flag as a text": ("array: -h", "--array cannot be '-h'"),
    "a flag as a number": ("epochs: --resume", "--epochs takes a whole number, not '--resume'"),
    "an anchor": ("hidden: &a [1]\nepochs: 3", "anchors and aliases"),
    "an alias": ("epochs: &a 3\nseed: *a", "anchors and aliases"),
    "many aliases": ("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]", "anchors and aliases"),
    "a merge": ("<<: {epochs: 3}", "not text"),
    "a name twice": ("epochs: 3\nepochs: 4", "--epochs is given twice"),
    "a name twice, in two ways": ("learning-rate: 0.1\nlearning_rate: 0.2", "--learning-rate is given twice"),
    "a former name beside the present one": ("split: uva2020\nprotocol: uva2020", "--protocol is given twice"),
    "a number as a name": ("3: 4", "'3' is not text"),
    "a list as a name": ("[1, 2]: 3", "not text"),
    "a date as a name": ("2024-01-01: 3", "not text"),
    "a date": ("epochs: 2024-01-01", "--epochs takes a whole number, not '2024-01-01'"),
    "a time": ("learning_rate: 2024-01-01 10:00:00", "--learning-rate takes a number"),
    "many digits": ("epochs: " + 5000 * "9", "at most 300 digits"),
    "many digits of a fraction": ("beta: 0." + 5000 * "9", "at most 300 digits"),
    "infinity": ("beta: .inf", "--beta"),
    "too large a number": ("beta: 1e999", "finite"),
    "not a number": ("beta: .nan", "--beta"),
    "half an epoch": ("epochs: 0.5", "--epochs takes a whole number"),
    "yes as a number": ("epochs: yes", "--epochs takes a whole number, not 'yes'"),
    "a number as a switch": ("glorot: 1", "--glorot takes true or false, not '1'"),
    "a text as a switch": ("glorot: 'true'", "--glorot takes true or false"),
    "a list as a switch": ("glorot: [true]", "--glorot takes one value"),
    "settings of their own": ("hidden: {a: 1}", "--hidden takes values"),
    "settings in a list": ("hidden: [{a: 1}]", "--hidden takes single values"),
    "a list in a list": ("hidden: [[1]]", "--hidden takes single values"),
    "deep": ("hidden: " + 30_000 * "[", "nested more than 8 levels deep"),
    "deep, and closed": ("hidden: " + 20_000 * "[" + 20_000 * "]", "nested more than 8 levels deep"),
    "deep, in lines": ("? " * 20_000, "nested more than 8 levels deep"),
    "many values": ("hidden: [" + 1001 * "1," + "]", "at most 1000 values"),
    "large": ("#" * (MAX_BYTES + 1), "larger than 64 KiB"),
    "a line break": ('data: "a\\nb"', "control characters"),
    "a null character": ('data: "a\\0b"', "control characters"),
    "no text": (b"\xff\xfe\x00epochs", "cannot be read"),
    "null bytes": (b"epochs: \x00", "cannot be read"),
    "a tag": ("!!python/object/apply:os.system ['true']", "mapping"),
    "a tagged value": ("epochs: !!python/object/apply:os.system ['true']", "--epochs takes one value"),
    "two documents": ("epochs: 1\n---\nepochs: 2", "cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_invalid_files_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    text, holds = WRONG[case]
    refused(lambda: words_of(tmp_path, text), "recipe.yaml", holds)


def test_an_endless_file_is_refused() -> None:
    refused(lambda: expand_configs(["--recipe", "/dev/zero"], "vae"), "/dev/zero", "larger than")


def test_no_value_of_a_recipe_becomes_a_flag(tmp_path: Path) -> None:
    words = words_of(
        tmp_path, "data: a b\nhidden: [8, 9]\nepochs: 3\nvalue_range: [-1, 1]\nlearning-rate: 1e-3\nwatch: []"
    )
    assert words == [
        *("--data=a b", "--hidden", "8", "9", "--epochs=3", "--value-range", "-1", "1", "--learning-rate=1e-3"),
        "--watch",
    ]


def test_values_are_parsed_with_their_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
latents: 0x10
hidden: 1_0
channels: []
strides: []
epochs: 3
learning-rate: 1e-3
beta: .5
schedule: cosine
glorot: yes
tensorboard: off
patience: null
watch: [train, valid]
samples_at: 2
"""
    called = parsed(tmp_path, text, monkeypatch)
    model, training = called["model"], called["training"]
    assert (model.latents, model.hidden, model.channels, model.beta, model.glorot) == (16, (10,), (), 0.5, True)
    assert (training.epochs, training.learning_rate, training.schedule) == (3, 1e-3, "cosine")
    assert (training.track, training.patience) == ((), None)
    assert (training.watch, training.samples_at) == (("train", "valid"), (2,))


def test_a_switch_that_is_on_by_default_can_be_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(tmp_path, "direct: false", monkeypatch, "made")["model"].direct is False
    assert parsed(tmp_path, "direct: true", monkeypatch, "made")["model"].direct is True


def test_a_later_recipe_overrides_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("glorot: true\npatience: 3\nepochs: 5")
    (tmp_path / "b.yaml").write_text("glorot: false\npatience: null\nlatents: 2")
    words = ["--recipe", str(tmp_path / "a.yaml"), f"--recipe={tmp_path / 'b.yaml'}", "--epochs", "1"]
    assert expand_configs(words, "vae") == ["--epochs=5", "--latents=2", "--epochs", "1"]


def test_a_recipe_of_a_sweep_has_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "learning-rate: 1e-2,1e-3\nhidden: 8,8x8\nlatents: 2\nglorot: true\nchannels: [4, 4]\nstrides: [1, 1]"
    called = parsed(tmp_path, text, monkeypatch, verb="sweep")
    assert called["axes"] == {"learning_rate": (1e-2, 1e-3), "hidden": ((8,), (8, 8))}
    assert (called["model"].latents, called["model"].channels, called["model"].glorot) == (2, (4, 4), True)
    refused(lambda: words_of(tmp_path, "learning-rate: 1e-2,1e-3"), "--learning-rate takes a number")


# ---- the other forms

WRONG_TOML: dict[str, tuple[str, str]] = {
    "a flag among numbers": ('seed = ["1", "--out", "elsewhere"]', "--seed takes one value, not a list"),
    "a flag in a list": ('hidden = [8, "--out", "elsewhere"]', "--hidden takes a whole number, not '--out'"),
    "a flag as a text": ('data = "--resume"', "--data cannot be '--resume'"),
    "a name twice, in two ways": ("learning-rate = 0.1\nlearning_rate = 0.2", "--learning-rate is given twice"),
    "a name and its alias": ("lr = 0.1\nlearning_rate = 0.2", "--learning-rate is given twice"),
    "a former switch beside the setting": ('tensorboard = true\ntrack = ["csv"]', "--track is given twice"),
    "a name twice": ("epochs = 3\nepochs = 4", "cannot be read"),
    "a date": ("epochs = 2024-01-01", "--epochs takes a whole number, not '2024-01-01'"),
    "many digits": ("epochs = " + 5000 * "9", "cannot be read"),
    "digits": ("epochs = " + 400 * "9", "at most 300 digits"),
    "infinity": ("beta = inf", "--beta"),
    "not a number": ("beta = nan", "--beta"),
    "half an epoch": ("epochs = 0.5", "--epochs takes a whole number"),
    "a number as a switch": ("glorot = 1", "--glorot takes true or false, not '1'"),
    "a text as a switch": ('glorot = "true"', "--glorot takes true or false"),
    "a table": ("[hidden]\na = 1", "--hidden takes values"),
    "tables in a list": ("hidden = [{a = 1}]", "--hidden takes single values"),
    "deep": ("hidden = " + 20_000 * "[", "cannot be read"),
    "deep, and closed": ("hidden = " + 200 * "[" + 200 * "]", "--hidden takes single values"),
    "many values": ("hidden = [" + 1001 * "1," + "]", "at most 1000 values"),
    "large": ("#" * (MAX_BYTES + 1), "larger than 64 KiB"),
    "a line break": ('data = "a\\nb"', "control characters"),
    "an unknown setting": ("epocs = 3", "unknown setting 'epocs': did you mean epochs?"),
    "another family": ('family = "mixture"', "it is for the family 'mixture', not vae"),
    "no value of a number": ('latents = "none"', "--latents takes a whole number"),
    "a place": ('out = "elsewhere"', "unknown setting 'out'"),
}
WRONG_JSON: dict[str, tuple[str, str]] = {
    "a flag among numbers": ('{"seed": ["1", "--out", "elsewhere"]}', "--seed takes one value, not a list"),
    "a name twice": ('{"epochs": 3, "epochs": 4}', "--epochs is given twice"),
    "a list": ("[1]", "must be a mapping"),
    "deep": ('{"hidden": ' + 20_000 * "[", "cannot be read"),
    "no JSON": ("epochs: 3", "cannot be read"),
    "infinity": ('{"beta": Infinity}', "--beta"),
}


@pytest.mark.parametrize(
    ("ending", "case"),
    [*(("toml", case) for case in WRONG_TOML), *(("json", case) for case in WRONG_JSON)],
)
def test_invalid_toml_and_json_files_are_refused_in_one_line(ending: str, case: str, tmp_path: Path) -> None:
    text, holds = (WRONG_TOML if ending == "toml" else WRONG_JSON)[case]
    path = tmp_path / f"settings.{ending}"
    path.write_text(text)
    refused(lambda: expand_configs(["--config", str(path)], "vae"), path.name, holds)


FORMS = {
    "yaml": "family: vae\nlr: 1e-3\nhidden: [8, 9]\nglorot: on\ntrack: [csv]\nvalue_range: [-1, 0.5]\npatience: null",
    "toml": 'family = "vae"\nlr = 1e-3\nhidden = [8, 9]\nglorot = true\ntrack = ["csv"]\nvalue_range = [-1, 0.5]',
    "json": '{"family": "vae", "lr": 1e-3, "hidden": [8, 9], "glorot": true, "track": ["csv"],'
    ' "value_range": [-1, 0.5], "patience": null}',
}


@pytest.mark.parametrize("flag", ["--config", "--recipe"])
def test_all_file_formats_give_the_same_flags(flag: str, tmp_path: Path) -> None:
    found = set()
    for ending, text in FORMS.items():
        path = tmp_path / f"settings.{ending}"
        path.write_text(text)
        words = expand_configs([flag, str(path)], "vae")
        assert words[0].startswith("--learning-rate=") and float(words[0].partition("=")[2]) == 1e-3
        found.add(tuple(words[1:]))
    assert found == {("--hidden", "8", "9", "--glorot", "--track", "csv", "--value-range", "-1", "0.5")}


SMALL = ["--epochs", "2", "--train-size", "100", "--valid-size", "20"]
RUNS: dict[str, list[str]] = {
    "vae": ["--latents", "2", "--hidden", "8", "4", "--lr", "3e-3", "--beta", "0.7", "--validate-every", "2"],
    "mixture": ["--components", "3", "--method", "em"],
    "flow": ["--data", "moons", "--no-actnorm", "--depth", "2"],
    "made": ["--hidden", "8", "--optimizer", "sgd", "--momentum", "0.5", "--seed", "4"],
}


@pytest.mark.parametrize("family", RUNS)
def test_the_config_file_of_a_run_reproduces_it_exactly(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    train_without_page(family, *RUNS[family], *SMALL, "--tolerate", "--out", first)
    capsys.readouterr()
    train_without_page("--config", first / "config.toml", "--tolerate", "--out", again)
    assert "has no effect" not in capsys.readouterr().err
    for name in ("model/model.safetensors", "log.jsonl", "config.toml", "scores.json"):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name
    written = tomllib.loads((first / "config.toml").read_text())
    assert written.pop("family") == family
    known = json.loads((first / "settings.json").read_text())["settings"]
    stored = {name: value for part in ("data", "model", "training") for name, value in known[part].items()}
    assert {name: stored[name] for name in written} == written
    assert {"epochs", "batch_size", "data", "seed", "device"} <= set(written)


def test_a_flag_overrides_the_config_file_of_a_run(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    train_without_page("vae", *RUNS["vae"], *SMALL, "--tolerate", "--out", first)
    train_without_page("--epochs", 1, "--config", first / "config.toml", "--tolerate", "--out", again)
    assert (Run(again).settings.training.epochs, Run(again).settings.model.hidden) == (1, (8, 4))


def test_a_sweep_accepts_the_config_file_of_a_run(tmp_path: Path) -> None:
    first, out = tmp_path / "first", tmp_path / "out"
    train_without_page("vae", *RUNS["vae"], *SMALL, "--tolerate", "--out", first)
    assert main(["sweep", "--config", str(first / "config.toml"), "--lr", "1e-2,1e-3", "--out", str(out)]) == 0
    runs = sorted((out / "runs").iterdir())
    assert [run.name for run in runs] == ["learning-rate=0.001_seed=0", "learning-rate=0.01_seed=0"]
    assert all(Run(run).settings.model.hidden == (8, 4) and (run / "config.toml").exists() for run in runs)


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["--epochs", "3"], "name a family first, before --epochs"),
        (["--config", "none.toml"], "names no family"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--config"], "--config needs the name"),
        (["--config", "unknown.toml"], "unknown family 'vee': did you mean vae?"),
        (["mixture", "--config", "vae.toml"], "for the family 'vae', not mixture"),
    ],
)
def test_a_command_without_a_family_is_refused(
    words: list[str], holds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.toml").write_text("epochs = 3\n")
    (tmp_path / "unknown.toml").write_text('family = "vee"\n')
    (tmp_path / "vae.toml").write_text('family = "vae"\n')
    assert main(["train", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and holds in err and err.count("\n") == 1


OPTIONAL = """
from __future__ import annotations
from dataclasses import dataclass
import ancestral

@dataclass(frozen=True)
class Mine:
    '''Of one's own.'''
    depth: int | None = 4

FAMILY = ancestral.Family("optional-depth", Mine, build="mine:build", tiny="mine:tiny")
"""


def test_none_is_written_if_it_is_not_the_default(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OPTIONAL)
    load_file(tmp_path / "mine.py")
    written = config_text(settings_for("optional-depth", depth=None))
    assert 'depth = "none"' in written and "--family FILE.py" in written
    (tmp_path / "config.toml").write_text(written)
    assert "--depth=None" in expand_configs(["--config", str(tmp_path / "config.toml")], "optional-depth")
    assert "depth = 4" in config_text(settings_for("optional-depth"))
