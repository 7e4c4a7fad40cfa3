"""The axes of a sweep: settings with several values or a range, and their text form."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError
from ancestral.families.catalogue import find
from ancestral.settings.checks import flag, shown
from ancestral.settings.data import DataSettings
from ancestral.settings.names import present_name
from ancestral.settings.training import TrainingSettings

LARGEST_END = 1e300  # so that no computation overflows; the bounds of settings are smaller
LONGEST_NAME = 160  # characters; file names can have 255 bytes
SAME_DATA = "runs on different data or pixels are not comparable: use one sweep for each"
OTHER_START = "the weights fit the settings of one run: use one sweep for each parent"
SAME_RESULT = "it does not change the trained model, so there is nothing to compare"
FIXED = {
    **dict.fromkeys(("data", "pixels", "protocol", "valid_size", "split_seed", "pad_to"), SAME_DATA),
    **dict.fromkeys(("watch", "watch_size", "log_every", "samples_at", "track", "device"), SAME_RESULT),
    "init_from": OTHER_START,
    "seed": "give the number of seeds with --seeds; --seed is the first of them",
}
"""Settings that must be equal for all runs of a sweep, with the reason."""


@dataclass(frozen=True)
class Range:
    """A range of numbers, both ends included; integers if both ends are integers.

    Raises:    InputError: the ends are not finite or not in order.
    Example:
        >>> Range(1e-5, 1e-2).log, Range(0.0, 0.5).log, str(Range(2, 64))
        (True, False, '2..64')
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -LARGEST_END <= self.low < self.high <= LARGEST_END:  # this also excludes infinity and NaN
            raise InputError(f"{self}: a range must go from a smaller to a larger number")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def log(self) -> bool:
        """Whether values are drawn on a logarithmic scale: positive ends with a ratio of at least 10."""
        return self.low > 0 and self.high >= 10 * self.low

    def share(self, value: float) -> float:
        """The position of a number between the ends, from 0 to 1; on a logarithmic scale if `log`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def __str__(self) -> str:
        return f"{in_text(self.low)}..{in_text(self.high)}"


Axis = tuple[Any, ...] | Range


def split_axes(words: Sequence[str], family: str) -> tuple[dict[str, Axis], list[str]]:
    """The axes in the words of a command, and the words with each axis replaced by its first value.

    A value with commas is an axis (`--learning-rate 1e-2,1e-3`), and a value with two dots is a range (`--learning-rate
    1e-5..1e-2`). The numbers of one value are joined by x (`--hidden 256,512x512`), and `none` means no value. The
    returned words can be read like those of a single run.

    Raises:    InputError: a value cannot be read, or the setting cannot be varied.
    """
    hints = _hints(family)
    axes: dict[str, Axis] = {}
    kept: list[str] = []
    for group in _groups(words):
        first, *values = group
        name, equals, attached = first.removeprefix("--").partition("=")
        name = present_name(name.replace("-", "_"), hints)
        values = [attached, *values] if equals else values
        if not first.startswith("--") or name not in hints or not any(_varies(hints[name], v) for v in values):
            axes.pop(name, None)  # if a flag is given twice, the last one counts
            kept += group
            continue
        if len(values) > 1:
            raise InputError(
                f"{' '.join(group)}: join the numbers of one value with x, for example {flag(name)} 256,512x512"
            )
        axes[name] = axis_from(family, name, values[0])
        kept += _words(name, _first(axes[name]))
    return axes, kept


def axis_from(family: str, name: str, given: str | Range | Iterable[Any]) -> Axis:
    """One axis from the text of a flag, a range, or values.

    Raises:    InputError: no such setting, one that cannot be varied, or a value that cannot be read or is repeated.
    Example:
        >>> axis_from("vae", "hidden", "256,512x512")
        ((256,), (512, 512))
    """
    hints = _hints(family)
    name = present_name(name, hints)
    if name not in hints:
        raise InputError(f"unknown setting {name!r} for {family}: see `ancestral train {family} --help`")
    if name in FIXED:
        raise InputError(f"{flag(name)} cannot be swept: {FIXED[name]}")
    ranged = isinstance(given, Range) or (isinstance(given, str) and _is_range(hints[name], given))
    if ranged and _bare(hints[name]) not in (int, float):
        raise InputError(f"{flag(name)} {given}: only numbers can have a range: list the values with commas")
    if isinstance(given, Range):
        return given
    if isinstance(given, str):
        return _axis_from_text(hints[name], name, given)
    return _distinct(name, given)


def _axis_from_text(hint: Any, name: str, text: str) -> Axis:
    if _is_range(hint, text):
        low, _, high = text.partition("..")
        return Range(_value(hint, name, low), _value(hint, name, high))
    return _distinct(name, [_value(hint, name, word) for word in text.split(",")])


def _distinct(name: str, given: Iterable[Any]) -> tuple[Any, ...]:
    """The values of an axis.

    Raises:    InputError: no value, or a repeated one.
    """
    values = tuple(tuple(value) if isinstance(value, list) else value for value in given)
    if not values or len(set(values)) < len(values):
        raise InputError(f"{flag(name)} {','.join(map(in_text, values))}: give different values, each once")
    return values


def grid(axes: Mapping[str, Axis]) -> Iterator[dict[str, Any]]:
    """All combinations of the values of the axes; for a range, of its two ends."""
    choices = [(axis.low, axis.high) if isinstance(axis, Range) else axis for axis in axes.values()]
    for combination in itertools.product(*choices):
        yield dict(zip(axes, combination, strict=True))


def in_text(value: Any) -> str:
    """The text of a value in an axis: short, but exact."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def axis_words(name: str, axis: Axis) -> list[str]:
    """The flag of an axis on the command line."""
    return [flag(name), str(axis) if isinstance(axis, Range) else ",".join(map(in_text, axis))]


