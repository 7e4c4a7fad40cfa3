"""How probable a model finds images: exact values, bounds, and plain Monte Carlo, with their standard errors.

Every function gives one value per image and works through images in blocks of a fixed size that depends on
the number of latent draws alone, each block with its own seed. So a score is a pure function of
(model, images, draws, seed), and memory does not grow with the number of images or of draws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_device, seed_for
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.score import Score
from ancestral.models.base import ExactModel, LatentModel, Model, Reconstructs, SplitsElbo

ROWS = 2000  # latent rows decoded at once: large enough for matrix products, small enough for the cache
BLOCK = 100  # images at once where there is one draw (or none) per image
Progress = Callable[[int], None]  # told how many more images are done


def counted(progress: Callable[[int, int], None] | None, total: int) -> Progress:
    """What tells `progress` of (images done, images in all)."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, total)

    return advance


@contextmanager
def _scoring(model: Model, device: torch.device) -> Iterator[None]:
    """No gradients, no dropout, and the caller's generator and mode as they were afterwards."""
    training = model.training
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(training)


def per_image(
    model: Model,
    images: PixelBatches,
    block: int,
    value: Callable[[Tensor], Tensor],
    seed: int,
    progress: Progress | None,
) -> Tensor:
    """What `value` makes of each image, shape (N, ...), float64, `block` images at a time, each with its own seed."""
    values: list[Tensor] = []
    with _scoring(model, images.device):
        for number, x in enumerate(images.in_order(block)):
            seed_device(images.device, seed_for(seed, "score", number))
            found = value(x.to(model.dtype))
            _refuse_other_rows(model, found, len(x))
            values.append(found.double())
            if progress:
                progress(len(x))
    return torch.cat(values)


def _refuse_other_rows(model: Model, found: object, images: int) -> None:
    """Raises:    InputError: the model, one from outside this package, does not give one value an image."""
    if not isinstance(found, Tensor) or found.shape[:1] != (images,):
        got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InputError(f"a {type(model).__name__} returns {got} for {images} images: one value an image is needed")


def exact_log_prob(model: Model, images: PixelBatches, progress: Progress | None = None) -> Tensor:
    """log p(x) of each image, shape (N,), float64 nats, exact.

    Raises:    NotComputable: the model has no closed form; the message says what it has instead.
    """
    return per_image(model, images, 10 * BLOCK, model.log_prob, 0, progress)  # type: ignore[attr-defined]


def elbo(model: LatentModel, images: PixelBatches, seed: int = 0, progress: Progress | None = None) -> Tensor:
    """One-draw unbiased estimate of each image's evidence lower bound, shape (N,), float64 nats."""
    return per_image(model, images, 10 * BLOCK, model.elbo, seed, progress)


