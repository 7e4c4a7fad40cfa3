"""Schedules of beta (the weight of the KL divergence) and of free bits.

They are functions of the step alone, so a checkpoint does not store them. They change the training objective, not the
scores.
"""

from __future__ import annotations

import logging

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.data.pixels import Batch, Moment
from ancestral.families.vae.settings import VAESettings
from ancestral.models.base import LatentModel
from ancestral.training.objectives import SCHEDULED, Objective, Terms, elbo

RISING = 0.5  # share of a cycle in which beta rises
log = logging.getLogger("ancestral")


def beta_at(settings: VAESettings, moment: Moment) -> float:
    """Weight of the KL divergence at a step: it rises from 0 to `beta`, once or in cycles.

        warm-up of W epochs:  beta min(1, epoch / W)
        M cycles:             beta min(1, 2 tau),   tau = (step mod P) / P,   P = ceil(T / M)

    Args:      moment: the step; T is the total number of steps.
    Reference: warm-up: Bowman et al., 2016, section 3.1, arXiv 1511.06349 (there a sigmoid), and Sonderby et al.,
               2016, section 2.3, arXiv 1602.02282; cycles: Fu et al., 2019, eqs. 6 and 7, R = 1/2, arXiv 1903.10145.
    Example:
        >>> warming = VAESettings(beta=4.0, beta_warmup=2)
        >>> [beta_at(warming, Moment(step, 10, 100)) for step in (0, 5, 10, 20, 99)]
        [0.0, 1.0, 2.0, 4.0, 4.0]
        >>> cyclic = VAESettings(beta_cycles=2)
        >>> [beta_at(cyclic, Moment(step, 10, 80)) for step in (0, 10, 20, 39, 40, 50)]
        [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """
    if settings.beta_warmup:
        return settings.beta * min(1.0, moment.epoch / settings.beta_warmup)
    if settings.beta_cycles:
        period = -(-moment.total_steps // settings.beta_cycles)
        return settings.beta * min(1.0, moment.step % period / (RISING * period))
    return settings.beta


def free_bits_at(settings: VAESettings, moment: Moment) -> float:
    """Nats of KL divergence per latent that are not penalised at a step: `free_bits`, or a linear decay to 0.

    Example:
        >>> fading = VAESettings(free_bits=0.5, free_bits_decay=2)
        >>> [free_bits_at(fading, Moment(step, 10, 100)) for step in (0, 10, 15, 20, 99)]
        [0.5, 0.25, 0.125, 0.0, 0.0]
    """
    if not settings.free_bits_decay:
        return settings.free_bits
    return settings.free_bits * max(0.0, 1.0 - moment.epoch / settings.free_bits_decay)


def scheduled_elbo(settings: VAESettings) -> Objective:
    """The negative ELBO with the beta and the free bits of the current step; both are logged.

    Raises:    InputError: raised by the objective if a batch has no moment; your own training loop must set it.
    """

    def annealed(model: LatentModel, batch: Batch) -> Terms:
        moment = batch.moment
        if moment is None:
            raise InputError(
                "beta or free bits follow a schedule, which needs the step: set batch.moment in your training loop"
            )
        if moment.step == 0:
            _warn_if_too_long(settings, moment)
        beta, free_bits = beta_at(settings, moment), free_bits_at(settings, moment)
        terms = elbo(model, batch, beta, free_bits)
        own = {"beta": beta} if settings.beta_warmup or settings.beta_cycles else {}
        own |= {"free_bits": free_bits} if settings.free_bits_decay else {}
        return terms | {SCHEDULED + name: _everywhere(value, terms["loss"]) for name, value in own.items()}

    return annealed


def _everywhere(value: float, like: Tensor) -> Tensor:
    return like.new_full(like.shape, value)


def _warn_if_too_long(settings: VAESettings, moment: Moment) -> None:
    """Log a warning if the training is shorter than a schedule."""
    epochs = moment.total_steps / moment.steps_per_epoch
    for flag, length in (("--beta-warmup", settings.beta_warmup), ("--free-bits-decay", settings.free_bits_decay)):
        if length > epochs:
            log.warning(
                "%s %d is longer than the training (%g epochs), so the schedule does not finish", flag, length, epochs
            )
