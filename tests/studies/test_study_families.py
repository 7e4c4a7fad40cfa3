"""The study `families` from end to end under `--quick`: families by chapter, and sentences that follow the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import quality_of, record_of
from quick_studies import MB, STUDY_MB, carried_out, needs_mnist

from ancestral.evaluation.score import Score
from ancestral.families.catalogue import BUILT_IN
from ancestral.runs.complete import Completion
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference
from ancestral.studies.demonstrations.sampling_pace import machine_in_words
from ancestral.studies.families import applications, ranking
from ancestral.studies.families import scores as family_scores
from ancestral.studies.families.kinds import LATENTS, VERDICTS
from ancestral.studies.families.recipe import PLAN, STUDY
from ancestral.studies.families.strokes import strokes_in_words

TITLES = {"a": "A", "b": "B", "c": "C"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("families", tmp_path_factory)


def parts_of(out: Path) -> list[str]:
    return re.sub(r"base64,[^\"]*", "", (out / "report.html").read_text()).split("<section")[1:]


def test_every_family_is_planned_and_described() -> None:
    assert {planned.family for planned in PLAN} == set(BUILT_IN) - {"autoencoder"}  # an autoencoder is no distribution
    assert set(LATENTS) == set(VERDICTS) == {planned.name for planned in PLAN}


@needs_mnist
def test_the_page_is_light_and_its_figures_are_not_shown_as_results(out: Path) -> None:
    assert (out / "report.html").stat().st_size < STUDY_MB * MB
    page = (out / "report.html").read_text()
    captions = re.findall(r"<figcaption><b>Figure \d+\.</b>(.*?)</figcaption>", page, re.DOTALL)
    assert len(captions) == 5 and all(text.count("Not a result") == 1 for text in captions)


@needs_mnist
def test_every_chapter_names_every_family(out: Path) -> None:
    parts = parts_of(out)
    assert len(parts) == len(STUDY.chapters) + 2  # the explorer and the commands follow
    for planned in PLAN:
        for chapter in (0, 1, 3, 4, 5):  # all but those that need a likelihood
            assert planned.title in parts[chapter]
        for chapter in (2, 6):
            assert (f">{planned.title}</th>" in parts[chapter]) == planned.scored
    assert "nan" not in re.sub(r"<[^>]*>", " ", " ".join(parts)).lower().split()
    assert [part.count("<img") for part in parts] == [1, 0, 0, 0, 0, 2, 2, 0, 0]
    assert all("</b> </figcaption>" not in part for part in parts)  # every table has a caption


@needs_mnist
@pytest.mark.parametrize("chapter", [2, 3, 6])
def test_each_pixel_space_has_its_own_table(out: Path, chapter: int) -> None:
    tables = parts_of(out)[chapter].split('<figure class="table"')[1:]
    assert len(tables) == 2
    flow = [">flow<" in table for table in tables]
    assert sum(flow) == 1 and not any(">VAE<" in table for table, has in zip(tables, flow, strict=True) if has)


@needs_mnist
def test_the_page_states_the_conditions_of_its_numbers(out: Path) -> None:
    page = " ".join(parts_of(out))
    for run in (Run(out / "runs" / planned.name) for planned in PLAN):
        for score in run.scores():
            assert score.space in page
    assert machine_in_words() in page
    for words in ("0.5 is chance", "of 16 of these shares are within", "hidden pixels come before visible ones"):
        assert words in page, words


# ---- sentences follow the numbers


def score_of(nats: float, samples: int = 0) -> Score:
    kind = "bound" if samples else "exact"
    return Score(nats, 0.2, "log p(x)", kind, "lower" if samples else None, samples, "digits", "test", 100, 64)


def test_families_not_clearly_behind_the_best_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"a": score_of(-90.0, 100), "b": score_of(-90.1), "c": score_of(-140.0)}

    def told(nats: float) -> str:
        found = ranking.Ranking(scores, {"b": Difference(nats, 0.1, "IWAE_100", 1000)}, 50)
        monkeypatch.setattr(ranking, "ranking_of", lambda workshop: found)
        assert found.behind("c") == pytest.approx(50)
        return ranking.in_words(SimpleNamespace(titles=TITLES))  # type: ignore[arg-type]

    assert "B is not clearly behind" in told(0.2) and "0.20 ± 0.10" in told(0.2) and "lower bound" in told(0.2)
    assert "behind" not in told(0.5) and "clearly above the others" in told(0.5)


def test_only_unequal_conditions_are_called_unequal() -> None:
    def told(*images: int) -> str:
        runs = {
            str(i): SimpleNamespace(
                data=SimpleNamespace(dataset=SimpleNamespace(train=range(n))), outcome={"epochs": 3}
            )
            for i, n in enumerate(images)
        }
        return ranking.spans(SimpleNamespace(runs=runs))  # type: ignore[arg-type]

    assert "5 to 1,200 images for 3 epochs, so the conditions were not equal." in told(1200, 5)
    assert "on 1,200 images for 3 epochs. " in told(1200, 1200)


def test_agreement_of_nats_and_sample_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"a": score_of(-90.0), "b": score_of(-90.1)}
    found = ranking.Ranking(scores, {"b": Difference(0.0, 0.1, "log p(x)", 1000)}, 50)
    monkeypatch.setattr(family_scores, "ranking_of", lambda workshop: found)
    workshop: Any = SimpleNamespace(titles=TITLES)
    good, bad = quality_of(fid=1.0, recognised=0.9, recall=0.8), quality_of(fid=2.0, recognised=0.5, recall=0.3)
    assert "in the same order: A and B" in family_scores._orders(workshop, {"a": good, "b": bad})
    other = family_scores._orders(workshop, {"a": bad, "b": good})
    assert "by nats A, B; by FID B, A; by share recognised B, A" in other
    assert "A and B have about the same nats, but their FIDs are 2.0 and 1.0" in other
    assert "the A has both" in family_scores._compared(TITLES, {"a": good, "b": bad})
    few = quality_of(fid=1.0, recognised=0.9, recall=0.1)
    told = family_scores._compared(TITLES, {"a": few, "b": bad})
    assert "the A has the largest share of recognised samples, 90.0%, with a recall of 0.100" in told
    assert "The B has the highest recall, 0.300" in told
    assert family_scores._exceeding(TITLES, {"a": quality_of(recall=0.9)}) == ""
    told = family_scores._exceeding(TITLES, {"a": quality_of(precision=0.999)})
    assert "precision of the A (0.999, real images 0.500)" in told


def test_the_power_is_stated_with_the_batch_sizes_tried() -> None:
    strong, weak = record_of({1: 10, 5: 97}), record_of({1: 10, 5: 50})
    told = applications._reached([("A", strong), ("B", weak), ("C", strong)])
    assert "Batch sizes 1 and 5 were tried." in told and "5 images for the A and C." in told
    assert "B does not reach it" in told
    assert applications._reached([("B", weak)]) == "No family reaches 95% power with batches of 1 and 5."


def test_shares_outside_the_band_are_not_counted_as_inside() -> None:
    fine, off = record_of({1: 10, 5: 97}, alarms=5), record_of({1: 10, 5: 97}, alarms=60)
    assert "4 of 4 of these shares are within" in applications._level([("A", fine), ("B", fine)])
    told = applications._level([("A", fine), ("B", off)])
    assert "2 of 4 of these shares are within" in told and "5.0% to 60.0% of natural batches" in told


def test_the_kinds_of_the_scores_under_strokes_are_stated() -> None:
    completion = Completion(torch.ones(1), torch.ones(1), torch.ones(1), "drawn", "exact", None, "no likelihood")
    scores = (score_of(-70.0), score_of(-50.0), replace(score_of(-40.0), kind="bound", side="upper"), None)
    told = strokes_in_words(["A", "B", "C", "D"], [replace(completion, score=score) for score in scores])
    assert "Exact values: A and B. Upper bounds, " in told and ": C. Not available: D. " in told
    assert "The B has the highest exact value: -50.0" in told and "Estimates" not in told


def test_the_best_family_for_hidden_halves_is_named_with_those_not_clearly_behind() -> None:
    workshop: Any = SimpleNamespace(titles=TITLES, runs=dict.fromkeys(TITLES))
    near, far = score_of(-50.1), replace(score_of(-70.0))
    told = applications._probable_halves(workshop, {"a": near, "b": score_of(-50.0)})
    assert "C cannot compute" in told and "The B assigns the highest" in told and "not clearly higher than A" in told
    told = applications._probable_halves(workshop, {"a": far, "b": score_of(-50.0)})
    assert "not clearly" not in told and "The A has the lowest: 20.0 nats less" in told
