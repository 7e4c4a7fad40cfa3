"""Where a study works: it trains what is missing, and keeps what chapters compute, so that nothing is done twice."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ancestral import drawings
from ancestral.errors import InputError, TrainingDiverged
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.figures.style import save_figure
from ancestral.files import read_json, write_json
from ancestral.fitting import fit_settings
from ancestral.measuring import measure_run, stored_quality
from ancestral.report import Figure
from ancestral.run import Run, settings_to_json
from ancestral.run_page import CAPTIONS
from ancestral.scoring import score_run
from ancestral.studies.recipe import Options, PlannedRun, Study
from ancestral.training.loop import Reporter

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

Counter = Callable[[int, int], None]
FINISHED = ("epochs", "patience", "diverged")


@dataclass
class Progress:
    """How a study tells of its progress.

    Args:      reporter_for: of a training, for a title. counter_for: of a computation. say: prints a line.
    """

    reporter_for: Callable[[str], AbstractContextManager[Reporter]]
    counter_for: Callable[[str], AbstractContextManager[Counter]]
    say: Callable[[str], None]


@dataclass
class Workshop:
    """A study's folder, its runs, and what has been computed of them.

    Args:      study: the recipe. out: folder for runs, pictures and the page. options: what was asked for.
               progress: where it is told.
    """

    study: Study
    out: Path
    options: Options
    progress: Progress
    runs: dict[str, Run] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def quick(self) -> bool:
        return self.options.budget == "quick"

    def size(self, usual: int, quick: int) -> int:
        """A number of images, trials or the like, by budget."""
        return quick if self.quick else usual

    def carry_out(self, plan: Sequence[PlannedRun]) -> None:
        """Train what is missing, go on with what was interrupted, reuse what is finished; score each."""
        pace = Pace([one.minutes * one.share_under(self.options.budget, self.study.quick) for one in plan])
        for number, planned in enumerate(plan, 1):
            title = f"{number}/{len(plan)} {planned.title}"
            with pace.step() as step:
                run, trained = self._train(planned, title)
                step.counts = trained
                self.runs[planned.name], self.titles[planned.name] = run, planned.title
                if planned.scored and run.outcome["reason"] != "diverged":
                    self.score(planned.name)
                    if planned.importance_samples:
                        self.score(planned.name, planned.importance_samples)
            how = f"trained in {run.outcome['seconds']:.0f} s" if trained else "reused"
            self.progress.say(f"{title}: {how}; {pace.left}")
            for verdict in run.verdicts() if trained else []:
                self.progress.say(f"{title}: {verdict.line}")

    def _train(self, planned: PlannedRun, title: str) -> tuple[Run, bool]:
        """The run, finished, and whether any of it was trained now."""
        settings = planned.settings_under(self.options.budget, self.study.quick)
        run = Run(self.out / "runs" / planned.name)
        if run.outcome.get("reason") in FINISHED:
            if settings_to_json(run.settings) != settings_to_json(settings):
                raise InputError(f"{run.path} holds a run with other settings: choose another --out")
            return run, False
        try:
            with self.progress.reporter_for(title) as reporter:
                run = fit_settings(settings, run.path, resume=True, reporter=reporter)
        except TrainingDiverged as error:
            self.progress.say(f"{title}: diverged: {error}")
        return Run(run.path), True

    def score(self, name: str, samples: int = 0, count: int | None = None) -> Score:
        """The score of a run on its test images by so many latent draws (0: exact, or ELBO); computed once."""
        run = self.runs[name]
        count = min(count or 10**9, self.size(10**9, 200), len(run.data.dataset.test))
        methods = {f"IWAE_{samples}"} if samples else {"ELBO", "log p(x)"}
        for score in run.scores():
            if (score.split, score.count) == ("test", count) and score.method in methods:
                return score
        with self.progress.counter_for(f"scoring {self.titles.get(name, name)}") as progress:
            return score_run(run, samples=samples, count=count, progress=progress)

    def quality(self, name: str, count: int = 10_000, threshold: bool = False, means: bool = False) -> Quality:
        """Sample quality of a run; measured once."""
        run = self.runs[name]
        count = min(count, self.size(10_000, 200), len(run.data.dataset.test), len(run.data.dataset.train))
        for record in stored_quality(run):
            cut = "threshold" in record.space
            if record.count == count and cut == (threshold or run.data.space.name == "threshold"):
                return record
        with self.progress.counter_for(f"drawing from {self.titles.get(name, name)}") as progress:
            return measure_run(run, count, threshold=threshold, means=means, progress=progress)

    def remember(self, name: str, compute: Callable[[], Any], **conditions: Any) -> Any:
        """What `compute` gives, as JSON values; computed again only where runs or conditions have changed."""
        path = self.out / "results" / f"{name}.json"
        weights = {key: _digest(run) for key, run in self.runs.items()}
        under = {"budget": self.options.budget, "conditions": _as_json(conditions), "weights": weights}
        if path.exists():
            record = read_json(path)
            if record.get("under") == under:
                return record["value"]
        value = compute()
        write_json(path, {"under": under, "value": value})
        return value

    def draw(self, name: str, what: str, caption: str = "", **options: Any) -> Figure:
        """One of the drawings of a run, with its caption."""
        caption = caption or f"{self.titles[name]}: {what}. {CAPTIONS[what]}"
        return self.figure(f"{name}-{what}", drawings.DRAWINGS[what](self.runs[name], **options), caption)

    def samples_at(self, name: str, epoch: int) -> list[Figure]:
        """The samples that a training drew after an epoch; none where it never came there."""
        path = self.runs[name].figures / f"samples-epoch-{epoch:04d}.png"
        return [Figure(path, f"{self.titles[name]}: samples after {epoch} epochs.")] if path.exists() else []

    def figure(self, stem: str, drawn: Drawn, caption: str) -> Figure:
        """A figure, saved in the study's folder."""
        path = self.out / "figures" / f"{stem}.png"
        save_figure(drawn, path)
        return Figure(path, caption)


@dataclass
class Step:
    """A part of the work; whether it says something about how fast the machine is."""

    counts: bool = True


class Pace:
    """How long the rest of some work will take, from how long the first parts took.

    Args:      minutes: that each part is expected to take.
    """

    def __init__(self, minutes: Sequence[float]) -> None:
        self.expected, self.done = list(minutes), 0
        self._expected_spent = self._spent = 0.0

    @contextmanager
    def step(self) -> Iterator[Step]:
        """The next part."""
        step, begun = Step(), time.monotonic()
        yield step
        if step.counts:
            self._expected_spent += self.expected[self.done]
            self._spent += (time.monotonic() - begun) / 60
        self.done += 1

    @property
    def left(self) -> str:
        """`about 12 min left`."""
        factor = self._spent / self._expected_spent if self._expected_spent else 1.0
        minutes = factor * sum(self.expected[self.done :])
        return f"about {minutes:.0f} min left" if minutes >= 1 else f"about {60 * minutes:.0f} s left"


def _digest(run: Run) -> str:
    path = run.model_folder / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
