"""Trainings that differ in some settings: all combinations or trials drawn, shared by any number of machines."""

from __future__ import annotations

from ancestral.sweeps.worker import sweep

__all__ = ["sweep"]
