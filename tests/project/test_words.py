"""Plain technical English: phrases that are replaced do not come back."""

from __future__ import annotations

import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import plain_words


def test_texts_are_free_of_phrases_that_plain_english_replaces() -> None:
    """All but the files on the list, which may only become shorter."""
    waiting = plain_words.not_yet_plain()
    found = {
        f"{name}:{line}: {phrase!r} -> {instead}"
        for name in plain_words.texts()
        if name not in waiting
        for line, phrase, instead in plain_words.found_in(name)
    }
    assert not found


def test_the_list_names_only_files_that_hold_such_a_phrase() -> None:
    plain = {name for name in plain_words.not_yet_plain() if not any(plain_words.found_in(name))}
    assert not plain
