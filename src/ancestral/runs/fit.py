"""Train a model into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.files import write_json
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches
from ancestral.families.build import build_model, refuse_unfit
from ancestral.families.catalogue import find
from ancestral.families.family import StepContext
from ancestral.families.hooks import calling
from ancestral.families.run_settings import Settings
from ancestral.health.monitor import Monitor, facts_for
from ancestral.models.base import Model
from ancestral.runs.divided import fixed_threads, refuse_other_weights, with_shards
from ancestral.runs.extension import Entry, keep_changes, open_run
from ancestral.runs.given import Given
from ancestral.runs.hooks import checked_step, refuse_no_objective, refuse_no_step, say_if_not_compiled, try_out
from ancestral.runs.parent import Parent, give_step, starting_point
from ancestral.runs.partial_data import refuse_missing_data, refuse_weights
from ancestral.runs.provenance import Origin
from ancestral.runs.run import NOTHING_GIVEN, Run
from ancestral.runs.run_data import RunData, labelled_only, read_data
from ancestral.runs.step_memory import refuse_steps_beyond_memory
from ancestral.runs.stored_settings import same_settings
from ancestral.runs.thumbnails import write_thumbnails
from ancestral.runs.validation import draw_samples, validation
from ancestral.settings.family import FamilySettings
from ancestral.training.averaging import AveragedWeights
from ancestral.training.engine import Engine, build_engine
from ancestral.training.log import TrainingLog, read_log
from ancestral.training.loop import CHECKPOINT_SECONDS, Loop, Outcome
from ancestral.training.objectives import Objective, objective_of_kind
from ancestral.training.processes import together
from ancestral.training.reporters import GuardedReporter, Reporter
from ancestral.training.shards import WHOLE, Shards, refuse_undivided
from ancestral.training.steps import GradientStep, Step
from ancestral.training.trackers import LACKING


def fit_settings(
    settings: Settings,
    out: Path | str,
    resume: bool = False,
    reporter: Reporter | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    given: Given = NOTHING_GIVEN,
    label: str = "",
) -> Run:
    """Train a model into a run folder.

    Args:      settings: of the run. out: the folder. resume: resume from its checkpoint. reporter: receives the
               progress. checkpoint_seconds: time between checkpoints. given: the user's own model or networks; the
               modules are trained in place. label: name of the model in the titles of its pictures.
    Returns:   the run, with the best weights of the validation and the health verdicts.
    Raises:    InputError: settings or data are wrong, or the folder has another run. TrainingDiverged, Interrupted: the
               last state is kept.
    """
    keep_large_blocks()
    training = settings.training
    with together(training.devices, training.device, training.precision) as processes:
        run = Run(out, given)
        run.label = label
        settings, shards = with_shards(run, _with_former_defaults(run, settings), resume, processes)
        with fixed_threads(shards):
            prepared = _prepare(run, settings, resume, shards)
            processes.barrier()  # all have read the folder before the first process changes it
            with run.locked() if processes.first else nullcontext():  # all checks of the settings are done
                _train(prepared, resume, reporter, checkpoint_seconds)
        processes.barrier()  # the run is complete
    return run


class _Prepared(NamedTuple):
    """Everything that a training needs, before anything is written. fresh: whether there is no checkpoint."""

    run: Run
    settings: Settings
    data: RunData
    engine: Engine
    model: Model
    parent: Parent | None
    train: PixelBatches
    step: Step
    shards: Shards
    fresh: bool


def _prepare(run: Run, settings: Settings, resume: bool, shards: Shards) -> _Prepared:
    """Read the data, build model and step, and check that they can be trained.

    Raises:    InputError: they cannot.
    """
    given = run.given
    settings, data = read_data(settings, run.reading)
    engine = shards.processes.engine or build_engine(settings.training.device, settings.training.precision)
    model = initial_model(settings, data, given)
    parent = starting_point(run, settings, model, resume)
    window = settings.training.shuffle_window
    train = data.training(settings.training.seed, engine.device, labelled_only(settings), window)
    refuse_missing_data(model, data)
    step = checked_step(given.record(settings.family), build_step(settings, engine, model, train, given, shards))
    refuse_undivided(step, shards.count)
    say_if_not_compiled(settings, step)
    if not given.parts:  # a user's own module may not work on the device "meta"
        refuse_steps_beyond_memory(settings, engine, model, train, partial(_step_with, settings, train))
    if "tensorboard" in settings.training.track and find_spec("tensorboard") is None:
        raise InputError(LACKING)
    fresh = not run.checkpoint.exists()
    if fresh:
        _initialise(settings, model, train, step, parent)
    refuse_weights(step, data, settings)
    held = data.held("valid", settings.training.batch_size, engine.device)
    try_out(engine, model, step, train, held, settings.training.batch_size)
    return _Prepared(run, settings, data, engine, model, parent, train, step, shards, fresh)


def _train(ready: _Prepared, resume: bool, reporter: Reporter | None, checkpoint_seconds: float) -> None:
    """Train. The first process, which holds the lock of the folder, reads and writes it; others change their model.

    Raises:    as `fit_settings`.
    """
    run, settings, data, model = ready.run, ready.settings, ready.data, ready.model
    processes = ready.shards.processes
    origin = Origin(str(ready.engine.device), ready.parent and ready.parent.record, run.given.facts(model))
    changes: list[Entry] = []

    def opened() -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, facts, planned = open_run(run, settings, data, resume, origin)
        changes.extend(planned)
        return tensors, facts

    tensors, facts = processes.from_first(opened)
    if not facts and not ready.fresh:
        _initialise(settings, model, ready.train, ready.step, ready.parent)
    writer = _Writer(ready, facts, reporter) if processes.first else None
    loop = Loop(
        model,
        ready.step,
        ready.train,
        settings.training,
        validate=validation(settings, data, model, ready.engine.device),
        log=writer and writer.log,
        checkpoint=run.checkpoint if writer else None,
        after_epoch=partial(draw_samples, run, data, settings, ready.engine.device) if writer else None,
        reporter=writer and writer.watch,
        checkpoint_seconds=checkpoint_seconds,
        averaged=_averages(settings, model),
        shards=ready.shards,
    )
    if facts:
        loop.restore(tensors, facts)
    refuse_other_weights(processes, model)
    if writer is None:
        loop.run()
        return
    keep_changes(run, settings, changes)  # the first change of the folder, after all checks
    run.manifest.remove()
    run.write_config(settings, origin)
    writer.carry_out(loop, model)


class _Writer:
    """Log and health checks of a training, and the files at its end.

    Args:      ready: the training. facts: of its checkpoint. reporter: receives the progress.
    """

    def __init__(self, ready: _Prepared, facts: dict[str, Any], reporter: Reporter | None) -> None:
        self.run, settings = ready.run, ready.settings
        if settings.training.thumbnails:
            write_thumbnails(self.run.path, ready.data)
        track = dict.fromkeys(settings.training.track)
        log_path = self.run.log_path
        self.log = TrainingLog(log_path, facts.get("log_bytes", 0), [*track], facts.get("log_sha256"))
        known = facts_for(settings, ready.data.train_split(labelled_only(settings)), ready.data.spec)
        self.watch = Monitor(GuardedReporter(reporter), known, read_log(log_path))

    def carry_out(self, loop: Loop, model: Model) -> None:
        """Train and write the model, its outcome, the health checks and the manifest."""
        run = self.run
        try:
            _keep(run, model, loop.run())
            run.keep_health(self.watch.conclude())
            self.log.close()  # the manifest holds the hash of the whole log
            run.manifest.write()
        except TrainingDiverged as error:
            if loop.best is not None:
                model.save(run.model_folder, given=run.given.model is not None)
            write_json(run.path / "training.json", {"reason": "diverged", "detail": str(error)})
            run.keep_health(self.watch.conclude(str(error)))
            self.log.close()
            run.manifest.write()
            raise
        finally:
            self.log.close()


def fit_or_reuse(
    settings: Settings,
    out: Path | str,
    reporter_for: Callable[[], AbstractContextManager[Reporter]] = lambda: nullcontext(Reporter()),
    label: str = "",
) -> tuple[Run, bool]:
    """The finished run of these settings, and whether it was trained now.

    A finished run is reused, and its health is checked again. An interrupted run is resumed. A run that diverged counts
    as finished; its outcome states this.

    Args:      settings: of the run. out: the folder. reporter_for: makes a reporter, called only if something is
               trained. label: as of `fit_settings`.
    Raises:    InputError: the folder has a run with other settings.
    """
    run = Run(out)
    if run.finished:
        refuse_other_settings(run, settings)
        _examine_again(run)
        return run, False
    if run.started and run.settings.training.epochs != settings.training.epochs:
        raise InputError(f"{run.path} contains a run of {run.settings.training.epochs} epochs: choose another --out")
    with suppress(TrainingDiverged), reporter_for() as reporter:
        fit_settings(settings, run.path, resume=True, reporter=reporter, label=label)
    return Run(run.path), True


def refuse_other_settings(run: Run, settings: Settings) -> None:
    """Raises:    InputError: the run is finished and has other settings."""
    if run.finished and not same_settings(run.settings, _with_data_of(run, settings)):
        raise InputError(f"{run.path} contains a run with other settings: choose another --out")


def _with_former_defaults(run: Run, settings: Settings) -> Settings:
    """The settings with the defaults of the version that started the run, for settings that have today's defaults."""
    former = getattr(settings.model, "former_defaults", {})
    if not former or not run.started or run.settings.family != settings.family:
        return settings
    stored = run.settings.model
    present = type(settings.model)()
    kept = {
        name: value
        for name, value in former.items()
        if getattr(stored, name) == value and getattr(settings.model, name) == getattr(present, name)
    }
    return replace(settings, model=replace(settings.model, **kept))


