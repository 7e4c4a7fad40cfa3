"""Test vectors: calls of the page's engine with what PyTorch computes for them, on the same rounded weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ancestral.core.errors import NotComputable
from ancestral.core.random import seeded_noise
from ancestral.core.text import type_in_words
from ancestral.data.pixels import PixelSpace
from ancestral.distributions.by_class import ClassAndLatents
from ancestral.models.base import (
    Decodes,
    EncodesWithSpread,
    ExactModel,
    HasConditionals,
    Infers,
    LatentModel,
    Model,
    SamplesCodes,
    ScoresMissing,
)
from ancestral.models.classes import ClassConditional, CodesClasses, PredictsClasses
from ancestral.models.orders import CONFIDENCE, RASTER, ScoresHidden
from ancestral.models.seen import HasPixelProbs

IMAGES, SEED = 3, 0
WHOLE = 64  # pixels of an image whose log p in an order is a test
NATS = 0.01  # tolerance of a log-probability
RELATIVE = 1e-4  # tolerance of other numbers, as a part of the largest of them


CALLS: dict[str, tuple[str, ...]] = {
    "any-order": ("hiddenTerms", "logProbInSteps", "classProbs"),
    "autoregressive": ("logProb", "logProbMissing", "conditionals", "classProbs"),
    "belief-net": ("logProb", "logProbMissing", "marginals", "decode"),
    "circuit": ("logProb", "logProbMissing", "pixelMeans", "classProbs", "encode", "decode"),
    "deep-belief-net": ("logJoint", "logPosterior", "marginals", "decode"),
    "generator": ("decode",),
    "image-flow": ("logJoint", "logPosterior", "encode", "decode"),
    "latent": ("logJoint", "logPosterior", "encode", "decode", "classProbs"),
    "mixture": ("logProb", "logProbMissing", "classProbs", "responsibilities", "decode"),
    "point-flow": ("logProb", "encode", "decode", "classProbs"),
}
"""What the page's engine computes for each kind of model in the same way as PyTorch, without random numbers."""
CODES = ("encode", "marginals", "responsibilities")  # the engine's names of `model.encode`


def vectors(model: Model, space: PixelSpace, kind: str) -> list[dict[str, Any]]:
    """{"call", "args", "expect", "absolute" or "relative"}; images are random, so that they need no data.

    Args:      model: in evaluation mode, with the weights that the page has. kind: of its description.
    Raises:    NotComputable: an unknown kind, or one that the model is not: no call could be tested.
    """
    if kind not in CALLS:
        raise NotComputable(f"the page has no models of the kind {kind!r}: choose {', '.join(CALLS)}")
    with seeded_noise(SEED):
        x = _images(model, space)
        tests = [*_densities(model, x, CALLS[kind]), *_codes(model, x, kind), *_of_any_mask(model, x)]
    found = [test for test in tests if test["call"] in CALLS[kind]]
    if not found:
        raise NotComputable(f"{type_in_words(model)} has no method that the kind {kind!r} could be tested with")
    return found


def critic_vectors(critic: nn.Module, model: Model, space: PixelSpace) -> list[dict[str, Any]]:
    """As `vectors`, of the scores of a critic."""
    with seeded_noise(SEED):
        x = _images(model, space)
    return [_numbers("criticise", [one], scores) for one, scores in zip(x, critic(x), strict=True)]


def _densities(model: Model, x: Tensor, calls: Sequence[str]) -> list[dict[str, Any]]:
    """Log-probabilities of whole images and of their parts."""
    if isinstance(model, ExactModel):
        whole = [_nats("logProb", [one], model.log_prob(one[None])) for one in x]
        whole += _classes(model, x)
        return [*whole, *(_conditionals(model, x) if "conditionals" in calls else []), *_missing(model, x)]
    if isinstance(model, LatentModel) and "logJoint" in calls:
        return [*(vector for one in x for vector in _joint(model, one)), *_joint_of_classes(model, x[-1])]
    return []


def _classes(model: ExactModel, x: Tensor) -> list[dict[str, Any]]:
    """Of a conditional model: p(y | x), and log p(x | y) of each class for one image."""
    if not isinstance(model, ClassConditional) or not model.classes:
        return []
    probs = model.log_joint_classes(x).softmax(1)
    found = [_numbers("classProbs", [one], prob) for one, prob in zip(x, probs, strict=True)]
    for label in range(model.classes):
        nats = model.given(label).log_prob(x[-1:])  # type: ignore[attr-defined]
        found.append(_with(_nats("logProb", [x[-1]], nats), label))
    return found


def _codes(model: Model, x: Tensor, kind: str) -> list[dict[str, Any]]:
    """Codes of images, and images of codes."""
    code = next((call for call in CODES if call in CALLS[kind]), None)
    found, codes = [], model.codes(IMAGES) if isinstance(model, SamplesCodes) else None
    if code and isinstance(model, EncodesWithSpread):
        codes, deviations = model.encode_with_stddev(x)
        found = [_numbers(code, [one], torch.cat(both)) for one, *both in zip(x, codes, deviations, strict=True)]
    elif code and isinstance(model, Infers):
        codes = model.encode(x)
        found = [_numbers(code, [one], z) for one, z in zip(x, codes, strict=True)]
    if codes is not None and isinstance(model, CodesClasses) and model.sums_classes:
        latents = codes[:1, : -model.classes].expand(model.classes, -1)
        codes = torch.cat([codes, torch.cat([latents, torch.eye(model.classes)], 1)])  # of each class
    if isinstance(model, Decodes) and codes is not None:
        found += [_numbers("decode", [z], model.decode(z[None])) for z in codes]
    return found


