"""Memory use of the process while it computes."""

from __future__ import annotations

import ctypes


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
