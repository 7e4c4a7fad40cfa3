"""Parsing of configuration files: YAML, TOML and JSON become names and YAML nodes; size and depth are limited."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError, refusal

MAX_BYTES = 64 << 10  # a file with all settings has about 3,000; the parser reads a few hundred thousand per second
MAX_DEPTH = 8
ADVICE = "correct the file"
TAGS = "tag:yaml.org,2002:"


class _Entries(list[tuple[str, Any]]):
    """Names and values of a JSON object; a name may occur twice."""


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Names and YAML nodes of the settings in a file, in their order. The ending gives the format; default: YAML.

    Raises:    InputError: too large, not text, a syntax error, an alias, not a mapping, or a name that is not text.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise refused(path, f"larger than {MAX_BYTES >> 10} KiB")
        text = content.decode()
        ending = path.suffix.lower()
        root = _of_toml(text) if ending == ".toml" else _of_json(text) if ending == ".json" else _of_yaml(path, text)
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"the configuration {path} cannot be read: {' '.join(str(problem).splitlines()[:1])}"
        ) from error
    import yaml

    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"the configuration {path} must be a mapping of settings to values")
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != f"{TAGS}str":
            raise refused(path, f"the name {str(getattr(key, 'value', ''))[:60]!r} is not text")
        yield key.value, value


def refused(path: Path, problem: str) -> InputError:
    """The error for a problem in a configuration file."""
    return refusal(f"the configuration {path}", problem, ADVICE)


def _of_yaml(path: Path, text: str) -> Any:
    """Raises:    InputError: an alias, or too deep. ValueError: not YAML."""
    import yaml

    depth = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:  # parsing time grows with the square of the depth
                raise refused(path, f"nested more than {MAX_DEPTH} levels deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise refused(path, "anchors and aliases are not supported")
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _of_toml(text: str) -> Any:
    """Raises:    ValueError: not TOML, or a number with too many digits. RecursionError: too deep."""
    return _node(tomllib.loads(text))


def _of_json(text: str) -> Any:
    """Raises:    ValueError: not JSON, or a number with too many digits. RecursionError: too deep."""
    return _node(json.loads(text, object_pairs_hook=_Entries))


def _node(value: Any) -> Any:
    """A value of TOML or JSON as a YAML node."""
    import yaml

    if isinstance(value, (dict, _Entries)):
        pairs: Iterable[tuple[str, Any]] = value.items() if isinstance(value, dict) else value
        return yaml.MappingNode(f"{TAGS}map", [(_node(name), _node(one)) for name, one in pairs])
    if isinstance(value, list):
        return yaml.SequenceNode(f"{TAGS}seq", [_node(one) for one in value])
    if value is None:
        return yaml.ScalarNode(f"{TAGS}null", "null")
    if isinstance(value, bool):
        return yaml.ScalarNode(f"{TAGS}bool", str(value).lower())
    kind = {int: "int", float: "float", str: "str"}.get(type(value), "timestamp")
    return yaml.ScalarNode(TAGS + kind, str(value))
