"""All families side by side on MNIST: how each uses z, what it can do, what it scores, draws, completes and costs."""

from __future__ import annotations

from ancestral.completing import completions_of
from ancestral.detecting import detect_run, stored_detections
from ancestral.errors import InputError
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.quality import rank_quality
from ancestral.evaluation.score import best_of, rank
from ancestral.experiments.sampling_pace import draws_per_second
from ancestral.measuring import sample_rows
from ancestral.models.abilities import abilities_of
from ancestral.models.kinds import ImplicitModel
from ancestral.powers import power_figure, power_table
from ancestral.report import Table
from ancestral.run import Run
from ancestral.run_page import QUALITY_CAPTION, SCORE_CAPTION, quality_table, score_table
from ancestral.studies.parts import IMAGE_FLOW
from ancestral.studies.recipe import QUICK_MNIST, Chapter, Options, PlannedRun, Study, Told
from ancestral.studies.workshop import Workshop

DRAWN = {"data": "mnist", "pixels": "binary", "train_size": 55_000, "valid_size": 5_000}
FALLING = {"schedule": "cosine"}
PLAN = (
    PlannedRun(
        "mixture",
        "mixture of 100 Bernoullis",
        "mixture",
        {**DRAWN, "components": 100, "method": "em", "epochs": 30, "batch_size": 1000},
        minutes=0.5,
    ),
    PlannedRun(
        "belief-net",
        "sigmoid belief net, 12 latents",
        "belief-net",
        {**DRAWN, **FALLING, "latents": (12,), "epochs": 15, "batch_size": 100},
        minutes=5,
        quick={"latents": (6,)},
    ),
    PlannedRun(
        "vae",
        "VAE, 40 latents",
        "vae",
        {**DRAWN, **FALLING, "latents": 40, "hidden": (500, 500), "epochs": 40},
        1000,
        minutes=5,
        quick={"hidden": (100,)},
    ),
    PlannedRun(
        "made",
        "MADE",
        "made",
        {**DRAWN, **FALLING, "hidden": (500,), "epochs": 20, "batch_size": 100},
        minutes=6,
        full={"epochs": 60},
        quick={"hidden": (50,)},
    ),
    PlannedRun(
        "pixelcnn",
        "PixelCNN",
        "pixelcnn",
        {
            **DRAWN,
            **FALLING,
            "channels": 32,
            "hidden_channels": 16,
            "blocks": 5,
            "first_kernel": 9,
            "epochs": 4,
            "batch_size": 50,
            "warmup_steps": 300,
            "clip_norm": 5.0,
            "validate_every": 550,
            "log_every": 50,
            "precision": "bf16-mixed",
        },
        minutes=8,
        full={"channels": 64, "hidden_channels": 32, "blocks": 8, "first_kernel": 13, "epochs": 10},
        quick={"channels": 8, "hidden_channels": 4, "blocks": 1, "first_kernel": 3, "warmup_steps": 0},
    ),
    PlannedRun(
        "flow",
        "flow, uniform dequantisation",
        "flow",
        {**IMAGE_FLOW, "epochs": 4},
        8,
        minutes=10,
        full={"epochs": 12},
        quick={"width": 8, "couplings": 2, "warmup_steps": 0},
    ),
    PlannedRun(
        "gan",
        "GAN, MLP",
        "gan",
        {"data": "mnist", "split": "uva2020", "epochs": 40, "samples_at": (0, 10, 40)},
        scored=False,
        minutes=6,
        full={"epochs": 250, "samples_at": (0, 10, 250)},
    ),
)
LATENTS = {  # what z is, where it comes from, how x comes from z, how z is found
    "mixture": ("one of K components", "learned probabilities", "its pixels' probabilities", "exact posterior"),
    "belief-net": ("M bits", "learned coins", "a logistic layer", "exact posterior, summed over 2^M states"),
    "vae": ("M real numbers", "standard normal", "decoder, then pixel noise", "q(z | x), one pass of the encoder"),
    "made": ("none", "", "pixel after pixel", "nothing to find"),
    "pixelcnn": ("none", "", "pixel after pixel", "nothing to find"),
    "flow": ("as many numbers as pixels", "standard normal", "an invertible map, then rounding", "z = f(x), one pass"),
    "gan": ("M real numbers", "standard normal", "generator, no noise after it", "by search"),
}
VERDICTS = {  # strengths, weaknesses
    "mixture": ("exact, trained in seconds, every question answered exactly", "independent pixels given z: dotted"),
    "belief-net": ("exact, parts combine", "cost doubles with each latent"),
    "vae": ("fast both ways, smooth latent space", "a bound only; noise of its own on every pixel"),
    "made": ("exact, one pass to score", "as many steps as pixels to draw; no latents"),
    "pixelcnn": ("exact, learns local patterns with few weights", "as many steps as pixels to draw; no latents"),
    "flow": ("exact on real numbers, one code for each x", "as wide as the data; a bound on pixels"),
    "gan": ("sharp draws in one pass", "no likelihood; may drop parts of the data"),
}


