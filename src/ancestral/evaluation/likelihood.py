"""Log-likelihoods of images: exact values, bounds, and plain Monte Carlo, with standard errors.

Every function returns one value per image. Images are processed in blocks, each with its own seed. The size of a block
depends on the number of latent samples only. So a score is a pure function of (model, images, samples, seed), and
memory does not grow with the number of images or samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.core.dividing import present
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_device, seed_for
from ancestral.core.text import type_in_words
from ancestral.data.pixels import PixelBatches
from ancestral.models.base import ExactModel, LatentModel, Model, Reconstructs, SplitsElbo
from ancestral.models.modes import in_evaluation_mode
from ancestral.models.orders import with_orders, with_steps
from ancestral.models.seen import on_seen
from ancestral.models.vectors import given_batch, has_vector

ROWS = 2000  # latent rows per batch: enough for fast matrix products, few enough for the cache
BLOCK = 100  # a block has at most 10 * BLOCK images
EXACT = "log p(x)"  # name of the method of exact scores
EXACT_GIVEN = "log p(x | c)"  # the same for models of p(x | c) for a vector c
Progress = Callable[[int], None]  # called with the number of images that were just done


def exact_name(model: Model) -> str:
    """The name of the method of exact scores of a model."""
    return EXACT_GIVEN if has_vector(model) else EXACT


def counted(progress: Callable[[int, int], None] | None, total: int) -> Progress:
    """A function that adds up counts and calls `progress(images done, all images)`."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return advance


@contextmanager
def _scoring(model: Model, device: torch.device) -> Iterator[None]:
    """Context in evaluation mode, without gradients. The mode of the model and the caller's generator are restored."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), in_evaluation_mode(model):
        yield


def per_image(
    model: Model,
    images: PixelBatches,
    block: int,
    value: Callable[[Tensor], Tensor],
    seed: int,
    progress: Progress | None,
) -> Tensor:
    """`value` of each image, shape (N, ...), float64, computed in blocks of images, each with its own seed.

    Raises:    NotComputable: pixels are missing; see `per_image_seen`.
    """
    images.refuse_missing()
    return per_image_seen(model, images, block, lambda _, x: value(x), seed, progress)


def per_image_seen(
    model: Model,
    images: PixelBatches,
    block: int,
    value: Callable[[Any, Tensor], Tensor],
    seed: int,
    progress: Progress | None,
) -> Tensor:
    """As `per_image`, with `value` of the model of the seen pixels, see `on_seen`, given the vectors of the images."""
    return per_image_at(model, images, block, lambda of_batch, x, _: value(of_batch, x), seed, progress)


def per_image_at(
    model: Model,
    images: PixelBatches,
    block: int,
    value: Callable[[Any, Tensor, slice], Tensor],
    seed: int,
    progress: Progress | None,
) -> Tensor:
    """As `per_image_seen`; the last argument of `value` tells which of all images it gets.

    Inside of `core.dividing.dividing`, each process computes some of the blocks; all get all values.
    """
    processes = present()
    needed = processes.needed(len(images), block)

    def values() -> Iterator[Tensor]:
        for number, batch in enumerate(images.blocks(block)):
            rows = slice(number * block, number * block + len(batch.x))
            if number in needed:
                seed_device(images.device, seed_for(seed, "score", number))
                of_batch = on_seen(given_batch(model, batch.conditions), batch.seen)
                found = value(of_batch, batch.x.to(model.dtype), rows)
                _refuse_other_rows(model, found, len(batch.x))
                yield found
            if progress:
                progress(len(batch.x))

    with _scoring(model, images.device):
        return processes.rows(values(), len(images), block, torch.float64)


def _refuse_other_rows(model: Model, found: object, images: int) -> None:
    """Raises:    InputError: the model, from outside this package, does not return one value per image."""
    if not isinstance(found, Tensor) or found.shape[:1] != (images,):
        got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type_in_words(found)
        raise InputError(
            f"{type_in_words(model)} returns {got} for {images} images: it must return one value per image"
        )


def exact_log_prob(model: Model, images: PixelBatches, progress: Progress | None = None) -> Tensor:
    """log p(x) of each image, shape (N,), float64, nats, exact.

    Raises:    NotComputable: the model has no closed form; the message names the alternatives.
    """
    return per_image_seen(model, images, 10 * BLOCK, lambda seen, x: seen.log_prob(x), 0, progress)


def elbo(model: LatentModel, images: PixelBatches, seed: int = 0, progress: Progress | None = None) -> Tensor:
    """Unbiased estimate of the evidence lower bound of each image from one sample, shape (N,), float64, nats."""
    return per_image_seen(model, images, 10 * BLOCK, lambda seen, x: seen.elbo(x), seed, progress)


def elbo_parts(model: SplitsElbo, images: PixelBatches, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The terms of the estimate of the ELBO: log p(x | z) and KL(q || p).

    With the same seed, the first minus the second is exactly `elbo`, with the same samples.

    Returns:   log p(x | z), shape (N,); KL(q || p), shape (N,); and the divergence of each of J independent parts of
               the latents (each latent, or all in one part), shape (N, J). Float64, nats.
    """

    def value(seen: SplitsElbo, x: Tensor) -> Tensor:
        log_likelihood, divergence = seen.elbo_parts(x)
        return torch.cat([log_likelihood[:, None], divergence.sum(1, keepdim=True), divergence], 1)

    assert isinstance(model, Model)
    columns = per_image_seen(model, images, 10 * BLOCK, value, seed, None)  # (N, 2 + J)
    return columns[:, 0], columns[:, 1], columns[:, 2:]


