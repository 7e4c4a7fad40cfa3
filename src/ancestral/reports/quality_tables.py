"""Sample quality as a table, beside the same measures of real images."""

from __future__ import annotations

from collections.abc import Sequence

from ancestral.evaluation.quality import CONFIDENT, COPY_SHARE, MEASURES, Quality
from ancestral.reports.html import Table

ABSENT = "-"
MOST_COLUMNS = 5  # with more runs, each run is a row
QUALITY_CAPTION = (
    "FID, KID: Fréchet and kernel distance between the features of samples and of real images. IS: Inception score. "
    "Smaller is better for FID, KID and class KL; larger is better for the other measures. The column of real images "
    "shows the values of a perfect model. IS, precision, density and recognised can be larger than that; such samples "
    "are less varied, not better. Precision: the share of samples that are close to test images. Recall: the share of "
    "test images that are close to samples. Density and coverage measure the same by counting neighbours. Recognised: "
    f"the share of samples that the classifier assigns to a class with a confidence of at least {CONFIDENT:.0%}. Class "
    "KL: the divergence between the shares of the classes, in nats. Near copies: the share of samples that are closer "
    f"to a training image than {1 - COPY_SHARE:.0%} of the test images are. Nearest: the mean pixel distance to the "
    "nearest training image. For both, the value of real images is that of test images (in brackets if the runs were "
    "trained on different images). IS, recognised, classes and class KL need labels."
)
OWN_REFERENCES = ("near_copies", "nearest")  # they depend on which images a run was trained on
COMMON_REFERENCES = tuple(name for name in MEASURES if name not in OWN_REFERENCES)
FORMATS = {"recognised": "{:.1%}", "near_copies": "{:.1%}", "classes": "{:.0f}", "kid": "{:.4f}", "class_kl": "{:.4f}"}


def quality_table(named: Sequence[tuple[str, Quality]], caption: str = "") -> Table:
    """Sample quality, a column for each run, and first the same measures of real images; a row for each where there are
    many, without measures that are the same for all."""
    records = [record for _, record in named]
    named = [(f"{name} ({record.steps} parallel steps)" if record.steps else name, record) for name, record in named]
    real = _distinct_references(records)
    kinds = [f"real images, {_pixels(reference)}" if len(real) > 1 else "real images" for reference in real]
    header = ["measure", *kinds, *(name for name, _ in named)]
    measured = [name for name in MEASURES if any(getattr(record, name) is not None for record in records)]
    rows = _measure_rows(real, records, measured) + _condition_rows(real, records)
    if len(named) > MOST_COLUMNS:
        rows = [row for row in rows if len(set(row[1:])) > 1]
        header, *rows = [list(line) for line in zip(["model", *header[1:]], *rows, strict=True)]
    return Table(header, rows, caption, numeric=set(range(1, len(header))))


def _distinct_references(records: Sequence[Quality]) -> list[Quality]:
    """One record for each set of measures of real images that differs in what is common to runs."""
    distinct: dict[tuple[str, ...], Quality] = {}
    for record in records:
        distinct.setdefault(_references(record, COMMON_REFERENCES), record)
    return list(distinct.values())


def _references(record: Quality, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_in_measure(record, name, 1) for name in names)


def _measure_rows(real: Sequence[Quality], records: Sequence[Quality], measured: Sequence[str]) -> list[list[str]]:
    """A row for each measure: real images, then runs, with references of their own in brackets where these differ."""
    own_differ = len({_references(record, OWN_REFERENCES) for record in records}) > 1
    rows = []
    for name in measured:
        title = MEASURES[name]
        values = [_in_measure(record, name, 0) for record in records]
        if own_differ and name in OWN_REFERENCES:
            bracketed = [f"{value} ({_in_measure(r, name, 1)})" for value, r in zip(values, records, strict=True)]
            rows.append([title, *[""] * len(real), *bracketed])
        else:
            rows.append([title, *(_in_measure(reference, name, 1) for reference in real), *values])
    return rows


def _condition_rows(real: Sequence[Quality], records: Sequence[Quality]) -> list[list[str]]:
    """What the runs were measured on, where it differs; else the line on the conditions says it for all."""
    rows = []
    if len(real) > 1:
        rows.append(["pixels", *(_pixels(record) for record in [*real, *records])])
    if len({record.network for record in records}) > 1:
        rows.append(["features", *(record.network for record in [*real, *records])])
    if len({(record.count, record.drawn) for record in records}) > 1:
        counts = [f"{record.count:,} {record.drawn}" for record in records]
        rows.append(["images", *(f"{reference.count:,}" for reference in real), *counts])
    return rows


def _in_measure(record: Quality, name: str, which: int) -> str:
    """One value (0) or that of real images (1) in words; a dash where it was not measured."""
    measured = getattr(record, name)
    return ABSENT if measured is None else FORMATS.get(name, "{:.3f}").format(measured[which])


def _pixels(record: Quality) -> str:
    """What a pixel was, in a word or two."""
    space = record.space.partition(", ")[2]
    return "cut" if "threshold" in space else "drawn" if "drawn" in space else space
