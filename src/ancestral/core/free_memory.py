"""How much memory programs may still use."""

from __future__ import annotations

IF_UNKNOWN = 4 * 2**30


def available_memory() -> int:
    """Bytes of memory that programs may still use, as far as the system says."""
    try:
        with open("/proc/meminfo") as stream:
            kibibytes = next(line.split()[1] for line in stream if line.startswith("MemAvailable"))
        return int(kibibytes) * 1024
    except (OSError, StopIteration, ValueError):
        return IF_UNKNOWN
