"""Small computations that show one fact each: the value of a formula, a measurement, and a figure."""

from __future__ import annotations
