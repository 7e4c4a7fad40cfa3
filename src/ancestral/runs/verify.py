"""Checks that a run folder is complete and consistent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.evaluation.contract import Check, check_model
from ancestral.evaluation.scoring import score_again
from ancestral.families.family import Family
from ancestral.models.base import Model
from ancestral.runs.run import ELSEWHERE, Run

TOLERANCE = 1e-4  # nats; rounding differs between machines and numbers of threads


def verify_run(run: Run | Path | str) -> Iterator[Check]:
    """Check files, weights, contract and stored scores of a run, one `Check` at a time.

    Stored scores with at most one latent sample per image are computed again and must agree.

    Raises:    InputError: not a run folder, or the user's own modules are missing.
    """
    run = run if isinstance(run, Run) else Run(run)
    with suppress(InputError):  # a damaged record is reported by a check below
        _ = run.record
    if "record" in vars(run):
        run.refuse_missing_parts()
    yield from _files(run)
    try:
        _ = run.settings
        model = run.load()
    except InputError as error:
        yield Check("the model can be read, and every weight is finite", False, str(error))
        return
    detail = f"{type(model).__name__}, {len(model.state_dict())} tensors"
    yield Check("the model can be read, and every weight is finite", True, detail)
    yield _log(run)
    yield from check_model(model)
    try:
        data = run.data
        _ = data.dataset
    except InputError as error:
        yield Check("the data are those it was trained on", False, str(error))
        return
    yield Check(
        "the data are those it was trained on",
        True,
        f"{data.name}, SHA-256 {data.dataset.sha256[:16]}…" if data.dataset.sha256 else data.name,
    )
    yield from _scores(run, model)


def _files(run: Run) -> Iterator[Check]:
    """Check every file of a finished run against its manifest. Unfinished runs and early versions have no manifest.

    Raises:    InputError: not a run folder.
    """
    try:
        promised, listed = run.record.get("manifest"), len(run.manifest.entries())
        problems = [f"{name}: {problem}" for name, problem in run.manifest.problems()]
    except InputError as error:
        if not run.started:
            raise
        yield Check("the files are those that were written", False, str(error))
        return
    if listed:
        detail = "; ".join(problems) or f"{listed} files have the SHA-256 in the manifest"
        yield Check("the files are those that were written", not problems, detail)
    elif promised:
        detail = "there is no manifest.json: the training is not finished; continue it with --resume"
        yield Check("the files are those that were written", False, detail)


def _log(run: Run) -> Check:
    """Check that the log can be read, is not empty, and has its steps in order."""
    name = "the log is whole and in order"
    try:
        lines = run.log()
    except InputError as error:
        return Check(name, False, str(error))
    if run.outcome.get("reason") == ELSEWHERE and not lines:
        return Check(name, True, "trained outside ancestral, without a log")
    return Check(name, bool(lines) and all(a.step <= b.step for a, b in pairwise(lines)), f"{len(lines)} lines")


def _scores(run: Run, model: Model) -> Iterator[Check]:
    """Compute each stored score that is quick to compute again, and compare."""
    try:
        scores = run.scores()
    except InputError as error:
        yield Check("the stored scores can be read", False, str(error))
        return
    for stored in scores:
        if stored.samples > 1 or stored.kind == "file":
            continue
        name = f"its score can be repeated: {stored.method} on {stored.split}"
        try:
            again = score_again(model, run.data.held(stored.split, stored.count), stored, run.data.name)
        except InputError as error:
            yield Check(name, False, str(error))
            continue
        same = again.space == stored.space and abs(again.nats - stored.nats) <= TOLERANCE
        yield Check(name, same, f"stored {stored.nats:.4f}, again {again.nats:.4f} nats")


def verify_family(family: Family) -> Iterator[Check]:
    """Check the contract on the tiny models of a family, one `Check` at a time."""
    tiny = family.code("tiny")
    if not tiny:
        yield Check(family.name, False, "it has no tiny models, so the contract cannot be tested")
    for name, make in tiny.items():
        try:
            with seeded_noise(0):
                model = make().double().eval()
        except Exception as error:  # the code of a plug-in may raise anything, which is a failed check
            yield Check(f"{name}: it can be built", False, f"{type(error).__name__}: {error}")
            continue
        for check in check_model(model):
            yield check._replace(name=f"{name}: {check.name}")
