"""Parses a command line and runs the command.

Importing this module imports the parser of flags and all commands, but not torch or other heavy packages.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import inspect
import io
import re
import shutil
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import tyro

from ancestral.commands.completing import script
from ancestral.commands.compressing import compress, decompress
from ancestral.commands.config_files import expand_configs, family_of_configs
from ancestral.commands.console import listed, say, show_messages, wrapped_at_words
from ancestral.commands.explaining import explain, infer
from ancestral.commands.exploring import explore
from ancestral.commands.flags import registry, shown_well, usage
from ancestral.commands.judging import bracket, compare, evaluate, quality, verify
from ancestral.commands.known_flags import known_flags, refuse_unknown_words
from ancestral.commands.listing import families
from ancestral.commands.narrow_help import NARROW, RENDERED, as_wide_as, rewrapped
from ancestral.commands.parse_errors import parse_error
from ancestral.commands.publishing import export, open_page, publish
from ancestral.commands.sampling import sample
from ancestral.commands.sources import data
from ancestral.commands.submitting import progress
from ancestral.commands.sweeping import sweep
from ancestral.commands.training import study, train, with_settings_of_run
from ancestral.commands.using import complete, detect, draw
from ancestral.core.errors import InputError
from ancestral.core.text import close_matches
from ancestral.families.catalogue import BUILT_IN, VARIABLE, find, installed, load_file, load_named_files, names
from ancestral.sweeps.sweep_axes import split_axes


def shell_completion(
    shell: Annotated[tyro.conf.Positional[Literal["bash", "zsh", "fish"]], tyro.conf.arg(metavar="SHELL")],
) -> None:
    """Print a script that completes commands, families, flags and values in a shell.

    bash: add  source <(ancestral shell-completion bash)  to ~/.bashrc. zsh: write it to a file _ancestral in a folder
    of $fpath. fish: write it to ~/.config/fish/completions/ancestral.fish.

    Args:
        shell: bash, zsh or fish
    """
    print(script(shell, COMMANDS, command_of))


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "sweep": sweep,
    "evaluate": evaluate,
    "sample": sample,
    "draw": draw,
    "complete": complete,
    "infer": infer,
    "compare": compare,
    "quality": quality,
    "detect": detect,
    "explain": explain,
    "explore": explore,
    "compress": compress,
    "decompress": decompress,
    "study": study,
    "progress": progress,
    "bracket": bracket,
    "verify": verify,
    "open": open_page,
    "export": export,
    "publish": publish,
    "data": data,
    "families": families,
    "shell-completion": shell_completion,
}
FRAME = re.compile(r"^(?:(?:\x1b\[[0-9;]*m)*╭| .*\n -{4,})", re.MULTILINE)  # start of the first table, framed or not
FLAT = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


def dispatch(words: list[str]) -> None:
    """Run a command.

    Raises:    SystemExit: after printing help. Otherwise the exceptions of the command; `main` handles them.
    """
    show_messages()
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return
    if words[0] == "--version":
        print(f"ancestral {importlib.metadata.version('ancestral')}")
        return
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        raise InputError(f"unknown command {name!r}: {close_matches(name, COMMANDS)} (see ancestral --help)")
    rest = _fetch_runs(_load_families(rest))
    if name in ("train", "sweep"):
        _of_family(name, rest)
    else:
        _parse(COMMANDS[name], rest, f"ancestral {name}")()


def _load_families(words: list[str]) -> list[str]:
    """Load the file of each `--family FILE.py`; returns the other words. Every command takes this flag, repeatedly.

    Raises:    InputError: no file is given, or it cannot be loaded.
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


def _fetch_runs(words: list[str]) -> list[str]:
    """Download each run given as `hub:OWNER/NAME`; returns the words with local folders in their place.

    Raises:    InputError: the run does not exist, or the hub cannot be reached.
    """
    if not any(word.startswith("hub:") for word in words):
        return words
    from ancestral.runs.hub import fetch_run, is_on_hub

    return [str(fetch_run(word)) if is_on_hub(word) else word for word in words]


def _family_list() -> str:
    """A line for each family. Installed plug-ins are not imported; files named in the environment are loaded."""
    for refused in load_named_files():
        say(f"{VARIABLE}: {refused}")
    rows = [(name, find(name).summary) for name in BUILT_IN]
    rows += [(name, f"from the installed package {point.value}") for name, point in installed().items()]
    rows += [(name, find(name).summary) for name in names() if name not in (*BUILT_IN, *installed())]
    return listed([*rows, ("FILE.py", "your own family: a Python file that defines FAMILY")])


def _ways_to_families() -> str:
    text = (
        "To use your own families, add --family FILE.py to any command, or list the files in the environment variable "
        f"{VARIABLE}."
    )
    return _paragraph(text)


