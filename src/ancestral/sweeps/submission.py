"""Submit workers as jobs of a SLURM cluster or as processes of this machine, through submitit.

Each job calls the same function, which takes trials from the shared queue until none is left. At its time limit or when
it is preempted, a job saves the state of its training and is submitted again by submitit. submitit keeps the function
and its arguments with pickle, in files of the user that only these jobs read.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from ancestral.core.errors import InputError, Interrupted
from ancestral.families.catalogue import load_file, loaded_files
from ancestral.settings.cluster import ClusterSettings

JOBS = "jobs"
MOST_REQUEUES = 1000  # after so many time limits, a job is not submitted again


def refuse_submission(cluster: ClusterSettings, folder: Path) -> None:
    """Check that workers can be submitted, before anything is written.

    Raises:    InputError: submitit or the cluster is missing, or the name of the folder is not possible.
    """
    if find_spec("submitit") is None:
        raise InputError("--submit needs submitit: pip install 'ancestral[cluster]', or leave --submit out")
    missing = [name for name in ("sbatch", "srun") if cluster.submit == "slurm" and shutil.which(name) is None]
    if missing:
        raise InputError(
            f"--submit slurm: this machine has no {missing[0]}: use a login node of the cluster, or --submit local"
        )
    if "%" in str(folder.resolve()):
        raise InputError(f"--out {folder}: SLURM replaces the character % in names of files: choose another --out")


def submit(work: Callable[..., None], arguments: dict[str, Any], cluster: ClusterSettings, folder: Path) -> list[str]:
    """Submit workers that call `work(**arguments)`; returns the numbers of their jobs.

    Args:      work: a function of a module. folder: of the queue; files of the jobs go to its folder `jobs`.
    Raises:    InputError: the cluster refuses the jobs.
    """
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    assert cluster.submit is not None
    limits = {f"{cluster.submit}_max_num_timeout": MOST_REQUEUES}
    executor = AutoExecutor((folder / JOBS).resolve(), cluster=cluster.submit, **limits)
    executor.update_parameters(
        name=f"ancestral-{folder.resolve().name}",
        timeout_min=cluster.minutes,
        nodes=1,
        tasks_per_node=1,
        cpus_per_task=cluster.cpus,
        gpus_per_node=cluster.gpus or None,
        mem_gb=cluster.mem_gb,
        slurm_partition=cluster.partition,
        slurm_array_parallelism=cluster.workers,
    )
    job = Job(work, arguments, cluster.cpus)
    try:
        with executor.batch():
            jobs = [executor.submit(job) for _ in range(cluster.workers)]
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        raise InputError(f"the jobs cannot be submitted: {_last_line(str(error))}") from error
    return [one.job_id for one in jobs]


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


@dataclass(frozen=True)
class Job:
    """What a job does. submitit calls it, and `checkpoint` before it submits the job again.

    Args:      work: called with the arguments. arguments: by name. threads: of an operation. families: files of the
               user's own families.
    """

    work: Callable[..., None]
    arguments: dict[str, Any]
    threads: int
    families: tuple[str, ...] = field(default_factory=loaded_files)

    def __call__(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        for path in self.families:
            load_file(path)
        requeue = StateFirst()
        try:
            self.work(**self.arguments)
        except Interrupted as error:
            print(error, flush=True)
            requeue.now_if_asked()

    def checkpoint(self) -> Any:
        """The submission of this job again: all state is in the shared folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class StateFirst:
    """Lets a training save its state before submitit's handler of its signal submits the job again and exits.

    The signal then has the effect of SIGTERM: the training completes its step and raises `Interrupted`. Between
    trainings, submitit's handler is called at once.
    """

    def __init__(self) -> None:
        from submitit import JobEnvironment

        self.number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        self.requeue: Any = signal.getsignal(self.number)
        self.idle = signal.getsignal(signal.SIGTERM)
        self.asked = False
        signal.signal(self.number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if signal.getsignal(signal.SIGTERM) is self.idle:
            self.now_if_asked()
        else:
            signal.raise_signal(signal.SIGTERM)

    def now_if_asked(self) -> None:
        """Submit the job again and exit, if the cluster asked for it."""
        if self.asked:
            self.requeue(self.number, None)
