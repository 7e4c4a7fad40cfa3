"""All possible images of a model with few of them, and checks of the probabilities and the samples of them.

Statistical checks have a false-alarm rate below 1 in 10,000.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ancestral.core.maths import log_mean_exp
from ancestral.models.base import ExactModel, LatentModel, Model

MAX_STATES = 4096
DRAWS = 20_000
IMPORTANCE_SAMPLES = 4_000
FALSE_ALARM = 1e-4
WORST_ERROR = 0.05


def enumerable(model: Model) -> bool:
    """Whether there are few enough possible images (at most 4096) to enumerate them."""
    return model.levels is not None and model.levels ** math.prod(model.event_shape) <= MAX_STATES


def all_images(model: Model) -> Tensor:
    """All possible images of an enumerable model, shape (L^D, *event_shape), in the model's number format."""
    assert model.levels is not None
    values = itertools.product(range(model.levels), repeat=math.prod(model.event_shape))
    return torch.tensor(list(values), dtype=model.dtype).unflatten(1, model.event_shape)


def log_probs_of_all(model: Model) -> tuple[Tensor, Tensor]:
    """log p(x) of all images, nats, and the relative standard error of each p(x).

    Exact, or an importance-sampled estimate for a latent model.
    """
    x = all_images(model)
    with torch.no_grad():
        if isinstance(model, ExactModel):
            log_p = model.log_prob(x)
            return log_p, torch.zeros_like(log_p)
        assert isinstance(model, LatentModel)
        log_w = torch.cat([model.log_weights(part, IMPORTANCE_SAMPLES) for part in x.split(64)])
    log_p = log_mean_exp(log_w, 1)
    relative = (log_w - log_p[:, None]).exp().std(1) / math.sqrt(IMPORTANCE_SAMPLES)
    return log_p, relative


def sums_to_one(model: Model, log_p: Tensor, relative: Tensor) -> tuple[bool, str]:
    p = log_p.double().exp()
    total, error = p.sum().item(), (p * relative).square().sum().sqrt().item()
    tolerance = 1e-10 if model.dtype == torch.float64 else 1e-4
    gap = abs(total - 1)
    evidence = f"sum over {len(p)} images is 1 {total - 1:+.1e} (s.e. {error:.1e})"
    # with a very inaccurate estimate, any model would pass
    return error < WORST_ERROR and gap <= max(tolerance, 5 * error), evidence


def samples_fit(model: Model, log_p: Tensor, relative: Tensor, drawn: Tensor | None = None) -> tuple[bool, str]:
    """Pearson's chi-square test of the counts of all images against their probabilities; rare images share one cell.

    Args:      drawn: the samples; None: `DRAWS` samples of the model.
    """
    from scipy import stats

    drawn = model.sample(DRAWS) if drawn is None else drawn
    p = log_p.double().exp()
    expected = len(drawn) * p / p.sum()
    # the error of an importance-sampled probability adds to the variance of its cell
    variance = expected + (expected * relative).square()
    weights = model.levels ** torch.arange(math.prod(model.event_shape) - 1, -1, -1)  # type: ignore[operator]
    index = (drawn.flatten(1).round().long() * weights).sum(1)
    counts = torch.bincount(index, minlength=len(p)).double()
    order = expected.argsort(descending=True)
    common = max(1, int((expected >= 5).sum()) - 1)
    cells = [torch.cat([v[order][:common], v[order][common:].sum()[None]]) for v in (expected, variance, counts)]
    statistic = ((cells[2] - cells[0]).square() / cells[1]).sum().item()
    p_value = float(stats.chi2.sf(statistic, common))
    return p_value > FALSE_ALARM, f"chi-square {statistic:.1f} over {common + 1} cells, p = {p_value:.3g}"
