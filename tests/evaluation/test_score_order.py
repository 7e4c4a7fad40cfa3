"""Ranking of scores: only for equal images and pixel spaces; and the most informative score of a model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import refused

from ancestral.evaluation.score import Score, best_of, rank


def score() -> Score:
    return Score.of(
        torch.tensor([-3.0, -4.0]),
        method="log p(x)",
        kind="exact",
        side=None,
        samples=0,
        space="digits, binary",
        split="test",
        dimensions=64,
        discrete=True,
    )


@pytest.mark.parametrize("change", [{"space": "mnist, binary"}, {"split": "valid"}, {"count": 3}])
def test_scores_that_are_not_comparable_are_not_ranked(change: dict[str, object]) -> None:
    refused(lambda: rank([score(), replace(score(), **change)]), "cannot be ranked")


def test_the_highest_comes_first() -> None:
    assert rank([replace(score(), nats=n) for n in (-5.0, -1.0, float("nan"), -3.0)]) == [1, 3, 0, 2]


def test_the_most_informative_score_is_exact_on_all_test_images() -> None:
    exact = replace(score(), nats=-5.0, count=100)
    loose = replace(exact, kind="bound", side="lower", method="ELBO", nats=-4.0)
    tight = replace(loose, method="IWAE_50", nats=-3.0)
    part, other = replace(exact, nats=-1.0, count=10), replace(exact, nats=-1.0, split="valid")
    assert best_of([part, loose, other, exact, tight], "a run") is exact
    assert best_of([part, tight, other, loose], "a run") is tight
    assert best_of([part, exact, other], "a run", "valid") is other
    refused(lambda: best_of([part, exact], "a run", "valid"), "no score on valid images")
