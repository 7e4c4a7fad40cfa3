"""Conversion of stored numbers to levels 0..levels-1. Inferred levels cause a notice; ambiguous numbers an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.data.storage import allocated, is_mapped
from ancestral.settings.data import MAX_LEVELS, ReadOptions

BYTE_LEVELS = 256
MOST_INFERRED = 32  # whole numbers below this are used as levels; at most this many different values cause a notice
BLOCK_VALUES = 1 << 19  # numbers per block, so that copies in float64 are small
MOST_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Quantised:
    """Images of all parts of a source as whole levels.

    Args:
        arrays: arrays by part, with the shapes of the stored arrays; uint8 for up to 256 levels, otherwise uint16.
        levels: pixels are in 0..levels-1.
        value_range: the stored values that correspond to level 0 and level levels-1.
        assumptions: notices about inferred levels, one sentence each.
    """

    arrays: dict[str, np.ndarray]
    levels: int
    value_range: tuple[float, float]
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class _Survey:
    """Statistics of the arrays: kind of number, type, lowest and highest value, and all values if they are few."""

    kind: str
    dtype: np.dtype
    low: float
    high: float
    few: np.ndarray | None


@dataclass(frozen=True)
class _Scale:
    """The linear map of stored values to levels."""

    low: float
    high: float
    levels: int

    def apply(self, block: np.ndarray) -> np.ndarray:
        """Levels of stored values, not yet of their final type."""
        span, steps = self.high - self.low, self.levels - 1
        if block.dtype.kind != "f" and (self.low, span) == (0, steps):
            return block
        if block.dtype.kind == "f" and (self.low, self.high) == (0, 1) and self.levels <= BYTE_LEVELS:
            return np.rint(block * steps)  # in the type of the array, as in earlier versions
        return np.rint((block.astype(np.float64) - self.low) * (steps / span))


def quantise(subject: object, arrays: Mapping[str, np.ndarray], options: ReadOptions) -> Quantised:
    """Convert stored numbers to whole levels, with the same rule for all parts of a source.

    Without options: whole numbers up to n <= 31 have n + 1 levels; up to 255, they have 256 levels; larger ones are
    scaled to 256 levels. Booleans have 2 levels. Floats in [0, 1] are rounded to 256 levels, or to 2 if all are 0 or 1.
    An array that needs no conversion is not copied.

    Args:
        subject: the file, for errors.
        arrays: numbers of any real type by part, shape (N, ...), at least one number each.
        options: `levels` keeps whole numbers unchanged; `value_range` is a linear map; `infer=False` reads as earlier
            versions did.

    Raises: InputError for numbers that are negative, not finite, too large or outside the given range, for parts of
        different kinds, and for values that are not real numbers.
    """
    survey = _survey(subject, arrays)
    said: list[str] = []
    scale = _scale(subject, survey, options, said)
    if options.infer:
        _say_few(survey, scale, options, said)
    dtype = np.dtype(np.uint8 if scale.levels <= BYTE_LEVELS else np.uint16)
    converted = {name: _converted(array, scale, dtype) for name, array in arrays.items()}
    if any(is_mapped(array) and array is not arrays[name] for name, array in converted.items()):
        said.append("the levels need much memory: they are stored in a temporary file (memory-mapped)")
    return Quantised(
        converted,
        scale.levels,
        (float(scale.low), float(scale.high)),
        tuple(said),
    )


def outward(low: float, high: float) -> str:
    """Two bounds with few digits that include the range, as arguments of --value-range."""
    below, above = Context(prec=4, rounding=ROUND_FLOOR), Context(prec=4, rounding=ROUND_CEILING)
    whole = float(low).is_integer() and float(high).is_integer() and max(abs(low), abs(high)) < 1e6
    bounds = (low, high) if whole else (float(below.create_decimal(low)), float(above.create_decimal(high)))
    return " ".join(f"{bound:.10g}" for bound in bounds)


def _blocks(array: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    step = max(1, BLOCK_VALUES // max(1, array[:1].size))
    for start in range(0, len(array), step):
        rows = slice(start, start + step)
        yield rows, array[rows]


def _survey(subject: object, arrays: Mapping[str, np.ndarray]) -> _Survey:
    """Raises:    InputError: numbers that are not real, not finite, or of different kinds."""
    for array in arrays.values():
        if array.dtype.kind not in "biuf":
            raise refusal(subject, f"pixels of type {array.dtype}", "store real numbers: uint8, or floats in [0, 1]")
    kinds = {"i" if array.dtype.kind == "u" else array.dtype.kind for array in arrays.values()}
    if len(kinds) > 1:
        types = ", ".join(f"{name} {array.dtype}" for name, array in arrays.items())
        raise refusal(subject, f"parts of different types ({types})", "store all parts as one type")
    extremes = [(block.min(), block.max()) for array in arrays.values() for _, block in _blocks(array)]
    kind = kinds.pop()
    if kind == "f" and not all(np.isfinite(pair).all() for pair in extremes):
        raise _not_finite(subject, arrays)
    number = float if kind == "f" else int
    low, high = min(number(pair[0]) for pair in extremes), max(number(pair[1]) for pair in extremes)
    widest = max((array.dtype for array in arrays.values()), key=lambda dtype: dtype.itemsize)
    return _Survey(kind, widest, low, high, _few_values(arrays.values()))


def _not_finite(subject: object, arrays: Mapping[str, np.ndarray]) -> InputError:
    bad = sum(
        int((~np.isfinite(block)).reshape(len(block), -1).any(1).sum())
        for array in arrays.values()
        for _, block in _blocks(array)
    )
    count = sum(map(len, arrays.values()))
    return refusal(
        subject,
        f"{bad:,} of {count:,} images have NaN or infinite pixels",
        "remove these images, fill the pixels, or use --missing",
    )


def _few_values(arrays: Iterable[np.ndarray]) -> np.ndarray | None:
    """The different values in order; None if there are more than `MOST_INFERRED`."""
    known: np.ndarray | None = None
    for array in arrays:
        for _, block in _blocks(array):
            first = np.unique(block)
            known = first if known is None else np.union1d(known, first)
            if len(known) > MOST_INFERRED:
                return None
    return known


def _scale(subject: object, survey: _Survey, options: ReadOptions, said: list[str]) -> _Scale:
    """The map to levels. Notices about inferred levels are added to `said`."""
    if options.value_range is not None:
        return _stated_range(subject, survey, options.value_range, options.levels)
    if survey.kind == "f":
        return _scale_of_floats(subject, survey, options, said)
    if survey.low < 0:
        bounds = "-128 127" if survey.dtype == np.int8 else outward(survey.low, survey.high)
        raise refusal(
            subject,
            f"pixels of type {survey.dtype} from {survey.low} to {survey.high}",
            f"state the values of the lowest and the highest level: --value-range {bounds}",
        )
    if options.levels is not None:
        if survey.high >= options.levels:
            raise _above_levels(subject, survey, options.levels)
        return _Scale(0, options.levels - 1, options.levels)
    if survey.kind == "b":
        return _Scale(0, 1, 2)
    return _inferred(survey, options.infer, said)


def _stated_range(subject: object, survey: _Survey, bounds: tuple[float, float], levels: int | None) -> _Scale:
    low, high = bounds
    if survey.low < low or survey.high > high:
        raise refusal(
            subject,
            f"pixels from {survey.low:.10g} to {survey.high:.10g}, outside of --value-range {low:.10g} {high:.10g}",
            f"give a range that includes them: --value-range {outward(min(low, survey.low), max(high, survey.high))}",
        )
    if levels is None:
        # whole numbers in a short range are used as levels
        own = survey.kind != "f" and float(low).is_integer() and float(high).is_integer() and high - low < BYTE_LEVELS
        levels = int(high - low) + 1 if own else BYTE_LEVELS
    return _Scale(low, high, levels)


def _scale_of_floats(subject: object, survey: _Survey, options: ReadOptions, said: list[str]) -> _Scale:
    low, high = survey.low, survey.high
    if low < 0 or high > 1:
        within = [bounds for bounds in ((-1, 1), (0, 255)) if bounds[0] <= low and high <= bounds[1]]
        advice = " ".join(map(str, within[0])) if within else outward(low, high)
        raise refusal(
            subject,
            f"floats from {low:.10g} to {high:.10g}, not in [0, 1]",
            f"state the values of the lowest and the highest level: --value-range {advice}",
        )
    levels = options.levels
    if levels is None and options.infer and survey.few is not None and np.isin(survey.few, (0, 1)).all():
        said.append("pixels are floats of 0 and 1 only: read as 2 levels (use --levels for another number)")
        levels = 2
    return _Scale(0, 1, levels or BYTE_LEVELS)


def _above_levels(subject: object, survey: _Survey, levels: int) -> InputError:
    advice = f"scale them with --value-range 0 {survey.high}"
    if survey.high < MAX_LEVELS:
        advice = f"give --levels {survey.high + 1}, or {advice}"
    return refusal(subject, f"a pixel of {survey.high}, but levels is {levels}: pixels must be 0..levels-1", advice)


def _inferred(survey: _Survey, infer: bool, said: list[str]) -> _Scale:
    """The levels of whole numbers from 0."""
    high, dtype = int(survey.high), survey.dtype
    if not infer and dtype == np.uint8:
        return _Scale(0, BYTE_LEVELS - 1, BYTE_LEVELS)
    if high < MOST_INFERRED:
        levels = max(high, 1) + 1
        said.append(f"pixels are 0..{levels - 1}: read as {levels} levels (use --levels for another number)")
        return _Scale(0, levels - 1, levels)
    if high < BYTE_LEVELS:
        if dtype != np.uint8:
            said.append(f"pixels of type {dtype} are at most {high}: read as 256 levels, like bytes")
        return _Scale(0, BYTE_LEVELS - 1, BYTE_LEVELS)
    top = (1 << high.bit_length()) - 1  # the largest number with as many bits, such as 4095 for 12 bits
    keeps = f"--levels {high + 1} keeps them" if high < MAX_LEVELS else ""
    other = (
        "--value-range states another range"
        if dtype != np.uint16 or high >= 2**15
        else "--value-range 0 65535 takes all 16 bits"
    )
    flags = ", ".join(flag for flag in (keeps, other) if flag)
    said.append(f"pixels of type {dtype} are at most {high:,}: scaled from 0..{top:,} to 256 levels ({flags})")
    return _Scale(0, top, BYTE_LEVELS)


def _say_few(survey: _Survey, scale: _Scale, options: ReadOptions, said: list[str]) -> None:
    """Add a notice if there are few values, with the flags that use evenly spaced values as levels."""
    few = survey.few
    if few is None or (survey.kind == "b" and len(few) > 1):
        return
    if len(few) == 1:
        said.append(f"every pixel has the value {few[0]:.10g}")
        return
    if scale.levels <= 2 * MOST_INFERRED or options.levels is not None:
        return
    numbers = few.astype(np.float64)
    shown = ", ".join(f"{value:.4g}" for value in numbers[:MOST_SHOWN]) + (", ..." if len(few) > MOST_SHOWN else "")
    gaps = np.diff(numbers)
    flags = ""
    if np.allclose(gaps, gaps[0], rtol=1e-2 if survey.dtype == np.float16 else 1e-4):
        own = (survey.low, survey.high)
        bounds = "" if survey.kind == "f" and own == (0, 1) else f" --value-range {outward(*own)}"
        flags = f": use --levels {len(few)}{bounds} to make them the levels"
    said.append(f"only {len(few)} of {scale.levels} levels occur ({shown}){flags}")


def _converted(array: np.ndarray, scale: _Scale, dtype: np.dtype) -> np.ndarray:
    if array.dtype == dtype and (scale.low, scale.high) == (0, scale.levels - 1):
        return array
    result = allocated(array.shape, dtype)
    for rows, block in _blocks(array):
        result[rows] = scale.apply(block).astype(dtype)
    return result