def _with_data_of(run: Run, settings: Settings) -> Settings:
    """The settings with the pixel space and the number of classes of the run, if they do not name them."""
    if isinstance(settings.model, FamilySettings):
        classes = getattr(run.settings.model, "classes", None)
        settings = replace(settings, model=settings.model.with_classes(classes))
    known = run.settings.training
    same = {"devices": known.devices, "shards": settings.training.shards or known.shards}
    settings = replace(settings, training=replace(settings.training, **same))
    if settings.data.pixels is not None:
        return settings
    return replace(settings, data=replace(settings.data, pixels=run.settings.data.pixels))


def _examine_again(run: Run) -> None:
    """Repeat the health checks of a finished training and replace the stored verdicts, because rules may change."""
    facts = facts_for(run.settings, run.data.train_split(labelled_only(run.settings)), run.data.spec)
    watch = Monitor(Reporter(), facts, run.log())
    run.keep_health(watch.conclude(run.outcome.get("detail", "")))


def initial_model(settings: Settings, data: RunData, given: Given = NOTHING_GIVEN) -> Model:
    """The untrained model, whose weights depend on the seed of the run; global random numbers are not affected.

    Args:      given: the user's own model, which is returned, or own networks.
    Raises:    InputError: the settings do not fit the pixels or each other, or need too much memory.
    """
    if given.model is not None:
        refuse_unfit(f"the {type(given.model).__name__}", given.model, data.spec)
        return given.model
    assert settings.family is not None
    with seeded_noise(seed_for(settings.training.seed, "weights")):
        return build_model(settings.family, settings.model, data.spec._replace(networks=given.networks))


