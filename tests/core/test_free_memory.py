"""The limit of a container counts, not only the memory of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.core.free_memory import IF_UNKNOWN, available_memory

GB = 10**9
MEMINFO = "MemTotal:       64000000 kB\nMemFree:         100 kB\nMemAvailable:   40000000 kB\n"
MACHINE = 40_000_000 * 1024
V2 = "30 23 0:26 {mounted} {point} rw,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n"
V1 = (
    "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    "35 23 0:32 {mounted} {point} rw,relatime - cgroup cgroup rw,memory\n"
)


class Machine:
    """A folder that replaces the root of the file system.

    Args:      root: empty. version: of the control groups. group: of the process. mounted: the group that is seen at
               the mount.
    """

    def __init__(self, root: Path, version: int, group: str = "/", mounted: str = "/") -> None:
        self.root, self.version = root, version
        self.top = root / ("sys/fs/cgroup" if version == 2 else "sys/fs/cgroup/memory")
        point = "/" + str(self.top.relative_to(root))
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/meminfo").write_text(MEMINFO)
        (root / "proc/self/mountinfo").write_text((V2 if version == 2 else V1).format(mounted=mounted, point=point))
        line = f"0::{group}\n" if version == 2 else f"5:cpu:/other\n4:memory:{group}\n0::/elsewhere\n"
        (root / "proc/self/cgroup").write_text(line)

    def limit(self, inside: str, limit: int | str, used: int, file_cache: int = 0) -> None:
        """Give a group, named from the mount, a limit and what it uses."""
        folder = self.top / inside
        folder.mkdir(parents=True, exist_ok=True)
        new = self.version == 2
        (folder / ("memory.max" if new else "memory.limit_in_bytes")).write_text(f"{limit}\n")
        (folder / ("memory.current" if new else "memory.usage_in_bytes")).write_text(f"{used}\n")
        name = "inactive_file" if new else "total_inactive_file"
        (folder / "memory.stat").write_text(f"anon {used - file_cache}\n{name} {file_cache}\n")

    @property
    def available(self) -> int:
        return available_memory(self.root)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("group", "mounted", "inside"),
    [("/", "/", ""), ("/jobs/7", "/", "jobs/7"), ("/docker/ab", "/docker/ab", ""), ("/../elsewhere", "/", "")],
)
def test_the_smaller_of_the_machine_and_the_group(
    version: int, group: str, mounted: str, inside: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, version, group, mounted)
    assert machine.available == MACHINE
    machine.limit(inside, 4 * GB, GB)
    assert machine.available == 3 * GB
    machine.limit(inside, 4 * GB, 3 * GB, file_cache=2 * GB)  # the kernel gives up its cache first
    assert machine.available == 3 * GB
    machine.limit(inside, 900 * GB, GB)
    assert machine.available == MACHINE
    machine.limit(inside, GB, 2 * GB)  # a limit that was lowered
    assert machine.available == 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_inside_another_has_the_smaller_of_both(version: int, tmp_path: Path) -> None:
    machine = Machine(tmp_path, version, "/jobs/7/task")
    machine.limit("jobs", 20 * GB, 5 * GB)
    machine.limit("jobs/7", 6 * GB, 2 * GB)
    machine.limit("jobs/7/task", "max" if version == 2 else 2**63 - 4096, GB)
    assert machine.available == 4 * GB
    machine.limit("jobs", 20 * GB, 19 * GB)
    assert machine.available == GB


def test_a_file_that_cannot_be_read_sets_no_limit(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "nothing") == IF_UNKNOWN
    machine = Machine(tmp_path / "machine", 2)
    machine.limit("", "max", GB)
    assert machine.available == MACHINE
    machine.limit("", 5 * GB, GB)
    (machine.root / "proc/meminfo").write_text("MemTotal: 1 kB\n")
    assert machine.available == 4 * GB
    (machine.root / "proc/self/mountinfo").write_text("a line - cgroup2\n\n1 2 3 4 5 6 -\n")
    (machine.root / "proc/self/cgroup").write_text("0::/\nnonsense\n")
    assert machine.available == IF_UNKNOWN
