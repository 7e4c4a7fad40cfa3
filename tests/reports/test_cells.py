"""Runs and records as a notebook shows them."""

from __future__ import annotations

import re
import sys
import types
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import quality_of, record_of
from matplotlib.figure import Figure
from small_runs import SmallRuns

import ancestral
from ancestral.core.notebook import as_html
from ancestral.health.examine import Examination, Verdict
from ancestral.reports.cells import DARK, Cell, Note, render_cell
from ancestral.reports.html import Table
from ancestral.runs.detect import Detection

SCORE: dict[str, Any] = {
    "stderr": 0.5,
    "method": "ELBO",
    "kind": "bound",
    "side": "lower",
    "samples": 1,
    "space": "digits, <b>",
    "split": "test",
    "count": 447,
}


class Checker(HTMLParser):
    """Collects the text, and checks that every element is closed."""

    VOID = ("br", "img", "meta", "link")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))


def shown(record: Any) -> str:
    """The text of the HTML of a record, which must be small, whole and without anything from elsewhere."""
    html = record._repr_html_()
    assert html is not None and len(html) < 20_000
    assert not re.search(r"https?:|<script|<link|@import|url\(|src=", html)
    return Checker(html).text


def test_a_score_says_what_it_is() -> None:
    text = shown(ancestral.Score(nats=-93.214, dimensions=784, **SCORE))
    assert "-93.21 ± 0.50 nats" in text and "lower bound (ELBO)" in text and "447" in text
    assert "log p(x) is at least this" in text
    exact = {**SCORE, "kind": "exact", "side": None, "method": "log p(x)"}
    assert "at least" not in shown(ancestral.Score(nats=-1.0, dimensions=784, **exact))


def test_text_is_escaped() -> None:
    wicked = '<img src=x onerror="alert(1)">'
    score = ancestral.Score(nats=-1.0, dimensions=4, **{**SCORE, "space": wicked})
    verdict = Verdict(wicked, "failure", wicked, wicked, 3)
    cell = Cell(wicked, wicked, [Table([wicked], [[wicked]], wicked)], [Note(wicked, wicked)])
    for html in (as_html(score), as_html(verdict), render_cell(cell)):
        assert html is not None and "<img" not in html and "&lt;img" in html


def test_a_verdict_and_an_examination() -> None:
    verdict = Verdict("spikes", "warning", "the loss rises 3 times", "Lower the rate.", 1200)
    assert "spikes warning, step 1,200" in shown(verdict) and "Lower the rate." in shown(verdict)
    text = shown(Examination((verdict,), ("divergence",), ("late rise",)))
    assert "warning: spikes the loss rises 3 times. Lower the rate." in text
    assert "no problem found: divergence." in text and "too short to judge: late rise" in text
    assert "healthy" in shown(Examination((), ("divergence",), ()))


def test_quality_and_detection() -> None:
    text = shown(quality_of(fid=1.25))
    assert "FID 0.500 1.250" in text and "200 samples" in text
    text = shown(record_of({1: 10, 20: 97}))
    assert "Detection of noise" in text and "0.9000 0.0100 20" in text


def test_a_run_shows_data_training_scores_and_page(small_runs: SmallRuns, tmp_path: Path) -> None:
    folder = small_runs.copied(["mixture"], tmp_path)
    run = ancestral.Run(folder / "mixture")
    text = shown(run)
    assert "mixture: digits" in text and "100 train" in text and "finished, 1 epochs" in text
    assert "report.html" not in text and "nats" not in text
    score = ancestral.evaluate(run)
    run.report()
    text = shown(run)
    assert f"{score.nats:.2f}" in text and str(run.page) in text
    assert repr(run) == f"Run({str(run.path)!r})"
    assert "no run folder yet" in shown(ancestral.Run(tmp_path / "none"))


def test_a_comparison_an_explanation_and_a_detection(small_runs: SmallRuns, tmp_path: Path) -> None:
    folder = small_runs.copied(["mixture", "vae"], tmp_path)
    for name in ("mixture", "vae"):
        ancestral.evaluate(folder / name)
    order = ancestral.compare([folder / "mixture", folder / "vae"])
    text = shown(order)
    assert all(name in text for name in order.names) and order.lines[0] in text
    assert "latent KL, nats" in shown(ancestral.explain(folder / "vae", count=30))
    found = Detection(**vars(record_of({1: 10})), natural=torch.zeros(3), anomalous=torch.zeros(3))
    assert "Detection of noise" in shown(found), "a class derived from a record is shown like it"


def test_a_sweep(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    small = {"data": "digits", "epochs": 1, "train_size": 50, "hidden": (4,)}
    done = ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, **small)
    assert isinstance(done, ancestral.Sweep)
    text = shown(done)
    assert "Sweep: vae latents: 2, 3" in text and str(done.page) in text
    assert f"{done.combinations[0].mean:.2f}" in text


def test_dark_colours_follow_the_notebook_before_the_system() -> None:
    """A JupyterLab that is light stays light where the system is dark."""
    html = render_cell(Cell("a"))
    assert html.count(DARK) == 2
    system, stated = (html.split("@media (prefers-color-scheme: dark)")[1].split(DARK, 1)[i] for i in (0, 1))
    assert ':not([data-jp-theme-light="true"]' in system and ".vscode-light" in system
    rule = stated.split(DARK)[0]
    assert 'data-jp-theme-light="false"' in rule and "vscode-dark" in rule
    assert not re.search(r"(?<!-)color: (?!inherit|var)", html), "text has the notebook's colour"


def test_a_class_that_nobody_shows_keeps_its_text() -> None:
    assert as_html(object()) is None


class Formatter:
    """Replaces IPython's formatter of one type of output."""

    def __init__(self) -> None:
        self.type_printers: dict[type, Any] = {}

    def for_type(self, kind: type, printer: Any) -> None:
        self.type_printers[kind] = printer


def test_a_figure_is_shown_as_a_picture(small_runs: SmallRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython shows figures as pictures only after pyplot is imported, which this package never does."""
    formatter = Formatter()
    display = types.SimpleNamespace(formatters={"image/png": formatter})
    shell = types.SimpleNamespace(kernel=object(), display_formatter=display)
    for name in ("IPython", "IPython.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    found = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython.core.getipython", found)  # type: ignore[arg-type]
    run = ancestral.Run(small_runs.copied(["mixture"], tmp_path) / "mixture")
    figure = run.show("samples", count=4)
    content, size = formatter.type_printers[Figure](figure)
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and 0 < size["width"] <= 720
    formatter.type_printers[Figure] = "another"
    run.show("samples", count=4)
    assert formatter.type_printers[Figure] == "another"
