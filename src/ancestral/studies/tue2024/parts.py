"""Chapters of `tue2024` on the parts of a VAE: the four parts, their log-probabilities, and the learned prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import nn

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.core.text import scientific, type_in_words
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

ROUNDING = 1e-9  # nats: much larger than rounding errors in double precision, much smaller than an effect of a mistake
SAME = ("vae-normal", "rate-0.001")
"""runs that differ only in the prior"""
DRAWS = (0, 100)  # samples of z per image in the bounds that are compared; 0: the ELBO


def vae_of(run: Run) -> VAE:
    """The trained VAE of a run.

    Raises:    InputError: another family.
    """
    model = run.load()
    if not isinstance(model, VAE):
        raise InputError(f"{run.path}: this study needs a VAE, and the run has {type_in_words(model)}")
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
        "The first table shows the parts of the trained VAE. Each part is a module whose `forward` returns a "
        "distribution; the VAE adds their log-probabilities. `elbo(x)` returns one number per image, so the caller "
        f"chooses the reduction: for the first {len(x)} test images, `-model.elbo(x).mean()` is {loss.mean():.2f} nats "
        f"and `-model.elbo(x).sum()` is {loss.sum():,.1f}. `model.sample(n)` samples z from the prior and x from the "
        "decoder.\n\n"
        f"Any likelihood can be combined with any prior. Each of the {len(composed)} combinations was built for "
        f"scikit-learn's small digits and left untrained. In {sound} of them, every parameter has a finite gradient "
        "and samples are valid pixels of the likelihood. The standard normal prior is included for comparison; the "
        "other priors have learned parameters. On MNIST, all runs of this study use Bernoulli pixels."
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
                "A parameter has no finite gradient, or a sample is not a valid pixel.",
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
        f"Negative ELBO of untrained models on {IMAGES} of scikit-learn's digits, in nats. Compare values within a row "
        "only: the rows have different pixels, and the row of unit pixels bounds a density, not a probability."
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
        "The table shows the log-probabilities that training uses. Each was implemented a second time, as a plain "
        f"product of probabilities whose logarithm is taken at the end. At {POINTS:,} random points, the two "
        f"implementations differ by at most {scientific(largest)} nats. The probabilities must also sum to 1: they "
        "were summed over all states of a small case, or integrated over the plane, and the total differs from 1 by "
        f"at most {scientific(off)}."
    )
    header = ["distribution", "log-probability", "largest difference, nats", "|total − 1|"]
    caption = (
        "m: mean; v: variance, exp(log-variance), the square of the standard deviation; l: logits; w: weights that "
        "sum to 1; d: index of dimensions; j: of levels; k: of components."
    )
    return ChapterContent(
        text,
        [Table(header, rows, caption, {2, 3})],
        checks=[
            ReferenceCheck(
                "log-probabilities: two implementations",
                f"equal up to rounding (below {scientific(ROUNDING, 0)} nats)",
                f"difference at most {scientific(largest)} nats",
                largest < ROUNDING,
                "The two implementations differ.",
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
            "The table shows the scores and sample quality of the trained model of the main run when its prior is "
            "replaced by a wrong one. In the first mistake, each of the 20 latents chooses its component "
            "independently: Π_d Σ_k in place of Σ_k Π_d. In the second, exp(log-variance) is used as the standard "
            "deviation.",
            *(_cost_in_words(cost, right, drawn[cost.name]) for cost in costs),
            "Both wrong priors are densities that integrate to 1, so a check of the integral does not detect them. The "
            "first agrees with the correct prior if there is one component or one latent; the second agrees if every "
            "variance is 1. A comparison with the formula written out detects both, if there are several components "
            "and latents and variances other than 1 (see the chapter on log-probabilities). A model trained with "
            "either mistake would adapt to it; the numbers here are for a correct model that is evaluated wrongly.",
        ]
    )
    header = ["mistake", "negative ELBO, nats", "difference, ± s.e.", "FID, digit network", "recognised"]
    caption = "The main run, evaluated with its own prior (none) and with each wrong prior."
    return ChapterContent(text, [Table(header, rows, caption, {1, 2, 3, 4})])


def _cost_in_words(cost: Cost, right: Quality, wrong: Quality) -> str:
    better = "better" if cost.nats > 0 else "worse"
    score = (
        f"makes the bound appear {abs(cost.nats):.2f} nats {better} than it is"
        if abs(cost.nats) > 3 * cost.stderr
        else f"changes the bound by {cost.nats:+.2f} ± {cost.stderr:.2f} nats, which is not clearly different from 0"
    )
    worse, better_draws = wrong.fid.value > right.fid.value * 1.02, wrong.fid.value < right.fid.value / 1.02
    change = "worse" if worse else "better" if better_draws else "about the same"
    return (
        f"The mistake “{cost.name}” {score}. The sample quality with this prior is {change}: the FID is "
        f"{wrong.fid.value:.2f} instead of {right.fid.value:.2f}, and {wrong.recognised.value:.1%} of the samples are "
        f"recognised instead of {right.recognised.value:.1%}."
    )


def _costs(workshop: Workshop, run: Run) -> list[dict[str, object]]:
    images = run.data.held("test", workshop.size(10_000, 200))
    with workshop.progress.counter_for("mistakes in the prior") as progress:
        return [asdict(one) for one in mistake_costs(vae_of(run), images, progress=counted(progress, len(images)))]


def _drawn_wrong(workshop: Workshop, run: Run, name: str, count: int) -> Quality:
    """Sample quality with z from a wrong prior."""

    def measured() -> dict[str, object]:
        model = vae_of(run)
        return measure_images(View(run.data), draw_with(model, MISTAKES[name](mixture_prior(model)), count)).to_json()

    return Quality.from_json(workshop.remember(f"quality-{name.replace(' ', '-')}", measured))


# ---- effect of the learned prior


def learned_prior(workshop: Workshop) -> ChapterContent:
    run = workshop.runs["vae"]
    model = vae_of(run)
    prior = mixture_prior(model)
    weights, order = prior.log_weights.exp(), prior.log_weights.argsort(descending=True)
    in_use = (-(weights * prior.log_weights).sum()).exp().item()
    with torch.no_grad():
        centres = run.data.space.to_unit(model.decode(prior.means[order]))
    sheet = image_grid(
        centres,
        columns=8,
        captions=[f"{weight:.1%}" for weight in weights[order].tolist()],
        title=f"{run.called}: decoded means of the components of the prior",
    )
    gains = _gains(workshop)
    text = (
        f"{_gain_in_words(workshop, gains)}\n\n"
        f"The figure shows the decoded means of the {len(weights)} components of the main run's prior, the largest "
        f"weight first. The effective number of components is {in_use:.1f} (the exponential of the entropy of the "
        f"weights); {int((weights < 0.01).sum())} components have a weight below 1%. A standard normal prior is "
        "fixed, so the KL term pulls the codes towards it; a learned prior can adapt to the codes."
    )
    return ChapterContent(
        text,
        [_gain_table(workshop, gains)] if gains else [],
        [
            workshop.figure(
                "prior-components", sheet, "Decoded means of the prior's components, with their weights.", of=["vae"]
            )
        ],
    )


def _gain_in_words(workshop: Workshop, found: Sequence[Difference]) -> str:
    if not found:
        return (
            "The effect of the learned prior cannot be measured here: no run differs from the run with the standard "
            "normal prior in the prior only. Include 0.001 in `--learning-rates` to get one."
        )
    runs = [workshop.runs[name] for name in SAME]
    epochs = {run.outcome["epochs"] for run in runs}
    told = " and ".join(f"{one.nats:+.2f} ± {one.stderr:.2f} nats ({one.method})" for one in found)
    clear = [one.nats > 0 for one in found if one.clear]
    verdict = (
        "The learned prior is better by both scores"
        if clear == [True, True]
        else "The learned prior is worse by both scores"
        if clear == [False, False]
        else "The scores do not agree clearly, so neither prior is clearly better"
    )
    same = "the same number of epochs" if len(epochs) == 1 else "different numbers of epochs"
    return (
        f"The table compares two runs that differ only in the prior, after {same} "
        f"({', '.join(map(str, sorted(epochs)))}). The mean paired difference on {found[0].count:,} test images, "
        f"mixture minus standard normal, is {told}. {verdict}. Each prior was trained once, with one random seed: the "
        "standard errors cover the choice of test images, not the choice of the seed."
    )


def _gain_table(workshop: Workshop, found: Sequence[Difference]) -> Table:
    """Scores of both priors, and their difference."""
    rows = []
    for one, samples in zip(found, DRAWS, strict=True):
        sides = (workshop.score(name, samples) for name in SAME)
        rows.append([f"negative {one.method}", *map(loss_in_words, sides), f"{-one.nats:+.2f} ± {one.stderr:.2f} nats"])
    caption = (
        "Both priors on the test images, one training each; smaller is better. ± is the standard error. That of the "
        "paired difference is smaller, because the same images are difficult for both models."
    )
    return Table(["", "standard normal", "mixture", "mixture minus normal"], rows, caption, {1, 2, 3})


def _gains(workshop: Workshop) -> list[Difference]:
    """Differences in the ELBO and the tighter bound; empty if there is no run to compare with."""
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
