"""The command that samples from a trained model."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from ancestral.commands.console import RunPath, refuse_missing_runs, say
from ancestral.commands.places import PICTURES, picture_of, refuse_ending
from ancestral.core.errors import InputError
from ancestral.core.text import plural


def sample(
    run: RunPath,
    out: Path | None = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    label: tuple[str, ...] = (),
    condition: tuple[float, ...] = (),
    mean: bool = False,
    steps: int | None = None,
    devices: int = 1,
) -> None:
    """Sample new images or points from a trained model.

    Args:
        run: run folder
        out: output file: .png, .jpg, .pdf or .svg for a figure; .npy for the sampled pixels or points; .csv for
            points; or a folder for one .png file per image, with classes in labels.csv
            (default: RUN/figures/draws-N.png)
        n: number of samples
        seed: random seed
        label: sample only this class, or these classes in equal numbers, given by name or number (conditional models)
        condition: sample from p(x | c) for this vector c, in the units of the data, for models that are given a
            vector (default: the vectors of test examples, drawn at random)
        mean: show the means E[x | z] in place of samples x; means are not samples of the model
        steps: any-order models: number of parallel steps, each for several pixels; faster, but not exact; the cost in
            nats is printed (default: one pixel at a time)
        devices: number of processes, one core each; they divide the samples in blocks of 1,000
    """
    refuse_ending("--out", out, "", *PICTURES, ".npy", ".csv")
    if mean and label:
        raise InputError("--mean and --label cannot be combined: leave out one of them")
    refuse_missing_runs(run)
    from ancestral.runs.run import Run
    from ancestral.runs.sample import class_number, is_conditional, sample_labelled, sample_model
    from ancestral.runs.vectors import given_each, sampler_of, vectors_in_words
    from ancestral.training.processes import dividing_work

    opened = Run(run)
    given = "_".join(f"{number:g}" for number in condition)
    out = out or picture_of(
        run, f"draws-{n}", seed=seed, label="-".join(label), condition=given, means=mean, steps=steps
    )
    model = given_each(opened.load(), condition) if condition else sampler_of(opened)
    number = [class_number(opened, one) for one in label] or None
    with dividing_work(devices) as processes:
        if out.suffix == "" and is_conditional(model) and not mean:
            drawn, labels = sample_labelled(model, n, seed, number, steps)
        else:
            drawn, labels = sample_model(model, n, seed, number, mean, steps), None
        cost = None if steps is None else _cost_in_words(opened, steps)
    if not processes.first:
        return
    _save_drawn(opened, drawn, labels, out, label if n % max(1, len(label)) == 0 else ())
    what = plural(n, "mean") + " (not samples)" if mean else plural(n, opened.space.noun.removesuffix("s"))
    say(f"{what}{vectors_in_words(model)}: {out}")
    if cost is not None:
        say(cost)


def _cost_in_words(run: Any, steps: int) -> str:
    """The cost of parallel steps, as a line; it needs the data of the run."""
    from ancestral.evaluation.likelihood import exact_name
    from ancestral.runs.sample import COSTED, cost_of_steps

    try:
        cost = cost_of_steps(run, steps)
    except InputError as error:
        return f"the cost of {steps:,} parallel steps needs the test images of the run: {error}"
    return (
        f"{steps:,} parallel steps cost {cost.nats:.2f} nats per image (s.e. {cost.stderr:.2f}): the lower bound on "
        f"{exact_name(run.load())} of one pixel at a time minus that of these steps, on up to {COSTED} test images"
    )


def _save_drawn(run: Any, drawn: Any, labels: Any, out: Path, rows: tuple[str, ...] = ()) -> None:
    """Write samples in the format given by the ending of the file name. rows: titles of equal rows of a picture."""
    from ancestral.figures.grids import save_image_grid
    from ancestral.figures.style import save_figure
    from ancestral.runs.sample import save_array, save_images, save_table

    record = run.record["data"]
    points = drawn.ndim == 2
    ending = out.suffix.lower()
    if ending == ".npy":
        save_array(drawn, out)
    elif ending == ".csv":
        if not points:
            raise InputError(f"--out {out}: .csv is for points only; choose a picture, .npy or a folder for images")
        save_table(drawn, out, record.get("columns"))
    elif ending in PICTURES and points:
        save_figure(run.data.picture(drawn), out)
    elif ending in PICTURES:
        titled = {"columns": len(drawn) // len(rows), "row_titles": rows} if len(rows) > 1 else {}
        save_image_grid(run.space.to_unit(drawn.float()), out, smooth=True, **titled)
    elif points:
        raise InputError(f"--out {out}: a folder is for images only; choose a .csv or .npy file for points")
    else:
        save_images(run.space.to_unit(drawn.float()), out, labels, record.get("classes"))
