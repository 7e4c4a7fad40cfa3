"""Scripts that complete verbs, families, flags and values in a shell.

A script contains a table of the words after each command and of the values of each flag. It does not run the program,
so completion is fast; print it again after an update of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ancestral.commands.known_flags import Flag, known_flags
from ancestral.families.catalogue import BUILT_IN, installed
from ancestral.families.family import GENERAL_DRAWINGS
from ancestral.settings.data import IMAGE_SETS, POINT_SETS
from ancestral.studies.names import STUDIES

SHELLS = ("bash", "zsh", "fish")
COMMON = ("--help", "--family")
OF_TRAININGS = ("--config",)
OWN_DRAWINGS = (
    "components",
    "information",
    "mean-images",
    "trees",
    "vanishing-gradient",
)  # of single families; their records would import torch


Words = Mapping[str, list[str]]


def script(
    shell: str, commands: Mapping[str, Callable[..., Any]], command_of: Callable[[str, str], Callable[..., Any]]
) -> str:
    """The script of a shell.

    Args:      commands: by name. command_of: returns the function of a command that trains, for a family.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](*table(commands, command_of))


def table(
    commands: Mapping[str, Callable[..., Any]], command_of: Callable[[str, str], Callable[..., Any]]
) -> tuple[Words, Words, Words]:
    """Tables of the words for completion.

    Args:      commands: by name. command_of: returns the function of a command that trains, for a family.
    Returns:   first words after each command; flags of each command, by `NAME` or `NAME FAMILY`; and values of each
               flag with choices, by `NAME --flag` or `NAME FAMILY --flag`.
    """
    families = [*BUILT_IN, *installed()]
    first: dict[str, list[str]] = {
        "study": list(STUDIES),
        "data": [*IMAGE_SETS, *POINT_SETS],
        "draw": sorted({*GENERAL_DRAWINGS, *OWN_DRAWINGS}),
        "families": families,
        "shell-completion": list(SHELLS),
        **dict.fromkeys(("train", "sweep"), families),
    }
    flags: dict[str, list[str]] = {}
    choices: dict[str, list[str]] = {}

    def add(place: str, known: Mapping[str, Flag], more: Iterable[str]) -> None:
        flags[place] = sorted({*known, *COMMON, *more})
        choices.update({f"{place} {name}": list(one.choices) for name, one in known.items() if one.choices})

    for name, command in commands.items():
        if name not in ("train", "sweep"):
            add(name, known_flags(command), ())
            continue
        flags[name] = sorted({*COMMON, *OF_TRAININGS})
        for family in BUILT_IN:
            add(f"{name} {family}", known_flags(command_of(name, family)), OF_TRAININGS)
    return {name: first.get(name, []) for name in commands}, flags, choices


def _cases(table: Words, indent: str, command: str) -> str:
    """Branches of a shell `case`, one for each key."""
    return "\n".join(f"{indent}'{key}') {command.format(' '.join(words))} ;;" for key, words in table.items() if words)


def _bash(first: Words, flags: Words, choices: Words) -> str:
    return f"""# completion of ancestral in bash: source <(ancestral shell-completion bash)
_ancestral() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    local verb="${{COMP_WORDS[1]}}" place="${{COMP_WORDS[1]}}" found=""
    case "$verb" in train|sweep) place="$verb ${{COMP_WORDS[2]}}" ;; esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        found="{" ".join(first)} --help --version"
    elif [[ "$current" == -* ]]; then
        case "$place" in
{_cases(flags, " " * 12, 'found="{}"')}
            *) found="{" ".join((*COMMON, *OF_TRAININGS))}" ;;
        esac
    elif [ "$COMP_CWORD" -eq 2 ]; then
        case "$verb" in
{_cases(first, " " * 12, 'found="{}"')}
        esac
    else
        case "$place $before" in
{_cases(choices, " " * 12, 'found="{}"')}
        esac
    fi
    COMPREPLY=($(compgen -W "$found" -- "$current"))
}}
complete -o default -F _ancestral ancestral"""


def _zsh(first: Words, flags: Words, choices: Words) -> str:
    return f"""#compdef ancestral
# completion of ancestral in zsh: ancestral shell-completion zsh > FOLDER/_ancestral, for a FOLDER of $fpath
_ancestral() {{
    local current="${{words[CURRENT]}}" before="${{words[CURRENT-1]}}" verb="${{words[2]}}" place="${{words[2]}}"
    local found=""
    case "$verb" in train|sweep) place="$verb ${{words[3]}}" ;; esac
    if (( CURRENT == 2 )); then
        found="{" ".join(first)} --help --version"
    elif [[ "$current" == -* ]]; then
        case "$place" in
{_cases(flags, " " * 12, 'found="{}"')}
            *) found="{" ".join((*COMMON, *OF_TRAININGS))}" ;;
        esac
    elif (( CURRENT == 3 )); then
        case "$verb" in
{_cases(first, " " * 12, 'found="{}"')}
        esac
    else
        case "$place $before" in
{_cases(choices, " " * 12, 'found="{}"')}
        esac
    fi
    [[ -n "$found" ]] && compadd -- ${{=found}}
    [[ "$current" == -* ]] || (( CURRENT == 2 )) || _files
}}
if [[ "$funcstack[1]" == _ancestral ]]; then _ancestral "$@"; elif (( $+functions[compdef] )); then
    compdef _ancestral ancestral
fi"""


def _fish(first: Words, flags: Words, choices: Words) -> str:
    return f"""# completion of ancestral in fish: write this to ~/.config/fish/completions/ancestral.fish
function __ancestral_words
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l verb $words[2]
    set -l place $words[2]
    set -l found
    switch "$verb"
        case train sweep
            set place (string join -- ' ' $verb $words[3])
    end
    if test (count $words) -eq 1
        set found {" ".join(first)} --help --version
    else if string match -q -- '-*' "$current"
        switch "$place"
{_fish_cases(flags)}
            case '*'
                set found {" ".join((*COMMON, *OF_TRAININGS))}
        end
    else if test (count $words) -eq 2
        switch "$verb"
{_fish_cases(first)}
        end
    else
        switch (string join -- ' ' $place $words[-1])
{_fish_cases(choices)}
        end
    end
    string join \\n -- $found
end
complete -c ancestral -a '(__ancestral_words)'"""


def _fish_cases(table: Words) -> str:
    return "\n".join(
        f"            case '{key}'\n                set found {' '.join(words)}"
        for key, words in table.items()
        if words
    )
