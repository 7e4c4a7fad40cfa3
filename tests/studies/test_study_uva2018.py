"""The study `uva2018` from end to end under `--quick`: the deliverables of the coursework on its page."""

from __future__ import annotations

import html
import re

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.evaluation.detection import SCORES
from ancestral.studies.demonstrations.paired_scores import Difference
from ancestral.studies.demonstrations.prior_sampling import Shortfall
from ancestral.studies.uva2018.belief import against_mixture, cost_in_words
from ancestral.studies.uva2018.mixture import SCORES_IN_WORDS
from ancestral.studies.uva2018.recipe import PLAN, STUDY
from ancestral.studies.uva2018.vae import growth_in_words, reference_in_words

DELIVERABLES = (
    "-540, at the start|after one epoch",
    "samples of Z and of the pixels",
    "EM minus gradient",
    "normal score",
    "32 bits",
    "states of Z",
    "N M D 2",
    "the first 1,000 training images",
    "5%, 15%, ..., 95%",
    "effective sample size",
    "difference of the two log-densities",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = carried_out("uva2018", tmp_path_factory)
    assert {path.name for path in (out / "runs").iterdir()} == {planned.name for planned in PLAN}
    return html.unescape((out / "report.html").read_text())


@needs_mnist
def test_every_deliverable_is_on_the_page(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.title in page and re.split("[_^]", chapter.asked)[0][:60] in page
    missing = [words for words in DELIVERABLES if not re.search(words, page)]
    assert not missing
    assert page.count("<img ") == 16


@needs_mnist
def test_the_quick_page_has_no_verdicts(page: str) -> None:
    assert "too briefly" in page and page.count("not judged") == 9
    assert ">met<" not in page and ">missed<" not in page


@needs_mnist
def test_the_page_has_no_missing_values_and_needs_no_network(page: str) -> None:
    assert "http://" not in page and "https://" not in page
    words = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"\b(nan|inf|None)\b", words.split("</style>")[1])


def _found(latents: int, nats: float, stderr: float = 1.0, active: int = 2) -> Shortfall:
    change = 1e-4 if latents == 2 else None
    return Shortfall(
        latents=latents,
        epochs=40 if latents == 2 else 20,
        active=active,
        kl=3.0 * active,
        images=100,
        draws=(10, 1000),
        nats=(2 * nats, nats),
        stderr=(stderr, stderr),
        tight=5000,
        bound=(-101.5, 1.0),
        reference=(-100.0 if change else -101.5, 1.0),
        change=change,
        effective=(3.0, 400.0),
    )


def test_the_sentence_on_the_growth_of_the_shortfall_follows_the_numbers() -> None:
    some = [_found(2, 1.0), _found(5, 10.0), _found(20, 60.0), _found(50, 58.0, active=21)]
    told = growth_in_words(some)
    assert (
        "10.0 ± 1.0 with 5 and 60.0 ± 1.0 with 20" in told and "From 20 to 50 latents it does not clearly grow" in told
    )
    assert "Of 20 latents 2 are active, of 50 latents 21" in told and "not on their number" not in told
    assert "not on their number" in growth_in_words([*some[:3], _found(50, 58.0)])
    assert "does not" not in growth_in_words(some[:3]) and "60.0 ± 1.0 with 20" in growth_in_words(some[:3])
    flat = growth_in_words([_found(2, 5.0), _found(5, 5.0)])
    assert "It grows" not in flat and "From 2 to 5 latents it does not clearly grow" in flat


def test_the_reference_of_the_shortfall_is_stated() -> None:
    told = reference_in_words([_found(2, 1.0), _found(5, 10.0)])
    assert "lies 1.5 nats below" in told and "1.0 × 10⁻⁴" in told
    assert "2 latents was trained for 40 epochs, the others for 20" in told


def test_the_nets_are_compared_with_the_mixture_by_paired_differences() -> None:
    clear, unclear, below = (Difference(nats, 1.0, "log p(x)", 100) for nats in (9.0, 2.0, -9.0))
    assert against_mixture([clear] * 3, [8, 12, 16]) == (
        "All nets (8, 12 and 16 latents) score clearly above the mixture."
    )
    assert against_mixture([unclear, below], [8, 12]) == "No net scores clearly above the mixture."
    assert "Only the net with 12 latents scores" in against_mixture([unclear, clear], [8, 12])
    assert "Only the nets with 8 and 12 latents score " in against_mixture([clear, clear, unclear], [8, 12, 16])


def test_the_cost_is_stated_with_its_range() -> None:
    times = {"naive": [300.0, 200.0, 400.0], "ours": [2.0, 1.0, 1.0], "mixture": [0.5] * 3}
    ways = {way: {"ms": sorted(some)[1], "all_ms": some} for way, some in times.items()}
    told = cost_in_words({"M": 10, "N": 128, "D": 784, **ways}, 1.1e-7)
    assert "200 times faster (median of 3 rounds; 150 to 400)" in told
    assert "relative difference at most 1 × 10⁻⁷" in told and "2.0 times faster than the belief net." in told


def test_every_score_of_an_image_is_explained() -> None:
    assert SCORES_IN_WORDS.keys() == SCORES.keys()
