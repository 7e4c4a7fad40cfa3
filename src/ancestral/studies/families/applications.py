"""Applications of the families: cost of sampling, completion, and detection of out-of-distribution images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ancestral.core.text import plural
from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.evaluation.score import Score
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ImplicitModel, ScoresMissing
from ancestral.models.orders import HasOrders
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
from ancestral.studies.families.strokes import CAPTION, strokes_in_words, under_strokes
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

TOGETHER = {"pixelcnn": 16, "any-order": 16, "made": 64}  # batch sizes of the families that sample slowly
USUAL = 256
HIDDEN = {"bottom": "the bottom half", "halves": "each half in turn"}
FRANKENSTEINS = 5  # spliced images in the figure
Found = list[tuple[str, DetectionRecord]]


def pace(workshop: Workshop) -> dict[str, Any]:
    """Images sampled per second, the batch sizes, and the machine."""
    together = {name: workshop.size(TOGETHER.get(name, USUAL), 8) for name in workshop.runs}

    def compute() -> dict[str, Any]:
        found: dict[str, float] = {}
        with workshop.progress.counter_for("speed of sampling") as progress:
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
    stepwise = [name for name, run in workshop.runs.items() if isinstance(run.load(), AutoregressiveModel | HasOrders)]
    steps = math.prod(workshop.runs[stepwise[0]].data.event_shape)
    at_once = min(paces[name] for name in paces if name not in stepwise)
    stepped = max(paces[name] for name in stepwise)
    text = (
        "The table shows how long each model was trained and how fast it samples. The "
        f"{titles[fastest]} samples {paces[fastest]:,.0f} images per second, the {titles[slowest]} "
        f"{paces[slowest]:,.0f}. {listed([titles[name] for name in stepwise])} sample one pixel after another: {steps} "
        f"steps per image, at most {stepped:,.0f} images per second. The other families need one pass, at least "
        f"{at_once:,.0f} images per second. Times depend on the machine and on its other load."
    )
    header = ["family", "training time, min", "training, images/s", "sampling, images/s", "batch size of sampling"]
    return ChapterContent(text, [Table(header, rows, f"Measured on {found['machine']}.", numeric={1, 2, 3, 4})])


def completed(workshop: Workshop) -> ChapterContent:
    named = [(workshop.titles[name], run) for name, run in workshop.runs.items()]
    drawn = completion_figure(named, complete_runs(named, "halves", count=workshop.size(8, 4)))
    grey = [workshop.titles[name] for name, run in workshop.runs.items() if run.data.space.name != "binary"]
    caption = (
        "Test images with one half hidden (bottom, top, right, left), and one completion by each family. The true half "
        f"is only one of many possible halves. {listed(grey)}: grey images; the other families: sampled binary images."
    )
    found = _hidden_scores(workshop)
    ordered = [workshop.titles[name] for name in found["bottom"] if name not in found["halves"]]
    if ordered:
        caption += f" {listed(ordered)} sample a bottom half exactly and the other halves approximately."
    strokes = under_strokes(workshop, named)
    return ChapterContent(
        "\n\n".join([_probable_halves(workshop, found["bottom"]), strokes_in_words([n for n, _ in named], strokes)]),
        [_hidden_table(workshop, found)],
        [
            workshop.figure("completions", drawn, caption, of=workshop.runs),
            workshop.figure("strokes", completion_figure(named, strokes), CAPTION, of=workshop.runs),
        ],
    )


def _hidden_table(workshop: Workshop, found: Mapping[str, Mapping[str, Score]]) -> Table:
    """The scores of hidden pixels by family, for each kind of mask."""
    rows = [
        [workshop.titles[name], *(_nats(found[hide].get(name)) for hide in HIDDEN)]
        for name in workshop.runs
        if any(name in scored for scored in found.values())
    ]
    count = next(iter(found["bottom"].values())).count
    return Table(
        ["family", *(f"log p({what} | the rest)" for what in HIDDEN.values())],
        rows,
        f"Mean log-probability of the true hidden pixels of {count:,} test images, in nats per image (larger is "
        "better). –: the model cannot compute it, because some hidden pixels come before visible ones in its order.",
        numeric={1, 2},
    )


def _hidden_scores(workshop: Workshop) -> dict[str, dict[str, Score]]:
    """log p(hidden | visible) of each family that can compute it, for each kind of mask."""
    count = workshop.size(1000, 50)
    able = [name for name, run in workshop.runs.items() if isinstance(run.load(), ScoresMissing)]

    def compute() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {hide: {} for hide in HIDDEN}
        with workshop.progress.counter_for("scoring hidden halves") as progress:
            for done, name in enumerate(able, 1):
                for hide in HIDDEN:
                    score = complete_run(
                        workshop.runs[name], hide, count=4, draws=1, scored=count, only_exact=True
                    ).score
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
        "The table shows the log-probability of the true hidden half given the visible half; the figure shows "
        f"completions. All families complete images; {listed(unable)} cannot compute the probability of the true "
        f"half. The {titles[best]} assigns the highest probability to the true bottom half: {top.nats:.1f} ± "
        f"{top.stderr:.1f} nats given the top half"
    )
    text += f" (not clearly higher than {listed([titles[name] for name in close])})" if close else ""
    last = others[-1]
    behind = top.nats - found[last].nats
    return (
        f"{text}. The {titles[last]} has the lowest: {behind:.1f} nats less, a factor of exp({behind:.1f}) per image."
    )


def detected(workshop: Workshop) -> ChapterContent:
    """The batch test of each family with a likelihood; few images, because some families score slowly."""
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
        "power", power_figure(every, noted=False), f"{_sizes_in_words(every)} {power_note(every)}", of=named
    )
    sheet = workshop.draw(shown, "frankenstein", count=FRANKENSTEINS)
    text = (
        "The anomalous images are Frankenstein digits: left halves of digits joined with right halves of other "
        "classes. The test decides by the ranks of the log-probabilities of a batch. It is calibrated on held-out "
        "natural images and evaluated on other images. The families were trained on different kinds of pixels, so "
        "each kind has its own table."
    )
    return ChapterContent(
        "\n\n".join([text, _reached(every), _separation(workshop, named), _level(every)]), tables, [sheet, picture]
    )


def _sizes_in_words(every: Found) -> str:
    tried = listed([str(rate.size) for rate in every[0][1].rates["log_prob"]])
    return f"Top: power; bottom: false positives; both against the batch size ({tried})."


def _reached(every: Found) -> str:
    """The smallest batch sizes that reach the wanted power, as sentences."""
    tried = every[0][1].rates["log_prob"]
    sizes = listed([str(rate.size) for rate in tried])
    by_size: dict[int, list[str]] = {}
    for title, found in every:
        by_size.setdefault(found.size_of_power() or 0, []).append(title)
    never = by_size.pop(0, [])
    told = [f"{plural(size, 'image')} for the {listed(by_size[size])}" for size in sorted(by_size)]
    text = f"Batch sizes {sizes} were tried. The smallest size with a power of at least {POWER:.0%} is "
    text = f"{text}{'; '.join(told)}." if told else f"No family reaches {POWER:.0%} power with batches of {sizes}."
    return text + (f" {listed(never)} do{'es' * (len(never) == 1)} not reach it." if told and never else "")


def _separation(workshop: Workshop, named: Mapping[str, DetectionRecord]) -> str:
    """The best and the worst AUROC, with the gap between the two kinds and the spread of natural images."""
    order = sorted(named, key=lambda name: -named[name].auroc["log_prob"].value)
    told = []
    for name in (order[0], order[-1]):
        found, value = named[name], named[name].auroc["log_prob"]
        scored = next(s for s in workshop.runs[name].scores() if s.method == found.method and s.split == "test")
        told.append(
            f"the {workshop.titles[name]} with {value.value:.3f} ± {value.stderr:.3f} (mean gap of log p(x) between "
            f"natural and Frankenstein images: {found.nats[0] - found.nats[1]:.0f} nats; standard deviation over "
            f"natural images: {scored.stderr * math.sqrt(scored.count):.0f} nats)"
        )
    return (
        f"For single images (AUROC; 0.5 is chance), the best family is {told[0]} and the worst is {told[1]}. The "
        "AUROC depends on the gap relative to the standard deviation."
    )


def _level(every: Found) -> str:
    """Whether the level of the test holds, given the uncertainty of the measured shares."""
    alpha = every[0][1].alpha
    pairs = [
        (rate.false_positives.value, band)
        for _, found in every
        for rate, band in zip(found.rates["log_prob"], level_bands(found), strict=True)
    ]
    inside = sum(low <= value <= high for value, (low, high) in pairs)
    return (
        f"The level of the test is set to {alpha:.0%}. Over all families and sizes, the test classifies "
        f"{min(value for value, _ in pairs):.1%} to {max(value for value, _ in pairs):.1%} of natural batches as "
        f"Frankenstein; {inside} of {len(pairs)} of these shares are within the 95 % band that is expected if the "
        "level holds. All use the same images, so they are not independent."
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
