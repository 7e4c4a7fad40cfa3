"""`tue2024` from end to end under `--quick`: deliverables, figures and references on its page."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.commands.main import main
from ancestral.evaluation.quality import Measured, Quality
from ancestral.health.curves import Verdict
from ancestral.runs.run import Run
from ancestral.studies.recipe import Options, PlannedRun
from ancestral.studies.tue2024.main import _against_student, _beside_the_student, departures
from ancestral.studies.tue2024.quality import _draws_in_words
from ancestral.studies.tue2024.rates import _rate_in_words, learning_rates, plain, rate_name
from ancestral.studies.tue2024.recipe import RATES, STUDY, plan
from ancestral.studies.workshop import Progress, Workshop


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("tue2024", tmp_path_factory)


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report.html").read_text()


def test_the_plan_is_the_courseworks() -> None:
    runs = {one.name: one.settings_under("default", STUDY.quick) for one in plan(Options())}
    assert list(runs) == ["vae", "vae-dynamic", "vae-normal", "rate-0.01", "rate-0.001", "rate-1e-05"]
    vae = runs["vae"]
    assert (vae.model.prior, vae.model.components, vae.model.hidden) == ("mixture", 16, (512, 512))  # type: ignore[attr-defined]
    assert (vae.training.optimizer, vae.training.rate, vae.training.batch_size) == ("adamax", 1e-3, 32)
    assert (vae.training.epochs, vae.training.patience) == (1000, 20)
    assert (vae.data.protocol, runs["vae-dynamic"].data.pixels) == ("tue2024", "binary")
    normal, mixture = runs["vae-normal"], runs["rate-0.001"]
    assert normal.training.epochs == mixture.training.epochs  # they differ only in the prior
    assert (normal.model.prior, mixture.model.prior) == ("normal", "mixture")  # type: ignore[attr-defined]
    assert (normal.data, normal.training.rate) == (mixture.data, mixture.training.rate)


def test_other_learning_rates_make_other_runs() -> None:
    names = [one.name for one in plan(Options(learning_rates=(3e-3, 1e-3)))]
    assert names[3:] == ["rate-0.003", "rate-0.001"]
    assert STUDY.learning_rates == RATES


@pytest.mark.parametrize("rates", [(1e-3, 1e30), (1e30,)])
def test_a_diverged_rate_is_shown_as_diverged(rates: tuple[float, ...], tmp_path: Path) -> None:
    """Uses scikit-learn's digits in place of MNIST: the test is about the sentences on a diverged training."""
    small = {"data": "digits", "pixels": "threshold", "latents": 2, "hidden": (8,), "epochs": 2, "log_every": 1}
    planned = [PlannedRun(rate_name(r), f"{r}", "vae", {**small, "learning_rate": r}, scored=False) for r in rates]
    bench = Workshop(STUDY.quick, tmp_path, Options(), Progress(silent, silent, lambda line: None))
    bench.train(planned)
    told = learning_rates(bench)
    assert "Rate 1e+30. The training diverged" in told.text and "a cross marks" in told.figures[0].caption
    row = next(row for row in told.tables[0].rows if row[0] == "1e+30")
    assert "diverged" in row[1] and row[2] == "none"
    assert told.figures[0].path.exists()
    assert ("0.001 (" in told.text) == (1e-3 in rates)


def test_every_setting_that_differs_from_the_main_run_is_listed() -> None:
    runs = {one.name: Mock(settings=one.settings_under("default", STUDY.quick)) for one in plan(Options())}
    told = departures(runs["vae-dynamic"], runs["vae"])
    for words in ("`--epochs` 40 in place of 1000", "`--learning-rate` 0.002 in place of", "no `--patience`"):
        assert any(one.startswith(words) for one in told)
    assert len(told) == 5  # and the pixels and the schedule
    assert departures(runs["vae"], runs["vae"]) == []


@pytest.mark.parametrize(
    "nats, words, alike",
    [
        (91.0, "1.07 nats (4.3 standard errors) below the first and 0.70 nats (2.8 standard errors) below", False),
        (91.8, "0.27 nats (1.1 standard errors) below the first and 0.10 nats (0.4 standard errors) above", True),
        (95.0, "2.93 nats (11.7 standard errors) above the first", False),
    ],
)
def test_the_comparison_with_the_student_states_standard_errors(nats: float, words: str, alike: bool) -> None:
    bounds = {"vae": Mock(nats=-80.0, stderr=0.25), "vae-dynamic": Mock(nats=-nats, stderr=0.25)}
    told = _beside_the_student(bounds)  # type: ignore[arg-type]
    assert f"with sampled pixels it is {words}" in told
    assert ("ours does not differ from" in told) == alike
    checks = _against_student(bounds)  # type: ignore[arg-type]
    assert [check.met for check in checks] == [True, nats < 92.07, True, nats < 91.7]


