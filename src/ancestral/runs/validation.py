"""Readings of held-out data and pictures of samples during a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ancestral.core.random import seed_device, seed_for
from ancestral.core.text import plural
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation import likelihood
from ancestral.evaluation.sample_readings import ENOUGH, SampleReadings
from ancestral.families.catalogue import find
from ancestral.families.hooks import calling
from ancestral.families.run_settings import Settings
from ancestral.health.likelihood_rules import ACTIVE
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model, SplitsElbo
from ancestral.models.classes import split_divergences
from ancestral.runs.hooks import check_losses
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.sample import drawn_in_words
from ancestral.runs.vectors import sampler
from ancestral.training.log import Reading

LOOKED_AT = 512  # samples, and held-out images or points, that are compared at each validation without a likelihood


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
        latents, _ = split_divergences(model, parts)
        if latents.shape[1] > 1:
            losses["active_units"] = float((latents.mean(0) > ACTIVE).sum())
        return losses
    if isinstance(model, LatentModel):
        return {"negative_elbo": -images.mean(likelihood.elbo(model, images))}
    return {}


def draw_samples(run: Run, data: RunData, settings: Settings, device: torch.device, epoch: int, model: Model) -> None:
    """Draw samples after the chosen epochs, always from the same noise, so that only the model differs."""
    if epoch in settings.training.samples_at:
        from ancestral.figures.style import save_figure

        model = sampler(model, data)
        seed_device(device, seed_for(settings.training.seed, "samples"))
        with calling(settings.family, f"sample of the {type(model).__name__}"):
            drawn = model.sample_mean(data.pictured).float().cpu()
        when = f"after {plural(epoch, 'epoch')}" if epoch else "before training"
        picture = data.picture(drawn, title=f"{run.called}: {drawn_in_words(model)}, {when}")
        save_figure(picture, run.figures / f"samples-epoch-{epoch:04d}.png")
