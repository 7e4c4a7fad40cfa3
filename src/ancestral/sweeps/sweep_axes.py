"""What a sweep varies: settings with several values or a range of them, as a person writes them."""

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

LARGEST_END = 1e300  # no double overflows on the way; the setting's own bound is smaller
LONGEST_NAME = 160  # characters; a file's name may have 255 bytes
SAME_DATA = "runs on other images or pixels do not compare: give each a sweep of its own"
OTHER_START = "the weights fit the settings of one run: give each parent a sweep of its own"
SAME_RESULT = "it changes nothing of what is learned, so there is nothing to compare"
FIXED = {
    **dict.fromkeys(("data", "pixels", "protocol", "valid_size", "split_seed", "pad_to"), SAME_DATA),
    **dict.fromkeys(("watch", "watch_size", "log_every", "samples_at", "track", "device"), SAME_RESULT),
    "init_from": OTHER_START,
    "seed": "say how many with --seeds; --seed is the first of them",
}
"""Settings that are the same for all runs of a sweep, and why."""


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included; whole ones where both ends are whole.

    Raises:    InputError: the ends are not finite or not in order.
    Example:
        >>> Range(1e-5, 1e-2).log, Range(0.0, 0.5).log, str(Range(2, 64))
        (True, False, '2..64')
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -LARGEST_END <= self.low < self.high <= LARGEST_END:  # not of numbers that are not finite either
            raise InputError(f"{self}: a range goes from a smaller to a larger number")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def log(self) -> bool:
        """Whether it is drawn from by ratio: where both ends are positive and ten times or more apart."""
        return self.low > 0 and self.high >= 10 * self.low

    def share(self, value: float) -> float:
        """How far from the low end to the high one a number lies, by ratio where it is drawn so."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def __str__(self) -> str:
        return f"{in_text(self.low)}..{in_text(self.high)}"


Axis = tuple[Any, ...] | Range


def split_axes(words: Sequence[str], family: str) -> tuple[dict[str, Axis], list[str]]:
    """The axes among the words of a command, and the words without them.

    A flag whose value has commas is an axis (`--learning-rate 1e-2,1e-3`), one whose value has two dots a range
    (`--learning-rate 1e-5..1e-2`); several numbers that are one value are joined by x (`--hidden 256,512x512`), and
    `none` stands for no value. In place of an axis the words hold its first value, so that the rest can be read as
    for a single run.

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
            axes.pop(name, None)  # of flags given twice the last one counts
            kept += group
            continue
        if len(values) > 1:
            raise InputError(f"{' '.join(group)}: join the numbers of one value by x, {flag(name)} 256,512x512 say")
        axes[name] = axis_from(family, name, values[0])
        kept += _words(name, _first(axes[name]))
    return axes, kept


def axis_from(family: str, name: str, given: str | Range | Iterable[Any]) -> Axis:
    """One axis from the text of a flag, a range, or values.

    Raises:    InputError: no such setting, one that cannot be varied, a value that cannot be read or is given twice.
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
        raise InputError(f"{flag(name)} {given}: only a number can have a range; list its values with commas")
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
    """Values of an axis, refused where one is given twice or none is given."""
    values = tuple(tuple(value) if isinstance(value, list) else value for value in given)
    if not values or len(set(values)) < len(values):
        raise InputError(f"{flag(name)} {','.join(map(in_text, values))}: give different values, each once")
    return values


def grid(axes: Mapping[str, Axis]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of the axes; of a range, its ends."""
    choices = [(axis.low, axis.high) if isinstance(axis, Range) else axis for axis in axes.values()]
    for combination in itertools.product(*choices):
        yield dict(zip(axes, combination, strict=True))


def in_text(value: Any) -> str:
    """A value as it is written in an axis: shortly, but to the last digit."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def axis_words(name: str, axis: Axis) -> list[str]:
    """The flag of an axis as a person types it."""
    return [flag(name), str(axis) if isinstance(axis, Range) else ",".join(map(in_text, axis))]


def folder_name(values: Mapping[str, Any]) -> str:
    """A name for the run of a combination: `learning-rate=0.01_seed=0`; a long one is cut and told apart by a hash."""
    name = "_".join(f"{key.replace('_', '-')}={in_text(value)}" for key, value in values.items())
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _hints(family: str) -> dict[str, Any]:
    """The type of each setting of a family."""
    parts = (find(family).settings, DataSettings, TrainingSettings)
    return {field.name: get_type_hints(part)[field.name] for part in parts for field in fields(part)}


def _bare(hint: Any) -> Any:
    """The type without its None."""
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
    """A value as the words of a single run's flag; none where a flag has no words for it."""
    if value is None or isinstance(value, bool):
        return []
    return [flag(name), *map(str, value if isinstance(value, tuple) else [value])]
