"""Studies whose quick form trains for longer than ten seconds: the tests that need it are slow."""

from __future__ import annotations

import pytest

LONG = {
    "test_study_families": "out",
    "test_study_uva2020": "out",
    "test_study_csds600": "study",
    "test_study_uva2018": "page",
    "test_study_tue2024": "study",
}
"""By file: the fixture that carries out the study. Tests without it, and the tour, stay quick."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixture = LONG.get(item.path.stem)
        if fixture in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
