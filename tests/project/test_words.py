"""Plain technical English: replaced phrases must not return."""

from __future__ import annotations

import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import plain_words


def test_texts_contain_no_replaced_phrase() -> None:
    lines = (line for name in plain_words.texts() for line in plain_words.lines_of(name))
    assert [f"{name}:{at}: {phrase!r} -> {instead}" for name, at, phrase, instead in plain_words.found_in(lines)] == []


def test_lines_that_a_diff_adds_are_found_with_their_numbers() -> None:
    diff = "\n".join([
        "diff --git a/x.md b/x.md", "--- a/x.md", "+++ b/x.md", "@@ -3,2 +4,2 @@ a title", "-old", "+new", "+++ more",
        "@@ -9,0 +11 @@", "+last", "diff --git a/y.md b/y.md", "--- a/y.md", "+++ /dev/null", "@@ -1 +0,0 @@", "-gone",
    ])  # fmt: skip
    assert list(plain_words.added_in(diff)) == [("x.md", 4, "new"), ("x.md", 5, "++ more"), ("x.md", 11, "last")]


def test_the_name_of_a_class_gets_its_article_from_the_helper() -> None:
    """`a {type(x).__name__}` would print "a ImageFlow"."""
    wrong = [path.name for path in (ROOT / "src").rglob("*.py") if "a {type(" in path.read_text(encoding="utf-8")]
    assert not wrong, f"use core.text.type_in_words: {wrong}"
