"""The page of a run: what was trained, how it went, what it scores, what it draws, how to repeat it."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.families.catalogue import flags_of
from ancestral.figures.style import save_figure
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.reports.detection_tables import DETECTION_CAPTION, power_table
from ancestral.reports.html import Figure, Report, Section, Table, write_report
from ancestral.reports.pictures import catalogue as drawings
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import BRACKET_CAPTION, SCORE_CAPTION, bracket_table, decimals_for, score_table
from ancestral.runs.bracket import CONDITIONS, stored_bracket
from ancestral.runs.detect import stored_detections
from ancestral.runs.evaluate import entropy_in_words, target_score
from ancestral.runs.quality import stored_quality
from ancestral.runs.run import Run

CAPTIONS = {
    "samples": "Draws from the model, the first of them, none picked.",
    "reconstructions": "Test images above, their reconstructions from the latents beneath.",
    "interpolations": "Straight lines in the latent space between the codes of two test images (the ends of each row).",
    "walks": "From one draw of the latents to another, in straight lines and, beneath each, along the great arc "
    "between the same ends, which keeps to latents as long as those the model was trained on.",
    "manifold": "The decoder's mean over the plane of the two latents, at percentiles of the standard normal.",
    "components": "The mean image of each component, with its probability.",
    "steps": "Draws as they come into being: each pixel given those before it. Grey pixels are not drawn yet.",
    "curves": "Learning curves.",
    "vanishing-gradient": "A fresh critic learns while the generator stands still: the saturating loss loses its gradient as "
    "the critic wins, the other does not.",
    "density": "The density the points were drawn from, the one learned, and where the model starts from, in one "
    "colour scale; and draws from the model.",
    "neighbours": "Draws from the model above, the training image nearest to each (by distance of pixels) beneath: a "
    "model that remembers would show the same image twice.",
    "frankenstein": "Test images, none picked, and images made of the left half of one and the right half of another "
    "of a different class, with the log-probability of each: a good model finds these less probable.",
    "completions": "Test images with one half hidden, and draws of it from the model given the other half. The true "
    "half is one of many that fit.",
    "latents": "Codes of test images in the latent space, by class. More than two latents are shown along the two "
    "directions in which codes vary most, with the share of the variance there.",
    "posterior": "Test images beside the exact probability of each component or latent given them, and the mean of "
    "that over the images of each class.",
    "traversals": "What each latent does: it moves, the others stay where they are.",
    "surprise": "How surprising each pixel of an image is given those before it. At the seam of a Frankenstein image "
    "the right half comes as a surprise.",
    "split": "What the score of test images is a sum of, beside that of images made of halves of different classes; "
    "where latents have a divergence each, how much each takes.",
    "deformation": "Above, lines of equal coordinates in the latent plane and where they lie among the data: where "
    "they crowd, density is raised. Beneath, lines among the data and where they lie in the latent plane: where they "
    "crowd, the data's density is low.",
}


def caption_of(run: Run, what: str) -> str:
    """What one of the drawings of a run shows, and what has to be known of its numbers or pixels."""
    if what == "samples":
        whole = type(run.load()).sample_mean is Model.sample_mean
        noise = "Whole draws, pixels included." if whole else "The pixels are not drawn: each shows its mean."
        return f"{CAPTIONS[what]} {noise}"
    if what == "curves":
        return f"{CAPTIONS[what]} {_read_on(run)}"
    return CAPTIONS[what]


def _read_on(run: Run) -> str:
    """Which images the values of learning curves are of."""
    training, noun = run.settings.training, run.data.space.noun
    some = f"the first {training.watch_size:,}" if training.watch_size else "all"
    minibatches = "Training values are means over the minibatches as they were used"
    read = [f"Training values are of {some} training {noun}" if "train" in training.watch else minibatches]
    read += [f"test values of {some} test {noun}"] if "test" in training.watch else []
    return ", ".join(read) + "."


def draw_all(run: Run) -> dict[str, Path]:
    """Draw everything this model can draw into the run's `figures`; returns name and file of each."""
    drawn: dict[str, Path] = {}
    for name, draw in drawings.DRAWINGS.items():
        if name in drawings.ON_REQUEST:
            continue
        try:
            figure = draw(run)
        except InputError:  # this family has no such picture, or there are too few images for it
            continue
        drawn[name] = run.figures / f"{name}.png"
        save_figure(figure, drawn[name])
    return drawn


