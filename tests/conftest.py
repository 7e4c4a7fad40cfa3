"""Fixtures that tests in several folders use."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("helpers", "quick_studies")

from small_runs import SmallRuns  # noqa: E402

import ancestral  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def fit_makes_no_page_by_default() -> Iterator[None]:
    """`fit` makes no report by default in tests; tests that need scores, pictures and page pass `report=True`."""
    defaults = inspect.unwrap(ancestral.fit).__kwdefaults__
    assert defaults is not None
    defaults["report"] = False
    yield
    defaults["report"] = True


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> SmallRuns:
    return SmallRuns(tmp_path_factory.mktemp("small-runs"))
