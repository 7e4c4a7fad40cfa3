"""Pages of the explorer that are opened, and its engine without a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import READY_MS, Engine, Opened

FINISHED = "html[data-selftest=ok], html[data-selftest=failed]"


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Path], Opened]]:
    """Opens a page from its file, with the network off, and waits for its self-test."""
    contexts = []

    def open_page(path: Path, **options: Any) -> Opened:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        requests: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector(FINISHED, state="attached", timeout=READY_MS)
        outcome = page.evaluate("document.documentElement.dataset.selftest")
        return Opened(page, outcome, [url for url in requests if url != path.as_uri()], problems)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def engine(browser: Any) -> Iterator[Engine]:
    page = browser.new_page()
    yield Engine(page)
    page.close()
