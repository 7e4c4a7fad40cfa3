"""The check of pages for readers who see little or use no mouse finds what is wrong, in both modes."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from helpers import ROOT

PAGE = """<!DOCTYPE html><html lang="en"><head><title>A page</title><style>
body { background: white; color: #222; }
@media (prefers-color-scheme: dark) { body { background: #111; color: COLOUR; } }
pre { width: 100px; overflow-x: auto; }
</style></head><body><main><h1>A page</h1><p>Some text.</p>
<pre TAB>a line that is much too long</pre></main></body></html>
"""


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("accessibility")


def test_it_says_what_is_missing(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "missing", lambda: "Chromium")
    assert check.main(["."]) == 0
    assert capsys.readouterr().out == "accessibility: not checked, since Chromium is not installed\n"


@pytest.mark.slow
def test_it_finds_low_contrast_and_blocks_without_keyboard(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if lacking := check.missing():
        pytest.skip(f"{lacking} is not installed")
    pages = {"good": ("#eee", 'tabindex="0"'), "dark": ("#333", 'tabindex="0"'), "stuck": ("#eee", "")}
    for name, (colour, tab) in pages.items():
        (tmp_path / f"{name}.html").write_text(PAGE.replace("COLOUR", colour).replace("TAB", tab))
    found = {(page.stem, mode): wrong for page, mode, wrong in check.findings(sorted(tmp_path.glob("*.html")))}
    assert {key for key, wrong in found.items() if wrong} == {("dark", "dark"), ("stuck", "light")}
    assert found["dark", "dark"][0].startswith("color-contrast (serious)")
    assert found["stuck", "light"][0].startswith("scrollable-region-focusable (serious), 1 times, first at pre")
    assert check.main([str(tmp_path / "good.html")]) == 0
    assert check.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("accessibility: 3 pages, 2 serious findings\n")