def distortion(model: Reconstructs, images: PixelBatches, progress: Progress | None = None) -> Tensor:
    """Reconstruction loss -log p(x | z = f(x)) of each image, shape (N,), float64, nats. It is not a likelihood."""
    assert isinstance(model, Model)
    return per_image(model, images, 10 * BLOCK, model.reconstruction_loss, 0, progress)


def importance_weighted(
    model: LatentModel, images: PixelBatches, samples: int, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """log (1/K) sum_k w_k of each image, shape (N,), float64, nats: in expectation a lower bound on log p(x).

    The log-sum-exp is accumulated, so memory does not grow with K.

    Args:      samples: K, number of samples from q per image.
    Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
    """

    return _importance_weighted(model, images, samples, seed, progress)[:, 0]


def _importance_weighted(
    model: LatentModel, images: PixelBatches, samples: int, seed: int, progress: Progress | None
) -> Tensor:
    """The values of `importance_weighted` and their standard errors, shape (N, 2)."""

    def value(seen: LatentModel, x: Tensor) -> Tensor:
        return log_mean_weight(lambda k: seen.log_weights(x, k), len(x), samples)

    return per_image_seen(model, images, block_for(samples), value, seed, progress)


def prior_monte_carlo(
    model: LatentModel, images: PixelBatches, samples: int, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """log (1/K) sum_k p(x | z_k), z_k ~ p(z), of each image, shape (N,), float64, nats.

    Plain Monte Carlo: unbiased for p(x), so in expectation a lower bound on log p(x). It is very loose with more than a
    few latents, because p(x | z) is tiny for most z from the prior.
    """
    return _prior_monte_carlo(model, images, samples, seed, progress)[:, 0]


def _prior_monte_carlo(
    model: LatentModel, images: PixelBatches, samples: int, seed: int, progress: Progress | None
) -> Tensor:
    """The values of `prior_monte_carlo` and their standard errors, shape (N, 2)."""

    def value(seen: LatentModel, x: Tensor) -> Tensor:
        def log_likelihoods(k: int) -> Tensor:
            prior = seen.prior()
            z = prior.sample((k, len(x)))
            return (seen.log_joint(x, z) - prior.log_prob(z)).T

        return log_mean_weight(log_likelihoods, len(x), samples)

    return per_image_seen(model, images, block_for(samples), value, seed, progress)


def block_for(samples: int) -> int:
    """Number of images in a block, for this number of latent samples per image."""
    return max(1, min(10 * BLOCK, ROWS // min(samples, BLOCK)))


def log_mean_weight(log_weights: Callable[[int], Tensor], images: int, samples: int) -> Tensor:
    """Log-mean of K weights per image and its standard error, shape (images, 2), in batches of `ROWS` rows.

    The error is the relative standard error of the mean weight (delta method), NaN for one sample. With few effective
    samples it is too small, because the largest weights were not sampled.

    Args:      log_weights: k to log-weights, shape (images, k).
    """
    at_once = max(1, ROWS // images)
    sums: Tensor | None = None  # logarithms of the sums of the weights and of their squares, (images, 2)
    for first in range(0, samples, at_once):
        chunk = log_weights(min(at_once, samples - first)).double()
        found = torch.stack([chunk.logsumexp(1), (2 * chunk).logsumexp(1)], 1)
        sums = found if sums is None else torch.logaddexp(sums, found)
    assert sums is not None
    total, squares = sums.unbind(1)
    spread = (math.log(samples) + squares - 2 * total).exp() - 1  # of the weights, over the square of their mean
    error = (spread.clamp_min(0) / (samples - 1)).sqrt() if samples > 1 else torch.full_like(total, math.nan)
    return torch.stack([total - math.log(samples), error], 1)


def in_order(model: Model, images: PixelBatches, order: str, progress: Progress | None = None) -> Tensor:
    """log p(x | order) of each image in a named order of its pixels, shape (N,), float64, nats, exact.

    Raises:    NotComputable: the model has no orders. InputError: it has no order of this name.
    """
    with_orders(model).check_order(order)
    images.refuse_missing()
    return per_image_seen(model, images, BLOCK // 10, lambda given, x: given.log_prob_in_order(x, order), 0, progress)


def bound_in_steps(
    model: Model, images: PixelBatches, steps: int, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """Unbiased estimate of a lower bound on log p(x) of samples in `steps` parallel steps, shape (N,), float64, nats.

    The same seed gives the same random numbers for each number of steps, so differences are paired.

    Raises:    NotComputable: the model has no parallel steps. InputError: the number is out of range.
    """
    with_steps(model)
    images.refuse_missing()
    return per_image_seen(model, images, 10 * BLOCK, lambda given, x: given.bound_in_steps(x, steps), seed, progress)


class Request(NamedTuple):
    """How log p(x) is computed. samples: latent samples per image; 0: exact value or ELBO. from_prior: their source.
    order: name of an order of the pixels. steps: number of parallel steps."""

    samples: int = 0
    from_prior: bool = False
    order: str | None = None
    steps: int | None = None


def log_probs(
    model: Model,
    images: PixelBatches,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Tensor, str]:
    """log p(x) of each image, or a bound or estimate of it, shape (N,), float64, nats; and the name of the method.

    Args:      as in `score`.
    Raises:    NotComputable: the model has no likelihood.
    """
    values, _, method = log_probs_with_errors(model, images, Request(samples, from_prior), seed, progress)
    return values, method


def log_probs_with_errors(
    model: Model,
    images: PixelBatches,
    request: Request = Request(),  # noqa: B008  (immutable)
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor | None, str]:
    """As `log_probs`, with the standard error of each value if it is an average over several samples, else None."""
    samples, from_prior, order, steps = request
    if order is not None:
        return in_order(model, images, order, progress), None, f"{exact_name(model)}, {order} order"
    if steps is not None:
        return bound_in_steps(model, images, steps, seed, progress), None, f"ELBO, {steps} steps"
    if isinstance(model, ExactModel):
        return exact_log_prob(model, images, progress), None, exact_name(model)
    if not isinstance(model, LatentModel):
        model.log_prob(images.first(1))  # type: ignore[attr-defined]  # raises, with the reason
        raise NotComputable(f"{type_in_words(model)} has no likelihood")
    if not samples:
        return elbo(model, images, seed, progress), None, "ELBO"
    estimate, name = (_prior_monte_carlo, "prior MC") if from_prior else (_importance_weighted, "IWAE")
    values, errors = estimate(model, images, samples, seed, progress).unbind(1)
    return values, errors if samples > 1 else None, f"{name}_{samples}"
