"""Formulas of the pages, as other programs expect them."""

from __future__ import annotations


def as_environment(tex: str) -> str:
    """Lines aligned by `&` need an environment that says so."""
    return rf"\begin{{aligned}}{tex}\end{{aligned}}" if r"\\" in tex and r"\begin" not in tex else tex