@pytest.mark.parametrize("means, coded, blamed", [(0.78, 0.95, True), (0.92, 0.93, False), (0.74, 0.73, False)])
def test_losses_of_quality_are_attributed_to_pixels_prior_and_decoder(means: float, coded: float, blamed: bool) -> None:
    def quality(recognised: float) -> Any:
        some = Measured(1.0, 0.1)
        return Mock(recognised=Measured(recognised, 0.97), fid=some, kid=some, inception_score=some)

    told = _draws_in_words(quality(0.74), quality(means), quality(coded))
    steps = [f"{100 * step:.1f}".replace("-", "\N{MINUS SIGN}") for step in (means - 0.74, coded - means, 0.97 - coded)]
    pixels, prior, decoder = steps
    assert f"{pixels} percentage points, the prior for {prior} and the decoder for {decoder}" in told
    assert ("few or no images were encoded" in told) == blamed


def test_findings_of_health_checks_are_in_the_text_with_their_evidence() -> None:
    verdict = Verdict("late rise", "warning", "it ends above its best", "advice", 9)
    found = Mock(verdicts=lambda: [verdict], outcome={"reason": "epochs"}, health=Mock(healthy=("spikes",)))
    best = {"0.01": 92.6, "0.001": 80.06}
    told = _rate_in_words("0.01", found, best)
    assert "12.54 nats above that of rate 0.001: the rate is too large" in told
    assert "Late rise (steps of this size overshoot): it ends above its best." in told
    well = Mock(verdicts=list, outcome={"reason": "epochs"}, health=Mock(healthy=("spikes",)))
    assert _rate_in_words("0.001", well, best) == "The best of the rates tried. Health checks: no problem found."
    assert "too small" in _rate_in_words("0.00001", well, {**best, "0.00001": 166.0})
    assert [plain(rate) for rate in ("1e-05", "0.01", "1e+30")] == ["0.00001", "0.01", "1e+30"]


@contextmanager
def silent(*_: Any) -> Iterator[Any]:
    yield Mock()


@needs_mnist
def test_every_deliverable_has_a_chapter(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.asked[:60] in html.unescape(page) and chapter.title in page
    assert page.count("<b>Asked.</b>") == len(STUDY.chapters) == 9


@needs_mnist
def test_the_page_contains_all_figures_and_needs_no_network(page: str) -> None:
    assert page.count("<img ") == 7
    assert "http://" not in page and "https://" not in page
    words = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"\bnan\b", words, re.IGNORECASE)


@needs_mnist
def test_the_page_states_final_losses_and_the_thresholds_of_health_checks(page: str) -> None:
    assert page.count("In the last epoch (1) the mean training loss is") == 3
    for rule in ("divergence", "spikes", "oscillation", "late rise", "learning rate too low", "over-fitting"):
        assert f">{rule}</th>" in page


@needs_mnist
def test_references_are_listed_but_not_judged(page: str) -> None:
    assert "92.07 nats" in page and "78.8 nats" in page and "92.9 nats" in page
    assert page.count("not judged") == 10
    assert page.count("(ours)</span></td>") == 3
    assert "Not judged: the runs were trained too briefly." in page and "Met: " not in page


@needs_mnist
def test_numbers_in_chapters_equal_those_of_the_runs(study: Path, page: str) -> None:
    for name in ("vae", "vae-dynamic"):
        for score in Run(study / "runs" / name).scores():
            assert f"{score.nats:.2f}" in page
    for rate in RATES:
        best = Run(study / "runs" / rate_name(rate)).outcome["best_value"]
        assert page.count(f"{best:.2f}") >= 2  # in a sentence and in the table


@needs_mnist
def test_stored_results_are_reused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {path: path.stat().st_mtime_ns for path in (study / "results").glob("*.json")}
    assert len(results) == 10
    assert main(["study", "tue2024", "--quick", "--out", str(study)]) == 0
    assert capsys.readouterr().err.count("reused") == 6
    assert results == {path: path.stat().st_mtime_ns for path in (study / "results").glob("*.json")}


@needs_mnist
def test_copied_training_images_are_detected_as_near_copies(study: Path) -> None:
    memory = Quality.from_json(json.loads((study / "results" / "quality-memory.json").read_text())["value"])
    assert memory.near_copies.value == 1.0
    assert memory.fid.value < 3 * memory.fid.real
