"""Memory that is still available: that of the machine, or less if a container or a job has a lower limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

IF_UNKNOWN = 4 * 2**30


class _Files(NamedTuple):
    """Names of the files of a control group, and of the lines of its statistics that count caches.

    The kernel counts caches of files as used memory, but frees them when a program needs memory.
    """

    limit: str
    used: str
    caches: tuple[str, ...]


VERSION_2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file", "slab_reclaimable"))
VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file"))


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process can still use, as reported by the system.

    This is the minimum over the machine and the control groups (cgroups) of the process. Containers and cluster jobs
    have their limits in control groups. 4 GiB if the system reports nothing.

    Args:      root: the folder that holds `proc` and the mounted control groups.
    """
    found = [_machine(root), *_groups(root)]
    known = [free for free in found if free is not None]
    return max(0, min(known)) if known else IF_UNKNOWN


def _machine(root: Path) -> int | None:
    """Available bytes of the whole machine; None if unknown."""
    try:
        with (root / "proc/meminfo").open() as stream:
            kibibytes = next(line.split()[1] for line in stream if line.startswith("MemAvailable"))
        return int(kibibytes) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _groups(root: Path) -> Iterator[int | None]:
    """Available bytes of each control group that contains this process; None for a group without a limit."""
    try:
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for mount in mounts:
        before, _, after = mount.partition(" - ")  # proc(5) describes the fields
        _, _, _, mounted, point, *_ = [*before.split(), *[""] * 5]
        kind, options = after.split()[:1], after.split(" ")[-1].split(",")
        for group in groups:
            _, _, rest = group.partition(":")
            controllers, _, path = rest.partition(":")
            files = _files(kind, options, controllers.split(","))
            if files and point:
                yield from (_left(folder, files) for folder in _around(root, mounted, point, path))


def _files(kind: list[str], options: list[str], controllers: list[str]) -> _Files | None:
    """The files of a control group at a mount; None if the mount does not show the group's memory."""
    if kind == ["cgroup2"] and controllers == [""]:
        return VERSION_2
    return VERSION_1 if kind == ["cgroup"] and "memory" in options and "memory" in controllers else None


def _around(root: Path, mounted: str, point: str, group: str) -> Iterator[Path]:
    """The folders of a control group and of the groups that contain it.

    Args:      mounted: the group that is mounted at `point`. In a container this may be the group of the process, or a
               group whose name is not visible in the container; then only the files at `point` can be read.
    """
    top = root / point.lstrip("/")
    inside = group.removeprefix(mounted.rstrip("/")) if group.startswith(mounted) else ""
    folder = top / inside.strip("/") if ".." not in inside.split("/") else top
    while folder != top and top in folder.parents:
        yield folder
        folder = folder.parent
    yield top


def _left(folder: Path, files: _Files) -> int | None:
    """Bytes that a control group can still use; None if it has no limit or cannot be read."""
    try:
        limit, used = int((folder / files.limit).read_text()), int((folder / files.used).read_text())
        lines = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        return limit - used + sum(int(line[1]) for line in lines if line[0] in files.caches)
    except (OSError, ValueError, IndexError):  # "max", or no such file
        return None
