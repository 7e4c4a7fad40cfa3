"""The scores of the families: log-probability, and sample quality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ancestral.evaluation.quality import Quality, rank_quality
from ancestral.evaluation.score import best_of
from ancestral.models.base import ImplicitModel
from ancestral.reports.html import Table
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import SCORE_CAPTION, best_first, score_table
from ancestral.studies.families.kinds import numbers
from ancestral.studies.families.ranking import Ranking, in_words, ranking_of
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

FAR = 10.0  # nats
EXCEEDABLE = {"inception_score": "IS", "precision": "precision", "density": "density", "recognised": "share recognised"}
MEASURES: dict[str, Callable[[Quality], float]] = {
    "FID": lambda record: record.fid.value,
    "share recognised": lambda record: -record.recognised.value,
}
Records = Mapping[str, Quality]


def scores(workshop: Workshop) -> ChapterContent:
    spaces: dict[str, list[str]] = {}
    for name, run in workshop.runs.items():
        if run.scores():
            spaces.setdefault(best_of(run.scores(), name).space, []).append(name)
    tables = []
    for names in spaces.values():
        named = [(workshop.titles[name], score) for name in names for score in workshop.runs[name].scores()]
        tables.append(score_table(best_first(named), f"{SCORE_CAPTION} Best first."))
    silent = [workshop.titles[n] for n, run in workshop.runs.items() if isinstance(run.load(), ImplicitModel)]
    text = (
        "The tables show the mean log-probability of test images. Scores of different pixel spaces cannot be compared, "
        f"so each space has a table of its own. The {listed(silent)} has no score, because it has no likelihood."
    )
    return ChapterContent(f"{text}\n\n{in_words(workshop)} {_why(workshop, ranking_of(workshop))}", tables)


def _why(workshop: Workshop, found: Ranking) -> str:
    """How loose the bounds may be, and why the families with few states have low scores, as sentences."""
    return " ".join([*_loose_bounds(workshop, found), *_few_states(workshop, found)])


def _loose_bounds(workshop: Workshop, found: Ranking) -> Iterator[str]:
    """How much more samples of z raise each bound above the ELBO."""
    for name, score in found.scores.items():
        loose = [one.nats for one in workshop.runs[name].scores() if one.method == "ELBO" and one.count == score.count]
        if score.kind == "bound" and loose and score.samples > 1:
            yield (
                f"For the {workshop.titles[name]}, only a lower bound is known: with {score.samples:,} samples of z "
                f"per image it is {score.nats - loose[0]:.2f} nats above the ELBO, and log p(x) is at least that high."
            )


def _few_states(workshop: Workshop, found: Ranking) -> Iterator[str]:
    """Numbers of states of the families with few states, if their scores are far below the best."""
    states = {"mixture": "components", "belief-net": "states"}
    far = [name for name in states if name in found.scores and found.behind(name) > FAR]
    if far:
        many = [f"{numbers(workshop.runs[name])[states[name]]} {states[name]}" for name in far]
        yield (
            f"The {listed([workshop.titles[name] for name in far])} score "
            f"{listed([f'{found.behind(n):.1f}' for n in far])} nats below the best: pixels are independent given z, "
            f"and z has only {listed(many)}."
        )


def quality(workshop: Workshop) -> ChapterContent:
    """Sample quality by family, a table for each kind of pixels; grey pixels are thresholded at 0.5."""
    groups: dict[str, dict[str, Quality]] = {}
    for name, run in workshop.runs.items():
        record = workshop.quality(name, threshold=run.data.space.name in ("levels", "unit"))
        groups.setdefault(record.space, {})[name] = record
    tables: list[Table] = []
    told = [
        "The tables compare samples with real images. Binary pixels are sampled; grey pixels are thresholded at 0.5. "
        "Real images are converted in the same way. Each kind has a table of its own; the two are not ranked together."
    ]
    for space, records in groups.items():
        names = list(records)
        order = [names[i] for i in rank_quality(list(records.values()))]
        named = [(workshop.titles[name], records[name]) for name in order]
        kind = "Grey pixels, thresholded" if "threshold" in space else "Sampled binary pixels"
        meaning = f" {QUALITY_CAPTION}" if not tables else ""
        tables.append(quality_table(named, f"{kind}; best FID first.{meaning} {records[order[0]].conditions}."))
        told.append(f"{kind}: {_compared(workshop.titles, records)} {_exceeding(workshop.titles, records)}".strip())
    first = next(iter(groups.values()))
    told.insert(1, _orders(workshop, first))
    told.append(_in_steps(workshop.titles, {name: one for records in groups.values() for name, one in records.items()}))
    return ChapterContent("\n\n".join(filter(None, told)), tables)


def _in_steps(titles: Mapping[str, str], records: Records) -> str:
    """Which families were sampled in parallel steps, as sentences."""
    return " ".join(
        f"The {titles[name]} is sampled in {record.steps} parallel steps: an exact sample needs one for each pixel."
        for name, record in records.items()
        if record.steps
    )


def _orders(workshop: Workshop, records: Records) -> str:
    """Whether log-probability and measures of sample quality rank the families in the same order, as sentences."""
    found, titles = ranking_of(workshop), workshop.titles
    names = [name for name in found.scores if name in records]
    orders = {"nats": names, **{y: sorted(names, key=lambda n: of(records[n])) for y, of in MEASURES.items()}}
    if len({tuple(order) for order in orders.values()}) == 1:
        return (
            "Nats, FID and share recognised rank the families in the same order: "
            f"{listed([titles[name] for name in names])}."
        )
    text = "The measures rank the families in different orders. Best first: " + "; ".join(
        f"by {measure} {', '.join(titles[name] for name in order)}" for measure, order in orders.items()
    )
    return ". ".join([text, *_unequal_fids(titles, records, [found.best, *found.level])]) + "."


def _unequal_fids(titles: Mapping[str, str], records: Records, level: Sequence[str]) -> Iterator[str]:
    """The FIDs of families with about the same nats, if these FIDs differ much."""
    fids = [records[name].fid.value for name in level]
    if len(level) > 1 and max(fids) > 1.5 * min(fids):
        yield (
            f"{listed([titles[name] for name in level])} have about the same nats, but their FIDs are "
            f"{listed([f'{fid:.1f}' for fid in fids])}: nats depend on every pixel of real images, FID on the features "
            "of samples in a classifier of digits"
        )


def _compared(titles: Mapping[str, str], records: Records) -> str:
    """Whether the family with the most recognised samples also has the highest recall, as a sentence."""
    clear = max(records, key=lambda name: records[name].recognised.value)
    varied = max(records, key=lambda name: records[name].recall.value)
    one, other = records[clear], records[varied]
    share, recall = one.recognised.value, one.recall.value
    if clear == varied:
        return (
            f"the {titles[clear]} has both the largest share of recognised samples, {share:.1%}, and the highest "
            f"recall, {recall:.3f}."
        )
    return (
        f"the {titles[clear]} has the largest share of recognised samples, {share:.1%}, with a recall of "
        f"{recall:.3f}. The {titles[varied]} has the highest recall, {other.recall.value:.3f}, and "
        f"{other.recognised.value:.1%} of its samples are recognised."
    )


def _exceeding(titles: Mapping[str, str], records: Records) -> str:
    """Values that exceed those of real images, which does not mean better samples."""
    above = [
        f"{word} of the {titles[name]} ({value.value:.3f}, real images {value.real:.3f})"
        for name, record in records.items()
        for measure, word in EXCEEDABLE.items()
        for value in (getattr(record, measure),)
        if value.value > value.real
    ]
    if not above:
        return ""
    return f"Higher than for real images: {listed(above)}. Samples with too little variety can cause this."
