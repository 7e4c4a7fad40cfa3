"""Memory use, threads and tiny numbers of the process while it computes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


def keep_large_blocks() -> bool:
    """Make glibc keep freed memory instead of returning it to the kernel.

    Otherwise the memory of the activations is returned after each step, and the next step causes hundreds of page
    faults. The setting applies to the whole process. Without glibc nothing happens.

    Returns:   whether it was possible.
    """
    mmap_threshold, trim_threshold, one_gib = -3, -1, 1 << 30
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_threshold, one_gib)) and bool(mallopt(trim_threshold, one_gib))


TINIEST = 5e-324  # denormal in double precision


@contextmanager
def without_denormals() -> Iterator[None]:
    """Context in which this thread computes with 0 in place of denormal numbers, such as 1e-40 in single precision.

    Processors compute with them ten times as slowly. Threads that PyTorch started before are not affected, nor are
    processors without such a mode.
    """
    import torch

    before = TINIEST * 1.0 == 0.0  # the mode also holds for numbers of Python
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context with one thread an operation of PyTorch. Sums then have a fixed order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
