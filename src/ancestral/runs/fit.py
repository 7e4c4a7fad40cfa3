"""Train a model into a run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.files import write_json
from ancestral.core.random import seed_device, seed_for, seeded_noise
from ancestral.core.text import plural
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation import likelihood
from ancestral.evaluation.sample_readings import ENOUGH, SampleReadings
from ancestral.families.build import build_model, refuse_unfit
from ancestral.families.catalogue import find
from ancestral.families.family import StepContext
from ancestral.families.hooks import calling
from ancestral.families.run_settings import Settings
from ancestral.health.likelihood_rules import ACTIVE
from ancestral.health.monitor import Monitor, facts_for
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model, SplitsElbo
from ancestral.runs.extension import keep_changes, open_run
from ancestral.runs.given import Given
from ancestral.runs.hooks import check_losses, checked_step, refuse_no_objective, refuse_no_step, try_out
from ancestral.runs.parent import Parent, give_step, starting_point
from ancestral.runs.partial_data import refuse_missing_data, refuse_weights
from ancestral.runs.provenance import Origin
from ancestral.runs.run import NOTHING_GIVEN, Run
from ancestral.runs.run_data import RunData, labelled_only, read_data
from ancestral.runs.sample import drawn_in_words
from ancestral.runs.step_memory import refuse_steps_beyond_memory
from ancestral.runs.stored_settings import same_settings
from ancestral.runs.thumbnails import write_thumbnails
from ancestral.settings.family import FamilySettings
from ancestral.training.averaging import AveragedWeights
from ancestral.training.engine import Engine, build_engine
from ancestral.training.log import Reading, TrainingLog, read_log
from ancestral.training.loop import CHECKPOINT_SECONDS, Loop, Outcome
from ancestral.training.objectives import Objective, objective_of_kind
from ancestral.training.reporters import GuardedReporter, Reporter
from ancestral.training.steps import GradientStep, Step
from ancestral.training.trackers import LACKING

LOOKED_AT = 512  # samples, and held-out images or points, that are compared at each validation without a likelihood


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
    run = Run(out, given)
    run.label = label
    settings, data = read_data(_with_former_defaults(run, settings), run.reading)
    engine = build_engine(settings.training.device, settings.training.precision)
    model = initial_model(settings, data, given)
    parent = starting_point(run, settings, model, resume)
    window = settings.training.shuffle_window
    train = data.training(settings.training.seed, engine.device, labelled_only(settings), window)
    refuse_missing_data(model, data)
    step = checked_step(given.record(settings.family), build_step(settings, engine, model, train, given))
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
    with run.locked():  # nothing is written before here; all checks are done
        origin = Origin(str(engine.device), parent and parent.record, given.facts(model))
        tensors, facts, changes = open_run(run, settings, data, resume, origin)
        if not facts and not fresh:
            _initialise(settings, model, train, step, parent)
        if settings.training.thumbnails:
            write_thumbnails(run.path, data)
        track = dict.fromkeys(settings.training.track)
        log = TrainingLog(run.log_path, facts.get("log_bytes", 0), [*track], facts.get("log_sha256"))
        known = facts_for(settings, data.train_split(labelled_only(settings)), data.spec)
        watch = Monitor(GuardedReporter(reporter), known, read_log(run.log_path))
        loop = Loop(
            model,
            step,
            train,
            settings.training,
            validate=validation(settings, data, model, engine.device),
            log=log,
            checkpoint=run.checkpoint,
            after_epoch=partial(_draw_samples, run, data, settings, engine.device),
            reporter=watch,
            checkpoint_seconds=checkpoint_seconds,
            averaged=_averages(settings, model),
        )
        if facts:
            loop.restore(tensors, facts)
        keep_changes(run, settings, changes)  # the first change of the folder, after all checks
        run.manifest.remove()
        run.write_config(settings, origin)
        try:
            _keep(run, model, loop.run())
            run.keep_health(watch.conclude())
            log.close()  # the manifest holds the hash of the whole log
            run.manifest.write()
        except TrainingDiverged as error:
            if loop.best is not None:
                model.save(run.model_folder, given=given.model is not None)
            write_json(run.path / "training.json", {"reason": "diverged", "detail": str(error)})
            run.keep_health(watch.conclude(str(error)))
            log.close()
            run.manifest.write()
            raise
        finally:
            log.close()
    return run


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
        if not same_settings(run.settings, _with_data_of(run, settings)):
            raise InputError(f"{run.path} contains a run with other settings: choose another --out")
        _examine_again(run)
        return run, False
    if run.started and run.settings.training.epochs != settings.training.epochs:
        raise InputError(f"{run.path} contains a run of {run.settings.training.epochs} epochs: choose another --out")
    with suppress(TrainingDiverged), reporter_for() as reporter:
        fit_settings(settings, run.path, resume=True, reporter=reporter, label=label)
    return Run(run.path), True


def _with_former_defaults(run: Run, settings: Settings) -> Settings:
    """The settings with the defaults of the version that started the run, for settings that have today's defaults."""
    former = getattr(settings.model, "former_defaults", {})
    if not former or not (run.path / "settings.json").exists() or run.settings.family != settings.family:
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
    settings: Settings, engine: Engine, model: Model, train: PixelBatches, given: Given = NOTHING_GIVEN
) -> Step:
    """The training step of the family, else a gradient step on its objective or on the default objective.

    Raises:    InputError: the settings of the family do not fit the training data, or there is no objective.
    """
    model.to(engine.device)
    family = given.record(settings.family)
    total = settings.training.epochs * train.batches_per_epoch(settings.training.batch_size)
    if own_step := family.code("step"):
        with calling(family.name, "step"):
            step = own_step(StepContext(engine, model, settings.model, settings.training, total, train, given.networks))
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
    return GradientStep(engine, model, objective, settings.training, total, train.mean_weight)


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


