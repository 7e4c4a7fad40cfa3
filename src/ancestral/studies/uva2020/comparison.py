"""`uva2020`: VAE, GAN and flow side by side."""

from __future__ import annotations

import math

from ancestral.evaluation.quality import Quality, rank_quality
from ancestral.reports.html import Table
from ancestral.reports.pictures.samples import sample_rows
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.demonstrations.sampling_pace import draws_per_second
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.uva2020.flow import DRAWS
from ancestral.studies.uva2020.vae import TIGHT
from ancestral.studies.uva2020.words import bits_in_words
from ancestral.studies.workshop import Workshop

DRAWN = {
    "vae": "VAE, MLP",
    "vae-cnn": "VAE, CNN",
    "gan": "GAN, MLP",
    "flow-uniform": "Flow, uniform",
    "flow-variational": "Flow, variational",
}
COMPARED = ("vae", "gan", "flow-uniform")
ALIKE = 0.01  # of recall: a smaller difference says nothing


def comparison(workshop: Workshop) -> ChapterContent:
    """VAE, GAN and flow on one page."""
    runs = {name: workshop.runs[name] for name in DRAWN}
    count = workshop.size(256, 16)
    paces = workshop.remember(
        "paces", lambda: {name: draws_per_second(runs[name].load(), count) for name in COMPARED}, count=count
    )
    records = {name: workshop.quality(name, threshold=True) for name in DRAWN}
    order = [list(DRAWN)[i] for i in rank_quality(list(records.values()))]
    best, slowest, fastest = order[0], min(paces, key=paces.__getitem__), max(paces, key=paces.__getitem__)
    flows = [workshop.score(name, DRAWS) for name in ("flow-uniform", "flow-variational")]
    text = (
        "Likelihood and looks are two yardsticks; a GAN can be held against the second only. Scores of binary pixels "
        f"and of {runs['flow-uniform'].data.dataset.levels} grey levels are different quantities, without an order "
        f"between them: the VAEs' stand in the table below, the flows' in their own chapter ({bits_in_words(flows[0])} "
        f"and {bits_in_words(flows[1])} bits per dimension by {DRAWS} draws).\n\n"
        f"By the looks of {records[best].count:,} draws each, grey ones cut at one half so that all are of one space, "
        f"the best FID is that of {_who(best)} ({records[best].fid.value:.2f}), the worst that of {_who(order[-1])} "
        f"({records[order[-1]].fid.value:.2f}); between real images it is {records[best].fid.floor:.2f}."
        f"{_missed(records)} A VAE's draws here are true draws, pixels drawn one by one from their "
        "probabilities, which specks them; the means that papers show look better and are no samples.\n\n"
        f"This machine draws {paces[fastest]:,.0f} images a second from {_who(fastest)} and {paces[slowest]:,.0f} "
        f"from {_who(slowest)}, {count} at once."
    )
    scores = [("VAE, MLP", workshop.score("vae")), ("VAE, MLP", workshop.score("vae", TIGHT))]
    scores.append(("VAE, CNN", workshop.score("vae-cnn")))
    looks = quality_table([(DRAWN[name], records[name]) for name in order], f"Best FID first. {QUALITY_CAPTION}")
    rows = workshop.figure(
        "rows",
        sample_rows([runs[name] for name in order], titles=[DRAWN[name] for name in order], threshold=True),
        "Draws of each, grey ones cut at one half, none picked; best FID first.",
    )
    return ChapterContent(
        text, [_ways(workshop, paces), score_table(scores, f"Binary pixels. {SCORE_CAPTION}"), looks], [rows]
    )


def _who(name: str) -> str:
    first, rest = DRAWN[name][:1], DRAWN[name][1:]
    return f"the {first if rest[:1].isupper() else first.lower()}{rest}"


def _missed(records: dict[str, Quality]) -> str:
    """What a good FID may hide: how much of the data the draws miss, and how many of them are unlike the data."""
    best = min(records, key=lambda name: records[name].fid.value)
    widest = max(records, key=lambda name: records[name].recall.value)
    recall, most = records[best].recall, records[widest].recall.value
    if most - recall.value < ALIKE:
        return f" No other has a larger recall than its {recall.value:.2f} ({recall.floor:.2f} for real images)."
    precisions = [records[name].precision.value for name in (best, widest)]
    told = (
        f" But its draws reach less of the data: recall is {recall.value:.2f} against {most:.2f} of {_who(widest)} "
        f"({recall.floor:.2f} for real images)."
    )
    if precisions[0] > precisions[1]:
        told += (
            f" That is the trade: of its draws more lie among real images, {precisions[0]:.2f} against "
            f"{precisions[1]:.2f} (precision)."
        )
    return told


def _ways(workshop: Workshop, paces: dict[str, float]) -> Table:
    """The three families side by side."""
    vae, gan, flow = (workshop.runs[name] for name in COMPARED)
    latents, codes = vae.settings.model.latents, gan.settings.model.latents
    pixels = math.prod(flow.data.event_shape)
    rows = [
        [
            "what z is",
            f"{latents} numbers with a prior; each image has many z that explain it",
            f"{codes} numbers with a prior, which the generator turns into an image",
            f"{pixels} numbers, as many as pixels; each image of real numbers has one z, one of whole levels a cell of "
            "them",
        ],
        [
            "from image to z",
            "approximate: the encoder's q(z | x)",
            "none is learned; a search can find a z nearby",
            "exact for real numbers: z = f(x)",
        ],
        [
            "likelihood",
            "a lower bound (ELBO; tighter with more draws)",
            "none: it can be drawn from, not asked",
            "exact for real numbers; for whole grey levels a lower bound, by the noise",
        ],
        [
            "trained by",
            "maximising the bound: one loss that says how well it goes",
            "a game of two networks, whose losses say little",
            "maximising the likelihood, or its bound: one loss that says how well it goes",
        ],
        [
            "strengths",
            "fast, steady to train, a small code to use further",
            "sharp images, fast to draw from",
            "exact likelihood of real numbers, exact inverse, steady to train",
        ],
        [
            "weaknesses",
            "blurred means, noisy draws; the bound may be loose",
            "may collapse or never settle; no likelihood; no coverage promised",
            "no bottleneck; many layers, slow to train and to draw from; image quality",
        ],
        ["images drawn a second, here", *(f"{paces[name]:,.0f}" for name in COMPARED)],
    ]
    return Table(["", "VAE", "GAN", "flow"], rows, "The three families side by side.")
