"""From settings to a trained run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from lightning_fabric import Fabric

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.files import write_json
from ancestral.core.random import seed_device, seed_for, seeded_noise
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation import likelihood
from ancestral.evaluation.sample_readings import ENOUGH, SampleReadings
from ancestral.families.build import build_model
from ancestral.families.catalogue import Settings, settings_for
from ancestral.families.gan.model import GAN
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import AdversarialStep, build_critic
from ancestral.families.mixture.em_step import EMStep
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.mixture.settings import MixtureSettings
from ancestral.families.objectives import objective_for
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.figures.style import save_figure
from ancestral.health.likelihood_rules import ACTIVE
from ancestral.health.monitor import Monitor, facts_for
from ancestral.models.base import ExactModel, LatentModel, Model, SplitsElbo
from ancestral.runs.run import Run, settings_to_json
from ancestral.runs.run_data import RunData
from ancestral.training.checkpoint import load_state
from ancestral.training.log import Reading, TrainingLog, read_log
from ancestral.training.loop import CHECKPOINT_SECONDS, Loop, Outcome, Reporter
from ancestral.training.steps import GradientStep, Step

LOOKED_AT = 512  # draws, and images or points beside them, after each epoch of a model without a likelihood


def fit(
    family: str,
    out: Path | str,
    *,
    resume: bool = False,
    reporter: Reporter | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    **settings: object,
) -> Run:
    """Train a model into a run folder.

    Args:      family: a key of `FAMILIES`. out: the folder. resume: go on with what is there.
               reporter: told of progress. settings: any of the command line's flags by name, `epochs=5`.
    Returns:   the run; `run.load()` is the model with its best weights by validation, `run.verdicts()` what is
               wrong with the training, if anything.
    Raises:    InputError: settings or data are wrong, or the folder holds another run. TrainingDiverged,
               Interrupted: the state so far is kept.
    """
    return fit_settings(settings_for(family, **settings), out, resume, reporter, checkpoint_seconds)


def fit_settings(
    settings: Settings,
    out: Path | str,
    resume: bool = False,
    reporter: Reporter | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Run:
    """As `fit`, from resolved settings."""
    keep_large_blocks()
    run = Run(out)
    data = RunData(settings.data)
    fabric = build_fabric(settings)
    model = initial_model(settings, data)
    train = data.training(settings.training.seed, fabric.device)
    step = build_step(settings, fabric, model, train)
    if settings.training.tensorboard and find_spec("tensorboard") is None:
        raise InputError("--tensorboard needs TensorBoard: pip install 'ancestral[track]'")
    with run.locked():  # nothing is written before here: what can be refused has been
        tensors, facts = load_state(run.checkpoint) if run.begin(settings, data, resume) else ({}, {})
        board = run.path / "tensorboard" if settings.training.tensorboard else None
        log = TrainingLog(run.log_path, facts.get("log_bytes", 0), board)
        watch = Monitor(reporter or Reporter(), facts_for(settings, data.dataset.train), read_log(run.log_path))
        loop = Loop(
            model,
            step,
            train,
            settings.training,
            validate=validation(settings, data, fabric.device),
            log=log,
            checkpoint=run.checkpoint,
            after_epoch=partial(_draw_samples, run, data, settings, fabric.device),
            reporter=watch,
            checkpoint_seconds=checkpoint_seconds,
        )
        if facts:
            loop.restore(tensors, facts)
        try:
            _keep(run, model, loop.run())
            run.keep_health(watch.conclude())
        except TrainingDiverged as error:
            if loop.best is not None:
                model.save(run.model_folder)
            write_json(run.path / "training.json", {"reason": "diverged", "detail": str(error)})
            run.keep_health(watch.conclude(str(error)))
            raise
        finally:
            log.close()
    return run


def fit_or_reuse(
    settings: Settings,
    out: Path | str,
    reporter_for: Callable[[], AbstractContextManager[Reporter]] = lambda: nullcontext(Reporter()),
) -> tuple[Run, bool]:
    """The run of these settings, trained to its end, and whether any of that was done now.

    What is finished is reused and its log examined again, what was interrupted goes on. A divergence is an end too:
    the outcome tells.

    Args:      reporter_for: makes what is told of progress, where something is to be trained.
    Raises:    InputError: the folder holds a run with other settings.
    """
    run = Run(out)
    if run.finished:
        if settings_to_json(run.settings) != settings_to_json(settings):
            raise InputError(f"{run.path} holds a run with other settings: choose another --out")
        _examine_again(run)
        return run, False
    with suppress(TrainingDiverged), reporter_for() as reporter:
        fit_settings(settings, run.path, resume=True, reporter=reporter)
    return Run(run.path), True


def _examine_again(run: Run) -> None:
    """Put today's verdict on a finished training in place of that of the day it ended: rules change, its log lasts."""
    facts = facts_for(run.settings, run.data.dataset.train)
    watch = Monitor(Reporter(), facts, read_log(run.log_path))
    run.keep_health(watch.conclude(run.outcome.get("detail", "")))


