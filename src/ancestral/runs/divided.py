"""The number of shards of a run, and checks of a run on several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from ancestral.core.digest import digest_of
from ancestral.core.dividing import Alone
from ancestral.core.errors import InputError
from ancestral.core.threads import one_thread
from ancestral.families.run_settings import Settings
from ancestral.models.base import Model
from ancestral.runs.run import Run
from ancestral.training.shards import Shards, refuse_shards


def with_shards(run: Run, settings: Settings, resume: bool, processes: Alone) -> tuple[Settings, Shards]:
    """The settings with the number of shards as recorded in the run, and the shards.

    A new run has as many shards as processes, unless the settings name a number. A resumed run keeps its number. One
    shard is recorded as `null`, as in runs of earlier versions.

    Raises:    InputError: the number does not fit the processes, the batch, or the run that is resumed.
    """
    training = settings.training
    count = training.shards
    if resume and run.started:
        before = run.settings.training.shards or 1
        count = count or before
        if count != before:
            raise InputError(f"this run started with --shards {before}, not {count}: resume with its own settings")
    count = count or processes.world
    refuse_shards(count, processes.world, training.batch_size)
    for name, chosen in (("--compile", training.compile), ("--cuda-graph", training.cuda_graph)):
        if count > 1 and chosen:
            raise InputError(f"{name}: not with --shards {count} or several processes: leave out one of them")
    training = replace(training, shards=count if count > 1 else None)
    return replace(settings, training=training), Shards(count, processes, training.seed)


@contextmanager
def fixed_threads(shards: Shards) -> Iterator[None]:
    """One thread for each process if there are shards: sums may depend on the number of threads.

    A run with shards may continue with another number of processes, and each of them would have other threads.
    """
    if shards.count == 1:
        yield
        return
    with one_thread():
        yield


def refuse_other_weights(processes: Alone, model: Model) -> None:
    """Raises:    InputError: the processes do not have the same weights."""
    if processes.world == 1:
        return
    digest = bytes.fromhex(digest_of(model.state_dict()))
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
    if any(not torch.equal(own, other) for other in processes.gather(own)):
        raise InputError(
            "the processes of this run have different weights: use machines of one kind, with the same versions of "
            "torch and ancestral"
        )