def _side_by_side(workshop: Workshop) -> Told:
    runs = [workshop.runs[name] for name in VERDICTS]
    caption = "Twelve draws of each, the first of them, none picked. Rows in the order of the table."
    rows = [[workshop.titles[name], *LATENTS[name]] for name in LATENTS]
    table = Table(["family", "z", "its prior", "from z to x", "from x to z"], rows, "How each family uses z.")
    return Told("", [table], [workshop.figure("draws", sample_rows(runs), caption)])


def _abilities(workshop: Workshop) -> Told:
    can = {name: abilities_of(type(workshop.runs[name].load())) for name in VERDICTS}
    rows = [[workshop.titles[name], *abilities.values()] for name, abilities in can.items()]
    words = [[workshop.titles[name], *VERDICTS[name]] for name in VERDICTS]
    return Told(
        "What a family offers is read off its class. Where mathematics does not allow something, the program says so.",
        [
            Table(["family", *next(iter(can.values()))], rows, "What each can do."),
            Table(["family", "strength", "weakness"], words, "In a few words."),
        ],
    )


def _scores(workshop: Workshop) -> Told:
    spaces: dict[str, list[str]] = {}
    for name, run in workshop.runs.items():
        if run.scores():
            spaces.setdefault(best_of(run.scores(), name).space, []).append(name)
    tables = []
    for space, names in spaces.items():
        best = [best_of(workshop.runs[name].scores(), name) for name in names]
        named = [(workshop.titles[names[i]], score) for i in rank(best) for score in workshop.runs[names[i]].scores()]
        tables.append(score_table(named, f"{space}. {SCORE_CAPTION}"))
    text = (
        "Scores of different spaces are different quantities: they stand in different tables and are never ranked "
        "together. The GAN has no score: no formula says how probable it finds an image."
    )
    return Told(text, tables)


def _quality(workshop: Workshop) -> Told:
    """Of each family in its own pixels; grey ones are cut at one half."""
    names = list(VERDICTS)
    records = [workshop.quality(n, threshold=workshop.runs[n].data.space.name in ("levels", "unit")) for n in names]
    named = list(zip((workshop.titles[name] for name in names), records, strict=True))
    try:
        named = [named[i] for i in rank_quality(records)]
        order = "The best by FID first."
    except InputError:  # of several spaces: each has a floor of its own
        order = (
            "Binary pixels were drawn, grey ones cut at one half; each is compared with real images of its own kind, "
            "whose floors stand in the last rows, and the two kinds are not ranked together."
        )
    return Told(f"{order}\n\n{records[0].conditions}", [quality_table(named, QUALITY_CAPTION)])


def _speed(workshop: Workshop) -> Told:
    counts = {"pixelcnn": 16, "made": 64}

    def compute() -> dict[str, float]:
        found: dict[str, float] = {}
        with workshop.progress.counter_for("speed of drawing") as progress:
            for done, (name, run) in enumerate(workshop.runs.items(), 1):
                count = workshop.size(counts.get(name, 256), 8)
                found[name] = draws_per_second(run.load(), count, rounds=workshop.size(3, 1))
                progress(done, len(workshop.runs))
        return found

    pace = workshop.remember("speed", compute)
    rows = []
    for name, run in workshop.runs.items():
        weights = sum(p.numel() for p in run.load().parameters())
        trained = run.outcome
        rows.append(
            [
                workshop.titles[name],
                f"{weights:,}",
                f"{trained['total_seconds'] / 60:.1f}",
                f"{trained['images_per_second']:,.0f}",
                f"{pace[name]:,.0f}",
            ]
        )
    fastest, slowest = max(pace, key=pace.__getitem__), min(pace, key=pace.__getitem__)
    text = (
        f"The {workshop.titles[fastest]} draws {pace[fastest]:,.0f} images a second, the {workshop.titles[slowest]} "
        f"{pace[slowest]:,.0f}. Times depend on the machine and on what else it did; their order of magnitude does not."
    )
    header = ["family", "weights", "trained in, min", "training, images/s", "drawing, images/s"]
    return Told(text, [Table(header, rows, "On this machine.", numeric={1, 2, 3, 4})])


