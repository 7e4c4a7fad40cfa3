"""Recipes are read as text and compared with the types of the settings: no value becomes a flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import refused

from ancestral.commands.dispatch import COMMANDS
from ancestral.commands.main import main
from ancestral.commands.config_files import expand_configs
from ancestral.commands.config_text import MAX_BYTES


def words_of(folder: Path, text: str | bytes, family: str = "vae", axes: bool = False) -> list[str]:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return expand_configs(["--recipe", str(path)], family, axes)


def parsed(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, family: str = "vae", verb: str = "train") -> Any:
    """The settings that a recipe makes, as the command is called with them; nothing is trained."""
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
    "deep": ("hidden: " + 30_000 * "[", "nested more than 8 deep"),
    "deep, and closed": ("hidden: " + 20_000 * "[" + 20_000 * "]", "nested more than 8 deep"),
    "deep, in lines": ("? " * 20_000, "nested more than 8 deep"),
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
def test_it_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    text, holds = WRONG[case]
    refused(lambda: words_of(tmp_path, text), "recipe.yaml", holds)


def test_an_endless_file_is_refused() -> None:
    refused(lambda: expand_configs(["--recipe", "/dev/zero"], "vae"), "/dev/zero", "larger than")


def test_no_word_of_a_recipe_is_a_flag_of_its_own(tmp_path: Path) -> None:
    words = words_of(
        tmp_path, "data: a b\nhidden: [8, 9]\nepochs: 3\nvalue_range: [-1, 1]\nlearning-rate: 1e-3\nwatch: []"
    )
    assert words == [
        *("--data=a b", "--hidden", "8", "9", "--epochs=3", "--value-range", "-1", "1", "--learning-rate=1e-3"),
        "--watch",
    ]


def test_values_keep_their_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_later_recipe_takes_back_what_an_earlier_one_says(tmp_path: Path) -> None:
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
