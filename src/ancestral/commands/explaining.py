"""Commands for the terms of a score and for the latents of images."""

from pathlib import Path
from typing import Literal

from ancestral.commands.console import (
    RunPath,
    print_json,
    print_table,
    refuse_below_one,
    refuse_missing_runs,
    say,
    screen,
)
from ancestral.commands.places import PICTURES, array_of, refuse_ending
from ancestral.settings.data import OtherData


def explain(
    run: RunPath,
    count: int | None = None,
    split: Literal["train", "valid", "test"] = "test",
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Split the score of a trained model into its terms: by part, by latent, by pixel.

    Args:
        run: run folder
        count: use only the first N images
        split: part of the data
        seed: random seed of the Frankenstein images that are compared
        out: also draw this .png, .jpg, .pdf or .svg file: -log p of each pixel, or histograms of the terms, depending
            on the family
        json: print only the terms, as JSON, on stdout
    """
    refuse_missing_runs(run)
    from ancestral.figures.style import save_figure
    from ancestral.reports.explanation_tables import explanation_tables
    from ancestral.reports.pictures.explanation import explanation_figure
    from ancestral.runs.explain import conditions, explain_run
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter
    from ancestral.runs.run import Run

    refuse_below_one(count)
    refuse_ending("--out", out, *PICTURES)
    opened, part = on_data(Run(run), other, split)
    with counter(screen, f"explaining {run.name}") as progress:
        found = explain_run(opened, count, part, seed, progress)
    if json:
        print_json([{"run": run.name, **record} for record in found.to_json()])
    else:
        for table in explanation_tables(found):
            print_table(table)
    say(conditions(found))
    if out is not None:
        save_figure(explanation_figure(opened, found, count, seed), out)
        say(f"picture: {out}")


def infer(
    run: RunPath,
    out: Path | None = None,
    split: Literal["train", "valid", "test"] = "test",
    count: int | None = None,
    other: OtherData = OtherData(),  # noqa: B008
) -> None:
    """Compute the latents of images, and p(class | x) of a conditional model.

    Args:
        run: run folder
        out: .npz file for the arrays z, labels (if the images have labels), stddev (if the posterior has one) and
            class_probs (if the model is conditional) (default: RUN/latents-SPLIT.npz)
        split: part of the data
        count: use only the first N images
    """
    refuse_missing_runs(run)
    from ancestral.runs.infer import infer_run
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter
    from ancestral.runs.run import Run

    refuse_below_one(count)
    refuse_ending("--out", out, ".npz")
    opened, part = on_data(Run(run), other, split)
    with counter(screen, f"inferring {run.name}") as progress:
        found = infer_run(opened, part, count, progress)
    out = out or array_of(run, f"latents-{part}", count=count, on=other.data and Path(other.data).name)
    found.save(out)
    if found.z.shape[1]:
        say(f"z, shape {found.z.shape[0]:,} x {found.z.shape[1]:,}, {found.how}")
    if found.class_probs is not None:
        say(f"p(class | x), shape {found.class_probs.shape[0]:,} x {found.class_probs.shape[1]:,}")
    say(f"{found.z.shape[0]:,} {opened.data.space.noun}, {', '.join(found.arrays())}: {out}")
