"""The workers of a sweep or a study that run as jobs: how many, where, and with which resources."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_fields, check_numbers, flag

MOST_WORKERS = 1000  # the usual largest size of a job array
MOST_MINUTES = 525_600  # a year
LARGEST = {"workers": MOST_WORKERS, "timeout_min": MOST_MINUTES, "cpus": 1024, "gpus": 64}
ONLY_SLURM = ("partition", "mem_gb")
USUAL_MINUTES = {"slurm": 240, "local": MOST_MINUTES}


@dataclass(frozen=True)
class ClusterSettings:
    """Workers that run as jobs and share the trainings."""

    submit: Literal["slurm", "local"] | None = None
    """submit workers and return: to a SLURM cluster, or as processes on this machine (default: train in this
    process)"""
    workers: int = 1
    """number of jobs; each trains one model at a time until none is left"""
    timeout_min: int | None = None
    """time limit of a job in minutes; at the limit it saves its state and is submitted again (default: 240 on SLURM,
    no limit on this machine)"""
    partition: str | None = None
    """SLURM partition (default: that of the cluster)"""
    cpus: int = 1
    """number of CPU cores and threads of a worker"""
    gpus: int = 0
    """number of GPUs of a worker; workers on this machine all use the first ones"""
    mem_gb: int | None = None
    """memory of a worker in GB (default: that of the cluster)"""

    def __post_init__(self) -> None:
        check_fields(self, LARGEST)
        check_numbers(self, "workers timeout_min cpus mem_gb", 1)
        check_numbers(self, "gpus", 0)
        given = [part.name for part in fields(self) if getattr(self, part.name) != part.default]
        if self.submit is None and given:
            raise InputError(f"{flag(given[0])} needs --submit slurm or --submit local")
        unused = [name for name in given if name in ONLY_SLURM]
        if self.submit == "local" and unused:
            raise InputError(f"{flag(unused[0])} has no effect with --submit local: leave it out")

    @property
    def minutes(self) -> int:
        """The time limit of a job, minutes."""
        return USUAL_MINUTES[self.submit or "local"] if self.timeout_min is None else self.timeout_min
