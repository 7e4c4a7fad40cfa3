"""What a study is made of: named runs, which are trained once and then reused."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ancestral.errors import InputError
from ancestral.fitting import fit_settings
from ancestral.run import Run, settings_to_json
from ancestral.scoring import score_run
from ancestral.settings.families import settings_for
from ancestral.training.loop import Reporter

ReporterFor = Callable[[str], AbstractContextManager[Reporter]]


@dataclass(frozen=True)
class PlannedRun:
    """A run that a study needs.

    Args:      name: its folder. title: its name for a reader. family, settings: as for `fit`.
               importance_samples: draws for the tighter bound, besides the ELBO or exact value; 0 for none.
               scored: False for a model that has no likelihood.
    """

    name: str
    title: str
    family: str
    settings: Mapping[str, Any]
    importance_samples: int = 0
    scored: bool = True


@dataclass
class Workshop:
    """Where a study works: its folder, and how it tells of its progress.

    Args:      out: folder for runs and report. quick: every run at most `quick_epochs` epochs.
               reporter_for: a progress reporter for a title. say: prints a line.
    """

    out: Path
    quick: bool
    reporter_for: ReporterFor
    say: Callable[[str], None]
    quick_epochs: int = 2
    done: dict[str, Run] = field(default_factory=dict)

    def carry_out(self, plan: Sequence[PlannedRun]) -> dict[str, Run]:
        """Train what is missing, go on with what was interrupted, reuse what is finished; score each."""
        for number, planned in enumerate(plan, 1):
            self.done[planned.name] = self._train(planned, f"{number}/{len(plan)} {planned.title}")
        return self.done

    def _train(self, planned: PlannedRun, title: str) -> Run:
        values = dict(planned.settings)
        if self.quick:
            values["epochs"] = min(self.quick_epochs, values.get("epochs", self.quick_epochs))
        settings = settings_for(planned.family, **values)
        run = Run(self.out / "runs" / planned.name)
        if run.outcome.get("reason") in ("epochs", "patience") and _same(run, settings_to_json(settings)):
            self.say(f"{title}: reused")
        else:
            with self.reporter_for(title) as reporter:
                run = fit_settings(settings, run.path, resume=True, reporter=reporter)
            self.say(f"{title}: trained in {run.outcome['seconds']:.0f} s")
            for verdict in run.verdicts():
                self.say(f"{title}: {verdict.line}")
        if planned.scored:
            wanted = [0, planned.importance_samples] if planned.importance_samples else [0]
            have = {(score.method, score.split) for score in run.scores()}
            for samples in wanted:
                names = {f"IWAE_{samples}"} if samples else {"ELBO", "log p(x)"}
                if not any((name, "test") in have for name in names):
                    score_run(run, samples=samples)
        return run


def _same(run: Run, described: dict[str, Any]) -> bool:
    """Whether a finished run is the one wanted.

    Raises:    InputError: the folder holds a run with other settings.
    """
    if settings_to_json(run.settings) != described:
        raise InputError(f"{run.path} holds a run with other settings: choose another --out")
    return True


STUDIES = {"tour": "ancestral.studies.tour"}


def carry_out_study(name: str, out: Path, quick: bool, reporter_for: ReporterFor, say: Callable[[str], None]) -> Path:
    """Run the study of that name into `out`; returns the path of its report.

    Raises:    InputError: unknown name.
    """
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}: choose {', '.join(STUDIES)}")
    return importlib.import_module(STUDIES[name]).run_study(Workshop(out, quick, reporter_for, say))
