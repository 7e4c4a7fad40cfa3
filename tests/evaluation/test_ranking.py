"""Scores of different images, spaces or numbers of images have no order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import refused

from ancestral.evaluation.score import Score, rank


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
def test_different_things_are_not_ranked(change: dict[str, object]) -> None:
    refused(lambda: rank([score(), replace(score(), **change)]), "cannot be ranked")


def test_the_highest_comes_first() -> None:
    assert rank([replace(score(), nats=n) for n in (-5.0, -1.0, float("nan"), -3.0)]) == [1, 3, 0, 2]