def write_run_page(run: Run, redraw: bool = True) -> Path:
    """Draw and write the run's `report.html`; returns its path.

    Args:      redraw: False takes the pictures as they are: only the scores have changed.
    """
    record, outcome = run.record, run.outcome
    there = {name: run.figures / f"{name}.png" for name in drawings.DRAWINGS}
    drawn = draw_all(run) if redraw else {name: path for name, path in there.items() if path.exists()}
    early = sorted(run.figures.glob("samples-epoch-*.png"))
    figures = [Figure(path, caption_of(run, name)) for name, path in drawn.items()]
    figures += [Figure(path, f"Samples after {int(path.stem.rsplit('-', 1)[1])} epochs.") for path in early]
    scores = [("this run", score) for score in run.scores()]
    floor = target_score(run.data) if scores else None
    shown = [*scores, ("the target itself", floor)] if floor else scores
    measured = [("this run", record) for record in stored_quality(run)]
    sections = [
        *([Section("Scores", tables=[score_table(shown, SCORE_CAPTION)])] if scores else []),
        *_bracket_section(run),
        *_quality_section(measured),
        *_detection_section(run),
        Section("Pictures", figures=figures),
        *_health(run),
        Section("How to repeat it", _provenance(run), commands=[repeat_command(run)]),
    ]  # fmt: skip
    facts = [("test", _in_words(score)) for _, score in scores if score.split == "test"][:2]
    if entropy := entropy_in_words(run.data):
        facts.append(("entropy of the target", entropy))
    if outcome.get("seconds"):
        facts.append(("trained in", f"{outcome['seconds']:.0f} s, {outcome['epochs']} epochs"))
        facts.append(("speed", f"{outcome['images_per_second']:.0f} {run.data.space.noun}/s"))
    report = Report(
        title=f"{run.settings.family}: {record['data']['name']}",
        subtitle=record["data"]["space"],
        lead=_lead(run),
        facts=facts,
        sections=sections,
        footer=f"ancestral {record['versions']['ancestral']}, torch {record['versions']['torch']}.",
    )
    path = run.path / "report.html"
    write_report(report, path)
    return path


def _bracket_section(run: Run) -> list[Section]:
    """The bracket around log p(x), where one was found."""
    found = stored_bracket(run)
    if found is None:
        return []
    text = f"{CONDITIONS}\n\n{found.summary}."
    return [Section("How tight the bounds are", text, tables=[bracket_table(found, BRACKET_CAPTION)])]


def _quality_section(measured: Sequence[tuple[str, Quality]]) -> list[Section]:
    if not measured:
        return []
    conditions = "\n\n".join(dict.fromkeys(record.conditions for _, record in measured))
    return [Section("Sample quality", conditions, tables=[quality_table(measured, QUALITY_CAPTION)])]


def _detection_section(run: Run) -> list[Section]:
    """How well anomalies were told from natural images, where that was measured."""
    found = stored_detections(run)
    if not found:
        return []
    conditions = "\n\n".join(f"{record.against}: {'; '.join(record.conditions)}." for record in found)
    table = power_table([("this run", record) for record in found], DETECTION_CAPTION)
    return [Section("What does not belong", conditions, tables=[table])]


def _health(run: Run) -> list[Section]:
    """What the log shows of the training's health, where it was examined."""
    found = run.health
    if found is None:
        return []
    rows = [[v.name, v.severity, v.evidence, v.advice] for v in found.verdicts]
    tables = [Table(["what", "how bad", "evidence", "what to do"], rows)] if rows else []
    return [Section("Health of the training", found.summary, tables=tables)]


def _in_words(score: Score) -> str:
    bits = f" = {score.bits_per_dim:.4f} bits/dim" if score.dimensions <= 2 else ""
    return f"{score.nats:.{decimals_for(score.dimensions)}f} nats{bits}, {score.kind_in_words} ({score.method})"


def _lead(run: Run) -> str:
    reason = run.outcome.get("reason")
    ends = {
        "epochs": f"Trained for all of its {run.outcome.get('epochs')} epochs.",
        "patience": f"Stopped early after {run.outcome.get('epochs')} epochs, when validation no longer improved.",
        "diverged": f"The training diverged: {run.outcome.get('detail')}.",
    }
    selected = run.outcome.get("best_value")
    decimals = decimals_for(math.prod(run.record["data"]["event_shape"]))
    best = (
        f" The weights kept are those with the best validation value, {selected:.{decimals}f} nats." if selected else ""
    )
    return ends.get(str(reason), "The training is not over.") + best + _unscored(run)


def _unscored(run: Run) -> str:
    """Why a trained run has no score."""
    if run.scores() or not run.finished or run.outcome["reason"] == "diverged":
        return ""
    if isinstance(run.load(), (ExactModel, LatentModel)):
        return " It has not been scored yet."
    return " It has no score: this kind of model has no likelihood."


def _provenance(run: Run) -> str:
    record = run.record
    counts = ", ".join(f"{count} {split}" for split, count in record["data"]["counts"].items())
    return (
        f"Data: {record['data']['name']} ({counts} {run.data.space.noun}), "
        f"SHA-256 `{record['data']['sha256'][:16]}…`.\n\n"
        f"Python {record['versions']['python']}, torch {record['versions']['torch']}, "
        f"source {(record['git_commit'] or 'not from a checkout')[:12]}, begun {record['begun']}."
    )


def repeat_command(run: Run, folder: Path | None = None) -> str:
    """The command that trains this run again: every setting that is not the default.

    Args:      folder: where it is typed, of which the run's place is told; by default where the program is now.
    """
    words = itertools.chain(*flags_of(run.settings).values())
    place, folder = run.path.absolute(), (folder or Path()).absolute()
    out = place.relative_to(folder) if place.is_relative_to(folder) else place
    return shlex.join(["ancestral", "train", run.settings.family, *words, "--out", str(out)])
