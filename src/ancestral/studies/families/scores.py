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
YARDSTICKS: dict[str, Callable[[Quality], float]] = {
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
        tables.append(score_table(best_first(named), f"Best first. {SCORE_CAPTION}"))
    silent = [workshop.titles[n] for n, run in workshop.runs.items() if isinstance(run.load(), ImplicitModel)]
    text = (
        "Scores of different spaces are different quantities: they stand in different tables and are never ranked "
        f"together. The {listed(silent)} has no score: no formula says how probable it finds an image."
    )
    return ChapterContent(f"{text}\n\n{in_words(workshop)} {_why(workshop, ranking_of(workshop))}", tables)


def _why(workshop: Workshop, found: Ranking) -> str:
    """What the bounds leave open, and why the families of few states have low scores."""
    return " ".join([*_loose_bounds(workshop, found), *_few_states(workshop, found)])


def _loose_bounds(workshop: Workshop, found: Ranking) -> Iterator[str]:
    """By how much many draws raise each bound above the ELBO."""
    for name, score in found.scores.items():
        loose = [one.nats for one in workshop.runs[name].scores() if one.method == "ELBO" and one.count == score.count]
        if score.kind == "bound" and loose and score.samples > 1:
            yield (
                f"Of the {workshop.titles[name]} only a bound is known: {score.samples:,} draws an image raise it "
                f"{score.nats - loose[0]:.2f} nats above the ELBO, and its true value is at least that."
            )


def _few_states(workshop: Workshop, found: Ranking) -> Iterator[str]:
    """How many states the families of few states have, where their scores are far below the best."""
    states = {"mixture": "components", "belief-net": "states"}
    far = [name for name in states if name in found.scores and found.behind(name) > FAR]
    if far:
        many = [f"{numbers(workshop.runs[name])[states[name]]} {states[name]}" for name in far]
        yield (
            f"The {listed([workshop.titles[name] for name in far])}, {listed([f'{found.behind(n):.1f}' for n in far])} "
            f"nats below it, have no more than {listed(many)}, within each of which pixels are independent."
        )


def quality(workshop: Workshop) -> ChapterContent:
    """Of each family in its own pixels, grey ones cut at one half; a table for each kind of pixels."""
    groups: dict[str, dict[str, Quality]] = {}
    for name, run in workshop.runs.items():
        record = workshop.quality(name, threshold=run.data.space.name in ("levels", "unit"))
        groups.setdefault(record.space, {})[name] = record
    tables: list[Table] = []
    told = [
        "Binary pixels were drawn, grey ones cut at one half. Each kind is compared with real images treated alike, in "
        "a table of its own; the two are not ranked together."
    ]
    for space, records in groups.items():
        names = list(records)
        order = [names[i] for i in rank_quality(list(records.values()))]
        named = [(workshop.titles[name], records[name]) for name in order]
        kind = "Grey pixels, cut" if "threshold" in space else "Drawn pixels"
        meaning = f" {QUALITY_CAPTION}" if not tables else ""
        tables.append(quality_table(named, f"{kind}; best FID first.{meaning} {records[order[0]].conditions}."))
        told.append(f"{kind}: {_compared(workshop.titles, records)} {_exceeding(workshop.titles, records)}".strip())
    first = next(iter(groups.values()))
    told.insert(1, _orders(workshop, first))
    return ChapterContent("\n\n".join(filter(None, told)), tables)


def _orders(workshop: Workshop, records: Records) -> str:
    """Whether log-probability and the yardsticks of draws agree about the families that have both."""
    found, titles = ranking_of(workshop), workshop.titles
    names = [name for name in found.scores if name in records]
    orders = {"nats": names, **{y: sorted(names, key=lambda n: of(records[n])) for y, of in YARDSTICKS.items()}}
    if len({tuple(order) for order in orders.values()}) == 1:
        return f"By nats, FID and share recognised the order is the same: {listed([titles[name] for name in names])}."
    text = "The yardsticks disagree: " + "; ".join(
        f"by {yardstick} {', '.join(titles[name] for name in order)}" for yardstick, order in orders.items()
    )
    return ". ".join([text, *_unequal_fids(titles, records, [found.best, *found.level])]) + "."


def _unequal_fids(titles: Mapping[str, str], records: Records, level: Sequence[str]) -> Iterator[str]:
    """What differs between families that are level in nats, if their FIDs differ much."""
    fids = [records[name].fid.value for name in level]
    if len(level) > 1 and max(fids) > 1.5 * min(fids):
        yield (
            f"{listed([titles[name] for name in level])} are level in nats, yet their FIDs are "
            f"{listed([f'{fid:.1f}' for fid in fids])}: nats count every pixel of real images, FID what a recogniser "
            "of digits sees in draws"
        )


def _compared(titles: Mapping[str, str], records: Records) -> str:
    """Whether clear draws are also varied ones."""
    clear = max(records, key=lambda name: records[name].recognised.value)
    varied = max(records, key=lambda name: records[name].recall.value)
    one, other = records[clear], records[varied]
    share, recall = one.recognised.value, one.recall.value
    if clear == varied:
        return (
            f"the {titles[clear]} has both the most draws recognised, {share:.1%}, and the most recall, {recall:.3f}."
        )
    return (
        f"the {titles[clear]} has the most draws recognised, {share:.1%}, but reaches "
        f"{recall:.3f} of the test images (recall), where the {titles[varied]}, of whose draws "
        f"{other.recognised.value:.1%} are recognised, reaches {other.recall.value:.3f}."
    )


def _exceeding(titles: Mapping[str, str], records: Records) -> str:
    """Values above those of real images, which are no merit."""
    above = [
        f"{word} of the {titles[name]} ({value.value:.3f}, real images {value.floor:.3f})"
        for name, record in records.items()
        for measure, word in EXCEEDABLE.items()
        for value in (getattr(record, measure),)
        if value.value > value.floor
    ]
    return f"Above the value of real images: {listed(above)}. Draws that are too alike can do so." if above else ""
