"""Formulas of the pages, as the programs that show them expect them."""

from __future__ import annotations

import re

# a function's name and what it is of, where no bracket parts them
APPLIED = re.compile(r"\\(log|exp|det|sin|tanh)\s+(?=[a-zA-Z\d]|\\(?!left|big|Big|biggl))")
FRACTION = re.compile(r"\\frac\s*(\w)\s*(\w)")  # of two characters without braces


def spaced(tex: str) -> str:
    """TeX puts a thin space between `log` and `p`, and reads `\\frac12` as one half; docutils' MathML does neither."""
    return APPLIED.sub(r"\\\1\,", FRACTION.sub(r"\\frac{\1}{\2}", tex))


def as_environment(tex: str) -> str:
    """Lines aligned by `&` need an environment that says so."""
    return rf"\begin{{aligned}}{tex}\end{{aligned}}" if r"\\" in tex and r"\begin" not in tex else tex
