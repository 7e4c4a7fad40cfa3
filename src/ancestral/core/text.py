"""Text from numbers and durations, and similar words."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scientific(value: float, digits: int = 1) -> str:
    """A number as a factor times a power of ten; zero as `0`.

    Args:      digits: decimal places of the factor.
    Example:
        >>> scientific(5.05e7), scientific(-2.2e-16), scientific(0.0), scientific(1e-5, digits=0)
        ('5.0 × 10⁷', '−2.2 × 10⁻¹⁶', '0', '1 × 10⁻⁵')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    factor, exponent = f"{value:.{digits}e}".split("e")
    return f"{factor} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """`42 s`, `12 min` or `2.4 hours`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def close_matches(word: str, known: Iterable[str]) -> str:
    """Advice for an unknown word: `did you mean samples?`, or the list of all choices.

    Example:
        >>> close_matches("smaples", ["samples", "curves"]), close_matches("x", ["samples", "curves"])
        ('did you mean samples?', 'choose samples, curves')
    """
    choice = list(known)
    close = closest(word, choice)
    return f"did you mean {close}?" if close else f"choose {', '.join(choice)}"


def closest(word: str, known: Iterable[str], least: float = 0.6) -> str:
    """The most similar words, at most three, joined by `or`; empty if no word is similar.

    Args:      least: smallest similarity, from 0 to 1, as `difflib` computes it.
    Example:
        >>> closest("--smaples", ["--samples", "--count"]), closest("x", ["samples"])
        ('--samples', '')
    """
    return " or ".join(difflib.get_close_matches(word, list(known), 3, least))


def plural(count: int, noun: str) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def with_article(noun: str) -> str:
    """A noun after its indefinite article, by its first letter.

    Example:
        >>> with_article("ImageFlow"), with_article("VAE"), with_article("UNet")
        ('an ImageFlow', 'a VAE', 'a UNet')
    """
    return f"{'an' if noun[:1].lower() in tuple('aeio') else 'a'} {noun}"


def type_in_words(thing: object) -> str:
    """The name of the class of a thing after its article, for messages: `an ImageFlow`."""
    return with_article(type(thing).__name__)
