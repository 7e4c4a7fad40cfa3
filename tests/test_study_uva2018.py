"""The study `uva2018` from end to end, quickly: every deliverable of the coursework stands on its page."""

from __future__ import annotations

import html
import re

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.studies.uva2018 import PLAN, STUDY

pytestmark = needs_mnist


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = carried_out("uva2018", tmp_path_factory)
    assert {path.name for path in (out / "runs").iterdir()} == {planned.name for planned in PLAN}
    return html.unescape((out / "report.html").read_text())


def test_every_deliverable_is_on_the_page(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.title in page and chapter.asked[:60] in page
    assert page.count("data:image/png;base64,") == 15


def test_the_quick_page_judges_nothing_and_says_so(page: str) -> None:
    assert "too briefly" in page and page.count("not judged") == 6
    assert ">met<" not in page and ">missed<" not in page


def test_the_page_is_whole(page: str) -> None:
    assert "http://" not in page and "https://" not in page
    words = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"\b(nan|inf|None)\b", words.split("</style>")[1])
