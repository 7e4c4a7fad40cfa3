"""The page of a run: what was trained, how it went, what it scores, what it draws, how to repeat it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from ancestral import drawings
from ancestral.data.pixels import SPACES
from ancestral.errors import InputError
from ancestral.evaluation.score import Score
from ancestral.figures.style import save_figure
from ancestral.report import Figure, Report, Section, Table, write_report
from ancestral.run import Run
from ancestral.scoring import entropy_in_words, target_score

CAPTIONS = {
    "samples": "Draws from the model, the first of them, none picked. Where a model has a last step that draws pixels, "
    "its mean is shown.",
    "reconstructions": "Test images above, their reconstructions from the latents beneath.",
    "interpolations": "Straight lines in the latent space between the codes of two test images (the ends of each row).",
    "manifold": "The decoder's mean over the plane of the two latents, at percentiles of the standard normal.",
    "components": "The mean image of each component, with its probability.",
    "steps": "Draws as they come into being: each pixel given those before it. Grey pixels are not drawn yet.",
    "curves": "Learning curves. Training values are those of the minibatches as they were used.",
    "density": "The density the points were drawn from, the one learned, and where the model starts from, in one "
    "colour scale; and draws from the model.",
    "deformation": "Lines of equal coordinates in the latent plane and where they lie among the data, and the other "
    "way round: where lines crowd, the flow packs probability together.",
}


def draw_all(run: Run) -> dict[str, Path]:
    """Draw everything this model can draw into the run's `figures`; returns name and file of each."""
    drawn: dict[str, Path] = {}
    for name, draw in drawings.DRAWINGS.items():
        try:
            figure = draw(run)
        except InputError:  # this family has no such picture, or there are too few images for it
            continue
        drawn[name] = run.figures / f"{name}.png"
        save_figure(figure, drawn[name])
    return drawn


def score_table(named: Sequence[tuple[str, Score]], caption: str = "") -> Table:
    """Scores with everything that makes them comparable or not, one row each."""
    header = ["model", "nats", "± s.e.", "bits/dim", "kind", "method", "scored on"]
    rows = [
        [
            name,
            f"{score.nats:.{_decimals(score.dimensions)}f}",
            f"{score.stderr:.{_decimals(score.dimensions)}f}",
            f"{score.bits_per_dim:.4f}",
            score.kind_in_words,
            score.method,
            f"{score.space}; {score.split}, {score.count} {_noun(score)}",
        ]
        for name, score in named
    ]
    return Table(header, rows, caption, numeric={1, 2, 3})


def write_run_page(run: Run, redraw: bool = True) -> Path:
    """Draw and write the run's `report.html`; returns its path.

    Args:      redraw: False takes the pictures as they are: only the scores have changed.
    """
    record, outcome = run.record, run.outcome
    there = {name: run.figures / f"{name}.png" for name in drawings.DRAWINGS}
    drawn = draw_all(run) if redraw else {name: path for name, path in there.items() if path.exists()}
    early = sorted(run.figures.glob("samples-epoch-*.png"))
    figures = [Figure(path, CAPTIONS[name]) for name, path in drawn.items()]
    figures += [Figure(path, f"Samples after {int(path.stem.rsplit('-', 1)[1])} epochs.") for path in early]
    scores = [("this run", score) for score in run.scores()]
    floor = target_score(run.data) if scores else None
    shown = [*scores, ("the target itself", floor)] if floor else scores
    sections = [
        Section("Scores", "" if scores else "Not scored: this kind of model has no likelihood.",
                tables=[score_table(shown, SCORE_CAPTION)] if scores else []),
        Section("Pictures", figures=figures),
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


SCORE_CAPTION = (
    "Mean log-probability in nats (larger is better) with its standard error, and the same in bits per dimension "
    "(smaller is better). A lower bound means that the true value is at least that."
)


def _noun(score: Score) -> str:
    return "points" if score.space.endswith(SPACES["points"]) else "images"


def _decimals(dimensions: int) -> int:
    """Of nats: a thousandth matters to a point, not to an image."""
    return 4 if dimensions <= 2 else 2


def _in_words(score: Score) -> str:
    bits = f" = {score.bits_per_dim:.4f} bits/dim" if score.dimensions <= 2 else ""
    return f"{score.nats:.{_decimals(score.dimensions)}f} nats{bits}, {score.kind_in_words} ({score.method})"


def _lead(run: Run) -> str:
    reason = run.outcome.get("reason")
    ends = {
        "epochs": f"Trained for all of its {run.outcome.get('epochs')} epochs.",
        "patience": f"Stopped early after {run.outcome.get('epochs')} epochs, when validation no longer improved.",
        "diverged": f"The training diverged: {run.outcome.get('detail')}.",
    }
    selected = run.outcome.get("best_value")
    decimals = _decimals(math.prod(run.record["data"]["event_shape"]))
    best = (
        f" The weights kept are those with the best validation value, {selected:.{decimals}f} nats." if selected else ""
    )
    return ends.get(str(reason), "The training is not over.") + best


def _provenance(run: Run) -> str:
    record = run.record
    counts = ", ".join(f"{count} {split}" for split, count in record["data"]["counts"].items())
    return (
        f"Data: {record['data']['name']} ({counts} {run.data.space.noun}), "
        f"SHA-256 `{record['data']['sha256'][:16]}…`.\n\n"
        f"Python {record['versions']['python']}, torch {record['versions']['torch']}, "
        f"source {(record['git_commit'] or 'not from a checkout')[:12]}, begun {record['begun']}."
    )


def repeat_command(run: Run) -> str:
    """The command that trains this run again: every setting that is not the default."""
    settings = run.settings
    words = ["ancestral", "train", settings.family]
    for room in (settings.model, settings.data, settings.training):
        for name, value in vars(room).items():
            if value != getattr(type(room)(), name):
                flag = "--" + name.replace("_", "-")
                values = [] if value is True else [str(v) for v in (value if isinstance(value, tuple) else [value])]
                words += [flag, *values]
    return shlex.join([*words, "--out", str(run.path)])
