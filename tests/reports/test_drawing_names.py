"""The names that a plug-in's drawing may not take are those of the general drawings."""

from __future__ import annotations

from ancestral.families.family import GENERAL_DRAWINGS
from ancestral.reports.pictures.catalogue import DRAWINGS


def test_general_drawings_are_all_named() -> None:
    assert set(GENERAL_DRAWINGS) == {drawing.name for drawing in DRAWINGS}
