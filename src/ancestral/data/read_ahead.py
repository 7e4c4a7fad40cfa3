"""Reading data in a second thread, so that the caller does not wait for the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 4  # results that are computed or waiting, at most


def read_ahead(read: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`read(item)` of each item, in their order; up to `AHEAD` results are computed before they are used.

    An error of `read` is raised in the caller when it reaches the item. Nothing is read after the caller stops.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(1, "ancestral-read-ahead")
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) == AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