def _of_any_mask(model: Model, x: Tensor) -> list[dict[str, Any]]:
    """Of models that take any mask: what they compute for random ones."""
    if isinstance(model, HasPixelProbs):
        seen = torch.rand(x.shape) < 0.5
        means = model.pixel_probs(x, seen) @ torch.arange(float(model.levels or 0))
        return [_numbers("pixelMeans", [*both], mean) for *both, mean in zip(x, seen.float(), means, strict=True)]
    return _hidden(model, x) if isinstance(model, ScoresHidden) else []


def _hidden(model: ScoresHidden, x: Tensor) -> list[dict[str, Any]]:
    """Log-probabilities of hidden pixels: of each, and in an order."""
    seen, pixels = torch.rand(x.shape) < 0.5, x[0].numel()
    terms = model.log_probs_hidden(x, seen)
    found = [_numbers("hiddenTerms", [*both], term) for *both, term in zip(x, seen.float(), terms, strict=True)]
    found += _predicted_classes(model, x, seen)
    if pixels > WHOLE:
        return found  # one evaluation of the network for each pixel takes too long in a page
    for order in (RASTER, CONFIDENCE):
        log_p = model.log_prob_missing(x, seen, order)
        how = {"steps": pixels, "confidence": order == CONFIDENCE}
        for one, mask, nats in zip(x, seen.float(), log_p, strict=True):
            found.append(_with(_nats("logProbInSteps", [one, mask], nats), how, list(range(pixels))))
    return found


def _predicted_classes(model: Any, x: Tensor, seen: Tensor) -> list[dict[str, Any]]:
    """Of a model with p(y | seen pixels) of its own: these, and the terms of the hidden pixels given each class."""
    if not isinstance(model, PredictsClasses) or not model.classes:
        return []
    probs = model.log_class_posterior(x, seen).exp()
    found = [_numbers("classProbs", [*both], prob) for *both, prob in zip(x, seen.float(), probs, strict=True)]
    for label in range(model.classes):
        given: Any = model.given(label)
        terms = given.log_probs_hidden(x[-1:], seen[-1:])
        found.append(_with(_numbers("hiddenTerms", [x[-1], seen[-1].float()], terms), label))
    return found


def _images(model: Model, space: PixelSpace) -> Tensor:
    shape = (IMAGES, *model.event_shape)
    if space.name == "unit":
        return torch.rand(shape)
    if space.name == "points":
        return torch.randn(shape)
    levels = model.levels or space.levels
    return torch.randint(levels, shape).float()


def _conditionals(model: Model, x: Tensor) -> list[dict[str, Any]]:
    if not isinstance(model, HasConditionals):
        return []
    log_p = model.conditionals(x).log_prob(x)
    return [_numbers("conditionals", [one], part) for one, part in zip(x, log_p, strict=True)]


def _missing(model: Model, x: Tensor) -> list[dict[str, Any]]:
    """log p(missing | observed) of a random mask, or of one that shows the first rows where others are not exact."""
    if not isinstance(model, ScoresMissing):
        return []
    rows = torch.arange(x.shape[-2])[:, None].expand(x.shape[-2:]) if x.dim() == 4 else torch.arange(x.shape[-1])
    for observed in (torch.rand(x.shape) < 0.5, (rows < rows.max()).expand(x.shape)):
        try:
            log_p = model.log_prob_missing(x, observed)
        except NotComputable:
            continue
        pairs = zip(x, observed.float(), log_p, strict=True)
        return [_nats("logProbMissing", [one, seen], value) for one, seen, value in pairs]
    return []


def _joint(model: LatentModel, x: Tensor) -> list[dict[str, Any]]:
    """Both terms of an importance weight, log p(x, z) and log q(z | x), at a sample of the posterior."""
    q = model.posterior(x[None])
    z = q.sample()
    parts = {"logJoint": model.log_joint(x[None], z), "logPosterior": q.log_prob(z)}
    return [_nats(call, [x, z[0]], value) for call, value in parts.items()]


def _with(vector: dict[str, Any], *more: Any) -> dict[str, Any]:
    """The vector with further arguments, which are not tensors."""
    return {**vector, "args": [*vector["args"], *more]}


def _joint_of_classes(model: LatentModel, x: Tensor) -> list[dict[str, Any]]:
    """Of a conditional model: the terms for each class of one image, and q(y | x) where codes have a class."""
    if not isinstance(model, CodesClasses) or not model.sums_classes:
        return []
    q, found = model.posterior(x[None]), []
    if isinstance(q, ClassAndLatents):
        found.append(_numbers("classProbs", [x], q.log_probs.exp()))
    for label in range(model.classes):
        given = model.given(label)
        z = given.posterior(x[None]).sample()
        if isinstance(q, ClassAndLatents):
            code = torch.cat([z[0], one_hot(torch.tensor(label), model.classes)])
            found.append(_nats("logJoint", [x, code], model.log_joint(x[None], code[None])))
            found.append(_nats("logPosterior", [x, code], q.log_prob(code[None])))
        else:
            found.append(_with(_nats("logJoint", [x, z[0]], given.log_joint(x[None], z)), label))
    return found


def _nats(call: str, args: list[Tensor], expect: Tensor) -> dict[str, Any]:
    listed = [_values(part) for part in args]
    return {"call": call, "args": listed, "expect": expect.flatten().tolist(), "absolute": NATS}


def _numbers(call: str, args: list[Tensor], expect: Tensor) -> dict[str, Any]:
    listed = [_values(part) for part in args]
    return {"call": call, "args": listed, "expect": expect.flatten().tolist(), "relative": RELATIVE}


def _values(part: Tensor) -> list[Any]:
    """An image as a flat list, a matrix of noise as its rows."""
    return part.tolist() if part.dim() == 2 else part.flatten().tolist()