def _completions(workshop: Workshop) -> Told:
    named = [(workshop.titles[name], workshop.runs[name]) for name in VERDICTS]
    caption = (
        "Test images with one half hidden, each of the four in turn, and one completion by each family. The true half "
        "is one of many that fit."
    )
    drawn = completions_of(named, count=workshop.size(8, 4))
    return Told("", figures=[workshop.figure("completions", drawn, caption)])


def _detection(workshop: Workshop) -> Told:
    """The batch test of each family with a likelihood; images are few enough for the slow ones."""
    trials, count = workshop.size(1000, 50), workshop.size(1000, 100)
    named: list[tuple[str, DetectionRecord]] = []
    for name, run in workshop.runs.items():
        if not isinstance(run.load(), ImplicitModel):
            named.append((workshop.titles[name], _detected(workshop, run, trials, count)))
    reached = {title: found.size_of_power() for title, found in named}
    found_out = {title: size for title, size in reached.items() if size}
    worst = max(rate.false_positives.value for _, found in named for rate in found.rates["log_prob"])
    text = (
        "Left halves of digits spliced to right halves of other classes. A test of a batch by its mean log-probability "
        "is calibrated on held-out natural images and then tried on others. "
        + (
            "Batches needed for 95 % power: " + ", ".join(f"{title} {size}" for title, size in found_out.items()) + ". "
            if found_out
            else "No family reaches 95 % power with batches of these sizes. "
        )
        + f"The level asked for is {named[0][1].alpha:.0%}; the largest share of natural batches called Frankenstein, "
        f"over all families and sizes, is {worst:.1%}."
    )
    picture = workshop.figure("power", power_figure(named), "Power and false positives against the size of a batch.")
    return Told(text, [power_table(named)], [picture])


def _detected(workshop: Workshop, run: Run, trials: int, count: int) -> DetectionRecord:
    for record in stored_detections(run):
        if record.against == "frankenstein" and record.trials == trials and max(record.counts) <= count:
            return record
    sizes = (1, 10) if workshop.quick else ()
    with workshop.progress.counter_for(f"scoring {run.path.name}") as progress:
        return detect_run(run, trials=trials, count=count, sizes=sizes, calibrate="test", progress=progress)


def _plan(options: Options) -> tuple[PlannedRun, ...]:
    return PLAN


def _lead(workshop: Workshop) -> str:
    drawn = [n for n, run in workshop.runs.items() if run.settings.data.pixels == "binary"]
    scores = {name: best_of(workshop.runs[name].scores(), name) for name in drawn}
    best = max(scores, key=lambda name: scores[name].nats)
    return (
        f"{len(workshop.runs)} families, each trained on MNIST. Among the {len(drawn)} of binary pixels the "
        f"{workshop.titles[best]} has the highest score: {scores[best].nats:.2f} ± {scores[best].stderr:.2f} nats an "
        f"image ({scores[best].kind_in_words})."
    )


STUDY = Study(
    title="All families side by side",
    subtitle="MNIST: how each family uses z, what it can do, what it scores, draws, completes and costs",
    plan=_plan,
    lead=_lead,
    quick=QUICK_MNIST,
    chapters=(
        Chapter("Draws, and how each uses z", _side_by_side, minutes=0.5),
        Chapter("What each can and cannot do", _abilities),
        Chapter("Scores within a space", _scores),
        Chapter("Sample quality", _quality, minutes=5),
        Chapter("Speed", _speed, minutes=1),
        Chapter("Completions", _completions, minutes=1),
        Chapter("What does not belong", _detection, minutes=5),
    ),
)
