"""The trials of a search in Optuna's storage; every worker takes one at a time.

A running trial without a claim was abandoned, and the next worker continues it. Results are read from the run folders,
never from the storage.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for
from ancestral.sweeps.claims import Entry
from ancestral.sweeps.plan import Plan
from ancestral.sweeps.queue import Claim, Queue
from ancestral.sweeps.sweep_axes import Axis, Range, folder_name, in_text

JOURNAL = "optuna-journal.log"
DIGITS = 4  # significant digits of a drawn number, so that it is easy to read and type


def refuse_without_optuna() -> None:
    """Raises:    InputError: Optuna is not installed."""
    if find_spec("optuna") is None:
        raise InputError(
            "--trials needs Optuna: pip install 'ancestral[scale]', or leave --trials out to train all combinations"
        )


class Trials(Queue):
    """The running and finished trials of a search, shared by all workers.

    Args:      plan: already checked. storage: an Optuna URL; None means a journal in the folder of the sweep.
    Raises:    InputError: the storage cannot be opened, or the folder contains other files.
    """

    def __init__(self, plan: Plan, storage: str | None = None) -> None:
        super().__init__(plan)
        with self.lock:
            self._study = _opened(plan, f"{self.name}-{plan.digest}", storage)

    def take(self) -> Claim | None:
        from optuna.trial import TrialState

        with self.lock:
            for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
                if self._is_whole(trial) and (claim := self._claim(trial)):
                    return claim
            while len(self._counted()) < self.total:
                self._study.sampler = self._sampler()
                asked = self._study.ask(self._distributions())
                if claim := self._claim(self._study.trials[asked.number]):
                    return claim
        return None

    def tell(self, claim: Claim, value: float | None) -> None:
        from optuna.trial import TrialState

        # Optuna has no state for a successful trial without a value; "pruned" is the closest
        how: dict[str, Any] = {"state": TrialState.PRUNED} if value is None else {"values": value}
        self._study.tell(claim.number, **how, skip_if_finished=True)

    def drawn(self) -> list[dict[str, Any]]:
        values = [self._read(trial) for trial in self._counted() if self._is_whole(trial)]
        return list({folder_name(one): one for one in values}.values())

    def entries(self) -> list[Entry]:
        return []

    @property
    def finished(self) -> int:
        return sum(trial.state.is_finished() for trial in self._counted())

    @property
    def total(self) -> int:
        assert self.plan.trials is not None
        return self.plan.trials

    def _counted(self) -> list[Any]:
        """All trials that did not fail."""
        from optuna.trial import TrialState

        return [trial for trial in self._study.trials if trial.state != TrialState.FAIL]

    def _is_whole(self, trial: Any) -> bool:
        """Whether all values of a trial were drawn; if not, its worker was killed, and the trial is marked as
        failed."""
        from optuna.trial import TrialState

        whole = set(self.plan.axes) <= set(trial.params)
        if not whole and not trial.state.is_finished():
            self._study.tell(trial.number, state=TrialState.FAIL)
        return whole

    def _claim(self, trial: Any) -> Claim | None:
        return self.claim(trial.number, self._read(trial), tuple(self.plan.seed_numbers))

    def _read(self, trial: Any) -> dict[str, Any]:
        """The values of a trial in the types of the settings."""
        given = trial.params
        return {name: _restored(axis, given[name]) for name, axis in self.plan.axes.items()}

    def _distributions(self) -> dict[str, Any]:
        return {name: _distribution(axis) for name, axis in self.plan.axes.items()}

    def _sampler(self) -> Any:
        """A sampler whose seed depends on the number of trials: one worker is reproducible, several differ."""
        from optuna.samplers import TPESampler

        seed = seed_for(self.plan.seed_numbers[0], "sweep", len(self._study.trials)) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions call the option experimental
            return TPESampler(seed=seed, constant_liar=True)  # avoids the values of running trials


def refuse_unreachable(storage: str | None) -> None:
    """Raises:    InputError: the database cannot be opened."""
    if storage is None:
        return
    import sqlalchemy

    try:
        sqlalchemy.create_engine(storage).connect().close()
    except Exception as error:  # each database has its own exceptions
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
    except Exception as error:  # each storage has its own exceptions
        if storage:
            raise InputError(f"--storage cannot be read ({_problem(error)})") from error
        raise InputError(f"{path} cannot be read ({_problem(error)}): remove it; finished runs are reused") from error


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(axis, Range):
        return CategoricalDistribution([_stored(value) for value in axis])
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _stored(value: Any) -> Any:
    """A value as Optuna stores it, without tuples."""
    return in_text(value) if isinstance(value, tuple) else value


def _restored(axis: Axis, given: Any) -> Any:
    if not isinstance(axis, Range):
        return next(value for value in axis if _stored(value) == given)
    return int(given) if axis.whole else min(max(float(f"{given:.{DIGITS}g}"), axis.low), axis.high)
