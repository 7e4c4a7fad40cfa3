"""What detections found, as tables and pictures: of one run, and the power of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ancestral.detecting import Detection
from ancestral.errors import InputError
from ancestral.evaluation.detection import SCORES, Share
from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.figures.histograms import histograms_and_shares
from ancestral.figures.series import Curve
from ancestral.figures.shares import Shares, share_panels
from ancestral.report import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Named = Sequence[tuple[str, DetectionRecord]]


def detection_tables(found: DetectionRecord) -> list[Table]:
    """The scores of single images, and the batch test by log p, as tables."""
    by_image = [
        [SCORES[name], f"{value:.4f}", f"{stderr:.4f}", str(found.size_of_power(name) or "-")]
        for name, (value, stderr) in found.auroc.items()
    ]
    header = ["score", "AUROC", "± s.e.", f"batch for {POWER:.0%} power"]
    by_batch = [
        [str(rate.size), *_in_percent(rate.false_positives), *_in_percent(rate.power)]
        for rate in found.rates["log_prob"]
    ]
    columns = ["batch", "false positives", "95 %", "power", "95 %"]
    return [Table(header, by_image, numeric={1, 2, 3}), Table(columns, by_batch, numeric={0, 1, 2, 3, 4})]


def power_table(named: Named, caption: str = "") -> Table:
    """The test by log p of several runs, a row each: of single images, and at the size at which its power suffices.

    False positives are shown at that size (at the largest, where no size suffices) and at the largest size.
    """
    rows = []
    for name, found in named:
        rates = found.rates["log_prob"]
        size = found.size_of_power()
        there = next((rate for rate in rates if rate.size == size), rates[-1])
        value, stderr = found.auroc["log_prob"]
        rows.append(
            [
                name,
                found.against,
                f"{found.method}, {found.kind}",
                f"{value:.4f}",
                f"{stderr:.4f}",
                str(size) if size else f"> {rates[-1].size}",
                *_in_percent(there.power),
                *_in_percent(there.false_positives),
                f"{rates[-1].false_positives.value:.1%} of {rates[-1].size}",
                f"{found.drift:.2g}",
            ]
        )
    header = ["model", "against", "by", "AUROC", "± s.e.", f"batch for {POWER:.0%} power", "power", "95 %"]
    header += ["false positives", "95 %", "at the largest size", "p of calibration"]
    return Table(header, rows, caption, numeric=set(range(3, len(header))))


def detection_figure(found: Detection) -> Figure:
    """Histograms of log p of natural and anomalous images, and the power of the batch test by its size."""
    against = Path(found.against).name
    others = [_curve(SCORES[name], found, "power", name) for name in SCORES if name != "log_prob"]
    return histograms_and_shares(
        [("natural", found.natural), (against, found.anomalous)],
        [_curve("natural", found, "false_positives"), _curve(against, found, "power"), *others],
        titles=(f"{found.method} of single images, nats ({found.kind})", "batches found out (dashed: by other scores)"),
        xlabel="images in a batch",
        levels=(found.alpha, POWER),
        title=f"{against} against {found.space}",
    )


def power_figure(named: Named) -> Figure:
    """Power of the batch test by its size, of several runs, with its 95 % interval; and beneath, how many natural
    batches each rejects, with the band in which 95 % of such measurements fall where the level holds.

    Args:      named: (name, record), of one kind of anomalies and one level.
    Raises:    InputError: none, or of several kinds or levels.
    """
    asked = {(found.against, found.alpha, found.trials) for _, found in named}
    if len(asked) != 1:
        raise InputError("power is compared against one kind of anomalies, at one level, over as many trials")
    against, alpha, trials = asked.pop()
    low, high = Share(round(alpha * trials), trials).interval
    power = [_curve(name, found, "power") for name, found in named]
    alarms = [_curve(name, found, "false_positives", band=False) for name, found in named]
    return share_panels(
        [
            Shares("batches found out", power, (POWER,)),
            Shares("natural batches rejected", alarms, (alpha,), (low, high)),
        ],
        xlabel="images in a batch",
        title=f"{Path(against).name}: power of a test of batches by log p",
        note=f"Shaded: 95 % intervals over {trials:,} batches; beneath, where measurements fall if the level asked "
        f"for, {alpha:.1%}, holds.",
    )


def _curve(
    label: str,
    found: DetectionRecord,
    what: Literal["false_positives", "power"],
    score: str = "log_prob",
    band: bool = True,
) -> Curve:
    """One share over the sizes of batches; scores other than log p are dashed, without their interval."""
    shares: list[Share] = [getattr(rate, what) for rate in found.rates[score]]
    low, high = zip(*(share.interval for share in shares), strict=True)
    sizes, values = [rate.size for rate in found.rates[score]], [share.value for share in shares]
    plain = score == "log_prob"
    return Curve(label, sizes, values, (low, high) if band and plain else None, "line" if plain else "dashed")


def _in_percent(share: Share) -> list[str]:
    low, high = share.interval
    return [f"{share.value:.1%}", f"{low:.1%}-{high:.1%}"]
