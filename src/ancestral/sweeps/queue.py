"""The trials of a sweep in Optuna's storage, of which every worker takes one at a time.

A worker is a process with the sweep's folder, on this machine or another. Two locks keep workers apart, and the
system lets go of both when a process ends, in any way. That of the folder is held for the moment in which a trial is
taken. The claim, one for each trial, is held while it is trained: a trial that is under way but not claimed was
abandoned, and the next worker continues it. What was trained is read from the run folders, never from the storage.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import filelock

from ancestral.core.errors import InputError
from ancestral.core.files import read_json, write_json
from ancestral.core.random import seed_for
from ancestral.sweeps.plan import Plan, seeds_of
from ancestral.sweeps.sweep_axes import Axis, Range, folder_name, in_text

RECORD, JOURNAL = "sweep.json", "optuna-journal.log"
DIGITS = 4  # of a drawn number: enough to tell trials apart, short enough to be read and typed


def refuse_without_optuna() -> None:
    """Raises:    InputError: Optuna is not installed."""
    if find_spec("optuna") is None:
        raise InputError("a sweep needs Optuna: pip install 'ancestral[scale]'")


@dataclass(frozen=True)
class Claim:
    """A trial that this worker has taken.

    Args:      number: Optuna's. values: of the settings that vary. seeds: of the runs that it consists of.
    """

    number: int
    values: dict[str, Any]
    seeds: tuple[int, ...]
    lock: filelock.BaseFileLock


class Queue:
    """The waiting, running and finished trials of a plan, the same for all who open it.

    Args:      plan: checked already. storage: an Optuna URL; None: a journal in the sweep's folder.
    Raises:    InputError: the storage cannot be opened, or the folder holds something else.
    """

    def __init__(self, plan: Plan, storage: str | None = None) -> None:
        self.plan = plan
        refuse_strangers(plan)
        plan.out.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(plan.out / ".lock")
        with self._lock:
            record = plan.out / RECORD
            if not record.exists():
                write_json(record, {"name": f"{plan.out.resolve().name}-{secrets.token_hex(4)}"})
            self._study = _opened(plan, f"{read_json(record)['name']}-{plan.digest}", storage)
            if plan.trials is None:
                self._fill()

    def _fill(self) -> None:
        """Let every run of a grid wait that is not on its way yet."""
        from optuna.trial import TrialState

        there = set()
        for trial in self._study.trials:
            values, (seed,) = self._read(trial)
            if trial.state in (TrialState.WAITING, TrialState.RUNNING) or self.plan.run(values, seed).finished:
                there.add(folder_name({**values, "seed": seed}))
        for values, seed in seeds_of(self.plan, self.plan.combinations):
            if folder_name({**values, "seed": seed}) not in there:
                choices = {name: _stored(value) for name, value in values.items()}
                self._study.enqueue_trial({**choices, "seed": seed})

    def take(self) -> Claim | None:
        """The next trial, which is then this worker's; None where all are finished, or under way elsewhere."""
        from optuna.trial import TrialState

        with self._lock:
            for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
                if self._is_whole(trial) and (claim := self._claim(trial)):
                    return claim
            while self._has_more():
                self._study.sampler = self._sampler()
                asked = self._study.ask(self._distributions())
                if claim := self._claim(self._study.trials[asked.number]):
                    return claim
        return None

    @contextmanager
    def working(self, claim: Claim) -> Iterator[None]:
        """Lets go of the claim at the end, however it comes."""
        try:
            yield
        finally:
            claim.lock.release()

    def tell(self, claim: Claim, value: float | None) -> None:
        """The trial is finished.

        Args:      value: to be minimised; infinite where it diverged, None where there is none.
        """
        from optuna.trial import TrialState

        # Optuna knows no trial that went well and has no value: one that was pruned comes nearest
        how: dict[str, Any] = {"state": TrialState.PRUNED} if value is None else {"values": value}
        self._study.tell(claim.number, **how, skip_if_finished=True)

    def drawn(self) -> list[dict[str, Any]]:
        """The combinations of the trials, in the order they were taken, each once."""
        values = [self._read(trial)[0] for trial in self._counted() if self._is_whole(trial)]
        return list({folder_name(one): one for one in values}.values())

    @property
    def finished(self) -> int:
        return sum(trial.state.is_finished() for trial in self._counted())

    @property
    def total(self) -> int:
        return self.plan.trials or len(self._counted())

    def _counted(self) -> list[Any]:
        """All but those that came to nothing."""
        from optuna.trial import TrialState

        return [trial for trial in self._study.trials if trial.state != TrialState.FAIL]

    def _has_more(self) -> bool:
        from optuna.trial import TrialState

        if self.plan.trials is None:
            return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        return len(self._counted()) < self.plan.trials

    def _is_whole(self, trial: Any) -> bool:
        """Whether all of its values were drawn; else its worker died in that moment, and it is given up."""
        from optuna.trial import TrialState

        whole = set(self.plan.axes) <= set(_parameters(trial))
        if not whole and not trial.state.is_finished():
            self._study.tell(trial.number, state=TrialState.FAIL)
        return whole

    def _claim(self, trial: Any) -> Claim | None:
        values, seeds = self._read(trial)
        folder = self.plan.out / "claims"
        folder.mkdir(exist_ok=True)
        name = folder_name({**values, "seed": seeds[0]})
        lock = filelock.FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return Claim(trial.number, values, seeds, lock)

    def _read(self, trial: Any) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Values and seeds of a trial as settings take them."""
        given = _parameters(trial)
        values = {name: _restored(axis, given[name]) for name, axis in self.plan.axes.items()}
        return values, tuple(self.plan.seed_numbers) if self.plan.trials else (int(given["seed"]),)

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution

        found = {name: _distribution(axis) for name, axis in self.plan.axes.items()}
        if self.plan.trials is None:
            found["seed"] = CategoricalDistribution(list(self.plan.seed_numbers))
        return found

    def _sampler(self) -> Any:
        """Seeded by how many trials there are: one worker draws the same again, several draw differently."""
        from optuna.samplers import TPESampler

        seed = seed_for(self.plan.seed_numbers[0], "sweep", len(self._study.trials)) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions call the option experimental
            return TPESampler(seed=seed, constant_liar=True)  # trials under way elsewhere are kept away from


def refuse_strangers(plan: Plan) -> None:
    """Raises:    InputError: the folder has files and is no sweep's."""
    if plan.out.exists() and not plan.out.is_dir():
        raise InputError(f"{plan.out} is a file: choose another --out")
    if not plan.out.is_dir() or (plan.out / RECORD).exists():
        return
    if any(not path.name.startswith(".") for path in plan.out.iterdir()):
        raise InputError(f"{plan.out} is not empty and not a sweep: choose another --out")


