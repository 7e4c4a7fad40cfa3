"""`uva2020`: a comparison of VAE, GAN and flow."""

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
ALIKE = 0.01  # differences in recall below this are ignored


def comparison(workshop: Workshop) -> ChapterContent:
    """VAE, GAN and flow: properties, scores, sample quality and speed."""
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
        "The tables compare the three families by their properties, by likelihood and by sample quality. A GAN has no "
        "likelihood, so only its sample quality can be measured. Scores of binary pixels and of "
        f"{runs['flow-uniform'].data.dataset.levels} grey levels cannot be compared: the VAEs' scores are in the table "
        f"below, the flows' scores in their own chapter ({bits_in_words(flows[0])} and {bits_in_words(flows[1])} bits "
        f"per dimension with {DRAWS} samples of the noise).\n\n"
        f"Sample quality was measured on {records[best].count:,} samples of each model; grey pixels were thresholded "
        f"at 0.5, so that all samples are binary. The best FID is that of {_who(best)} "
        f"({records[best].fid.value:.2f}), the worst that of {_who(order[-1])} ({records[order[-1]].fid.value:.2f}); "
        f"between two sets of real images it is {records[best].fid.real:.2f}.{_missed(records)} VAE samples are true "
        "samples: each pixel is drawn from its probability, which makes them speckled. The mean images that papers "
        "often show look better, but they are not samples.\n\n"
        f"On this machine, {_who(fastest)} samples {paces[fastest]:,.0f} images per second and {_who(slowest)} "
        f"{paces[slowest]:,.0f}, in batches of {count}."
    )
    scores = [("VAE, MLP", workshop.score("vae")), ("VAE, MLP", workshop.score("vae", TIGHT))]
    scores.append(("VAE, CNN", workshop.score("vae-cnn")))
    looks = quality_table([(DRAWN[name], records[name]) for name in order], f"Best FID first. {QUALITY_CAPTION}")
    rows = workshop.figure(
        "rows",
        sample_rows([runs[name] for name in order], titles=[DRAWN[name] for name in order], threshold=True),
        "Samples of each model, not cherry-picked, best FID first. Grey pixels are thresholded at 0.5.",
        of=order,
    )
    return ChapterContent(
        text, [_ways(workshop, paces), score_table(scores, f"Binary pixels. {SCORE_CAPTION}"), looks], [rows]
    )


def _who(name: str) -> str:
    first, rest = DRAWN[name][:1], DRAWN[name][1:]
    return f"the {first if rest[:1].isupper() else first.lower()}{rest}"


def _missed(records: dict[str, Quality]) -> str:
    """Recall and precision of the model with the best FID, compared with the model with the highest recall."""
    best = min(records, key=lambda name: records[name].fid.value)
    widest = max(records, key=lambda name: records[name].recall.value)
    recall, most = records[best].recall, records[widest].recall.value
    if most - recall.value < ALIKE:
        return (
            f" No other model has a clearly higher recall than its {recall.value:.2f} ({recall.real:.2f} for real "
            "images)."
        )
    precisions = [records[name].precision.value for name in (best, widest)]
    told = (
        f" However, its samples cover less of the data: its recall is {recall.value:.2f}, compared with {most:.2f} "
        f"for {_who(widest)} ({recall.real:.2f} for real images)."
    )
    if precisions[0] > precisions[1]:
        told += f" In exchange, its precision is higher: {precisions[0]:.2f} compared with {precisions[1]:.2f}."
    return told


def _ways(workshop: Workshop, paces: dict[str, float]) -> Table:
    """A table of the properties of the three families."""
    vae, gan, flow = (workshop.runs[name] for name in COMPARED)
    latents, codes = vae.settings.model.latents, gan.settings.model.latents
    pixels = math.prod(flow.data.event_shape)
    rows = [
        [
            "what z is",
            f"{latents} numbers with a prior; many z can explain an image",
            f"{codes} numbers with a prior; the generator maps them to an image",
            f"{pixels} numbers, one per pixel; an image of real numbers has exactly one z, an image of grey levels a "
            "set of z",
        ],
        [
            "from image to z",
            "approximate: the encoder's q(z | x)",
            "not learned; optimisation can find an approximate z",
            "exact for real numbers: z = f(x)",
        ],
        [
            "likelihood",
            "a lower bound (ELBO; tighter with more samples of z)",
            "none; only samples",
            "exact for real numbers; a lower bound for grey levels, because of the noise",
        ],
        [
            "trained by",
            "maximising the bound: one loss, which measures progress",
            "a game of two networks: their losses do not measure progress",
            "maximising the likelihood or its bound: one loss, which measures progress",
        ],
        [
            "strengths",
            "fast, stable training, a small code for other uses",
            "sharp images, fast sampling",
            "exact likelihood of real numbers, exact inverse, stable training",
        ],
        [
            "weaknesses",
            "blurred means, noisy samples; the bound may be loose",
            "may collapse or not converge; no likelihood; may miss parts of the data",
            "z as large as the image; many layers: slow training and sampling; image quality",
        ],
        ["images sampled per second, here", *(f"{paces[name]:,.0f}" for name in COMPARED)],
    ]
    return Table(["", "VAE", "GAN", "flow"], rows, "Properties of the three families.")
