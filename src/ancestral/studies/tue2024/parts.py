"""Chapters of `tue2024` on what a VAE is made of: its four parts, their log-probabilities, and its prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import nn

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.core.text import scientific
from ancestral.evaluation.likelihood import counted
from ancestral.evaluation.quality import Quality
from ancestral.families.vae.vae import VAE
from ancestral.figures.grids import image_grid
from ancestral.reports.html import Table
from ancestral.runs.quality import View, measure_images
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.compositions import IMAGES, LIKELIHOODS, PRIORS, Composition, compositions
from ancestral.studies.demonstrations.log_probabilities import POINTS, Agreement, agreements
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.demonstrations.prior_mistakes import MISTAKES, Cost, draw_with, mistake_costs, mixture_prior
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.tue2024.main import loss_in_words
from ancestral.studies.workshop import Workshop

ROUNDING = 1e-9  # nats: far more than double precision loses, far less than a mistake makes
SAME = ("vae-normal", "rate-0.001")
"""runs that differ in the prior alone"""
DRAWS = (0, 100)  # of the latents for each image, by which they are compared; 0: the ELBO


def vae_of(run: Run) -> VAE:
    """The trained VAE of a run.

    Raises:    InputError: another family.
    """
    model = run.load()
    if not isinstance(model, VAE):
        raise InputError(f"{run.path} is no VAE but a {type(model).__name__}")
    return model


# ---- the four parts


def four_parts(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    model, x = vae_of(run), run.data.held("test").first(100)
    with seeded_noise(0), torch.no_grad():
        reconstruction, divergence = (part.sum(1) if part.dim() > 1 else part for part in model.elbo_parts(x))
        encoded = model.posterior(x[:1])
    loss = divergence - reconstruction
    rows = [
        ["Encoder", "`DiagonalGaussian`", "q(z | x) = N(m(x), diag v(x)), z = m + sqrt(v) e", _count(model.encoder),
         f"{encoded.mean.shape[1]} means and {encoded.mean.shape[1]} variances"],
        ["Decoder", "`BernoulliPixels`", "p(x | z) = Π_d Bernoulli(x_d; s(l_d(z)))", _count(model.likelihood),
         f"log p(x | z) = {reconstruction[0]:.2f} nats"],
        ["Prior", "`MixturePrior`", "p(z) = Σ_k w_k N(z; m_k, diag v_k)", _count(model.latent_prior),
         f"log q(z | x) - log p(z) = {divergence[0]:.2f} nats"],
        ["VAE", "`VAE(encoder, likelihood, prior)`", "-ELBO(x) = -log p(x | z) + log q(z | x) - log p(z)",
         _count(model), f"-ELBO = {loss[0]:.2f} nats"],
    ]  # fmt: skip
    composed = [
        Composition(**one) for one in workshop.remember("compositions", lambda: list(map(asdict, compositions())))
    ]
    sound = sum(one.learns and one.draws_in_space for one in composed)
    text = (
        "Each part is a module whose `forward` gives a distribution; the VAE adds up their log-probabilities. "
        "`elbo(x)` gives one number per image, so the reduction is the caller's: for the first "
        f"{len(x)} test images `-model.elbo(x).mean()` is {loss.mean():.2f} nats and `-model.elbo(x).sum()` is "
        f"{loss.sum():.1f}. `model.sample(n)` draws z from the prior and x from the decoder.\n\n"
        f"Any likelihood goes with any prior. Each of the {len(composed)} combinations was built for scikit-learn's "
        f"small digits and left untrained: in {sound} of them every parameter has a finite gradient, and what is drawn "
        "are pixels of the likelihood's own kind. The standard normal is there to compare with; the other priors have "
        "parameters. On MNIST all runs of this study have Bernoulli pixels; the other likelihoods are not trained here."
    )
    return ChapterContent(
        text,
        [
            Table(["part", "class", "computes", "parameters", "first test image"], rows, "The parts, as trained.", {3}),
            _composed_table(composed),
        ],
        checks=[
            ReferenceCheck(
                "likelihoods and priors that compose",
                f"{len(LIKELIHOODS) * len(PRIORS)} of {len(LIKELIHOODS) * len(PRIORS)}",
                f"{sound} of {len(composed)}",
                sound == len(LIKELIHOODS) * len(PRIORS),
                "Some parameter had no finite gradient, or some draw was no pixel of its kind.",
                OURS,
            )
        ],
        commands=[
            "ancestral train vae --data mnist --pixels levels --likelihood logistic --prior flow --out runs/mine",
            "ancestral evaluate runs/mine --samples 1000",
            "ancestral sample runs/mine -n 64 --out sheet.png",
        ],
    )


def _composed_table(composed: Sequence[Composition]) -> Table:
    cells = {(one.likelihood, one.prior): one for one in composed}
    rows = [
        [name, LIKELIHOODS[name], *(f"{cells[name, prior].negative_elbo:.1f}" for prior in PRIORS)]
        for name in LIKELIHOODS
    ]
    caption = (
        f"Negative ELBO of untrained models on {IMAGES} of scikit-learn's digits, nats. Values compare within a row; "
        "rows of other pixels are of other data, and that of unit pixels is of a density, not a probability."
    )
    return Table(["`--likelihood`", "pixels", *(f"`--prior {p}`" for p in PRIORS)], rows, caption, {2, 3, 4, 5})


def _count(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()):,}"


# ---- log-probabilities


def log_probabilities(workshop: Workshop) -> ChapterContent:
    found = [
        Agreement(**one) for one in workshop.remember("log-probabilities", lambda: list(map(asdict, agreements())))
    ]
    largest, off = max(one.difference for one in found), max(abs(one.total - 1) for one in found)
    rows = [[one.name, one.formula, scientific(one.difference), scientific(abs(one.total - 1))] for one in found]
    text = (
        "Training uses these sums of logarithms. Each is written out a second time as a plain product of "
        f"probabilities, with the logarithm taken at the end, and the two are compared at {POINTS} random points: "
        f"they differ by at most {scientific(largest)} nats. A log-probability must also belong to something that sums "
        "to one: all states of a small case are summed, or the plane is integrated over, and the total is off by at "
        f"most {scientific(off)}."
    )
    header = ["distribution", "log-probability", "largest difference, nats", "total, off one by"]
    caption = (
        "Of a Gaussian m is the mean and v the variance, exp(log-variance), whose root is the deviation; l are logits; "
        "w are weights that sum to one; d counts dimensions, j levels and k components."
    )
    return ChapterContent(
        text,
        [Table(header, rows, caption, {2, 3})],
        checks=[
            ReferenceCheck(
                "log-probabilities beside their formulas",
                f"equal but for rounding (below {scientific(ROUNDING, 0)} nats)",
                f"{scientific(largest)} nats at most",
                largest < ROUNDING,
                "A formula and its code differ.",
                AN_IDENTITY,
            )
        ],
    )


# ---- mistakes in the prior


def mistakes(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    costs = [Cost(**one) for one in workshop.remember("mistake-costs", lambda: _costs(workshop, run))]
    right = workshop.quality("vae")
    drawn = {name: _drawn_wrong(workshop, run, name, right.count) for name in MISTAKES}
    loss = -workshop.score("vae").nats
    rows = [["none", f"{loss:.2f}", "", f"{right.fid.value:.2f}", f"{right.recognised.value:.1%}"]] + [
        [cost.name, f"{loss - cost.nats:.2f}", f"{-cost.nats:+.3f} ± {cost.stderr:.3f}",
         f"{drawn[cost.name].fid.value:.2f}", f"{drawn[cost.name].recognised.value:.1%}"]
        for cost in costs
    ]  # fmt: skip
    text = "\n\n".join(
        [
            "The same trained model, with the wrong prior in the place of its own. Mixed per dimension, each of the "
            "20 latents chooses a component for itself, Π_d Σ_k in place of Σ_k Π_d. The other takes "
            "exp(log-variance) for the standard deviation.",
            *(_cost_in_words(cost, right, drawn[cost.name]) for cost in costs),
            "Both are densities that integrate to one, so sums do not find them. Mixed per dimension agrees with the "
            "right prior for one component or one latent; the variance taken for the deviation agrees only where "
            "every variance is one. What finds both is the formula written out, with several components and latents "
            "and with other variances, as in the chapter on log-probabilities. A model trained with either mistake "
            "would learn to live with it; these numbers are those of a right model measured wrongly.",
        ]
    )
    header = ["mistake", "negative ELBO, nats", "difference, ± s.e.", "FID, digit network", "recognised"]
    return ChapterContent(text, [Table(header, rows, "What each mistake would make of the main run.", {1, 2, 3, 4})])


def _cost_in_words(cost: Cost, right: Quality, wrong: Quality) -> str:
    better = "better" if cost.nats > 0 else "worse"
    score = (
        f"would make the bound look {abs(cost.nats):.2f} nats {better} than it is"
        if abs(cost.nats) > 3 * cost.stderr
        else f"moves the bound by {cost.nats:+.2f} ± {cost.stderr:.2f} nats, which may be nothing"
    )
    worse, better_draws = wrong.fid.value > right.fid.value * 1.02, wrong.fid.value < right.fid.value / 1.02
    change = "worse" if worse else "better" if better_draws else "hardly different"
    return (
        f"“{cost.name.capitalize()}” {score}. Draws through it are {change}: FID {wrong.fid.value:.2f} instead of "
        f"{right.fid.value:.2f}, and {wrong.recognised.value:.1%} of them recognised instead of "
        f"{right.recognised.value:.1%}."
    )


def _costs(workshop: Workshop, run: Run) -> list[dict[str, object]]:
    images = run.data.held("test", workshop.size(10_000, 200))
    with workshop.progress.counter_for("mistakes in the prior") as progress:
        return [asdict(one) for one in mistake_costs(vae_of(run), images, progress=counted(progress, len(images)))]


def _drawn_wrong(workshop: Workshop, run: Run, name: str, count: int) -> Quality:
    """Sample quality of draws whose z come from a mistaken prior."""

    def measured() -> dict[str, object]:
        model = vae_of(run)
        return measure_images(View(run.data), draw_with(model, MISTAKES[name](mixture_prior(model)), count)).to_json()

    return Quality.from_json(workshop.remember(f"quality-{name.replace(' ', '-')}", measured))


# ---- what the prior is worth


def learned_prior(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    model = vae_of(run)
    prior = mixture_prior(model)
    weights, order = prior.log_weights.exp(), prior.log_weights.argsort(descending=True)
    in_use = (-(weights * prior.log_weights).sum()).exp().item()
    with torch.no_grad():
        centres = run.data.space.to_unit(model.decode(prior.means[order]))
    sheet = image_grid(centres, columns=8, captions=[f"{weight:.1%}" for weight in weights[order].tolist()])
    gains = _gains(workshop)
    text = (
        f"{_gain_in_words(workshop, gains)}\n\n"
        f"The main run's prior has {len(weights)} components, and uses them as {in_use:.1f} equal ones would be used "
        f"(the exponential of the entropy of their weights); {int((weights < 0.01).sum())} have less than 1 %. Their "
        "means, decoded, stand below, the most used first. A standard normal stays where it is and draws the codes to "
        "itself; this prior goes to meet them."
    )
    return ChapterContent(
        text,
        [_gain_table(workshop, gains)] if gains else [],
        [workshop.figure("prior-components", sheet, "Decoded means of the prior's components, and weights.")],
    )


def _gain_in_words(workshop: Workshop, found: Sequence[Difference]) -> str:
    if not found:
        return (
            "Without a run at rate 0.001 (`--learning-rates`) there is none that differs from the standard normal's in "
            "the prior alone, so nothing is said of what the learned prior is worth."
        )
    runs = [workshop.runs[name] for name in SAME]
    epochs = {run.outcome["epochs"] for run in runs}
    told = " and ".join(f"{one.nats:+.2f} ± {one.stderr:.2f} nats ({one.method})" for one in found)
    clear = [one.nats > 0 for one in found if one.clear]
    verdict = (
        "The learned prior is better by both"
        if clear == [True, True]
        else "The learned prior is worse by both"
        if clear == [False, False]
        else "The two do not say the same beyond their errors, so neither prior is clearly ahead"
    )
    same = "after equally many epochs" if len(epochs) == 1 else "though not after equally many epochs"
    return (
        f"Two runs differ in nothing but the prior. {same.capitalize()} ({', '.join(map(str, sorted(epochs)))}), image "
        f"by image on {found[0].count:,} test images, the score with the mixture minus that with the standard normal "
        f"is {told}. {verdict}. Each prior was trained once, from one seed: the errors are those of the test images, "
        "and what another seed would change is not in them."
    )


def _gain_table(workshop: Workshop, found: Sequence[Difference]) -> Table:
    """Both priors by each score, and their difference."""
    rows = []
    for one, samples in zip(found, DRAWS, strict=True):
        sides = (workshop.score(name, samples) for name in SAME)
        rows.append([f"negative {one.method}", *map(loss_in_words, sides), f"{-one.nats:+.2f} ± {one.stderr:.2f} nats"])
    caption = (
        "Both priors on the test images, one training each; smaller is better. ± is a standard error; that of the "
        "difference, taken image by image, is the smaller one, for both find the same images hard."
    )
    return Table(["", "standard normal", "mixture", "mixture minus normal"], rows, caption, {1, 2, 3})


def _gains(workshop: Workshop) -> list[Difference]:
    """By ELBO and by the tighter bound; none where there is no run to compare with."""
    normal, mixture = (workshop.runs.get(name) for name in SAME)
    if normal is None or mixture is None or not mixture.model_folder.exists():
        return []
    count = workshop.size(10_000, 200)

    def compared() -> list[dict[str, object]]:
        found = []
        for samples in DRAWS:
            with workshop.progress.counter_for("both priors on the same images") as progress:
                found.append(asdict(paired_difference(mixture, normal, samples, count, progress)))
        return found

    return [Difference(**one) for one in workshop.remember("prior-gain", compared)]