def _keep(run: Run, model: Model, outcome: Outcome) -> None:
    """Write the model and the outcome of its training."""
    model.save(run.model_folder, given=run.given.model is not None)
    write_json(run.path / "training.json", asdict(outcome))


def build_step(
    settings: Settings,
    engine: Engine,
    model: Model,
    train: PixelBatches,
    given: Given = NOTHING_GIVEN,
    shards: Shards = WHOLE,
) -> Step:
    """The training step of the family, else a gradient step on its objective or on the default objective.

    Raises:    InputError: the settings of the family do not fit the training data, or there is no objective.
    """
    model.to(engine.device)
    family = given.record(settings.family)
    total = settings.training.epochs * train.batches_per_epoch(settings.training.batch_size)
    if own_step := family.code("step"):
        with calling(family.name, "step"):
            context = (engine, model, settings.model, settings.training, total, train, given.networks, shards)
            step = own_step(StepContext(*context))
        if step is not None:
            refuse_no_step(family, step)
            return step
    objective: Objective | None = None
    if own_objective := family.code("objective"):
        with calling(family.name, "objective"):
            objective = own_objective(settings.model, model)
        if objective is not None:
            refuse_no_objective(family, objective)
    if objective is None:
        objective = objective_of_kind(model)
    return GradientStep(engine, model, objective, settings.training, total, train.mean_weight, shards)


def _averages(settings: Settings, model: Model) -> AveragedWeights | None:
    """The averages of the weights, if the settings ask for them and the training takes steps along gradients."""
    decay = settings.training.average_weights
    if decay is None or not getattr(settings.model, "has_learning_rate", True):
        return None
    return AveragedWeights(model, decay)


def _step_with(settings: Settings, train: PixelBatches, engine: Engine, model: Model) -> Step:
    return build_step(settings, engine, model, train)


def _initialise(settings: Settings, model: Model, train: PixelBatches, step: Step, parent: Parent | None) -> None:
    """Call the family's `initialise` once before training, with its own random seed.

    A run that starts from trained weights does not call it; the step then gets the trained critic, if there is one.
    """
    if parent is not None:
        give_step(parent, step)
        return
    initialise = find(settings.family).code("initialise")
    if initialise is not None:
        with seeded_noise(seed_for(settings.training.seed, "initialise")), calling(settings.family, "initialise"):
            initialise(model, train)