def _paragraph(text: str, hanging: str = "") -> str:
    """A text wrapped to the width of the terminal; lines after the first begin with `hanging`."""
    return wrapped_at_words(text, shutil.get_terminal_size().columns, hanging)[len(hanging) :]


def _description(command: Callable[..., Any]) -> str:
    """The description of a command: its docstring up to the arguments."""
    text = inspect.cleandoc(command.__doc__ or "").partition("Args:")[0].strip()
    return "\n\n".join(_paragraph(" ".join(part.split())) for part in text.split("\n\n"))


def _frames(text: str) -> str:
    """The tables of flags in the parser's help, without the text above them."""
    return text[found.start() :] if (found := FRAME.search(text)) else ""


def _of_family(name: str, words: list[str]) -> None:
    """Run a command that trains; its first word is a family, which defines its flags."""
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: ancestral {name} FAMILY [flags]\n\n{_paragraph(_summary(COMMANDS[name]))}\n")
        print(f"FAMILY:\n{_family_list()}\n\n{_ways_to_families()}")
        print(_paragraph(f"See ancestral {name} FAMILY --help for the flags of a family."))
        return
    family, rest = (words[0], words[1:]) if not words[0].startswith("-") else (family_of_configs(words), words)
    family = load_file(family).name if family.endswith(".py") else find(family).name
    axes = None
    rest = expand_configs(rest, family, axes=name == "sweep")
    if not {"-h", "--help"} & set(rest):
        rest = with_settings_of_run(family, rest)
    if name == "sweep":
        axes, rest = split_axes(rest, family)
    _parse(command_of(name, family, axes), rest, f"ancestral {name} {family}")()


def command_of(name: str, family: str, axes: Any = None) -> Callable[..., None]:
    """The function of a command that trains, with the flags of a family as arguments.

    Args:      axes: axes of a sweep.
    """
    command = COMMANDS[name]
    known = {"family": family, **({} if axes is None else {"axes": axes})}

    def trains(model: Any, **flags: Any) -> None:
        command(model=model, **known, **flags)

    # tyro makes flags from annotations: those of the general command, with the settings of this family as model
    trains.__doc__ = command.__doc__
    parameters = {n: p for n, p in inspect.signature(command).parameters.items() if n not in ("family", "axes")}
    parameters["model"] = parameters["model"].replace(annotation=find(family).settings)
    trains.__annotations__ = {n: p.annotation for n, p in parameters.items()}
    trains.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    return trains


def _parse(target: Callable[..., Any], words: list[str], program: str) -> Callable[[], Any]:
    """Read the arguments of `target` from the words; returns a function that calls it.

    Raises:    InputError: wrong arguments, in one line. SystemExit: after printing help.
    """

    if not {"-h", "--help"} & set(words):
        try:
            refuse_unknown_words(words, known_flags(target))
        except InputError as error:
            raise InputError(f"{error} (see {program} --help)") from None
    narrow = shutil.get_terminal_size().columns < NARROW
    refusal, help_text = io.StringIO(), io.StringIO() if narrow else _Captured()
    try:
        with contextlib.ExitStack() as places:
            places.enter_context(contextlib.redirect_stderr(refusal))
            places.enter_context(contextlib.redirect_stdout(help_text))
            if narrow:
                places.enter_context(as_wide_as(RENDERED))
            return tyro.cli(shown_well(target), args=words, prog=program, config=FLAT, registry=registry(target))
    except SystemExit as stop:
        if not stop.code:
            print(f"{_paragraph(usage(program, target), '    ')}\n\n{_description(target)}\n")
            tables = _frames(help_text.getvalue())
            print(f"{rewrapped(tables) if narrow else tables}{_ways_to_families()}")
            raise
        raise InputError(f"{parse_error(refusal.getvalue())} (see {program} --help)") from None


class _Captured(io.StringIO):
    """Captures output with the terminal properties of stdout, by which tyro chooses colours and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.place = sys.stdout

    def isatty(self) -> bool:
        return self.place.isatty()

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return getattr(self.place, "encoding", None)


def _overview() -> str:
    lines = [
        "usage: ancestral COMMAND ...",
        "",
        _paragraph("Train, evaluate and use deep generative models."),
        "",
        "commands:",
    ]
    lines.append(listed([(name, _summary(command)) for name, command in COMMANDS.items()]))
    last = _paragraph("ancestral COMMAND --help shows the flags of a command; ancestral --version shows the version.")
    return "\n".join([*lines, "", _ways_to_families(), last])


def _summary(described: Any) -> str:
    return (described.__doc__ or "").strip().splitlines()[0]
