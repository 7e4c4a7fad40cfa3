"""The scripts of `shell-completion`, run by the shells themselves where they are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import printed

from ancestral.commands.completing import OWN_DRAWINGS, SHELLS
from ancestral.commands.dispatch import COMMANDS, command_of
from ancestral.commands.known_flags import known_flags
from ancestral.families.catalogue import BUILT_IN, find

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); COMPREPLY=()
_ancestral
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compadd() { shift; printf '%s\\n' "$@"; }
_files() { }
source "$1"; shift
words=("$@"); CURRENT=$#
_ancestral | while read -r word; do [[ "$word" == "${words[CURRENT]}"* ]] && print -r -- "$word"; done; true
"""
FISH = """
source $argv[1]
complete -C (string join -- ' ' $argv[2..]) | string split -f 1 \\t; true
"""
PROGRAMS = {"bash": ["bash", "--norc", "-c", BASH, "-"], "zsh": ["zsh", "-f", "-c", ZSH, "-"]}
PROGRAMS["fish"] = ["fish", "--no-config", "-c", FISH]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    program = """
import contextlib, io, sys
from ancestral.commands.main import main
for shell in ("bash", "zsh", "fish"):
    kept = io.StringIO()
    with contextlib.redirect_stdout(kept):
        assert main(["shell-completion", shell]) == 0
    open(f"{sys.argv[1]}/{shell}", "w").write(kept.getvalue())
assert not {"torch", "numpy", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    return folder


def completed(shell: str, scripts: Path, words: list[str], folder: Path) -> set[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = [*PROGRAMS[shell], str(scripts / shell), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return set(done.stdout.split())


CASES: dict[str, set[str]] = {
    "tr": {"train"},
    "sh": {"shell-completion"},
    "train v": {"vae"},
    "sweep belief": {"belief-net"},
    "train vae --lea": {"--learning-rate", "--learn-variance"},
    "train mixture --lea": {"--learning-rate"},
    "train vae --latents 2 --conf": {"--config"},
    "sweep made --tri": {"--trials"},
    "train made --no-": {"--no-direct", "--no-thumbnails"},
    "train vae --optimizer ad": {"adam", "adamw", "adamax"},
    "train vae --track c": {"csv"},
    "evaluate run --spl": {"--split"},
    "evaluate run --split v": {"valid"},
    "study uva": {"uva2018", "uva2020"},
    "data mn": {"mnist"},
    "draw man": {"manifold"},
    "draw comp": {"completions", "components"},
    "draw van": {"vanishing-gradient"},
    "shell-completion f": {"fish"},
    "evaluate run --nothing": set(),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", CASES)
def test_a_shell_completes(shell: str, line: str, scripts: Path, tmp_path: Path) -> None:
    assert completed(shell, scripts, ["ancestral", *line.split(" ")], tmp_path) == CASES[line]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_family_is_completed(shell: str, scripts: Path, tmp_path: Path) -> None:
    assert completed(shell, scripts, ["ancestral", ""], tmp_path) >= set(COMMANDS)
    assert completed(shell, scripts, ["ancestral", "train", ""], tmp_path) >= set(BUILT_IN)


@pytest.mark.parametrize("place", [*COMMANDS, *(f"train {family}" for family in BUILT_IN)])
def test_every_flag_is_in_the_script(place: str, scripts: Path, tmp_path: Path) -> None:
    verb, _, family = place.partition(" ")
    if verb in ("train", "sweep") and not family:
        return
    known = known_flags(command_of(verb, family) if family else COMMANDS[verb])
    found = completed("bash", scripts, ["ancestral", *place.split(), *([] if family else ["x"]), "--"], tmp_path)
    assert {name for name in known if name.startswith("--")} <= found


def test_the_flags_are_those_of_the_help(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is made from signatures, the help by the parser; both must agree."""
    monkeypatch.setenv("COLUMNS", "120")  # one column of panels
    for verb, family in [*((verb, "") for verb in COMMANDS if verb not in ("train", "sweep")), ("train", "made")]:
        known = known_flags(command_of(verb, family) if family else COMMANDS[verb])
        out, _ = printed(capsys, *filter(None, [verb, family]), "--help")
        shown = set(re.findall(r"^[│ ]+(?:-\w, )?(--\w[\w-]*)", out, re.MULTILINE)) - {"--help"}
        assert shown - {"--n"} == {name for name in known if name.startswith("--")} - {"--n"}, verb


def test_the_drawings_of_single_families_are_completed() -> None:
    assert set(OWN_DRAWINGS) == {drawing.name for name in BUILT_IN for drawing in find(name).code("drawings")}


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from ancestral.commands.main import main

    assert main(["shell-completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err