def refuse_unreachable(storage: str | None) -> None:
    """Raises:    InputError: there is no such database."""
    if storage is None:
        return
    import sqlalchemy

    try:
        sqlalchemy.create_engine(storage).connect().close()
    except Exception as error:  # each database has its own kinds
        raise InputError(f"--storage cannot be opened ({_problem(error)})") from error


def _problem(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"


def _opened(plan: Plan, name: str, storage: str | None) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = str(plan.out / JOURNAL)
    try:
        opened: Any = storage or JournalStorage(JournalFileBackend(path, JournalFileOpenLock(path)))
        return optuna.create_study(study_name=name, storage=opened, direction="minimize", load_if_exists=True)
    except Exception as error:  # each storage raises its own kinds
        if storage:
            raise InputError(f"--storage cannot be read ({_problem(error)})") from error
        raise InputError(f"{path} cannot be read ({_problem(error)}): remove it, what is trained is reused") from error


def _parameters(trial: Any) -> dict[str, Any]:
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(axis, Range):
        return CategoricalDistribution([_stored(value) for value in axis])
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _stored(value: Any) -> Any:
    """A value as Optuna takes it, which knows no tuples."""
    return in_text(value) if isinstance(value, tuple) else value


def _restored(axis: Axis, given: Any) -> Any:
    if not isinstance(axis, Range):
        return next(value for value in axis if _stored(value) == given)
    return int(given) if axis.whole else min(max(float(f"{given:.{DIGITS}g}"), axis.low), axis.high)
