"""Fixtures that tests in several folders share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("helpers", "quick_studies")

from small_runs import SmallRuns  # noqa: E402


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> SmallRuns:
    return SmallRuns(tmp_path_factory.mktemp("small-runs"))
