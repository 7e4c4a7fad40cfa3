"""The processes of one run: what they exchange, and how they end together. What they divide is in `core.dividing`.

Lightning Fabric starts the processes and reads the variables of torchrun and SLURM. It is imported only if there are
several processes.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ancestral.core import ranks
from ancestral.core.dividing import ALONE, Alone, dividing
from ancestral.core.errors import InputError, Interrupted, TrainingDiverged, TrainingUnhealthy
from ancestral.training.engine import Engine, build_engine

KINDS = {kind.__name__: kind for kind in (InputError, TrainingDiverged, TrainingUnhealthy, Interrupted)}
PATIENCE = timedelta(hours=24)  # the other processes wait while the first one draws pictures
FAREWELL = 5.0  # seconds in which the first process waits for the others to end
FAULT, LEFT = "ancestral/fault", "ancestral/left"
RESUME = "the last saved state is kept: continue with --resume"
AGAIN = "start the command again"
log = logging.getLogger("ancestral")


class Several(Alone):
    """Several processes, connected by Lightning Fabric.

    Args:      fabric: launched. engine: for the steps of this process.
    Attributes: remedy: what the user can do if a process is lost.
    """

    remedy = RESUME

    def __init__(self, fabric: Any, engine: Engine) -> None:
        import torch.distributed

        self.rank, self.world = fabric.global_rank, fabric.world_size
        self.engine, self.device = engine, fabric.device
        self._group = torch.distributed
        # the store is beside the connections, so a process that fails can tell the others why
        self._store: Any = self._group.distributed_c10d._get_default_store()
        self.barrier()
        launcher = fabric.strategy.launcher
        self._children = list(getattr(launcher, "procs", ()))
        if self._children:
            launcher.procs.clear()  # from here on, failures are noticed here; Fabric's observer would kill this process

    def gather(self, own: Tensor) -> Sequence[Tensor]:
        found = own.new_empty(self.world * own.numel(), device=self.device)
        with self._together():
            self._group.all_gather(list(found.chunk(self.world)), own.flatten().to(self.device))
        return found.view(self.world, *own.shape).to(own.device).unbind()

    def from_first(
        self, make: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        size = torch.zeros(1, dtype=torch.long, device=self.device)
        if self.first:
            tensors, facts = make()
            own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
            content = bytearray(safetensors.torch.save(own, {"facts": json.dumps(facts)}))
            message = torch.frombuffer(content, dtype=torch.uint8).to(self.device)
            size += len(message)
            with self._together():
                self._group.broadcast(size, 0)
                self._group.broadcast(message, 0)
            return tensors, facts
        with self._together():
            self._group.broadcast(size, 0)
            message = torch.empty(int(size), dtype=torch.uint8, device=self.device)
            self._group.broadcast(message, 0)
        received = bytes(message.cpu().numpy())
        head = json.loads(received[8 : 8 + int.from_bytes(received[:8], "little")])
        return safetensors.torch.load(received), json.loads(head["__metadata__"]["facts"])

    def barrier(self) -> None:
        self.gather(torch.zeros(1, device=self.device))

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Replace the error of a broken connection by that of the process which failed."""
        try:
            yield
        except RuntimeError as error:
            raise self._failure() from error

    def _failure(self) -> Exception:
        """The error of the process that failed; without a message of it, it was killed or its machine is gone."""
        with suppress(Exception):
            until = time.monotonic() + 0.5
            while time.monotonic() < until:  # the message may come after the end of the connection
                if self._store.check([FAULT]):
                    kind, text = json.loads(self._store.get(FAULT))
                    return _Shared.of(KINDS.get(kind, RuntimeError)(text))
                time.sleep(0.05)
        lost = Interrupted(f"a process of this run has ended, so all {self.world} end; {self.remedy}")
        with suppress(Exception):
            self._store.check([FAULT])
            return _Shared.of(lost)  # the first process is there and prints it
        if self.rank == 1:
            ranks.last_words(str(lost))
        return _Shared.of(lost)

    def tell(self, error: BaseException) -> None:
        """Tell the other processes why this one ends."""
        if not _Shared.is_one(error):
            kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), type(error).__name__)
            text = str(error) if kind in KINDS else f"{kind} in process {self.rank}: {error}"
            with suppress(Exception):
                self._store.set(FAULT, json.dumps([kind, text]))

    def leave(self, failed: bool = False) -> None:
        """The first process waits for the others, so that no process outlives the command.

        Args:      failed: end the connections, so that the others notice it.
        """
        if failed:
            self.disconnect()
        with suppress(Exception):
            if not self.first:
                self._store.add(LEFT, 1)
            until = time.monotonic() + FAREWELL
            while self.first and time.monotonic() < until and self._store.add(LEFT, 0) < self.world - 1:
                if self._children and all(child.poll() is not None for child in self._children):
                    break
                time.sleep(0.02)
        for child in self._children:
            with suppress(Exception):
                child.wait(FAREWELL)

    def disconnect(self) -> None:
        """End the connections and their threads.

        This must happen before the interpreter ends: a thread that frees a tensor after that aborts the process.
        """
        with suppress(Exception):  # they may have ended already
            self._group.destroy_process_group()


