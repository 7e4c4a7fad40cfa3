"""The command line: `ancestral COMMAND ...`.

Exit codes: 0 done, 2 wrong request or input, 3 training diverged or unhealthy, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro

from ancestral import commands
from ancestral.commands.flags import registry, shown_well, usage
from ancestral.core.errors import InputError, Interrupted, TrainingDiverged, TrainingUnhealthy
from ancestral.core.text import close_matches
from ancestral.families.catalogue import BUILT_IN, find, installed, load_file, names
from ancestral.families.run_settings import setting_names
from ancestral.settings.checks import flag
from ancestral.settings.data import present_name
from ancestral.sweeps.sweep_axes import split_axes

COMMANDS: dict[str, Callable[..., None]] = {
    "train": commands.train,
    "sweep": commands.sweep,
    "evaluate": commands.evaluate,
    "sample": commands.sample,
    "draw": commands.draw,
    "complete": commands.complete,
    "infer": commands.infer,
    "compare": commands.compare,
    "quality": commands.quality,
    "detect": commands.detect,
    "explain": commands.explain,
    "study": commands.study,
    "bracket": commands.bracket,
    "verify": commands.verify,
    "data": commands.data,
}
FLAT = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors that a person can mend are one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(words)
    except SystemExit:  # help was asked for, and printed
        return 0
    except InputError as error:
        return _complain(error, 2)
    except TrainingDiverged as error:
        return _complain(f"training diverged: {error}; the last finite weights are kept", 3)
    except TrainingUnhealthy as error:
        return _complain(f"training failed: {error}; the model and its report are kept (--tolerate accepts it)", 3)
    except Interrupted as error:
        return _complain(error, 130)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has left
        return 0
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    return 0


def _complain(error: object, code: int) -> int:
    line = " ".join(str(error).split())
    print(f"ancestral: {line}", file=sys.stderr)
    return code


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return
    if words[0] == "--version":
        print(f"ancestral {importlib.metadata.version('ancestral')}")
        return
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise InputError(f"unknown command {name!r}: {close_matches(name, COMMANDS)} (see ancestral --help)")
    rest = _load_families(rest)
    if name in ("train", "sweep"):
        _of_family(name, rest)
    else:
        _parse(COMMANDS[name], rest, f"ancestral {name}")()


def _load_families(words: list[str]) -> list[str]:
    """The words without `--family FILE.py`, which every command takes, as often as needed; the files are loaded.

    Raises:    InputError: no file follows, or it cannot be loaded.
    """
    kept, rest = [], iter(words)
    for word in rest:
        flag, given, path = word.partition("=")
        if flag != "--family":
            kept.append(word)
            continue
        path = path if given else next(rest, "")
        if not path:
            raise InputError("--family needs a Python file that defines FAMILY")
        load_file(path)
    return kept


def _family_list() -> str:
    """A line for each family; plug-ins are named, not imported."""
    lines = [f"  {name:<12} {find(name).summary}" for name in BUILT_IN]
    lines += [f"  {name:<12} from the installed package {point.value}" for name, point in installed().items()]
    lines += [f"  {name:<12} {find(name).summary}" for name in names() if name not in (*BUILT_IN, *installed())]
    return "\n".join([*lines, "  FILE.py      a family of your own: a file that defines FAMILY"])


def _of_family(name: str, words: list[str]) -> None:
    """A command that trains: its flags are those of a family, which is its first word."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: ancestral {name} FAMILY [flags]\n\n{_summary(COMMANDS[name])}\n\nFAMILY:\n{_family_list()}")
        print(f"\nSee ancestral {name} FAMILY --help for its flags.")
        return
    family, rest = words[0], words[1:]
    family = load_file(family).name if family.endswith(".py") else find(family).name
    command = COMMANDS[name]
    known: dict[str, Any] = {"family": family}
    rest = expand_recipes(rest, family)
    if name == "sweep":
        known["axes"], rest = split_axes(rest, family)

    def trains(model: Any, **flags: Any) -> None:
        command(model=model, **known, **flags)

    # tyro makes flags from annotations: those of the general command, with this family's settings as its model
    trains.__doc__ = command.__doc__
    parameters = {n: p for n, p in inspect.signature(command).parameters.items() if n not in known}
    parameters["model"] = parameters["model"].replace(annotation=find(family).settings)
    trains.__annotations__ = {n: p.annotation for n, p in parameters.items()}
    trains.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    _parse(trains, rest, f"ancestral {name} {family}")()


