"""What a report promises: one file that needs nothing else, shows everything, and trusts no text."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ancestral.core.errors import InputError
from ancestral.figures.grids import image_grid
from ancestral.figures.style import save_figure
from ancestral.reports.html import Figure, Report, Section, Table, _around, render_report, write_report


class Page(HTMLParser):
    """The elements of a page in order, and whether each is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag in tags]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "samples.png"
    save_figure(image_grid(np.zeros((4, 1, 8, 8)), title="samples"), path)
    return path


def report_with(picture: Path, word: str = "text", sections: int = 4) -> Report:
    """A report that has the word in every place for text."""
    section = Section(
        title=word,
        text=f"{word}\n\nsecond `{word}`",
        tables=[Table([word, "nats"], [[word, "-93.2"]], caption=word, numeric={1})],
        figures=[Figure(picture, word), Figure(picture, "caption", alt=word)],
        commands=[word, f"ancestral {word}"],
    )
    return Report(word, word, word, [(word, word)], [section] * sections, word)


def test_the_page_needs_nothing_but_itself(picture: Path) -> None:
    html = render_report(report_with(picture))
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r'="data:[^"]*"', "", html))
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img"))
    assert not page.all("script", "link", "iframe", "object", "form")
    links = page.all("a")
    assert all(re.match(r"#|data:(text/csv|image/png)", link["href"] or "") for link in links)
    assert all(("download" in link) == (link["href"] or "").startswith("data:") for link in links)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_every_text_is_escaped(picture: Path) -> None:
    evil = """<script>alert("1")</script>' onload='x' {{ 7 * 7 }} &amp;"""
    report, harmless = report_with(picture, evil), report_with(picture, "text")
    page, plain = Page(render_report(report)), Page(render_report(harmless))
    names = [tag for tag, _ in page.elements if tag != "span"]  # words of code are in spans
    assert names == [tag for tag, _ in plain.elements if tag != "span"]
    assert {key for _, attrs in page.elements for key in attrs} == {key for _, attrs in plain.elements for key in attrs}
    html = render_report(report)
    assert html.count("&lt;script&gt;") >= 4 * 10 and "49" not in re.sub(r'"(data|clip-path):[^"]*"', "", html)
    assert "&amp;amp;" in html


def test_every_figure_is_embedded_numbered_and_described(picture: Path) -> None:
    html = render_report(report_with(picture, sections=3))
    images = Page(html).all("img")
    assert len(images) == 6
    assert [image["alt"] for image in images] == ["text"] * 6
    assert re.findall(r"<b>Figure (\d+)\.</b>", html) == list("123456")
    assert re.findall(r"<b>Table (\d+)\.</b>", html) == list("123")
    width, height = (int(images[0][side] or 0) for side in ("width", "height"))
    assert 200 < width < 760 and height > 100


def test_headings_are_in_order_and_contents_lead_to_them(picture: Path) -> None:
    page = Page(render_report(report_with(picture, sections=4)))
    headings = [tag for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert headings == ["h1", "h2", "h2", "h2", "h2"]
    targets = [f"#{heading['id']}" for heading in page.all("h2")]
    assert [link["href"] for link in page.all("a") if "download" not in link] == targets and len(set(targets)) == 4
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert len(page.all("main")) == len(page.all("footer")) == len(page.all("nav")) == 1


def test_few_sections_need_no_contents(picture: Path) -> None:
    assert not Page(render_report(report_with(picture, sections=3))).all("nav")


def test_text_becomes_paragraphs_and_code() -> None:
    section = Section("s", "one `ls -l` two\nstill one\n\n\nthree ` four", commands=["a\\\n  b", "c"])
    html = render_report(Report("t", sections=[section]))
    assert html.count("<p>") == 2
    assert "<p>one <code><span>ls</span> <span>-l</span></code> two\nstill one</p>" in html
    assert "<p>three ` four</p>" in html
    block = html[html.index("<pre") : html.index("</pre>")]
    assert [re.sub("<[^>]*>", "", part) for part in re.findall(r"<code>(.*?)</code>", block, re.DOTALL)] == [
        "a\\\n  b",
        "c",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x_1, ..., x_{d-1}", "x<sub>1</sub>, ..., x<sub>d−1</sub>"),
        ("f_n^{-1}(x)", "f<sub>n</sub><sup>−1</sup>(x)"),
        ("(m_1 - m_2)^2 / 2^{10}", "(m<sub>1</sub> - m<sub>2</sub>)<sup>2</sup> / 2<sup>10</sup>"),
        ("IWAE_5000", "IWAE<sub>5000</sub>"),
        ("runs/vae_cnn, log_prob and `x_1`", "runs/vae_cnn, log_prob and <code><span>x_1</span></code>"),
        ("x_<b>", "x_&lt;b&gt;"),
        ("s_{<b>}", "s<sub>&lt;b&gt;</sub>"),
    ],
)
def test_formulas_have_sub_and_superscripts_and_names_have_none(text: str, shown: str) -> None:
    assert f"<p>{shown}</p>" in render_report(Report("t", sections=[Section("s", text)]))


def test_numbers_are_aligned_at_the_right() -> None:
    table = Table(["model", "nats"], [["VAE", "-93.2"], ["MADE", "-88.9"]], numeric={1})
    page = Page(render_report(Report("t", sections=[Section("s", tables=[table])])))
    assert [cell.get("class") for cell in page.all("th", "td")] == [None, "number"] * 3


def test_an_empty_report_is_a_page() -> None:
    assert Page(render_report(Report("t"))).all("h1")


@pytest.mark.parametrize(
    "section",
    [
        Section("s", tables=[Table(["a", "b"], [["1"]])]),
        Section("s", tables=[Table(["a"], [["1"]], numeric={1})]),
        Section("s", figures=[Figure(Path(__file__), "a Python file")]),
    ],
)
def test_malformed_sections_are_refused(section: Section) -> None:
    with pytest.raises(InputError):
        render_report(Report("t", sections=[section]))


def test_a_missing_figure_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    report = Report("t", sections=[Section("s", figures=[Figure(tmp_path / "lost.png", "lost")])])
    with pytest.raises(InputError, match=r"lost\.png"):
        write_report(report, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_same_report_gives_the_same_bytes(picture: Path, tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_report(report_with(picture, "−93.2 nats · Größe"), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert "−93.2 nats · Größe" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_an_interrupted_write_leaves_the_old_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_report(Report("old"), path)
    before = path.read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(Report("new"), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_the_places_of_images_are_read_by_their_length_whatever_their_checksum_looks_like(picture: Path) -> None:
    content = picture.read_bytes()
    at = content.index(b"tEXt")
    end = at + 4 + int.from_bytes(content[at - 4 : at], "big")
    other = content[:end] + b"7.,;" + content[end + 4 :]
    assert _around(other) == _around(content) != ""


def test_a_sheet_and_curves_are_small_files_and_a_page_holds_each_picture_twice(picture: Path) -> None:
    """As a picture and as a download; the pages of studies stay below 8 MB because each file is small."""
    assert picture.stat().st_size < 30_000
    html = render_report(Report("t", sections=[Section("s", figures=[Figure(picture, "c")])]))
    assert html.count("data:image/png;base64,") == 2
    assert len(html) < 2 * 4 / 3 * picture.stat().st_size + 25_000
