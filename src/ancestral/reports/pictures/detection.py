"""What detections found, as pictures: of one run, and the power of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from ancestral.core.errors import InputError
from ancestral.data.anomalies import frankenstein
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.detection import SCORES
from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.evaluation.likelihood import log_probs
from ancestral.evaluation.proportions import Proportion, proportion_of_batches
from ancestral.figures.grids import image_grid
from ancestral.figures.histograms import histograms_and_shares
from ancestral.figures.series import Curve
from ancestral.figures.shares import Shares, share_panels
from ancestral.models.base import ExactModel
from ancestral.models.orders import bound_samples
from ancestral.runs.detect import Detection, divided, refuse_unable
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN, COLUMNS, SHOWN_DRAWS = 10, 5, 100  # of each kind in the picture, in a row of it, and draws of their bounds


def frankenstein_sheet(run: Run, count: int = SHOWN, seed: int = 0) -> Figure:
    """Test images, not cherry-picked, and as many Frankenstein images, with log p(x) or its bound under each."""
    model, data = run.load(), run.data
    refuse_unable(model, data)
    pools = divided(data)
    if count > len(pools.natural):
        raise InputError(f"{count} natural images are more than there are: {len(pools.natural)}")
    natural = pools.natural.images[:count]
    images = PixelBatches(torch.cat([natural, frankenstein(pools.source, seed, count).images]), data.space)
    values, method = log_probs(model, images, bound_samples(model, SHOWN_DRAWS))
    columns = next(n for n in range(COLUMNS, 0, -1) if count % n == 0)  # no row of both kinds
    kind = "exact" if isinstance(model, ExactModel) else "a lower bound on log p(x)"
    return image_grid(
        data.space.to_unit(images.first(2 * count)),
        columns=columns,
        captions=[f"{value:.1f}" for value in values.tolist()],
        row_titles=["natural"] * (count // columns) + ["Frankenstein"] * (count // columns),
        title=f"{run.called}: natural and Frankenstein images, with {method} in nats ({kind})",
    )


Named = Sequence[tuple[str, DetectionRecord]]


def detection_figure(found: Detection) -> Figure:
    """Histograms of log p of natural and anomalous images, and the power of the batch test by its size."""
    against = Path(found.against).name
    others = [_curve(SCORES[name], found, "power", name) for name in SCORES if name != "log_prob"]
    return histograms_and_shares(
        [("natural", found.natural), (against, found.anomalous)],
        [_curve("natural", found, "false_positives"), _curve(against, found, "power"), *others],
        titles=(f"{found.method} of single images, nats ({found.kind})", "detected batches (dashed: by other scores)"),
        xlabel="images in a batch",
        levels=(found.alpha, POWER),
        title=f"detection of {against} images among {found.space}",
    )


def level_bands(found: DetectionRecord) -> list[tuple[float, float]]:
    """Where 95% of measured shares of rejected natural batches fall if the level holds; one a size of batches."""
    pools, expected = (found.counts[0], found.calibration), round(found.alpha * found.trials)
    sizes = [rate.size for rate in found.rates["log_prob"]]
    return [proportion_of_batches(expected, found.trials, size, pools, two_sided=True).band for size in sizes]


def widest(named: Named) -> DetectionRecord:
    """The record of the fewest images, whose shares scatter most."""
    return max((found for _, found in named), key=lambda found: 1 / found.calibration + 1 / found.counts[0])


def power_note(named: Named) -> str:
    """What the shades of a figure of power mean."""
    found = widest(named)
    return (
        f"Shaded: 95% intervals of the power over {found.trials:,} batches and other anomalous images; beneath, where "
        f"95% of measurements fall if the level asked for, {found.alpha:.1%}, holds: large batches of "
        f"{found.counts[0]:,} images have many in common, so that their shares scatter more."
    )


def power_figure(named: Named, noted: bool = True) -> Figure:
    """Power of the batch test by its size, of several runs, with its 95% interval; and beneath, how many natural
    batches each rejects, with the band in which 95% of such measurements fall where the level holds.

    Args:      named: (name, record), of one kind of anomalies and one level. noted: with `power_note` beneath.
    Raises:    InputError: none, or of several kinds or levels.
    """
    if len({(found.against, found.alpha, found.trials) for _, found in named}) != 1:
        raise InputError("the figure compares records of the same anomalies, level and number of trials; these differ")
    found = widest(named)
    low, high = zip(*level_bands(found), strict=True)
    steps = [rate.size for rate in found.rates["log_prob"]]
    power = [_curve(name, found, "power") for name, found in named]
    alarms = [_curve(name, found, "false_positives", band=False) for name, found in named]
    return share_panels(
        [
            Shares("detected batches", power, (POWER,)),
            Shares("natural batches rejected", alarms, (found.alpha,), (steps, low, high)),
        ],
        xlabel="images in a batch",
        title=f"detection of {Path(found.against).name} images: power of a test of batches by log p(x)",
        note=power_note(named) if noted else "",
    )


def _curve(
    label: str,
    found: DetectionRecord,
    what: Literal["false_positives", "power"],
    score: str = "log_prob",
    band: bool = True,
) -> Curve:
    """One share over the sizes of batches; scores other than log p are dashed, without their interval."""
    shares: list[Proportion] = [getattr(rate, what) for rate in found.rates[score]]
    low, high = zip(*(share.interval for share in shares), strict=True)
    sizes, values = [rate.size for rate in found.rates[score]], [share.value for share in shares]
    plain = score == "log_prob"
    return Curve(label, sizes, values, (low, high) if band and plain else None, "line" if plain else "dashed")
