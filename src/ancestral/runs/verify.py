"""Checks that a run folder is whole and says the truth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.evaluation.contract import Check, check_model
from ancestral.evaluation.likelihood import score
from ancestral.families.family import Family
from ancestral.runs.run import Run

TOLERANCE = 1e-4  # nats: the same sums on another machine or number of threads


def verify_run(path: Path | str) -> Iterator[Check]:
    """Check files, weights, contract and stored scores of a run, one `Check` at a time.

    Stored scores with up to one latent draw per image are computed again and must agree.

    Raises:    InputError: not a run folder.
    """
    run = Run(path)
    record = run.record
    try:
        model = run.load()
    except InputError as error:
        yield Check("the model can be read", False, str(error))
        return
    yield Check("the model can be read", True, type(model).__name__)
    infinite = [name for name, tensor in model.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    yield Check("every weight is finite", not infinite, ", ".join(infinite) or f"{len(model.state_dict())} tensors")
    same = run.data.dataset.sha256 == record["data"]["sha256"]
    yield Check(
        "the data are those it was trained on",
        same,
        f"{run.data.name}, SHA-256 {run.data.dataset.sha256[:16]}…",
    )
    lines = run.log()
    ordered = all(a.step <= b.step for a, b in pairwise(lines))
    yield Check("the log is whole and in order", ordered and bool(lines), f"{len(lines)} lines")
    yield from check_model(model)
    for stored in run.scores():
        if stored.samples > 1:
            continue
        images = run.data.held(stored.split, stored.count)
        again = score(model, images, dataset=run.data.name, split=stored.split)
        yield Check(
            f"its score can be repeated: {stored.method} on {stored.split}",
            again.space == stored.space and abs(again.nats - stored.nats) <= TOLERANCE,
            f"stored {stored.nats:.4f}, again {again.nats:.4f} nats",
        )


def verify_family(family: Family) -> Iterator[Check]:
    """Hold the tiny models of a family against the contract of their kind, one `Check` at a time."""
    tiny = family.code("tiny")
    if not tiny:
        yield Check(family.name, False, "it has no tiny models: the contract cannot be tested")
    for name, make in tiny.items():
        try:
            with seeded_noise(0):
                model = make().double().eval()
        except Exception as error:  # a stranger's code may fail in any way, and each is an answer
            yield Check(f"{name}: it can be made", False, f"{type(error).__name__}: {error}")
            continue
        for check in check_model(model):
            yield check._replace(name=f"{name}: {check.name}")
