"""The workshop of a study: it trains missing runs and stores results of chapters, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from ancestral.runs.fit import fit_or_reuse
from ancestral.runs.provenance import version_of
from ancestral.runs.quality import measure_run, usual_steps
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.watching import Progress
from ancestral.studies.plan import Options, PlannedRun

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

    @property
    def quick(self) -> bool:
        return self.options.budget == "quick"

    def size(self, usual: int, quick: int) -> int:
        """A number of images, trials and so on: `quick` under `--quick`, else `usual`."""
        return quick if self.quick else usual

    def carry_out(self, plan: Sequence[PlannedRun], later: Sequence[float] = ()) -> None:
        """Train missing runs, resume interrupted ones, reuse finished ones; then score each.

        Args:      later: expected minutes of each part of the work after the trainings.
        """
        self.pace = Pace([*map(self._minutes, plan), *later], trust=1.0)
        for number, planned in enumerate(plan, 1):
            title = f"{number}/{len(plan)} {planned.title}"
            with self.pace.stage() as stage:
                run, trained = self._train(planned, title)
                stage.counts = trained
                run.label = planned.title
                self.runs[planned.name], self.titles[planned.name] = run, planned.title
                if planned.scored and run.outcome["reason"] != "diverged":
                    self.score(planned.name)
                    if planned.importance_samples:
                        self.score(planned.name, planned.importance_samples)
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
