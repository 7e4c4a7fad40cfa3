"""`uva2020`, part 1: the convolutional VAE, compared with the fully connected one."""

from __future__ import annotations

import math
from dataclasses import asdict

from ancestral.evaluation.quality import Measured
from ancestral.reports.html import Table
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.parts import bits_figure
from ancestral.studies.recipe import OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.vae import ASKED, BARE, BELOW, beginning, drawn_on_the_way, lowest_validation
from ancestral.studies.uva2020.words import (
    apart,
    bits_in_words,
    epoch_bits,
    settings_in_words,
    share_in_words,
    too_brief,
)
from ancestral.studies.workshop import Workshop

NAMES = ("vae-cnn", "vae")


def convolutional(workshop: Workshop) -> ChapterContent:
    """The convolutional VAE: curves, scores and samples, compared with those of the fully connected VAE."""
    runs = [workshop.runs[name] for name in NAMES]
    bounds = [workshop.score(name) for name in NAMES]
    epochs = epoch_bits(runs[0])
    checks = [
        ReferenceCheck(
            "VAE, CNN: training loss, mean of an epoch",
            f"below {BELOW} bits/dim",
            f"{min(epochs):.4f}",
            min(epochs) < BELOW,
            too_brief(runs[0], ASKED),
        ),
        ReferenceCheck(
            "VAE, CNN: test ELBO",
            f"at most {BARE} bits/dim (MLP in a plain PyTorch loop)",
            bits_in_words(bounds[0]),
            bounds[0].bits_per_dim <= BARE,
            too_brief(runs[0], ASKED),
            OURS,
        ),
    ]
    shown = workshop.figure(
        "vae-cnn-bits",
        bits_figure(runs[0], [(BELOW, f"{BELOW}, asked for")]),
        "Loss of the convolutional VAE: minibatches during training, and validation images after each epoch.",
        of=["vae-cnn"],
    )
    scores = score_table([("VAE, CNN", bounds[0]), ("VAE, MLP", bounds[1])], SCORE_CAPTION)
    text = f"{_networks(workshop)}\n\n{beginning(runs[0])} {_verdict(workshop)}\n\n{_samples_differ(workshop)}"
    return ChapterContent(
        text, [_side_by_side(workshop), scores], [shown, *drawn_on_the_way(workshop, NAMES[0])], checks
    )


def _networks(workshop: Workshop) -> str:
    """Networks, settings, number of parameters and training time, as sentences."""
    run, other = (workshop.runs[name] for name in NAMES)
    sizes, paces = [_parameters(one) for one in (run, other)], [_pace(one) for one in (run, other)]
    first = run.settings.model.channels[0]
    text = (
        "The figure shows the loss of a VAE with convolutional encoder and decoder; the tables compare it with the "
        f"fully connected VAE (MLP). The first layer has {first} filters. {settings_in_words(run)} The model has "
        f"{sizes[0]:,} parameters, the MLP {sizes[1]:,}"
        + (": a filter is shared by all positions of the image" if sizes[0] < sizes[1] else "")
        + f". An epoch takes {paces[0]:.0f} s on this machine, of the MLP {paces[1]:.1f} s"
        + (": each filter is applied at every position." if paces[0] > paces[1] else ".")
    )
    if run.settings.training.epochs < ASKED:
        text += (
            f" The coursework trains {ASKED} epochs with a constant learning rate, as `--full` does here. To save "
            "time, this run is shorter and its learning rate decays."
        )
    return text


def _verdict(workshop: Workshop) -> str:
    """Which model has the better test ELBO on the same images, as a sentence."""
    run, other = (workshop.runs[name] for name in NAMES)
    count = workshop.score(NAMES[0]).count
    gain = Difference(
        **workshop.remember("cnn-over-mlp", lambda: asdict(paired_difference(run, other, 0, count)), count=count)
    )
    if not gain.clear:
        return (
            "The test ELBOs of the two models do not clearly differ: "
            f"{gain.nats:+.2f} ± {gain.stderr:.2f} nats per image."
        )
    return (
        f"Its test ELBO is {'better' if gain.nats > 0 else 'worse'} than that of the MLP by {abs(gain.nats):.2f} ± "
        f"{gain.stderr:.2f} nats (paired differences; the standard error is over images, for one training of each)."
    )


def _samples_differ(workshop: Workshop) -> str:
    """Sample quality of both models, as sentences."""
    cnn, mlp = (workshop.quality(name) for name in NAMES)
    shares = [one.recognised.value for one in (cnn, mlp)]

    def both(name: str) -> str:
        values: list[Measured] = [getattr(one, name) for one in (cnn, mlp)]
        return f"{values[0].value:.2f} compared with {values[1].value:.2f} ({values[0].real:.2f} for real images)"

    which = "more often" if shares[0] > shares[1] else "less often"
    if not apart(shares[0], shares[1], cnn.count):
        which = "not clearly more or less often"
    return (
        f"The classifier recognises its samples (with sampled pixels) {which} than those of the MLP: "
        f"{share_in_words(shares[0], cnn.count)} of {cnn.count:,}, compared with "
        f"{share_in_words(shares[1], mlp.count)}. The FID is {both('fid')}, the recall {both('recall')}, and the "
        f"precision {both('precision')}."
    )


def _side_by_side(workshop: Workshop) -> Table:
    runs = [workshop.runs[name] for name in NAMES]
    rows = [
        ["parameters", *(f"{_parameters(one):,}" for one in runs)],
        ["epochs", *(str(one.outcome["epochs"]) for one in runs)],
        ["seconds per epoch", *(f"{_pace(one):.1f}" for one in runs)],
        ["lowest training loss, mean over an epoch, bits/dim", *(f"{min(epoch_bits(one)):.4f}" for one in runs)],
        ["lowest validation loss, bits/dim", *(f"{lowest_validation(one):.4f}" for one in runs)],
        ["test ELBO, bits/dim", *(bits_in_words(workshop.score(name)) for name in NAMES)],
    ]
    return Table(["", "VAE, CNN", "VAE, MLP"], rows, "The convolutional and the fully connected VAE.", numeric={1, 2})


def _pace(run: Run) -> float:
    return run.outcome["seconds"] / run.outcome["epochs"]


def _parameters(run: Run) -> int:
    return sum(math.prod(parameter.shape) for parameter in run.load().parameters())
