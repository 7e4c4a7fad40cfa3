"""Commands that use a trained model: draw, complete, detect."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from ancestral.commands.console import (
    RunPath,
    print_json,
    print_table,
    refuse_below_one,
    say,
    screen,
    show_scores,
)
from ancestral.errors import InputError, NotComputable

DrawingName = Literal[
    "samples",
    "reconstructions",
    "interpolations",
    "walks",
    "manifold",
    "components",
    "steps",
    "curves",
    "starvation",
    "density",
    "deformation",
    "completions",
    "neighbours",
    "frankenstein",
]


def sample(
    run: RunPath,
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    label: int | None = None,
) -> None:
    """Draw new images from a trained model.

    Args:
        run: run folder
        out: a .png file for a picture, or a .npy file for the pixels or points as the model draws them
        n: how many
        seed: of the draws
        label: only images of this class, from a conditional GAN
    """
    import torch

    from ancestral.figures.style import save_figure
    from ancestral.files import write_atomically
    from ancestral.models.gan import GAN
    from ancestral.numerics import seed_for, seeded_noise
    from ancestral.run import Run

    if n < 1:
        raise InputError(f"--n {n}: draw at least one")
    if out.suffix not in (".png", ".npy"):
        raise InputError(f"--out {out}: choose a name that ends in .png or .npy")
    opened = Run(run)
    model = opened.load()
    draw_some = model.sample
    if label is not None:
        if not isinstance(model, GAN):
            raise NotComputable(f"a {type(model).__name__} knows no classes to draw: leave --label out")
        draw_some = lambda count: model.sample_classes(torch.full((count,), label))  # noqa: E731
    with seeded_noise(seed_for(seed, "sample")):
        drawn = torch.cat([draw_some(min(1000, n - first)) for first in range(0, n, 1000)])
    if out.suffix == ".npy":
        import io

        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, drawn.cpu().numpy(), allow_pickle=False)
        write_atomically(out, buffer.getvalue())
    else:
        save_figure(opened.data.picture(drawn), out)
    say(f"{n} {opened.data.space.noun}: {out}")


def draw(
    what: tyro.conf.Positional[DrawingName], run: RunPath, out: Path, count: int | None = None, seed: int = 0
) -> None:
    """Draw a picture of a trained model.

    Args:
        what: which picture
        run: run folder
        out: .png file
        count: samples, pairs, rows, components or lines; for a manifold or a density the side of the grid
        seed: of what is drawn at random
    """
    from ancestral.drawings import DRAWINGS
    from ancestral.figures.style import save_figure
    from ancestral.run import Run

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    refuse_below_one(count)
    options = {"seed": seed} | ({} if count is None else {"count": count})
    save_figure(DRAWINGS[what](Run(run), **options), out)
    say(f"{what}: {out}")


def complete(
    run: RunPath,
    out: Path,
    hide: Literal["left", "right", "top", "bottom", "random", "halves"] = "halves",
    count: int = 8,
    draws: int = 4,
    seed: int = 0,
    split: Literal["train", "valid", "test"] = "test",
) -> None:
    """Hide part of some images and let a trained model draw it, several times for each image.

    Args:
        run: run folder
        out: .png file
        hide: which part: a half, half of the pixels at random, or halves: the four halves in turn
        count: how many images
        draws: completions of each
        seed: of the draws, and of random pixels
        split: which images
    """
    from ancestral.completing import complete_run, completion_figure
    from ancestral.figures.style import save_figure
    from ancestral.run import Run

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    refuse_below_one(count)
    if draws < 1:
        raise InputError(f"--draws {draws}: give a whole number of at least 1")
    opened = Run(run)
    found = complete_run(opened, hide, count, draws, seed, split)
    save_figure(completion_figure(opened, found), out)
    if found.score is not None:
        show_scores([(run.name, found.score)], as_json=False)
    say(f"how the hidden pixels are drawn: {found.how}")
    say(f"completions: {out}")


def detect(
    run: RunPath,
    against: str,
    samples: int = 0,
    batches: tuple[int, ...] = (),
    alpha: float = 0.05,
    trials: int = 1000,
    calibrate: Literal["valid", "test"] = "valid",
    count: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Tell what does not belong to the data a model learned, image by image and batch by batch.

    Args:
        run: run folder
        against: frankenstein, noise, shuffled, constant, rotated, upside-down, another data set, a file or a folder
        samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        batches: sizes of the batches to test (default: 1 2 5 10 20 50 100 200, as far as there are images)
        alpha: false-positive rate of the test of batches
        trials: natural and anomalous batches of each size
        calibrate: on validation images where there are any, or on half of the test images
        count: at most so many images of each kind
        seed: of anomalies and batches
        out: also draw histograms of log p and the power by batch size into this .png file
        json: print the record as JSON, and nothing else, on stdout
    """
    from ancestral.detecting import detect_run, detection_figure, detection_tables
    from ancestral.figures.style import save_figure
    from ancestral.progress import counter
    from ancestral.run import Run

    if samples < 0:
        raise InputError(f"--samples {samples}: give a number of draws per image")
    refuse_below_one(count)
    if out is not None and out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    options = {"samples": samples, "sizes": batches, "alpha": alpha, "trials": trials, "calibrate": calibrate}
    with counter(screen, f"scoring {run.name}") as progress:
        found = detect_run(Run(run), against, **options, count=count, seed=seed, progress=progress)
    if json:
        print_json([{"run": run.name, **found.to_json()}])
    else:
        for table in detection_tables(found):
            print_table(table)
    for line in found.conditions:
        say(line)
    if out is not None:
        save_figure(detection_figure(found), out)
        say(f"histograms and power: {out}")