def elbo_parts(model: SplitsElbo, images: PixelBatches, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The same estimate in two: log p(x | z) and KL(q || p) of each image, shapes (N,), float64 nats; and the
    divergence of each of J independent parts of the latents (a latent each, or all in one), shape (N, J).

    With the same seed the difference of the first two is `elbo`, draw for draw.
    """

    def value(x: Tensor) -> Tensor:
        log_likelihood, divergence = model.elbo_parts(x)
        return torch.cat([log_likelihood[:, None], divergence.sum(1, keepdim=True), divergence], 1)

    assert isinstance(model, Model)
    columns = per_image(model, images, 10 * BLOCK, value, seed, None)  # (N, 2 + J)
    return columns[:, 0], columns[:, 1], columns[:, 2:]


def distortion(model: Reconstructs, images: PixelBatches, progress: Progress | None = None) -> Tensor:
    """-log p(x | z = f(x)) of each image, shape (N,), float64 nats: how well a code keeps x. Not a likelihood."""
    assert isinstance(model, Model)
    return per_image(model, images, 10 * BLOCK, model.reconstruction_loss, 0, progress)


def importance_weighted(
    model: LatentModel, images: PixelBatches, samples: int, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """log (1/K) sum_k w_k of each image, shape (N,), float64 nats: in expectation a lower bound on log p(x).

    The running log-sum-exp keeps memory flat in K; log K is subtracted once, at the end.

    Args:      samples: K, draws from q per image.
    Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
    """

    return _importance_weighted(model, images, samples, seed, progress)[:, 0]


def _importance_weighted(
    model: LatentModel, images: PixelBatches, samples: int, seed: int, progress: Progress | None
) -> Tensor:
    """The values of `importance_weighted` and their standard errors, shape (N, 2)."""

    def value(x: Tensor) -> Tensor:
        return _log_mean_weight(lambda k: model.log_weights(x, k), len(x), samples)

    return per_image(model, images, _block_for(samples), value, seed, progress)


def prior_monte_carlo(
    model: LatentModel, images: PixelBatches, samples: int, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """log (1/K) sum_k p(x | z_k), z_k ~ p(z), of each image, shape (N,), float64 nats.

    Plain Monte Carlo: unbiased for p(x), so below log p(x) in expectation, and poor beyond a few latents,
    where hardly any z from the prior explains a given x.
    """
    return _prior_monte_carlo(model, images, samples, seed, progress)[:, 0]


def _prior_monte_carlo(
    model: LatentModel, images: PixelBatches, samples: int, seed: int, progress: Progress | None
) -> Tensor:
    """The values of `prior_monte_carlo` and their standard errors, shape (N, 2)."""

    def value(x: Tensor) -> Tensor:
        def log_likelihoods(k: int) -> Tensor:
            prior = model.prior()
            z = prior.sample((k, len(x)))
            return (model.log_joint(x, z) - prior.log_prob(z)).T

        return _log_mean_weight(log_likelihoods, len(x), samples)

    return per_image(model, images, _block_for(samples), value, seed, progress)


def _block_for(samples: int) -> int:
    return max(1, min(10 * BLOCK, ROWS // min(samples, BLOCK)))


def _log_mean_weight(log_weights: Callable[[int], Tensor], images: int, samples: int) -> Tensor:
    """Log-mean of K weights per image and its standard error, shape (images, 2), found `ROWS` rows at a time.

    The error is that of the mean weight relative to it (the delta method), NaN of a single draw. With few effective
    draws it is too small, as the largest weights have not been drawn.

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


def log_probs(
    model: Model,
    images: PixelBatches,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Tensor, str]:
    """log p(x) of each image or what can be computed in its place, shape (N,), float64 nats, and what it is.

    Args:      as for `score`.
    Raises:    NotComputable: the model has no likelihood.
    """
    values, _, method = log_probs_with_errors(model, images, samples, from_prior, seed, progress)
    return values, method


def log_probs_with_errors(
    model: Model,
    images: PixelBatches,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor | None, str]:
    """As `log_probs`, with the standard error of each value where it is an average over several draws, else None."""
    if isinstance(model, ExactModel):
        return exact_log_prob(model, images, progress), None, "log p(x)"
    if not isinstance(model, LatentModel):
        model.log_prob(images.first(1))  # type: ignore[attr-defined]  # raises, saying why
        raise NotComputable(f"a {type(model).__name__} has no likelihood")
    if not samples:
        return elbo(model, images, seed, progress), None, "ELBO"
    estimate, name = (_prior_monte_carlo, "prior MC") if from_prior else (_importance_weighted, "IWAE")
    values, errors = estimate(model, images, samples, seed, progress).unbind(1)
    return values, errors if samples > 1 else None, f"{name}_{samples}"


class Request(NamedTuple):
    """What is asked of `log_probs`: latent draws per image, 0 for the exact value or the ELBO, and where from."""

    samples: int = 0
    from_prior: bool = False


def request_of(method: str) -> Request:
    """The request that gives the values of a method again, by its name in a `Score`.

    Raises:    InputError: no method of this module, so that its values cannot be computed again.
    Example:
        >>> request_of("IWAE_50"), request_of("ELBO").samples, request_of("prior MC_1").from_prior
        (Request(samples=50, from_prior=False), 0, True)
    """
    if method in ("log p(x)", "ELBO"):
        return Request()
    found = re.fullmatch(r"(IWAE|prior MC)_([1-9]\d*)", method)
    if found is None:
        raise InputError(f"values of the method {method!r} cannot be computed again: score with `ancestral evaluate`")
    return Request(int(found[2]), found[1] == "prior MC")


def score_again(model: Model, images: PixelBatches, stored: Score, dataset: str) -> Score:
    """The score of these images by the method of a stored one, with the same draws.

    Raises:    InputError: as `request_of`. NotComputable: as `score`.
    """
    return score(model, images, dataset=dataset, split=stored.split, **request_of(stored.method)._asdict())


def score(
    model: Model,
    images: PixelBatches,
    *,
    dataset: str,
    split: str,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Score:
    """The model's score on a split: exact where it can be, else the ELBO or an importance-weighted bound.

    Args:      images: in a pixel space the model is a distribution over. dataset, split: for the record.
               samples: latent draws per image; 0 gives the ELBO of a latent model. from_prior: draw them from
               the prior (plain Monte Carlo) instead of from q.
    Returns:   a `Score`; a value that is not finite stays in the mean, and so shows.
    Raises:    NotComputable: the model has no likelihood. InputError: pixels outside the model's space.
    """
    return score_each(
        model,
        images,
        dataset=dataset,
        split=split,
        samples=samples,
        from_prior=from_prior,
        seed=seed,
        progress=progress,
    )[0]


def score_each(
    model: Model,
    images: PixelBatches,
    *,
    dataset: str,
    split: str,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Score, Tensor, Tensor | None]:
    """As `score`, with the value of each image and its standard error, where it has one, shapes (N,), float64 nats."""
    values, errors, method = log_probs_with_errors(model, images, samples, from_prior, seed, progress)
    exact = isinstance(model, ExactModel)
    found = Score.of(
        values,
        method=method,
        kind="exact" if exact else "bound",
        side=None if exact else "lower",
        samples=0 if exact else samples or 1,
        space=images.space.describe(dataset),
        split=split,
        dimensions=math.prod(images.event_shape),
        discrete=model.discrete,
    )
    return found, values, errors
