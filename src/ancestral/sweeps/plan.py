"""The plan of a sweep, which is checked before anything is written."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError, NotComputable
from ancestral.data.pixels import PixelBatches
from ancestral.families.catalogue import find
from ancestral.families.run_settings import Settings, setting_names, settings_for, without_effect
from ancestral.models.base import ImplicitModel
from ancestral.runs.fit import build_step, initial_model
from ancestral.runs.parent import refuse_start
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData, labelled_only, read_data
from ancestral.runs.stored_settings import same_settings
from ancestral.settings.checks import flag, shown
from ancestral.settings.data import DataSettings
from ancestral.sweeps.sweep_axes import Axis, Range, folder_name, grid, in_text
from ancestral.training.engine import build_engine

Values = Mapping[str, Any]
MOST_RUNS = 100_000
MOST_WHOLE = 1000  # integers of a range that are checked one by one


@dataclass(frozen=True)
class Plan:
    """A sweep: all combinations of values, or a number of random trials, each with several seeds.

    Args:      family: its name. out: the folder. base: settings that all runs share. axes: values or a range for each
               setting that varies. seeds: number of seeds, starting at that of `base`. trials: number of combinations
               to draw; None: train all combinations.
    """

    family: str
    out: Path
    base: Mapping[str, Any]
    axes: Mapping[str, Axis]
    seeds: int = 1
    trials: int | None = None

    def __post_init__(self) -> None:
        for name, count in (("seeds", self.seeds), ("trials", self.trials)):
            if count is not None and count < 1:
                raise InputError(f"--{name} {count}: give a whole number of at least 1")
        listed = math.prod(2 if isinstance(axis, Range) else len(axis) for axis in self.axes.values())
        runs = self.seeds * max(listed, self.trials or 1)
        if runs > MOST_RUNS:
            raise InputError(f"this sweep has {shown(runs)} runs: at most {MOST_RUNS:,} are possible")
        if not self.axes and (self.seeds == 1 or self.trials):
            raise InputError(
                "nothing varies: give a flag several values with commas, for example --learning-rate 1e-2,1e-3"
            )
        ranges = [f"{flag(name)} {axis}" for name, axis in self.axes.items() if isinstance(axis, Range)]
        if ranges and self.trials is None:
            raise InputError(
                f"{ranges[0]}: a range needs a number of trials, for example --trials 20; or list its values"
            )

    @cached_property
    def seed_numbers(self) -> range:
        first = int(self.base.get("seed", 0))
        return range(first, first + self.seeds)

    @cached_property
    def combinations(self) -> list[dict[str, Any]]:
        """All combinations; for a range, only its two ends."""
        return list(grid(self.axes))

    def settings(self, values: Values, seed: int) -> Settings:
        """The settings of one run.

        Raises:    InputError: the values are wrong, or do not fit each other.
        """
        return settings_for(self.family, **{**self.base, **values, "seed": seed})

    def run(self, values: Values, seed: int) -> Run:
        return Run(self.out / "runs" / folder_name({**values, "seed": seed}))

    def check(self) -> None:
        """Check all combinations before anything is trained.

        Raises:    InputError: names the wrong combination. NotComputable: trials need a validation value, and the
                   family has none.
        """
        self._refuse_unused_axes()
        read: dict[DataSettings, RunData] = {}
        loaded: dict[DataSettings, PixelBatches] = {}
        for values in self.combinations:
            settings = self.settings(values, self.seed_numbers[0])
            asked = settings.data
            settings, data = read_data(settings, known=read.get(asked))  # with the pixel space that fits the data
            read[asked] = data
            if settings.data not in loaded:
                device = build_engine(settings.training.device, settings.training.precision).device
                loaded[settings.data] = data.training(settings.training.seed, device, labelled_only(settings))
            try:
                _refuse_untrainable(self.run(values, self.seed_numbers[0]), settings, data, loaded[settings.data])
            except InputError as error:
                raise type(error)(f"{in_words(values)}: {error}") from error
            if self.trials is not None:
                _refuse_without_value(settings, data)
            for seed in self.seed_numbers:
                _refuse_other_run(self.run(values, seed), self.settings(values, seed))
        self._check_whole_numbers()

    def _refuse_unused_axes(self) -> None:
        """Raises:    InputError: an axis has no effect for any values of the others."""
        for name in self.axes:
            default, reason, has_effect = getattr(setting_names(self.family)[name](), name), "", False
            for values in self.combinations:
                settings = self.settings(values, self.seed_numbers[0])
                found = without_effect(settings.model, settings.data, settings.training).get(name)
                reason, has_effect = found or reason, has_effect or (found is None and values[name] != default)
            if reason and not has_effect:
                raise InputError(f"{flag(name)} has no effect, so it cannot be compared: {reason}")

    def _check_whole_numbers(self) -> None:
        """Check the integers of a range; valid ends may have invalid numbers between them, such as an even kernel
        size."""
        for name, axis in self.axes.items():
            if isinstance(axis, Range) and axis.whole:
                for number in itertools.islice(range(int(axis.low), int(axis.high)), MOST_WHOLE):
                    self.settings({**self.combinations[0], name: number}, self.seed_numbers[0])

    @cached_property
    def digest(self) -> str:
        """A hash of the search space, but not of the number of trials: more trials continue the same search."""
        axes = {
            name: str(axis) if isinstance(axis, Range) else [*map(in_text, axis)] for name, axis in self.axes.items()
        }
        base = {name: in_text(value) for name, value in self.base.items()}
        record = [self.family, base, axes, self.seeds, self.trials is not None]
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def in_words(values: Values) -> str:
    """Values in words: `learning rate 0.01, hidden 512x512`."""
    return ", ".join(f"{name.replace('_', ' ')} {in_text(value)}" for name, value in values.items()) or "as given"


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def seeds_of(plan: Plan, combinations: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Every run of a grid; all combinations with the first seed come first, for early comparisons."""
    for seed in plan.seed_numbers:
        for values in combinations:
            yield values, seed


def _refuse_untrainable(run: Run, settings: Settings, data: RunData, train: PixelBatches) -> None:
    model = initial_model(settings, data)
    refuse_start(run, settings, model)
    build_step(settings, build_engine(settings.training.device, settings.training.precision), model, train)


def _refuse_without_value(settings: Settings, data: RunData) -> None:
    implicit = isinstance(initial_model(settings, data), ImplicitModel)
    if implicit and find(settings.family).code("held_out") is None:
        raise NotComputable(
            f"--trials needs a validation value, and a {settings.family} has none: list values with commas instead"
        )
    if not len(data.dataset.valid):
        raise InputError("--trials needs validation images: give --valid-size")


def _refuse_other_run(run: Run, settings: Settings) -> None:
    if run.started and not same_settings(run.settings, settings):
        raise InputError(f"{run.path} contains a run with other settings: choose another --out")
