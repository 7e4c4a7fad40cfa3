"""Misspelt words are refused in one line with a close match, in Python too; common aliases are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import Captured, refused, run, train_without_page

import ancestral
from ancestral.families.catalogue import BUILT_IN
from ancestral.families.run_settings import setting_names, settings_for
from ancestral.runs.run import Run
from ancestral.settings.names import ALIASES, FORMER_NAMES, FORMER_SWITCHES

MISSPELT = {
    "tain vae": "did you mean train?",
    "train vea": "did you mean vae?",
    "train vae --learning-rat 0.1": "unknown flag --learning-rat: did you mean --learning-rate",
    "train vae --learning_rat=0.1": "unknown flag --learning-rat: did you mean --learning-rate",
    "train vae --optimizer adm": "--optimizer adm: did you mean adam",
    "train vae --optimizer=adm": "--optimizer adm: did you mean adam",
    "train vae --watch valid tset": "--watch tset: did you mean test?",
    "train vae --no-resume": "this is the default; --resume changes it",
    "train made --direct": "this is the default; --no-direct changes it",
    "train mixture --latents 3": "unknown flag --latents (see",
    "train vae --data digts": "did you mean digits",
    "train vae --track cvs": "--track cvs: did you mean csv?",
    "sweep vae --optimizer adam,sgf": "--optimizer sgf: did you mean sgd?",
    "sweep vae --trails 3 --latents 2,3": "did you mean --trials?",
    "evaluate run --smaples 3": "unknown flag --smaples: did you mean --samples",
    "evaluate run --split tst": "--split tst: did you mean test?",
    "sample run --condition 1 -n 5 --mode x": "unknown flag --mode",  # -n ends the numbers of --condition
    "complete run --hide lefft": "--hide lefft: did you mean left?",
    "quality run --features pixel": "--features pixel: did you mean pixels?",
    "study tuor": "unknown study 'tuor': did you mean tour?",
    "study uva2021": "did you mean uva2020",
    "shell-completion bsh": "bash",
}


@pytest.mark.parametrize("words", MISSPELT)
def test_a_command_suggests_a_close_match(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and MISSPELT[words] in err, err
    assert not list(tmp_path.iterdir())


def test_python_functions_suggest_a_close_match(tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused(lambda: ancestral.fit("vae", out, learning_rat=0.1), "did you mean learning_rate")
    refused(lambda: ancestral.fit("vea", out), "did you mean vae?")
    refused(lambda: ancestral.fit("vae", out, optimizer="adm"), "--optimizer adm: did you mean adam")
    refused(lambda: ancestral.fit("vae", out, data="digts"), "did you mean digits")
    refused(lambda: ancestral.evaluate(out, split="tets"), "did you mean test?")  # type: ignore[arg-type]
    refused(lambda: ancestral.fit("vae", out, lr=0.1, learning_rate=0.2), "'lr' and 'learning_rate'", "--learning-rate")
    assert not out.exists()


@pytest.mark.parametrize("alias", ALIASES)
def test_each_alias_sets_its_setting(alias: str) -> None:
    known = setting_names("vae")
    setting = ALIASES[alias]
    assert setting in known, "an alias is of a setting that exists"
    for family in BUILT_IN:
        assert alias not in setting_names(family), "no family has a setting of that name"
    value = {"learning_rate": 0.5, "optimizer": "sgd", "data": "mnist", "weight_decay": 0.25}.get(setting, 7)
    given = settings_for("vae", **{alias: value})
    assert given == settings_for("vae", **{setting: value}) != settings_for("vae")


def test_aliases_work_as_flags(tmp_path: Path) -> None:
    words = ["--lr", "0.004", "--bs=16", "--dataset", "digits", "--num-epochs", "1", "--latent_dim", "3"]
    small = ["--hidden", "4", "--train-size", "64", "--valid-size", "20", "--tolerate"]
    train_without_page("vae", *words, *small, "--out", tmp_path / "run")
    kept = Run(tmp_path / "run").settings
    assert (kept.training.learning_rate, kept.training.batch_size, kept.training.epochs) == (0.004, 16, 1)
    assert (kept.data.data, kept.model.latents) == ("digits", 3)


def test_an_alias_of_a_setting_that_a_family_lacks_is_unknown(capsys: Captured) -> None:
    assert run("train", "mixture", "--latent-dim", "3") == 2
    assert "--latent-dim" in capsys.readouterr().err


def test_no_name_is_in_two_tables_of_aliases() -> None:
    tables = [set(ALIASES), set(FORMER_NAMES), set(FORMER_SWITCHES)]
    assert len(set.union(*tables)) == sum(map(len, tables))