def validation(
    settings: Settings, data: RunData, model: Model, device: torch.device
) -> Callable[[Model], Sequence[Reading]]:
    """A function that reads the log-likelihood or bound of held-out images, without weights such as beta.

    The split `valid` is always read if it has images; it alone selects the best weights.
    """
    batches = {
        # terms of minibatches are logged as `train`; the score of the training images is another quantity
        ("train-set" if split == "train" else split): data.held(
            split, None if split == "valid" else settings.training.watch_size, device
        )
        for split in dict.fromkeys(("valid", *settings.training.watch))
    }

    family = find(settings.family)
    own_losses = family.code("held_out")
    unscored = isinstance(model, ImplicitModel) and own_losses is None

    def losses(model: Model, images: PixelBatches) -> dict[str, float]:
        if own_losses is None:
            with calling(family.name, "score on held-out data"):
                return held_out_losses(model, images)
        with calling(family.name, "held_out"):
            found = own_losses(model, images)
        return check_losses(family, found)

    of_samples = _sample_readings(settings, data, device) if unscored else lambda model: []

    def readings(model: Model) -> list[Reading]:
        return [
            Reading(split, name, value)
            for split, images in batches.items()
            if len(images)
            for name, value in losses(model, images).items()
        ] + of_samples(model)

    return readings


def _sample_readings(settings: Settings, data: RunData, device: torch.device) -> SampleReadings:
    """Readings that compare samples of a model without a likelihood with held-out data."""
    beside = data.held("valid" if len(data.dataset.valid) >= ENOUGH else "train", LOOKED_AT, device)
    return SampleReadings(beside.first(LOOKED_AT), data.dataset, settings.training.seed)


def held_out_losses(model: Model, images: PixelBatches) -> dict[str, float]:
    """Mean losses of images in nats, smaller is better; the first one selects the weights.

    If the KL divergence has terms per latent, `active_units` is the number of latents with a mean above `ACTIVE`.
    """
    if isinstance(model, ExactModel):
        return {"nll": -images.mean(likelihood.exact_log_prob(model, images))}
    if isinstance(model, SplitsElbo):
        log_likelihood, divergence, parts = likelihood.elbo_parts(model, images)
        losses = {
            "negative_elbo": images.mean(divergence - log_likelihood),
            "reconstruction": -images.mean(log_likelihood),
            "kl": images.mean(divergence),
        }
        if parts.shape[1] > 1:
            losses["active_units"] = float((parts.mean(0) > ACTIVE).sum())
        return losses
    if isinstance(model, LatentModel):
        return {"negative_elbo": -images.mean(likelihood.elbo(model, images))}
    return {}


def _draw_samples(run: Run, data: RunData, settings: Settings, device: torch.device, epoch: int, model: Model) -> None:
    """Draw samples after the chosen epochs, always from the same noise, so that only the model differs."""
    if epoch in settings.training.samples_at:
        from ancestral.figures.style import save_figure

        seed_device(device, seed_for(settings.training.seed, "samples"))
        with calling(settings.family, f"sample of the {type(model).__name__}"):
            drawn = model.sample_mean(data.pictured).float().cpu()
        when = f"after {plural(epoch, 'epoch')}" if epoch else "before training"
        picture = data.picture(drawn, title=f"{run.called}: {drawn_in_words(model)}, {when}")
        save_figure(picture, run.figures / f"samples-epoch-{epoch:04d}.png")
