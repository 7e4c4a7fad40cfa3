"""The workshop of a study: it trains missing runs and stores results of chapters, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral.core.files import read_json, write_json
from ancestral.core.pace import Pace
from ancestral.evaluation.quality import MEANS, Quality
from ancestral.evaluation.score import Score
from ancestral.figures.style import save_figure
from ancestral.reports.brevity import any_brief_in_words
from ancestral.reports.html import Figure
from ancestral.reports.pictures.catalogue import caption_of, draw
from ancestral.reports.run_page import early_caption
from ancestral.runs.evaluate import score_run
from ancestral.runs.fit import fit_or_reuse, refuse_other_settings
from ancestral.runs.provenance import version_of
from ancestral.runs.quality import measure_run, usual_steps
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.watching import Progress
from ancestral.studies.plan import Options, PlannedRun
from ancestral.sweeps.claims import Claims, Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn


@dataclass
class Workshop:
    """The folder of a study, its runs and their stored results.

    Args:      quick_settings: settings of every run under `--quick`. out: folder for runs, figures and the page.
               options: options of the study. progress: shows the progress. pace: estimates the time that is left.
    """

    quick_settings: Mapping[str, Any]
    out: Path
    options: Options
    progress: Progress
    runs: dict[str, Run] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    pace: Pace = field(default_factory=lambda: Pace([]))
    _left: list[str] = field(default_factory=list)  # runs whose parts of the estimate of time come next

    @cached_property
    def claims(self) -> Claims:
        """The claims of the workers that share the runs."""
        return Claims(self.out)

    @property
    def quick(self) -> bool:
        return self.options.budget == "quick"

    def size(self, usual: int, quick: int) -> int:
        """A number of images, trials and so on: `quick` under `--quick`, else `usual`."""
        return quick if self.quick else usual

    def train(self, plan: Sequence[PlannedRun], later: Sequence[float] = (), keep_going: bool = False) -> list[str]:
        """Train and score missing runs, and resume interrupted ones, as one of several workers.

        Args:      later: expected minutes of each part of the work after the trainings. keep_going: record an error of
                   a run and take the next one; else the error is raised.
        Returns:   the titles of runs that are still missing, because other workers train them or they have failed.
        """
        self.pace = Pace([*map(self._minutes, plan), *later], trust=1.0)
        self._left = [planned.name for planned in plan]
        taken = True
        while taken:  # until all missing runs have failed or are with other workers
            taken = False
            for number, planned in enumerate(plan, 1):
                entry = self.entry(planned)
                if self._is_there(planned) or (lock := self.claims.take(entry)) is None:
                    continue
                taken = True
                try:
                    with self.claims.recording_failure(entry, self.progress.say) if keep_going else nullcontext():
                        self._complete(planned, f"{number}/{len(plan)} {planned.title}")
                finally:
                    lock.release()
        return self.missing(plan)

    def missing(self, plan: Sequence[PlannedRun]) -> list[str]:
        """The titles of runs that are not trained, or that a worker still has."""
        return [planned.title for planned in plan if not self._is_there(planned)]

    def gather(self, plan: Sequence[PlannedRun]) -> None:
        """Open the runs that other calls have trained, and score them where scores are missing."""
        for number, planned in enumerate(plan, 1):
            if planned.name not in self.runs:
                self._complete(planned, f"{number}/{len(plan)} {planned.title}")
        self.runs = {planned.name: self.runs[planned.name] for planned in plan}  # in the order of the plan

    def entry(self, planned: PlannedRun) -> Entry:
        """A run as readers of the queue know it."""
        epochs = planned.settings_under(self.options.budget, self.quick_settings).training.epochs
        return Entry(planned.name, planned.title, (f"runs/{planned.name}",), epochs)

    def refuse_other_settings(self, plan: Sequence[PlannedRun]) -> None:
        """Raises:    InputError: a finished run has other settings than the plan."""
        for planned in plan:
            refuse_other_settings(
                Run(self.out / "runs" / planned.name), planned.settings_under(self.options.budget, self.quick_settings)
            )

    def _is_there(self, planned: PlannedRun) -> bool:
        """Whether a run is trained, and no worker is still scoring it."""
        if planned.name in self.runs:
            return True
        return not self.claims.held([planned.name]) and Run(self.out / "runs" / planned.name).finished

    def _complete(self, planned: PlannedRun, title: str) -> None:
        """Train a run or reuse it, and score it."""
        place = self._left.index(planned.name)
        self._left.insert(0, self._left.pop(place))
        self.pace.expected.insert(self.pace.done, self.pace.expected.pop(self.pace.done + place))
        with self.pace.stage() as stage:
            run, trained = self._train(planned, title)
            stage.counts = trained
            run.label = planned.title
            self.runs[planned.name], self.titles[planned.name] = run, planned.title
            if planned.scored and run.outcome["reason"] != "diverged":
                self.score(planned.name)
                if planned.importance_samples:
                    self.score(planned.name, planned.importance_samples)
        self._left.pop(0)
        how = f"trained in {run.outcome.get('seconds', 0):.0f} s" if trained else "reused"
        self.progress.say(f"{title}: {how}; {self.pace.left}")
        for verdict in run.verdicts() if trained else []:
            self.progress.say(f"{title}: {verdict.line}")

    def _minutes(self, planned: PlannedRun) -> float:
        """Expected training time of a run; 0 if it is finished."""
        if Run(self.out / "runs" / planned.name).finished:
            return 0.0
        return planned.minutes_under(self.options.budget, self.quick_settings)

    def _train(self, planned: PlannedRun, title: str) -> tuple[Run, bool]:
        """The finished run, and whether it was trained in this call."""
        settings = planned.settings_under(self.options.budget, self.quick_settings)
        reporter_for = partial(self.progress.reporter_for, title, settings.training.epochs, self.pace)
        run, trained = fit_or_reuse(settings, self.out / "runs" / planned.name, reporter_for, planned.title)
        if trained and run.outcome["reason"] == "diverged":
            self.progress.say(f"{title}: diverged: {run.outcome['detail']}")
        return run, trained

    def score(self, name: str, samples: int = 0, count: int | None = None) -> Score:
        """The score of a run on test images, computed once. samples: latent samples per image (0: exact, or ELBO)."""
        run = self.runs[name]
        count = min(count or 10**9, self.size(10**9, 200), len(run.data.dataset.test))
        samples = min(samples, self.size(samples, 100))
        methods = {f"IWAE_{samples}"} if samples else {"ELBO", "log p(x)"}
        for score in run.scores():
            if (score.split, score.count) == ("test", count) and score.method in methods:
                return score
        with self.progress.counter_for(f"scoring {self.titles.get(name, name)}", self.pace) as progress:
            return score_run(run, samples=samples, count=count, progress=progress)

    def quality(self, name: str, count: int = 10_000, threshold: bool = False, means: bool = False) -> Quality:
        """Sample quality of a run; measured once."""
        run = self.runs[name]
        count = min(count, self.size(10_000, 200), len(run.data.dataset.test), len(run.data.dataset.train))
        steps = usual_steps(run.load())
        for record in QUALITY.of(run):
            cut = "threshold" in record.space
            wanted = threshold or run.data.space.name == "threshold"
            same = (record.count, cut, record.drawn == MEANS, record.steps) == (count, wanted, means, steps)
            if same and record.recognised is not None:
                return record
        with self.progress.counter_for(f"drawing from {self.titles.get(name, name)}", self.pace) as progress:
            return measure_run(run, count, threshold=threshold, means=means, progress=progress)

    def remember(self, name: str, compute: Callable[[], Any], **conditions: Any) -> Any:
        """The stored result of `compute`, as JSON values.

        It is computed again if the runs, the conditions, the budget or the version of the package have changed.
        """
        path = self.out / "results" / f"{name}.json"
        weights = {key: _digest(run) for key, run in self.runs.items()}
        under = {
            "version": version_of("ancestral"),
            "budget": self.options.budget,
            "conditions": _as_json(conditions),
            "weights": weights,
        }
        if path.exists():
            record = read_json(path)
            if record.get("under") == under:
                return record["value"]
        value = compute()
        write_json(path, {"under": under, "value": value})
        return value

    def forget(self, name: str) -> None:
        """Drop what `remember` keeps under a name."""
        (self.out / "results" / f"{name}.json").unlink(missing_ok=True)

    def draw(self, name: str, what: str, caption: str = "", **options: Any) -> Figure:
        """A drawing of a run, with its caption."""
        caption = caption or f"{self.titles[name]}. {caption_of(self.runs[name], what)}"
        return self.figure(f"{name}-{what}", draw(self.runs[name], what, **options), caption, of=[name])

    def samples_at(self, name: str, epoch: int) -> list[Figure]:
        """The figure of samples that the training saved after an epoch; empty if it did not reach that epoch."""
        path = self.runs[name].figures / f"samples-epoch-{epoch:04d}.png"
        return [Figure(path, f"{self.titles[name]}. {early_caption(epoch)}")] if path.exists() else []

    def figure(self, stem: str, drawn: Drawn, caption: str, *, of: Collection[str]) -> Figure:
        """Save a figure in the folder of the study; its caption says where the training of its runs was too short.

        Args:      stem: name of the file. drawn: what to save. caption: what it shows. of: names of the runs that it
                   shows; none if it shows a computation without a trained model.
        """
        path = self.out / "figures" / f"{stem}.png"
        save_figure(drawn, path)
        brief = any_brief_in_words([self.runs[name] for name in of])
        return Figure(path, caption if brief in caption else f"{caption} {brief}")


def _digest(run: Run) -> str:
    path = run.model_folder / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
