"""Reading data from disk in a second thread, so that the caller does not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
AHEAD = 2  # items that are read before they are used, at most


def read_ahead(read: Callable[[Item], object], items: Sequence[Item]) -> Generator[Item, None, None]:
    """The items in their order, each after `read(item)` in a second thread; up to `AHEAD` items are read before.

    An error of `read` is raised in the caller when it reaches the item. Nothing is read after the caller stops.
    """
    waiting: deque[tuple[Item, Future[object]]] = deque()
    pool = ThreadPoolExecutor(1, "ancestral-read-ahead")
    try:
        for item in items:
            waiting.append((item, pool.submit(read, item)))
            if len(waiting) == AHEAD:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _first(waiting: deque[tuple[Item, Future[object]]]) -> Item:
    item, reading = waiting.popleft()
    reading.result()
    return item
