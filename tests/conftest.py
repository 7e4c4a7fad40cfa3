"""Fixtures that tests in several folders use."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("helpers", "quick_studies")

from helpers import forget_families_after  # noqa: E402
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


@pytest.fixture
def catalogue_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Families that a test adds to the catalogue are gone after it."""
    forget_families_after(monkeypatch)


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> SmallRuns:
    return SmallRuns(tmp_path_factory.mktemp("small-runs"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for one file of tests: a second driver of playwright cannot start while one runs."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[pages]'")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with driver.sync_playwright() as running:
        started = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
