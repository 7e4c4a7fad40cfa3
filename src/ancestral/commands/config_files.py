"""Configuration files: YAML, TOML or JSON files with settings, which are converted to flags of the command line.

Files are read as text, without code or references. Each value is checked against the type of its setting before it
becomes a word of the command line, so that no value can be read as a flag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from ancestral.commands.config_text import TAGS, entries, refused
from ancestral.core.errors import InputError
from ancestral.core.text import close_matches
from ancestral.families.run_settings import setting_names
from ancestral.settings.checks import LONGEST_LIST, flag, shown, without_none
from ancestral.settings.names import FORMER_SWITCHES, present_name

FLAGS = ("--config", "--recipe")  # the second is the former name
FAMILY, NO_VALUE = "family", "none"
MAX_DIGITS = 300
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")  # as YAML 1.1 has them
NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")


class Setting(NamedTuple):
    """The allowed values of a setting.

    Args:      hint: its type, without None. optional: whether None is allowed. default: its default.
    """

    hint: Any
    optional: bool
    default: Any


def expand_configs(words: Sequence[str], family: str, axes: bool = False) -> list[str]:
    """Replace each `--config FILE` by the flags in the file, and former names of flags by the present ones.

    Flags from files come first, so flags of the command line override them. A later file overrides an earlier one.

    Args:      axes: whether a value may be a list or a range of values, as in a sweep.
    Raises:    InputError: the file is missing, not a mapping or for another family; or a setting is unknown or has a
               value of the wrong type.
    """
    known = _settings(family)
    from_files: dict[str, list[str]] = {}
    kept: list[str] = []
    for word, path in _with_files(words):
        if path is None:
            kept += _present_flag(word, known)
        else:
            from_files |= read_config(path, family, known, axes)
    _refuse_two_names(kept, known)
    return [word for flags in from_files.values() for word in flags] + kept


def family_of_configs(words: Sequence[str]) -> str:
    """The family that the configuration files name; of several, the last one.

    Raises:    InputError: a file is missing, or none names a family.
    """
    paths = [path for _, path in _with_files(words) if path is not None]
    named = [node.value for path in paths for name, node in entries(path) if name == FAMILY]
    if not paths:
        raise InputError(f"name a family first, before {words[0]} (see ancestral train --help)")
    if not named or not isinstance(named[-1], str):
        raise InputError(f"{paths[-1]} names no family: name it before {FLAGS[0]}")
    return named[-1]


def _with_files(words: Sequence[str]) -> Iterator[tuple[str, Path | None]]:
    """Each word, with the path if it is a flag of a configuration file; the word of the path itself is left out."""
    rest = iter(words)
    for word in rest:
        name, equals, path = word.partition("=")
        if name not in FLAGS:
            yield word, None
            continue
        path = path if equals else next(rest, "")
        if not path or path.startswith("--"):
            raise InputError(f"{name} needs the name of a .toml, .yaml or .json file")
        yield name, Path(path)


def _settings(family: str) -> dict[str, Setting]:
    found = {}
    for part in dict.fromkeys(setting_names(family).values()):
        hints, defaults = get_type_hints(part), part()
        for name in (field.name for field in fields(part)):
            bare = without_none(hints[name])
            found[name] = Setting(bare, bare is not hints[name], getattr(defaults, name))
    return found


def _present_flag(word: str, known: Mapping[str, Any]) -> list[str]:
    """The words of a flag under its present name, with or without an attached value; other words unchanged."""
    name, equals, value = word.partition("=")
    setting = name.removeprefix("--").replace("-", "_")
    if not name.startswith("--"):
        return [word]
    if setting in FORMER_SWITCHES and setting not in known and not equals:
        present, switched = FORMER_SWITCHES[setting]
        return [flag(present), switched]
    present = present_name(setting, known)
    return [word if present == setting else flag(present) + equals + value]


def _refuse_two_names(words: Sequence[str], known: Mapping[str, Any]) -> None:
    """Raises:    InputError: a former switch is given together with the setting that replaces it."""
    for setting, switched in FORMER_SWITCHES.values():
        if setting in known and sum(word.partition("=")[0] == flag(setting) for word in words) > 1:
            raise InputError(
                f"{flag(setting)} is given twice: give all its values at once, as in {flag(setting)} {switched} csv"
            )


def read_config(path: Path, family: str, known: Mapping[str, Setting], axes: bool) -> dict[str, list[str]]:
    """The words of each setting in a file; no words for a value that is the default.

    Args:      known: settings of the family. axes: as in `expand_configs`.
    Raises:    InputError: as in `expand_configs`.
    """
    found: dict[str, list[str]] = {}
    for name, node in entries(path):
        if name == FAMILY and name not in known:
            if node.value != family:
                raise refused(path, f"it is for the family {shown(node.value)!r}, not {family}")
            continue
        setting, switch = present_name(name.replace("-", "_"), known), ""
        if setting in FORMER_SWITCHES and setting not in known:
            switch, (setting, switched) = setting, FORMER_SWITCHES[setting]
        if setting not in known:
            raise refused(path, f"unknown setting {shown(name)!r}: {close_matches(setting, known)}")
        if setting in found:
            raise refused(path, f"{flag(setting)} is given twice")
        try:
            found[setting] = (
                [flag(setting), switched] * bool(_switch(switch, node, False))
                if switch
                else _words(setting, node, known[setting], axes)
            )
        except InputError as error:
            raise refused(path, str(error)) from error
    return found


def _words(name: str, node: Any, setting: Setting, axes: bool) -> list[str]:
    """A setting of a file as words of the command line.

    Raises:    InputError: the value has the wrong type.
    """
    import yaml

    if isinstance(node, yaml.MappingNode):
        raise InputError(f"{flag(name)} takes values, not a mapping")
    hint = setting.hint
    if isinstance(node, yaml.ScalarNode):
        if node.tag == f"{TAGS}null":
            return []
        if setting.optional and node.value == NO_VALUE and node.tag == f"{TAGS}str" and NO_VALUE not in get_args(hint):
            return [] if setting.default is None else [f"{flag(name)}=None"]
        if hint is bool:
            return _switch(name, node, setting.default)
        if axes and node.tag == f"{TAGS}str":  # possibly an axis such as 1e-2,1e-3, which the sweep parses
            return [f"{flag(name)}={_text(name, node)}"]
        if get_origin(hint) is not tuple:
            return [f"{flag(name)}={_value(name, node, hint)}"]
    elif get_origin(hint) is not tuple:
        raise InputError(f"{flag(name)} takes one value, not a list")
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if len(nodes) > LONGEST_LIST:
        raise InputError(f"{flag(name)} takes at most {LONGEST_LIST} values")
    return [flag(name), *(_value(name, each, get_args(hint)[0]) for each in nodes)]


def _switch(name: str, node: Any, default: Any) -> list[str]:
    given = node.value.lower()
    if node.tag != f"{TAGS}bool" or given not in TRUE + FALSE:
        raise InputError(f"{flag(name)} takes true or false, not {shown(node.value)!r}")
    value = given in TRUE
    return [] if value is default else [flag(name)] if value else ["--no-" + flag(name)[2:]]


def _value(name: str, node: Any, hint: Any) -> str:
    """One value as a word that cannot be read as a flag.

    Raises:    InputError: it is not a single value, or has the wrong type.
    """
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise InputError(f"{flag(name)} takes single values, not lists or mappings in a list")
    if hint is int or hint is float:
        return _number(name, node, hint)
    text = _text(name, node)
    if text.startswith("-"):
        raise InputError(f"{flag(name)} cannot be {shown(text)!r}: a value must not begin with -")
    return text


def _number(name: str, node: Any, hint: type) -> str:
    """Raises:    InputError: not a number, not an integer where one is needed, too many digits, or not finite."""
    import yaml

    wanted = "a whole number" if hint is int else "a number"
    text = str(node.value)
    if len(text) > MAX_DIGITS:
        raise InputError(f"{flag(name)} takes {wanted} of at most {MAX_DIGITS} digits")
    if node.tag == f"{TAGS}int":
        return str(yaml.SafeLoader("").construct_yaml_int(node))  # 0x10 and 1_000 too
    if hint is int or not NUMBER.fullmatch(text):
        raise InputError(f"{flag(name)} takes {wanted}, not {shown(text)!r}")
    if not math.isfinite(float(text)):
        raise InputError(f"{flag(name)} takes a finite number, not {shown(text)!r}")
    return text


def _text(name: str, node: Any) -> str:
    text = str(node.value)
    if not text.isprintable():
        raise InputError(f"{flag(name)} cannot have line breaks or control characters")
    return text
