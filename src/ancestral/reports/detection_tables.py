"""Results of detection as tables: of one run, and of several runs."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.evaluation.detection import SCORES
from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.evaluation.proportions import Proportion
from ancestral.reports.html import Table

DETECTION_CAPTION = (
    "AUROC: the probability that an anomalous image has a lower score than a natural one; 0.5 is chance. Batch: the "
    "smallest tested batch size at which the test detects at least 95% of the anomalous batches. Power: the share "
    "of anomalous batches that is detected at this size. False positives: the share of natural batches that is "
    "rejected, at this size and at the largest. In brackets: 95% intervals for other images of the same kind."
)


def detection_tables(found: DetectionRecord) -> list[Table]:
    """The scores of single images, and the batch test by log p, as tables."""
    by_image = [
        [SCORES[name], f"{value:.4f}", f"{stderr:.4f}", str(found.size_of_power(name) or "-")]
        for name, (value, stderr) in found.auroc.items()
    ]
    header = ["score", "AUROC", "± s.e.", f"batch for {POWER:.0%} power"]
    by_batch = [
        [str(rate.size), _in_percent(rate.false_positives), _in_percent(rate.power)] for rate in found.rates["log_prob"]
    ]
    columns = ["batch", "false positives (95% interval)", "power (95% interval)"]
    return [Table(header, by_image, numeric={1, 2, 3}), Table(columns, by_batch, numeric={0, 1, 2})]


def power_table(named: Sequence[tuple[str, DetectionRecord]], caption: str = "") -> Table:
    """The test by log p(x), with a row for each run: AUROC of single images, and power at the smallest batch size
    that reaches 95%.

    False positives are shown at that size (at the largest, where no size suffices) and at the largest size. The
    anomalies are named where they are not the same for all.
    """
    several = len({found.against for _, found in named}) > 1
    largest = {found.rates["log_prob"][-1].size for _, found in named}
    of = f"of {max(largest)}" if len(largest) == 1 else "of the largest"
    rows = []
    for name, found in named:
        rates = found.rates["log_prob"]
        size = found.size_of_power()
        there = next((rate for rate in rates if rate.size == size), rates[-1])
        value, stderr = found.auroc["log_prob"]
        rows.append(
            [
                name,
                *([found.against] if several else []),
                found.method,
                f"{value:.3f} ± {stderr:.3f}",
                str(size) if size else f"> {rates[-1].size}",
                _in_percent(there.power),
                _in_percent(there.false_positives),
                f"{rates[-1].false_positives.value:.1%}" + f" of {rates[-1].size}" * (len(largest) > 1),
            ]
        )
    words = ["model", *(["against"] if several else []), "by"]
    header = [*words, "AUROC", "batch", "power", "false positives", of]
    return Table(header, rows, caption, numeric=set(range(len(words), len(header))))


def _in_percent(share: Proportion) -> str:
    low, high = share.interval
    return f"{share.value:.1%} ({100 * low:.1f}\N{EN DASH}{100 * high:.1f})"
