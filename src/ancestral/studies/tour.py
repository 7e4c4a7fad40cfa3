"""The tour: all families except circuits and any-order models on the digits, and a flow of points, in a few minutes."""

from __future__ import annotations

from ancestral.evaluation.quality import rank_quality
from ancestral.evaluation.score import Score, best_of
from ancestral.reports.pictures.samples import ROW, sample_rows
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.score_tables import SCORE_CAPTION, best_first, score_table
from ancestral.runs.evaluate import entropy_in_words, target_score
from ancestral.studies.recipe import Chapter, ChapterContent, PlannedRun, Study
from ancestral.studies.workshop import Workshop

BINARY = {"data": "digits", "pixels": "threshold"}
GREY = {"data": "digits", "pixels": "levels"}
EM = {"method": "em", "epochs": 30, "batch_size": 1000, "smoothing": 0.5}
GRADIENT = {"epochs": 60, "batch_size": 100, "optimizer": "rmsprop", "learning_rate": 1e-2}
BELIEF_NET = {"latents": (10,), "epochs": 60, "batch_size": 50, "learning_rate": 2e-2, "schedule": "cosine"}
VAE = {"latents": 8, "hidden": (256,), "batch_size": 50, "schedule": "cosine", "epochs": 100}
GREY_VAE = {**VAE, **GREY, "latents": 16}
MIXTURE_PRIOR = {"prior": "mixture", "components": 20}
MADE = {"hidden": (256,), "orderings": 8, "epochs": 100, "batch_size": 50, "schedule": "cosine"}
PIXELCNN = {
    "channels": 32,
    "hidden_channels": 16,
    "blocks": 4,
    "first_kernel": 7,
    "epochs": 30,
    "batch_size": 50,
    "learning_rate": 3e-3,
    "schedule": "cosine",
}
GAN = {
    "hidden": (128, 256),
    "critic_hidden": (256, 128),
    "dropout": 0.0,
    "critic_dropout": 0.2,
    "r1": 0.1,
    "average": 0.995,
    "epochs": 150,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "schedule": "cosine",
}
POINT_FLOW = {"data": "moons", "epochs": 10, "batch_size": 250, "learning_rate": 3e-3, "schedule": "cosine"}
IMAGE_FLOW = {"width": 24, "scales": 2, "couplings": 4, "epochs": 20, "batch_size": 50, "learning_rate": 2e-3}
PLAN = (
    PlannedRun("mixture-em", "mixture of 20 Bernoullis, EM", "mixture", {**BINARY, **EM}, minutes=0.02),
    PlannedRun(
        "mixture-gradient", "mixture of 20 Bernoullis, gradient", "mixture", {**BINARY, **GRADIENT}, minutes=0.02
    ),
    PlannedRun("belief-net", "sigmoid belief net, 10 latents", "belief-net", {**BINARY, **BELIEF_NET}, minutes=0.05),
    PlannedRun("made", "MADE, 8 orderings", "made", {**BINARY, **MADE}, minutes=0.04),
    PlannedRun("pixelcnn", "PixelCNN", "pixelcnn", {**BINARY, **PIXELCNN}, minutes=0.14),
    PlannedRun("vae-binary", "VAE, Bernoulli pixels", "vae", {**BINARY, **VAE}, 1000, minutes=0.05),
    PlannedRun("vae-manifold", "VAE with 2 latents", "vae", {**BINARY, **VAE, "latents": 2}, 1000, minutes=0.05),
    PlannedRun("vae-levels", "VAE, categorical pixels", "vae", GREY_VAE, 1000, minutes=0.11),
    PlannedRun(
        "vae-levels-mixture",
        "VAE, categorical pixels, mixture prior",
        "vae",
        {**GREY_VAE, **MIXTURE_PRIOR},
        1000,
        minutes=0.14,
    ),
    PlannedRun("pixelcnn-levels", "PixelCNN, categorical pixels", "pixelcnn", {**GREY, **PIXELCNN}, minutes=0.16),
    PlannedRun(
        "flow-levels",
        "flow, uniform dequantisation",
        "flow",
        {**GREY, **IMAGE_FLOW, "schedule": "cosine"},
        20,
        minutes=0.24,
    ),
    PlannedRun("flow-points", "flow of points, splines", "flow", POINT_FLOW, minutes=0.08),
    PlannedRun("gan", "GAN", "gan", GAN, scored=False, minutes=0.25),
    PlannedRun("autoencoder", "plain autoencoder", "autoencoder", {**BINARY, **VAE}, scored=False, minutes=0.03),
)


def _scores(workshop: Workshop) -> ChapterContent:
    runs, tables = workshop.runs, []
    for pixels, what in (("threshold", "Binary pixels"), ("levels", "17 grey levels"), (None, "Points of the plane")):
        here = list(_best_scores(workshop, pixels))
        named = [(workshop.titles[name], score) for name in here for score in runs[name].scores()]
        ceiling = target_score(runs[here[0]].data)  # of points, whose density is known
        named += [("true density", ceiling)] if ceiling else []
        tables.append(score_table(best_first(named), f"{what}, best first. {SCORE_CAPTION}"))
    entropy = entropy_in_words(runs["flow-points"].data)
    text = (
        "The tables show the mean log-probability of the 447 test images, or of the test points. Scores of different "
        "pixel spaces cannot be compared, so each space has a table of its own. The column `kind` says which scores "
        f"are exact and which are bounds. The entropy of the density of the points is {entropy}."
    )
    return ChapterContent(text, tables)


