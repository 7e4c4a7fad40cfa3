"""Coding of independent blocks in several threads. PyTorch computes outside the lock of Python's interpreter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

import torch

from ancestral.compression.code import Code
from ancestral.core.threads import one_thread

T = TypeVar("T")
R = TypeVar("R")


def in_threads(code: Code, work: Callable[[Code, T], R], jobs: Sequence[T]) -> Iterator[R]:
    """Return `work(code, job)` of all jobs, in their order.

    There are as many threads as PyTorch may use, each with a copy of the code; an operation then uses one. The results
    do not depend on the number of threads, because calculations are exact, or independent of it; see `FixedPoint`.
    """
    count = min(len(jobs), torch.get_num_threads())
    if count < 2 or not code.portable:
        yield from (work(code, job) for job in jobs)
        return
    stopped, idle = Event(), SimpleQueue()
    for _ in range(count):
        twin = copy.deepcopy(code)
        twin.stopped = stopped
        idle.put(twin)

    def with_own_code(job: T) -> R:
        own = idle.get()
        try:
            return work(own, job)
        finally:
            idle.put(own)

    with (
        one_thread(),
        ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        try:
            yield from pool.map(with_own_code, jobs)
        except BaseException:
            stopped.set()  # the other threads stop soon, so that an interruption does not wait for their blocks
            pool.shutdown(wait=False, cancel_futures=True)
            raise