class _Shared:
    """Errors that came from another process, or that all processes know already."""

    @staticmethod
    def of(error: Exception) -> Exception:
        error.shared = True  # type: ignore[attr-defined]
        return error

    @staticmethod
    def is_one(error: BaseException) -> bool:
        return getattr(error, "shared", False)


def number_of_processes(devices: int) -> int:
    """The number of processes of a job: that of torchrun or SLURM, else `devices`.

    Raises:    InputError: both are given and differ, or nothing can start the processes.
    """
    found = ranks.place()
    if found is not None:
        if devices not in (1, found.world):
            raise InputError(f"--devices {devices}: {found.world} processes were started: leave --devices out")
        return found.world
    if devices > 1 and not ranks.can_launch():
        raise InputError(
            f"--devices {devices}: only the command `ancestral` can start processes; from Python, write a "
            f"script without --devices and start it with torchrun --nproc-per-node {devices} SCRIPT.py"
        )
    return devices


def refuse_devices(devices: int, device: str) -> None:
    """Raises:    InputError: there are fewer accelerators, or `device` is a single one."""
    kind, _, index = device.partition(":")
    if index:
        raise InputError(f"--devices {devices} and --device {device}: name the kind only, --device {kind}")
    if kind == "cpu" or (kind == "auto" and not torch.accelerator.is_available()):
        cores = os.cpu_count() or devices
        if devices > cores:
            log.warning("%d processes on %d cores: fewer processes are faster", devices, cores)
        return
    there = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    if devices > there:
        raise InputError(f"--devices {devices}: this machine has {there} of them: give at most {max(1, there)}")


@contextmanager
def dividing_work(devices: int = 1) -> Iterator[Alone]:
    """The processes of a job, among which the blocks of work of everything but a training are divided.

    Args:      devices: as for `together`.
    Raises:    InputError: as `together`, or fewer than one process.
    """
    if devices < 1:
        raise InputError(f"--devices {devices}: give a whole number of at least 1")
    with together(devices, "cpu", "32-true", AGAIN) as processes, dividing(processes):
        yield processes
        processes.barrier()  # what the first process has written is there


@contextmanager
def together(devices: int, device: str, precision: str, remedy: str = RESUME) -> Iterator[Alone]:
    """The processes of a job, which start and end together. With one process, nothing is started or imported.

    Args:      devices: number of processes, unless torchrun or SLURM started them. device, precision: as for
               `build_engine`. remedy: what the user can do if a process is lost.
    Raises:    InputError: they cannot be started.
    """
    global _active
    world = number_of_processes(devices)
    if world == 1 or _active:
        yield _started if _active and _started else ALONE
        return
    processes, _active = _start(world, device, precision), True
    processes.remedy = remedy
    try:
        yield processes
    except BaseException as error:
        processes.tell(error)
        processes.leave(failed=True)
        raise
    else:
        processes.leave()
    finally:
        _active = False


_started: Several | None = None
_active = False  # inside of `together`


def _start(world: int, device: str, precision: str) -> Several:
    """Start the processes, or use those that this process has started for an earlier run."""
    global _started
    if _started is not None:
        return _started
    found = ranks.place()
    here = world if found is None else found.per_machine
    if found and found.rank:
        log.setLevel(logging.CRITICAL)  # the first process prints
    refuse_devices(here, device)
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)

    class Unwrapped(DDPStrategy):
        """Fabric's processes without its wrapper: contributions are summed in the order of the shards, see `shards`."""

        def setup_module(self, module: Any) -> Any:
            self.module_to_device(module)
            return module

    starters = {
        ranks.TORCHRUN: TorchElasticEnvironment,
        ranks.SLURM: SLURMEnvironment,
        ranks.FABRIC: LightningEnvironment,
    }
    starter = starters[ranks.FABRIC if found is None else found.starter]
    kind = "cpu" if device == "auto" and not torch.accelerator.is_available() else device
    try:
        fabric = Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=world // here,
            precision=precision,  # type: ignore[arg-type]
            strategy=Unwrapped(timeout=PATIENCE),
            plugins=[starter()],
        )
        fabric.launch()
    except Exception as error:  # Fabric and torch have their own errors; each means that the processes cannot start
        raise InputError(f"the {world} processes cannot start: {str(error).splitlines()[0]}") from error
    plain = fabric.device.type == "cpu" and precision == "32-true"
    _started = Several(fabric, build_engine("cpu", precision) if plain else fabric)
    atexit.register(_started.disconnect)
    return _started
