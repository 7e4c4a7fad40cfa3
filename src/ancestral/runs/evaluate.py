"""Scores of a run on its own data, which are stored with the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ancestral.core.dividing import present
from ancestral.core.errors import InputError
from ancestral.core.maths import bits_per_dimension
from ancestral.core.threads import keep_large_blocks
from ancestral.evaluation.class_scores import ClassScores, class_scores, of_classes
from ancestral.evaluation.differences import Difference, paired_difference
from ancestral.evaluation.likelihood import EXACT, Request, counted
from ancestral.evaluation.score import Score
from ancestral.evaluation.scoring import score_each
from ancestral.models.base import ExactModel
from ancestral.models.classes import scores_classes
from ancestral.models.orders import with_orders
from ancestral.runs.divided import refuse_other_weights
from ancestral.runs.per_item import write_items
from ancestral.runs.records import CLASS_SCORES, SCORES
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData

if TYPE_CHECKING:
    from torch import Tensor

ORDER_IMAGES = 100  # images that are scored in a named order, unless the user says otherwise


def entropy_in_words(data: RunData) -> str | None:
    """The entropy of the data, the best possible score, in words; None if it is unknown."""
    if data.entropy is None:
        return None
    bits = bits_per_dimension(-data.entropy, math.prod(data.event_shape))
    return f"{data.entropy:.4f} nats = {bits:.4f} bits/dim, the entropy of the data: no model can be better"


def target_score(data: RunData, split: str = "test") -> Score | None:
    """The score of the true density of the points, exact; None if it is unknown.

    The comparison with a model's score on the same points has no sampling error from the choice of points.
    """
    if data.density is None:
        return None
    values = data.density.log_prob(data.stored(split).images)
    return Score.of(
        values,
        method=EXACT,
        kind="exact",
        side=None,
        samples=0,
        space=data.space.describe(data.name),
        split=split,
        dimensions=math.prod(data.event_shape),
        discrete=False,
    )


def score_run(
    run: Run | Path | str,
    split: str = "test",
    samples: int = 0,
    from_prior: bool = False,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    per_image: Path | None = None,
    order: str | None = None,
    steps: int | None = None,
) -> Score:
    """Score a trained run on a split of its data and store the score with the run.

    Args:      run: the run or its folder. split: of its data. samples: latent samples per image (0: exact value or
               ELBO). from_prior: sample the latents from the prior. count: use only the first `count` images. progress:
               called with (images done, total images). per_image: .csv file for the score of each image. order: score
               exactly in this order of the pixels. steps: score samples in so many parallel steps.
    Returns:   the score, in nats; exact, bound or estimate as it states.
    Raises:    NotComputable: the model has no likelihood, or no orders or steps. InputError: the split is empty, or
               there is no such order or number of steps.
    """
    request = Request(samples, from_prior, order, steps)
    return evaluate_run(run, split, request, count, progress, per_image).score


class Evaluation(NamedTuple):
    """The score of a run, the value of each image, shape (N,), and the scores of the classes, if it has classes and the
    images have labels."""

    score: Score
    values: Tensor
    of_classes: ClassScores | None


def evaluate_run(
    run: Run | Path | str,
    split: str = "test",
    request: Request = Request(),  # noqa: B008  (immutable)
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    per_image: Path | None = None,
) -> Evaluation:
    """As `score_run`; with log p(x | class) and p(class | x), if the model has classes and the images have labels.

    Inside of `core.dividing.dividing`, the first process stores the scores.
    """
    keep_large_blocks()
    writes = present().first
    run = run if isinstance(run, Run) else Run(run)
    model = run.load()
    refuse_other_weights(present(), model)
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} {images.space.noun}")
    labels = run.data.stored(split).labels
    of_x = not request.from_prior and request.order is request.steps is None
    classified = of_x and scores_classes(model) and labels is not None
    advance = counted(progress, len(images) * (2 if classified and not isinstance(model, ExactModel) else 1))
    classes = None
    if classified and labels is not None:
        labels = labels[: len(images)]
        classes = of_classes(model, images, labels, request.samples, progress=advance)
    found, values, errors = score_each(
        model,
        images,
        request,
        dataset=run.data.name,
        split=split,
        progress=advance,
        known=classes.log_probs if classes is not None else None,
    )
    found = replace(found, weights_sha256=run.weights_sha256, data_sha256=run.data.sha256)
    if writes:
        SCORES.add(run, found)
    if writes and per_image is not None:
        write_items(per_image, run.data, split, _each(found, values, errors))
    if classes is None or labels is None or not bool((labels >= 0).any()):
        return Evaluation(found, values, None)
    scores = class_scores(classes, labels, space=found.space, split=split, discrete=model.discrete)
    if writes:
        CLASS_SCORES.add(run, scores)
    return Evaluation(found, values, scores)


@dataclass(frozen=True)
class OrderScores:
    """Exact scores of a run in several orders of the pixels, on the same images, and how much they differ.

    Attributes: orders: their names. scores: one for each. differences: of each pair, by the two names, paired by image.
    """

    orders: tuple[str, ...]
    scores: tuple[Score, ...]
    differences: dict[tuple[str, str], Difference]

    @property
    def lines(self) -> list[str]:
        """A line for each pair of orders."""
        return [
            f"{first} minus {second}: {difference.nats:+.2f} nats (paired, s.e. {difference.stderr:.2f})"
            for (first, second), difference in self.differences.items()
        ]


def score_orders(
    run: Run | Path | str,
    orders: Sequence[str],
    split: str = "test",
    count: int | None = ORDER_IMAGES,
    progress: Callable[[int, int], None] | None = None,
) -> OrderScores:
    """Score a run exactly in several orders of the pixels, and store the scores with the run.

    The network is evaluated once for each pixel of each image, so a subset of the images is scored.

    Args:      run: the run or its folder. orders: names. split: of its data. count: use only the first images; None:
               all. progress: called with (images done, total images) of each order.
    Raises:    NotComputable: the model has no orders. InputError: an order does not exist or is named twice.
    """
    if len(set(orders)) < len(orders):
        raise InputError(f"--order {' '.join(orders)}: name each order once")
    run = run if isinstance(run, Run) else Run(run)
    model = with_orders(run.load())
    for order in orders:
        model.check_order(order)
    found = [evaluate_run(run, split, Request(order=order), count, progress) for order in orders]
    values = {order: one.values for order, one in zip(orders, found, strict=True)}
    pairs = {pair: paired_difference(values[pair[0]], values[pair[1]]) for pair in combinations(orders, 2)}
    return OrderScores(tuple(orders), tuple(one.score for one in found), pairs)


def _each(score: Score, values: Tensor, errors: Tensor | None) -> dict[str, Tensor]:
    """The columns of the file for each image: log_prob or lower_bound in nats, bits per dimension, standard error."""
    name = "log_prob" if score.kind == "exact" else "lower_bound"
    columns = {f"{name}_nats": values, "bits_per_dim": -values / (score.dimensions * math.log(2))}
    return columns if errors is None else columns | {"standard_error_nats": errors}