def _quality(workshop: Workshop) -> ChapterContent:
    """Sample quality of all image models, the best FID first; grey pixels are thresholded at 0.5."""
    names = [name for name, run in workshop.runs.items() if run.data.space.noun == "images"]
    records = [workshop.quality(name, threshold=True) for name in names]
    named = [(workshop.titles[names[i]], records[i]) for i in rank_quality(records)]
    text = (
        "The table compares samples with real images, in the features of a fixed classifier of these digits. These "
        "measures need no likelihood, so every model has values. They do not measure probability: a model that "
        "repeats some training images scores well. Grey pixels are thresholded at 0.5, so that all samples are "
        "binary.\n\n"
    )
    return ChapterContent(text + records[0].conditions, [quality_table(named, QUALITY_CAPTION)])


def _best_scores(workshop: Workshop, pixels: str | None) -> dict[str, Score]:
    scored = {n: run for n, run in workshop.runs.items() if run.settings.data.pixels == pixels and run.scores()}
    return {name: best_of(run.scores(), name) for name, run in scored.items()}


def _pictures(title: str, asked: str, text: str, wanted: list[tuple[str, str]]) -> Chapter:
    def tell(workshop: Workshop) -> ChapterContent:
        return ChapterContent(text, figures=[workshop.draw(name, what) for name, what in wanted])

    return Chapter(title, tell, asked)


def _samples(workshop: Workshop) -> ChapterContent:
    """A row of samples for each model."""
    drawn = sample_rows([workshop.runs[name] for name in DRAWN], titles=[workshop.titles[name] for name in DRAWN])
    text = (
        "A latent-variable model samples z from the prior, then x given z. For the plain autoencoder, z is sampled "
        "from a standard normal and decoded; it was not trained on such z."
    )
    caption = (
        f"The first {ROW} samples of each model, not cherry-picked. Every pixel is sampled: no row shows mean images."
    )
    return ChapterContent(text, figures=[workshop.figure("samples", drawn, caption, of=DRAWN)])


def _lead(workshop: Workshop) -> str:
    binary = _best_scores(workshop, "threshold")
    best = max(binary, key=lambda name: binary[name].nats)
    score = binary[best]
    return (
        f"{len(workshop.runs)} models were trained on handwritten digits of 8 by 8 pixels and on points in the plane. "
        f"On binary pixels, the highest score is {score.nats:.2f} ± {score.stderr:.2f} nats per image "
        f"({score.kind_in_words}, {score.method}). Its model: {workshop.titles[best]}."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    binary = _best_scores(workshop, "threshold")
    best, mixture = max(binary.values(), key=lambda score: score.nats), binary["mixture-em"]
    return [
        ("highest score, binary pixels", f"{best.nats:.2f} nats, {best.kind_in_words}"),
        ("mixture, EM", f"{mixture.nats:.2f} nats, {mixture.kind_in_words}"),
    ]


DRAWN = (
    "mixture-em",
    "belief-net",
    "made",
    "pixelcnn",
    "vae-binary",
    "autoencoder",
    "vae-levels-mixture",
    "pixelcnn-levels",
    "flow-levels",
    "gan",
)
CURVES = ("mixture-gradient", "belief-net", "made", "pixelcnn", "vae-binary", "flow-points", "gan")
STUDY = Study(
    title="A tour of generative models",
    subtitle="scikit-learn's handwritten digits, and two moons",
    plan=lambda options: PLAN,
    lead=_lead,
    facts=_facts,
    chapters=(
        Chapter("Scores", _scores, "Which model assigns the highest probability to test data?"),
        Chapter("Sample quality", _quality, "Which samples are most like real images?", minutes=0.5),
        Chapter("Samples", _samples, "What do samples of each model look like?"),
        _pictures(
            "Components, latent space and reconstructions",
            "What do the latents of a mixture and of a VAE represent?",
            "Shown are the mean images of the mixture's components, the latent plane of the VAE with two latents, and "
            "reconstructions and interpolations of the VAE with eight latents. On the latent plane, neighbouring "
            "digits change gradually into each other. A reconstruction shows what the latents keep of an image.",
            [
                ("mixture-em", "components"),
                ("vae-manifold", "manifold"),
                ("vae-binary", "reconstructions"),
                ("vae-binary", "interpolations"),
            ],
        ),
        _pictures(
            "How three families generate",
            "How do an autoregressive model, a flow and a GAN make a sample?",
            "The first figure shows an autoregressive model: it samples one pixel after another, each given the pixels "
            "before it. The next two show a flow: an invertible map turns a Gaussian into the density of the data, and "
            "each point has exactly one code. The last shows a GAN: the generator maps a code to an image in one pass; "
            "the model has no map from an image back to its code.",
            [("pixelcnn", "steps"), ("flow-points", "density"), ("flow-points", "deformation"), ("gan", "walks")],
        ),
        _pictures(
            "Training curves",
            "How did the loss change during training?",
            "The curves show training and validation loss by epoch. The weights with the lowest validation loss are "
            "kept.",
            [(name, "curves") for name in CURVES],
        ),
    ),
)
