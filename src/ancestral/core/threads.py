"""How the process uses memory while it computes."""

from __future__ import annotations

import ctypes


def keep_large_blocks() -> bool:
    """Ask glibc to keep freed memory instead of returning it to the kernel; True where that is possible.

    The activations of each step otherwise go back to the kernel and cost hundreds of page faults when they are
    needed again. It holds for the whole process. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold, one_gib = -3, -1, 1 << 30
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_threshold, one_gib)) and bool(mallopt(trim_threshold, one_gib))
