"""Applications of the families: sampling and its cost, completion, and detection of foreign images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.evaluation.score import Score
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ImplicitModel, ScoresMissing
from ancestral.reports.detection_tables import DETECTION_CAPTION, power_table
from ancestral.reports.html import Table
from ancestral.reports.pictures.completion import completion_figure
from ancestral.reports.pictures.detection import level_bands, power_figure, power_note
from ancestral.runs.complete import complete_run, complete_runs
from ancestral.runs.detect import detect_run
from ancestral.runs.records import DETECTIONS
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.sampling_pace import draws_per_second, machine_in_words
from ancestral.studies.families.ranking import CLEAR
from ancestral.studies.parts import listed, plural
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

TOGETHER = {"pixelcnn": 16, "made": 64}  # images drawn at once by those that draw slowly
USUAL = 256
HIDDEN = {"bottom": "the bottom half", "halves": "each half in turn"}
FRANKENSTEINS = 5  # of the picture
Found = list[tuple[str, DetectionRecord]]


def pace(workshop: Workshop) -> dict[str, Any]:
    """Images drawn a second, how many at once, and on which machine."""
    together = {name: workshop.size(TOGETHER.get(name, USUAL), 8) for name in workshop.runs}

    def compute() -> dict[str, Any]:
        found: dict[str, float] = {}
        with workshop.progress.counter_for("speed of drawing") as progress:
            for done, (name, run) in enumerate(workshop.runs.items(), 1):
                found[name] = draws_per_second(run.load(), together[name], rounds=workshop.size(3, 1))
                progress(done, len(workshop.runs))
        return {"a second": found, "together": together, "machine": machine_in_words()}

    return workshop.remember("pace", compute, together=together)


def speed(workshop: Workshop) -> ChapterContent:
    found, titles = pace(workshop), workshop.titles
    paces = found["a second"]
    rows = [
        [
            titles[name],
            f"{run.outcome['total_seconds'] / 60:.1f}",
            f"{run.outcome['images_per_second']:,.0f}",
            f"{paces[name]:,.0f}",
            str(found["together"][name]),
        ]
        for name, run in workshop.runs.items()
    ]
    fastest, slowest = max(paces, key=paces.__getitem__), min(paces, key=paces.__getitem__)
    stepwise = [name for name, run in workshop.runs.items() if isinstance(run.load(), AutoregressiveModel)]
    steps = math.prod(workshop.runs[stepwise[0]].data.event_shape)
    at_once = min(paces[name] for name in paces if name not in stepwise)
    stepped = max(paces[name] for name in stepwise)
    text = (
        f"The {titles[fastest]} draws {paces[fastest]:,.0f} images a second, the {titles[slowest]} "
        f"{paces[slowest]:,.0f}. {listed([titles[name] for name in stepwise])} draw one pixel after another, {steps} "
        f"steps for each image; the others need one pass, "
        + ("and even the slowest of these is faster than both" if at_once > stepped else "but not all of it is cheap")
        + f": {at_once:,.0f} against {stepped:,.0f}. Times depend on the machine and on what else it did."
    )
    header = ["family", "trained in, min", "trained on, images/s", "draws, images/s", "drawn at once"]
    return ChapterContent(
        text, [Table(header, rows, f"Drawn on this machine: {found['machine']}.", numeric={1, 2, 3, 4})]
    )


def completed(workshop: Workshop) -> ChapterContent:
    named = [(workshop.titles[name], run) for name, run in workshop.runs.items()]
    drawn = completion_figure(named, complete_runs(named, "halves", count=workshop.size(8, 4)))
    grey = [workshop.titles[name] for name, run in workshop.runs.items() if run.data.space.name != "binary"]
    caption = (
        "Test images with one half hidden, each of the four in turn, and one completion by each family. The true half "
        f"is one of many that fit. The {listed(grey)} complete grey images, the others drawn binary ones."
    )
    found = _hidden_scores(workshop)
    ordered = [workshop.titles[name] for name in found["bottom"] if name not in found["halves"]]
    if ordered:
        caption += f" {listed(ordered)} draw a bottom half exactly, the other halves approximately."
    return ChapterContent(
        _probable_halves(workshop, found["bottom"]),
        [_hidden_table(workshop, found)],
        [workshop.figure("completions", drawn, caption)],
    )


def _hidden_table(workshop: Workshop, found: Mapping[str, Mapping[str, Score]]) -> Table:
    """The scores of hidden pixels by family, for each way to hide."""
    rows = [
        [workshop.titles[name], *(_nats(found[hide].get(name)) for hide in HIDDEN)]
        for name in workshop.runs
        if any(name in scored for scored in found.values())
    ]
    count = next(iter(found["bottom"].values())).count
    return Table(
        ["family", *(f"log p({what} | the rest)" for what in HIDDEN.values())],
        rows,
        f"How probable the true hidden pixels of {count:,} test images are, nats an image; a dash where the model "
        "cannot say it, because hidden pixels come before seen ones in its order.",
        numeric={1, 2},
    )


def _hidden_scores(workshop: Workshop) -> dict[str, dict[str, Score]]:
    """log p(hidden | seen) by each family that can say it, for each way to hide."""
    count = workshop.size(1000, 50)
    able = [name for name, run in workshop.runs.items() if isinstance(run.load(), ScoresMissing)]

    def compute() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {hide: {} for hide in HIDDEN}
        with workshop.progress.counter_for("scoring hidden halves") as progress:
            for done, name in enumerate(able, 1):
                for hide in HIDDEN:
                    score = complete_run(workshop.runs[name], hide, count=4, draws=1, scored=count).score
                    found[hide] |= {name: score.to_json()} if score else {}
                progress(done, len(able))
        return found

    kept = workshop.remember("hidden halves", compute, count=count, able=able)
    return {hide: {name: Score.from_json(one) for name, one in scored.items()} for hide, scored in kept.items()}


def _probable_halves(workshop: Workshop, found: Mapping[str, Score]) -> str:
    titles = workshop.titles
    unable = [titles[name] for name in workshop.runs if name not in found]
    best, *others = sorted(found, key=lambda name: -found[name].nats)
    top = found[best]
    close = [n for n in others if top.nats - found[n].nats < CLEAR * math.hypot(top.stderr, found[n].stderr)]
    text = (
        f"All families fill in what is hidden; {listed(unable)} cannot say how probable the true half was. Of the "
        f"others the {titles[best]} finds the true bottom half most probable, {top.nats:.1f} ± {top.stderr:.1f} nats "
        "given the top"
    )
    text += f", {listed([titles[name] for name in close])} about as much" if close else ""
    last = others[-1]
    behind = top.nats - found[last].nats
    return f"{text}; the {titles[last]} {behind:.1f} nats less, a factor of exp({behind:.1f}) for an image."


def detected(workshop: Workshop) -> ChapterContent:
    """The batch test of each family with a likelihood; images are few enough for the slow ones."""
    named: dict[str, DetectionRecord] = {}
    for name, run in workshop.runs.items():
        if not isinstance(run.load(), ImplicitModel):
            named[name] = _detected(workshop, run)
    spaces: dict[str, Found] = {}
    for name, found in named.items():
        spaces.setdefault(found.space, []).append((workshop.titles[name], found))
    every = [(workshop.titles[name], found) for name, found in named.items()]
    tables = [
        power_table(group, f"{space}. {DETECTION_CAPTION if i == 0 else 'Columns as above.'}")
        for i, (space, group) in enumerate(spaces.items())
    ]
    drawn = {name: found for name, found in named.items() if workshop.runs[name].data.space.name == "binary"}
    shown = max(drawn, key=lambda name: drawn[name].auroc["log_prob"].value)
    picture = workshop.figure(
        "power", power_figure(every, noted=False), f"{_sizes_in_words(every)} {power_note(every)}"
    )
    sheet = workshop.draw(shown, "frankenstein", count=FRANKENSTEINS)
    text = (
        "Left halves of digits spliced to right halves of other classes. A test of a batch by the ranks of its "
        "log-probabilities is calibrated on held-out natural images and then tried on others. The families saw pixels "
        "of different kinds, which are different tasks: each kind has a table of its own."
    )
    return ChapterContent(
        "\n\n".join([text, _reached(every), _told_apart(workshop, named), _level(every)]), tables, [sheet, picture]
    )


def _sizes_in_words(every: Found) -> str:
    tried = listed([str(rate.size) for rate in every[0][1].rates["log_prob"]])
    return f"Above the power, beneath the false positives, against the size of a batch ({tried})."


def _reached(every: Found) -> str:
    """The sizes of batches at which the power suffices."""
    tried = every[0][1].rates["log_prob"]
    sizes = listed([str(rate.size) for rate in tried])
    by_size: dict[int, list[str]] = {}
    for title, found in every:
        by_size.setdefault(found.size_of_power() or 0, []).append(title)
    never = by_size.pop(0, [])
    told = [f"{plural(size, 'image')} for the {listed(by_size[size])}" for size in sorted(by_size)]
    text = f"Of the sizes tried, {sizes}, the smallest batch found out with at least {POWER:.0%} power has "
    text = f"{text}{'; '.join(told)}." if told else f"No family reaches {POWER:.0%} power with batches of {sizes}."
    return text + (f" {listed(never)} never reach{'es' * (len(never) == 1)} it." if told and never else "")


def _told_apart(workshop: Workshop, named: Mapping[str, DetectionRecord]) -> str:
    """The best and the worst AUROC, beside how far the two kinds lie apart and how much natural images scatter."""
    order = sorted(named, key=lambda name: -named[name].auroc["log_prob"].value)
    told = []
    for name in (order[0], order[-1]):
        found, value = named[name], named[name].auroc["log_prob"]
        scored = next(s for s in workshop.runs[name].scores() if s.method == found.method and s.split == "test")
        told.append(
            f"the {workshop.titles[name]} {value.value:.3f} ± {value.stderr:.3f}: Frankenstein images lie "
            f"{found.nats[0] - found.nats[1]:.0f} nats below natural ones on average, which themselves scatter by "
            f"{scored.stderr * math.sqrt(scored.count):.0f} (standard deviation)"
        )
    return (
        f"AUROC of single images, where 0.5 is a coin: best {told[0]}; worst {told[1]}. What counts is the gap beside "
        "the scatter."
    )


def _level(every: Found) -> str:
    """Whether the level holds, where measurements are as many as they are uncertain."""
    alpha = every[0][1].alpha
    pairs = [
        (rate.false_positives.value, band)
        for _, found in every
        for rate, band in zip(found.rates["log_prob"], level_bands(found), strict=True)
    ]
    inside = sum(low <= value <= high for value, (low, high) in pairs)
    return (
        f"The level asked for is {alpha:.0%}. Over all families and sizes the shares of natural batches called "
        f"Frankenstein go from {min(value for value, _ in pairs):.1%} to {max(value for value, _ in pairs):.1%}; "
        f"{inside} of {len(pairs)} lie where 95 % of them fall if it holds (all are of the same images, so that they "
        "are not independent of each other)."
    )


def _detected(workshop: Workshop, run: Run) -> DetectionRecord:
    trials, count = workshop.size(1000, 50), workshop.size(1000, 100)
    for record in DETECTIONS.of(run):
        if record.against == "frankenstein" and record.trials == trials and max(record.counts) <= count:
            return record
    sizes = (1, 10) if workshop.quick else ()
    with workshop.progress.counter_for(f"scoring {run.path.name}") as progress:
        return detect_run(run, trials=trials, count=count, sizes=sizes, calibrate="test", progress=progress)


def _nats(score: Score | None) -> str:
    return f"{score.nats:.2f} ± {score.stderr:.2f}" if score else "–"