def initial_model(settings: Settings, data: RunData) -> Model:
    """The untrained model, its weights drawn from the run's seed; the caller's generator stays as it was.

    Raises:    InputError: the settings do not fit the pixels or each other, or exceed the memory.
    """
    with seeded_noise(seed_for(settings.training.seed, "weights")):
        try:
            return build_model(settings.model, data.event_shape, data.dataset.levels, data.space.name)
        except (RuntimeError, TypeError) as error:  # torch's words for sizes beyond memory
            raise InputError(f"these settings make no model: {str(error).splitlines()[0]}") from error


def _keep(run: Run, model: Model, outcome: Outcome) -> None:
    """Write the model and how its training went."""
    model.save(run.model_folder)
    write_json(run.path / "training.json", asdict(outcome))


def build_fabric(settings: Settings) -> Fabric:
    """Device and number format as the settings say.

    Raises:    InputError: no such device here.
    """
    name, _, index = settings.training.device.partition(":")
    try:
        devices: list[int] | int = [int(index)] if index else 1
        return Fabric(accelerator=name, devices=devices, precision=settings.training.precision)
    except Exception as error:  # Fabric raises its own kinds; each means that the request cannot be met
        raise InputError(f"device {settings.training.device!r} cannot be used: {str(error).splitlines()[0]}") from error


def build_step(settings: Settings, fabric: Fabric, model: Model, train: PixelBatches) -> Step:
    """The way of training that the settings name.

    Raises:    InputError: it needs classes that the training images do not have.
    """
    model.to(fabric.device)
    if isinstance(settings.model, MixtureSettings) and settings.model.method == "em":
        assert isinstance(model, MixtureOfBernoullis)
        return EMStep(model, settings.model.smoothing)
    total = settings.training.epochs * train.batches_per_epoch(settings.training.batch_size)
    if isinstance(settings.model, GANSettings):
        assert isinstance(model, GAN)
        if settings.model.classes:
            _refuse_other_classes(train, settings.model.classes)
        with seeded_noise(seed_for(settings.training.seed, "critic")):
            critic = build_critic(settings.model, model.event_shape)
        return AdversarialStep(fabric, model, critic, settings.model, settings.training, total)
    return GradientStep(fabric, model, objective_for(settings.model, model), settings.training, total)


def _refuse_other_classes(train: PixelBatches, classes: int) -> None:
    if train.labels is None:
        raise InputError(f"--classes {classes}: these {train.space.noun} have no labels")
    if train.labels.max() >= classes:
        raise InputError(f"--classes {classes}: the labels of these images go up to {int(train.labels.max())}")


def validation(settings: Settings, data: RunData, device: torch.device) -> Callable[[Model], Sequence[Reading]]:
    """Readings on held-out images: the true log-likelihood or bound, whatever the training weighs differently.

    The split `valid` is read whenever it has images, and alone decides which weights are best.
    """
    batches = {
        # minibatch terms are logged under `train`: an evaluation of training images is another quantity
        ("train-set" if split == "train" else split): data.held(
            split, None if split == "valid" else settings.training.watch_size, device
        )
        for split in dict.fromkeys(("valid", *settings.training.watch))
    }

    looks = None
    if isinstance(settings.model, GANSettings):
        beside = data.held("valid" if len(data.dataset.valid) >= ENOUGH else "train", LOOKED_AT, device)
        looks = SampleReadings(beside.first(LOOKED_AT), data.dataset, settings.training.seed)

    def readings(model: Model) -> list[Reading]:
        return [
            Reading(split, name, value)
            for split, images in batches.items()
            if len(images)
            for name, value in held_out_losses(model, images).items()
        ] + (looks(model) if looks and isinstance(model, GAN) else [])

    return readings


def held_out_losses(model: Model, images: PixelBatches) -> dict[str, float]:
    """Means over images, in nats, of what is smaller for a better model; the first is what selects weights.

    Beside them, where the divergence splits, `active_units`: how many latents have one above `ACTIVE` in the mean.
    """
    if isinstance(model, ExactModel):
        return {"nll": -likelihood.exact_log_prob(model, images).mean().item()}
    if isinstance(model, SplitsElbo):
        log_likelihood, divergence, parts = likelihood.elbo_parts(model, images)
        losses = {
            "negative_elbo": (divergence - log_likelihood).mean().item(),
            "reconstruction": -log_likelihood.mean().item(),
            "kl": divergence.mean().item(),
        }
        if parts.shape[1] > 1:
            losses["active_units"] = float((parts.mean(0) > ACTIVE).sum())
        return losses
    if isinstance(model, LatentModel):
        return {"negative_elbo": -likelihood.elbo(model, images).mean().item()}
    if isinstance(model, GAN):
        return {}
    assert isinstance(model, Autoencoder)
    return {"reconstruction": likelihood.distortion(model, images).mean().item()}


def _draw_samples(run: Run, data: RunData, settings: Settings, device: torch.device, epoch: int, model: Model) -> None:
    """Samples after the chosen epochs, from the same noise each time, so that only the model differs."""
    if epoch in settings.training.samples_at:
        seed_device(device, seed_for(settings.training.seed, "samples"))
        drawn = model.sample_mean(data.pictured).float().cpu()
        picture = data.picture(drawn, title=f"samples after {epoch} epochs")
        save_figure(picture, run.figures / f"samples-epoch-{epoch:04d}.png")
