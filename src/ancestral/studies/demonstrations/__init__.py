"""Small computations that show one fact each: what a formula claims, measured, and its picture."""

from __future__ import annotations