def folder_name(values: Mapping[str, Any]) -> str:
    """The folder name of a run: `learning-rate=0.01_seed=0`; a long name is cut and completed with a hash."""
    name = "_".join(f"{key.replace('_', '-')}={in_text(value)}" for key, value in values.items())
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _hints(family: str) -> dict[str, Any]:
    """The type of each setting of a family."""
    parts = (find(family).settings, DataSettings, TrainingSettings)
    return {field.name: get_type_hints(part)[field.name] for part in parts for field in fields(part)}


def _bare(hint: Any) -> Any:
    """The type without None."""
    arguments = get_args(hint)
    return arguments[0] if type(None) in arguments else hint


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    """Each flag with the words that follow it."""
    group: list[str] = []
    for word in words:
        if word.startswith("--") and group:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _is_range(hint: Any, word: str) -> bool:
    low, dots, high = word.partition("..")
    return bool(dots) and _bare(hint) is not str and _is_number(low) and _is_number(high)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _varies(hint: Any, word: str) -> bool:
    return "," in word or _is_range(hint, word)


def _value(hint: Any, name: str, word: str) -> Any:
    """A word as a value of a setting's type."""
    bare = _bare(hint)
    if get_origin(bare) is tuple:
        kind = get_args(bare)[0]
        return () if word == "none" else tuple(_value(kind, name, part) for part in word.split("x"))
    if word == "none" and bare is not hint:
        return None
    if bare is bool:
        return _truth(name, word)
    if bare is str or get_origin(bare) is Literal:
        return word
    try:
        return bare(word)
    except ValueError:
        wanted = "a whole number" if bare is int else "a number"
        raise InputError(f"{flag(name)} {shown(word)!r}: give {wanted}") from None


def _truth(name: str, word: str) -> bool:
    if word not in ("true", "false"):
        raise InputError(f"{flag(name)} {word!r}: give true or false")
    return word == "true"


def _first(axis: Axis) -> Any:
    return axis.low if isinstance(axis, Range) else axis[0]


def _words(name: str, value: Any) -> list[str]:
    """A value as the words of a flag; empty if a flag cannot express it."""
    if value is None or isinstance(value, bool):
        return []
    return [flag(name), *map(str, value if isinstance(value, tuple) else [value])]