def _parse(target: Callable[..., Any], words: list[str], program: str) -> Callable[[], Any]:
    """`target` with its arguments read from the words by tyro, not yet called.

    Raises:    InputError: what tyro refuses, in one line. SystemExit: help was asked for, and printed.
    """

    refusal, help_text = io.StringIO(), _Captured()
    try:
        with contextlib.redirect_stderr(refusal), contextlib.redirect_stdout(help_text):
            return tyro.cli(shown_well(target), args=words, prog=program, config=FLAT, registry=registry())
    except SystemExit as stop:
        if not stop.code:
            _, _, below = help_text.getvalue().partition("\n\n")
            print(f"{usage(program, target)}\n\n{below}", end="")
            raise
        text = re.sub(r"╭.*╮|[╰╯│─]+|-{4,}", " ", refusal.getvalue())  # the frame and its title
        text = " ".join(text.split()).split("For full helptext")[0].strip()
        text = re.sub(r"^Error parsing (model|data|training): ", "", text)  # our own words follow
        raise InputError(f"{text} (see {program} --help)") from None


class _Captured(io.StringIO):
    """Keeps what is printed, but looks like the place where it goes in the end: tyro asks for colours and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.place = sys.stdout

    def isatty(self) -> bool:
        return self.place.isatty()

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return getattr(self.place, "encoding", None)


def expand_recipes(words: list[str], family: str) -> list[str]:
    """Replace `--recipe FILE.yaml` by the flags it holds, in front, so that flags of the command line win; and flags
    of former names by the present ones.

    Raises:    InputError: no such file, not a mapping, or an unknown setting.
    """
    known = set(setting_names(family))
    expanded: list[str] = []
    rest = list(words)
    while "--recipe" in rest:
        at = rest.index("--recipe")
        if at + 1 == len(rest) or rest[at + 1].startswith("--"):
            raise InputError("--recipe needs the name of a YAML file")
        expanded += _recipe_flags(Path(rest[at + 1]), known)
        del rest[at : at + 2]
    return expanded + [_present_flag(word, known) for word in rest]


def _present_flag(word: str, known: set[str]) -> str:
    """`--protocol` for its former name `--split`, with or without a value attached; any other word as it is."""
    name, equals, value = word.partition("=")
    setting = name.removeprefix("--").replace("-", "_")
    present = present_name(setting, known)
    return word if present == setting or not name.startswith("--") else flag(present) + equals + value


def _recipe_flags(path: Path, known: set[str]) -> list[str]:
    import yaml

    try:
        recipe = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the recipe {path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"the recipe {path} must be a mapping of settings to values")
    flags: list[str] = []
    for name, value in recipe.items():
        setting = present_name(str(name).replace("-", "_"), known)
        if setting not in known:
            raise InputError(f"the recipe {path} has an unknown setting {name!r}")
        if value is True:
            flags.append(flag(setting))
        elif value is not False and value is not None:
            flags += [flag(setting), *map(str, value if isinstance(value, list) else [value])]
    return flags


def _overview() -> str:
    lines = [
        "usage: ancestral COMMAND ...",
        "",
        "Deep generative models: train, measure and use them.",
        "",
        "commands:",
    ]
    lines += [f"  {name:<10} {_summary(command)}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "See ancestral COMMAND --help for each; ancestral --version."])


def _summary(described: Any) -> str:
    return (described.__doc__ or "").strip().splitlines()[0]


def entry() -> None:
    """What the installed command runs."""
    # Threads that wait for each other spin, which crawls as soon as the machine does anything else. A short spin
    # doubles the speed on two busy cores and costs nothing on idle ones; not to spin at all costs them a third.
    # It must be said before torch loads its thread library.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    raise SystemExit(main())
