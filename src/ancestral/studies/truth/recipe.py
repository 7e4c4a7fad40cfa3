"""All families on data with a known distribution: what cannot be known on real data."""

from __future__ import annotations

from ancestral.settings.data import SAMPLED_SETS
from ancestral.studies.recipe import Chapter, Study
from ancestral.studies.truth.bounds import bounds, covered
from ancestral.studies.truth.completions import completions
from ancestral.studies.truth.divergences import best_first, divergences, entropy, plus_minus, scored_samples, the_data
from ancestral.studies.truth.measure import on_test
from ancestral.studies.truth.plan import QUICK, plan
from ancestral.studies.truth.rankings import detected, quality
from ancestral.studies.workshop import Workshop


def lead(workshop: Workshop) -> str:
    found, order = on_test(workshop), best_first(workshop)
    best, last = (found.divergence(name) for name in (order[0], order[-1]))
    return (
        f"{len(workshop.runs)} models were trained on images whose distribution p is known exactly. So the page states "
        "what is unknown on real data: the distance of each model from the truth, the looseness of bounds, the best "
        "possible detection of anomalies, and the right completions. The divergences KL(p || q) range from "
        f"{plus_minus(best.nats, best.stderr)} nats ({workshop.titles[order[0]]}) to "
        f"{plus_minus(last.nats, last.stderr)} nats ({workshop.titles[order[-1]]})."
    )


def facts(workshop: Workshop) -> list[tuple[str, str]]:
    found, order = on_test(workshop), best_first(workshop)
    best = found.divergence(order[0])
    return [
        ("entropy of the data", f"{plus_minus(*entropy(workshop))} nats"),
        ("smallest KL(p || q)", f"{plus_minus(best.nats, best.stderr)} nats, {workshop.titles[order[0]]}"),
    ]


STUDY = Study(
    title="Models against the truth",
    subtitle="Images with a known distribution: true divergences, bounds, coverage, detection and completions",
    plan=plan,
    lead=lead,
    facts=facts,
    quick=QUICK,
    sources=SAMPLED_SETS,
    chapters=(
        Chapter("The data", the_data, "What are data with a known distribution?", 4),
        Chapter("Divergence from the truth", divergences, "How far is each model from the true distribution?", 0.1),
        Chapter(
            "Samples scored by the truth", scored_samples, "How probable are samples of each model, GANs too?", 0.1
        ),
        Chapter("Bounds", bounds, "How far are ELBO, IWAE and AIS from the exact value?", 0.5),
        Chapter("Coverage of intervals", covered, "Do 95 % intervals contain the true mean in 95 % of cases?", 0.1),
        Chapter(
            "Sample quality", quality, "Do FID, KID, precision and recall order the models as the truth does?", 0.1
        ),
        Chapter("Detection", detected, "How close is a model's score to the best possible test?", 1),
        Chapter("Completions", completions, "How close are completions to the true conditional distribution?", 2),
    ),
)
