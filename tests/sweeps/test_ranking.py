"""Combinations of a sweep: a best one is named only where the seeds distinguish it from all others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from ancestral.sweeps.page import _best_in_words
from ancestral.sweeps.plan import Plan
from ancestral.sweeps.ranking import Combination, gap_between, ranked

PLAN = Plan.__new__(Plan)


def row(name: str, *bests: float, diverged: int = 0) -> Combination:
    """A combination whose finished runs had these validation values."""
    found = Combination({"latents": name}, tuple(bests))  # type: ignore[arg-type]
    found.__dict__.update(bests=tuple(bests), finished=(), diverged=diverged)
    return found


def test_the_gap_is_tested_as_welch_does() -> None:
    a, b = (90.1, 90.4, 89.8), (91.0, 92.5, 90.9, 91.1)
    gap = gap_between(row("a", *a), row("b", *b))
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert gap is not None and gap.nats == pytest.approx(np.mean(b) - np.mean(a))
    assert gap.nats / gap.error == pytest.approx(expected.statistic)
    assert gap.certain == (expected.pvalue < 0.05)
    assert gap_between(row("a", 1.0), row("b", 2.0, 3.0)) is None


def test_equal_combinations_of_few_seeds_rarely_differ_significantly() -> None:
    """Two seeds each, equally good: a rule of two standard errors would find a difference in 18 % of the cases."""
    drawn = np.random.default_rng(0).normal(size=(2000, 2, 2))
    gaps = [gap_between(row("a", *min(pair, key=np.mean)), row("b", *max(pair, key=np.mean))) for pair in drawn]
    assert np.mean([gap is not None and gap.certain for gap in gaps]) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(90.0, 90.1, 89.9), (95.0, 95.2), (99.0, 99.1)], ["Best by validation: a", "significantly worse"]),
        (
            [(90.0, 90.1, 89.9), (95.0, 95.2), (96.0, 130.0)],
            ["Lowest validation value: a", "not significantly better than c"],
        ),
        ([(90.0, 93.0), (90.5, 93.0), (90.7, 93.0), (91.0, 93.1), (91.1, 93.2)], ["Lowest", "and 1 more"]),
        ([(90.0,), (95.0,)], ["Lowest validation value: a", "b, is 5", "--seeds 3"]),
    ],
)
def test_the_best_combination_is_named_if_there_is_one(
    rows: list[tuple[float, ...]], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Combination, "name", property(lambda one: one.values["latents"]))
    monkeypatch.setattr(Combination, "verdicts", property(lambda one: []))
    monkeypatch.setattr("ancestral.sweeps.page._ends", lambda plan, rows: [])
    monkeypatch.setattr("ancestral.sweeps.page._number", lambda plan, value: f"{value:.3g}")
    named = [row(name, *bests) for name, bests in zip("abcde", rows, strict=False)]
    text = " ".join(_best_in_words(PLAN, named))
    assert all(word in text for word in words), text


def test_a_combination_with_a_diverged_seed_is_ranked_last() -> None:
    """However good its other seed is; and last comes what has no value."""
    outcomes: dict[str, list[dict[str, object]]] = {
        "lucky": [{"reason": "epochs", "best_value": 1.0}, {"reason": "diverged", "best_value": 2.0}],
        "good": [{"reason": "epochs", "best_value": 90.0}, {"reason": "epochs", "best_value": 92.0}],
        "best": [{"reason": "epochs", "best_value": 80.0}, {"reason": "patience", "best_value": 82.0}],
        "none": [{"reason": "epochs", "best_value": None}, {"reason": "epochs", "best_value": None}],
    }

    def trained(values: dict[str, str], seed: int) -> SimpleNamespace:
        return SimpleNamespace(finished=True, outcome=outcomes[values["latents"]][seed])

    plan = SimpleNamespace(seed_numbers=(0, 1), run=trained)
    rows = ranked(plan, [{"latents": name} for name in outcomes])  # type: ignore[arg-type]
    assert [row.values["latents"] for row in rows] == ["best", "good", "lucky", "none"]
    assert [row.mean for row in rows] == [81.0, 91.0, 1.5, None]
    assert rows[0].deviation == pytest.approx(2**0.5)  # of 80 and 82, by n - 1
    assert rows[2].objective == float("inf")
