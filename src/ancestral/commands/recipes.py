"""Recipes: YAML files with settings, which become flags of the command line.

Only text is read from a recipe. Its values are compared with the types of the settings before they become words of the
command line, so that no value can be taken for a flag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError, refusal
from ancestral.families.run_settings import setting_names
from ancestral.settings.checks import LONGEST_LIST, flag, shown, without_none
from ancestral.settings.data import present_name

MAX_BYTES = 64 << 10  # a recipe of all settings has two thousand; the parser reads a few hundred thousand a second
MAX_DIGITS, MAX_DEPTH = 300, 8
ADVICE = "correct the recipe"
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")  # as YAML 1.1 has them
TAGS = "tag:yaml.org,2002:"
NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?")


def expand_recipes(words: list[str], family: str, axes: bool = False) -> list[str]:
    """Replace `--recipe FILE.yaml` by the flags it holds, in front, so that flags of the command line win; and flags
    of former names by the present ones. Of several recipes the later one wins.

    Args:      axes: whether a value may be several, or a range, as a sweep has them.
    Raises:    InputError: no such file, not a mapping, an unknown setting, or a value that is not of its type.
    """
    hints = {name: hint for part in set(setting_names(family).values()) for name, hint in _hints(part).items()}
    from_recipes: dict[str, list[str]] = {}
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, path = word.partition("=")
        if name != "--recipe":
            kept.append(_present_flag(word, hints))
            continue
        path = path if equals else next(rest, "")
        if not path or path.startswith("--"):
            raise InputError("--recipe needs the name of a YAML file")
        from_recipes |= read_recipe(Path(path), hints, _defaults(family), axes)
    return [word for flags in from_recipes.values() for word in flags] + kept


def _hints(part: type) -> dict[str, Any]:
    hints = get_type_hints(part)
    return {field.name: without_none(hints[field.name]) for field in fields(part)}


def _defaults(family: str) -> dict[str, Any]:
    return {name: getattr(part(), name) for name, part in setting_names(family).items()}


def _present_flag(word: str, known: Mapping[str, Any]) -> str:
    """`--protocol` for its former name `--split`, with or without a value attached; any other word as it is."""
    name, equals, value = word.partition("=")
    setting = name.removeprefix("--").replace("-", "_")
    present = present_name(setting, known)
    return word if present == setting or not name.startswith("--") else flag(present) + equals + value


def read_recipe(path: Path, hints: Mapping[str, Any], defaults: Mapping[str, Any], axes: bool) -> dict[str, list[str]]:
    """The words of each setting that a recipe names; none for a value that is the default.

    Args:      hints: type of each setting, without its None. defaults: of each setting. axes: as `expand_recipes`.
    Raises:    InputError: as `expand_recipes`.
    """
    found: dict[str, list[str]] = {}
    for name, value in _entries(path):
        setting = present_name(name.replace("-", "_"), hints)
        if setting not in hints:
            raise InputError(f"the recipe {path} has an unknown setting {shown(name)!r}")
        if setting in found:
            raise _refusal(path, f"{flag(setting)} is given twice")
        try:
            found[setting] = _words(setting, value, hints[setting], defaults[setting], axes)
        except InputError as error:
            raise _refusal(path, str(error)) from error
    return found


def _refusal(path: Path, problem: str) -> InputError:
    return refusal(f"the recipe {path}", problem, ADVICE)


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Names and YAML nodes of a recipe's settings, in their order.

    Raises:    InputError: too large, not text, no YAML, an alias, no mapping, or a name that is not text.
    """
    import yaml

    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _refusal(path, f"larger than {MAX_BYTES >> 10} KiB")
        text = content.decode()
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # the parser's time grows with the square of the depth
                raise _refusal(path, f"nested more than {MAX_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise _refusal(path, "anchors and aliases are not read")
        root = yaml.compose(text, yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the recipe {path} cannot be read: {' '.join(str(error).splitlines()[:1])}") from error
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"the recipe {path} must be a mapping of settings to values")
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != f"{TAGS}str":
            raise _refusal(path, f"the name {shown(getattr(key, 'value', ''))!r} is not text")
        yield key.value, value


def _words(name: str, node: Any, hint: Any, default: Any, axes: bool) -> list[str]:
    """A setting of a recipe as words of the command line.

    Raises:    InputError: the value is not of the setting's type.
    """
    import yaml

    if isinstance(node, yaml.MappingNode):
        raise InputError(f"{flag(name)} takes values, not settings of its own")
    if isinstance(node, yaml.ScalarNode):
        if node.tag == f"{TAGS}null":
            return []
        if hint is bool:
            return _switch(name, node, default)
        if axes and node.tag == f"{TAGS}str":  # perhaps an axis, 1e-2,1e-3: the sweep reads it
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
    """One value as a word that is no flag.

    Raises:    InputError: it is no single value, or not of the type.
    """
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise InputError(f"{flag(name)} takes single values, not lists or settings in a list")
    if hint is int or hint is float:
        return _number(name, node, hint)
    text = _text(name, node)
    if text.startswith("-"):
        raise InputError(f"{flag(name)} cannot be {shown(text)!r}: it begins as a flag does")
    return text


def _number(name: str, node: Any, hint: type) -> str:
    """Raises:    InputError: no number, not whole where it must be, too many digits, or not finite."""
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
