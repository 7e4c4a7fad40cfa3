"""The study `families` from end to end, quickly: every family on one page, in every chapter it belongs to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.run import Run
from ancestral.settings.families import FAMILIES
from ancestral.studies.families import LATENTS, PLAN, STUDY, VERDICTS

pytestmark = needs_mnist


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("families", tmp_path_factory)


def test_every_family_is_planned_and_described() -> None:
    assert {planned.family for planned in PLAN} == set(FAMILIES) - {"autoencoder"}  # which is no distribution
    assert set(LATENTS) == set(VERDICTS) == {planned.name for planned in PLAN}


def test_every_chapter_names_every_family(out: Path) -> None:
    page = re.sub(r"base64,[^\"]*", "", (out / "report.html").read_text())
    parts = page.split("<section")[1:]
    assert len(parts) == len(STUDY.chapters) + 1
    for planned in PLAN:
        for chapter in (0, 1, 4):  # draws, abilities, speed
            assert planned.title in parts[chapter]
        assert (planned.title in parts[2]) == planned.scored


def test_no_score_of_one_space_stands_in_the_table_of_another(out: Path) -> None:
    page = re.sub(r"base64,[^\"]*", "", (out / "report.html").read_text())
    tables = page.split("<section")[3].split('<figure class="table">')[1:]
    spaces = {score.space for planned in PLAN for score in Run(out / "runs" / planned.name).scores()}
    assert len(tables) == len(spaces) == 2
    for table in tables:
        assert sum(space in table for space in spaces) == 1
