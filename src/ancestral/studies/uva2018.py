"""University of Amsterdam, Deep Learning, 2018, assignment 3: a mixture, sigmoid belief nets and a first VAE."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

from ancestral.courses import Course
from ancestral.detecting import detect_run
from ancestral.experiments import belief_net_cost
from ancestral.experiments.gaussian_divergence import divergence_from_standard, divergence_table
from ancestral.experiments.paired_scores import paired_difference
from ancestral.experiments.prior_sampling import DRAWS, Shortfall, shortfall, shortfall_figure, shortfall_table
from ancestral.experiments.underflow import underflow, underflow_figure
from ancestral.models.vae import VAE
from ancestral.powers import detection_figure, detection_tables
from ancestral.run_page import SCORE_CAPTION, score_table
from ancestral.studies.recipe import QUICK_MNIST, Chapter, Check, PlannedRun, Study, Told
from ancestral.studies.workshop import Workshop

DATA = {"data": "mnist", "split": "uva2018"}
WATCHED = {"watch": ("train", "test"), "watch_size": 1000}
VAES = {**DATA, "hidden": (200, 200), "glorot": True, "batch_size": 100}
BELIEF_NETS = {
    **DATA,
    "watch": ("test",),
    "watch_size": 1000,
    "batch_size": 100,
    "learning_rate": 1e-2,
    "schedule": "cosine",
}
LATENTS = (2, 5, 10, 20, 50)
STATES = (8, 12, 16)
PLAN = (
    PlannedRun(
        "mixture",
        "mixture of 20 Bernoullis, gradient",
        "mixture",
        {**DATA, **WATCHED, "optimizer": "rmsprop", "batch_size": 100, "epochs": 20, "validate_every": 100},
        minutes=0.3,
    ),
    PlannedRun(
        "mixture-em",
        "mixture of 20 Bernoullis, EM",
        "mixture",
        {**DATA, "watch": ("test",), "method": "em", "batch_size": 1000, "epochs": 60},
        minutes=0.3,
        quick={"epochs": 5},
    ),
    PlannedRun(
        "vae",
        "VAE, 2 latents",
        "vae",
        {**VAES, **WATCHED, "latents": 2, "epochs": 40, "samples_at": (0, 20, 40)},
        1000,
        minutes=3,
        quick={"samples_at": (0, 1)},
    ),
    *(
        PlannedRun(f"vae-{m}", f"VAE, {m} latents", "vae", {**VAES, "latents": m, "epochs": 20}, minutes=1.5)
        for m in LATENTS[1:]
    ),
    *(
        PlannedRun(
            f"belief-{m}",
            f"belief net, {m} latents",
            "belief-net",
            {**BELIEF_NETS, "latents": (m,), "epochs": epochs},
            minutes=minutes,
            quick={"latents": (m // 2,)},
        )
        for m, epochs, minutes in zip(STATES, (40, 30, 8), (4, 8, 20), strict=True)
    ),
)


def _mixture(workshop: Workshop) -> Told:
    course, score = Course(workshop.runs["mixture"]), workshop.score("mixture")
    first, later = -course.value("train", "loss"), -course.value("train-set", "nll", 1.0)
    text = (
        f"The first minibatch has a mean log-probability of {first:.1f} nats an image, and after one epoch the first "
        f"1,000 training images have {later:.1f}. After all epochs the test images have {score.nats:.2f} ± "
        f"{score.stderr:.2f} nats ({score.kind_in_words}): the sum over the {_components(workshop)} values of Z is "
        "carried out, so nothing is estimated."
    )
    return Told(
        text,
        [score_table([(workshop.titles["mixture"], score)], SCORE_CAPTION)],
        [workshop.draw("mixture", "curves")],
        [
            Check("mixture: first mean log-prob", "near -540 (± 15) nats", f"{first:.1f} nats", abs(first + 540) <= 15),
            Check("mixture: after 1 epoch", "above -180 nats", f"{later:.1f} nats", later > -180),
        ],
    )


def _components(workshop: Workshop) -> int:
    return workshop.runs["mixture"].settings.model.components


def _prototypes(workshop: Workshop) -> Told:
    return Told(
        "Each component is a prototype of the images it is responsible for. Draws look like a prototype under noise: "
        "given Z the pixels are independent, so strokes break into dots.",
        figures=[workshop.draw("mixture", "components"), workshop.draw("mixture", "samples", count=16)],
    )


def _expectation_maximisation(workshop: Workshop) -> Told:
    names = ("mixture", "mixture-em")
    gradient, em = (workshop.score(name) for name in names)
    seconds = [workshop.runs[name].outcome["total_seconds"] for name in names]
    gap = paired_difference(workshop.runs[names[1]], workshop.runs[names[0]], 0, workshop.size(10_000, 200))
    if gap.clear:
        ends = "EM ends higher" if gap.nats > 0 else "here the gradient ends higher"
    else:
        ends = "they end alike, each in a local optimum of the same likelihood"
    text = (
        "Not asked, but the classical way: a mixture needs no gradient, since the posterior over Z is known, and given "
        f"it the best weights are averages. EM reaches {em.nats:.2f} nats in {seconds[1]:.0f} s, the gradient "
        f"{gradient.nats:.2f} in {seconds[0]:.0f} s; image by image the difference is {gap.nats:+.2f} ± "
        f"{gap.stderr:.2f} nats: {ends}."
    )
    named = [(workshop.titles[name], score) for name, score in zip(names, (gradient, em), strict=True)]
    check = Check(
        "EM, test",
        f"not below the gradient's {gradient.nats:.2f} nats (paired, 3 s.e.)",
        f"{em.nats:.2f} nats",
        gap.nats > 0 or not gap.clear,
        "Both climb to local optima; another seed may order them otherwise.",
    )
    return Told(text, [score_table(named, SCORE_CAPTION)], [workshop.draw("mixture-em", "components")], [check])


def _frankenstein(workshop: Workshop) -> Told:
    found = detect_run(
        workshop.runs["mixture"],
        trials=workshop.size(1000, 50),
        count=workshop.size(10_000, 150),
        sizes=() if not workshop.quick else (1, 10),
        calibrate="test",
    )
    single, largest = found.auroc["log_prob"], found.rates["log_prob"][-1]
    enough = found.size_of_power()
    reached = f"batches of {enough} are found out with at least 95 % power" if enough else "95 % power is not reached"
    text = (
        f"One image alone says little: its log-probability tells a Frankenstein digit from a natural one with an AUROC "
        f"of {single.value:.3f} ± {single.stderr:.3f}, where 0.5 is a coin. A batch says more. Its mean "
        "log-probability is held against the means of random batches of held-out natural images, and called "
        f"Frankenstein where fewer than {found.alpha:.0%} of those lie as far out. Of natural batches that were not "
        f"used for this, {largest.false_positives.value:.1%} are called so wrongly (size {largest.size}); {reached}."
    )
    tables = detection_tables(found)
    tables[0].caption = "Single images: how well a score tells the two kinds apart."
    tables[1].caption = "Batches, by their mean log-probability."
    return Told(
        text,
        tables,
        [
            workshop.draw("mixture", "frankenstein"),
            workshop.figure("mixture-detection", detection_figure(found), "; ".join(found.conditions) + "."),
        ],
    )


def _stability(workshop: Workshop) -> Told:
    found = underflow()
    first = found.first["64 bits"]
    caption = "Fair coins, multiplied and added as logarithms: the product becomes zero, its logarithm minus infinity."
    text = (
        "The log-probability of an image is a sum over pixels; written as the logarithm of a product it is lost. The "
        f"product of n factors 1/2 is zero from n = {found.first['32 bits']} on in 32 bits and from n = {first} on in "
        f"64 bits, while the sum is exact to the last: {found.sums[-1].item():.2f} nats for {len(found.sums)} factors."
    )
    lost = first is not None and 500 <= first <= 2000
    check = Check(
        "log of a product becomes minus infinity", "near N = 1000", f"N = {first} (64 bits, factors 1/2)", lost
    )
    return Told(text, figures=[workshop.figure("underflow", underflow_figure(found), caption)], checks=[check])


def _belief_nets(workshop: Workshop) -> Told:
    names = [f"belief-{m}" for m in STATES]
    scores = [workshop.score(name) for name in names]
    rising = all(a.nats < b.nats for a, b in pairwise(scores))
    mixture = workshop.score("mixture")
    past = [name for name, score in zip(names, scores, strict=True) if score.nats > mixture.nats]
    text = (
        "The likelihood is the sum over all 2^M states of Z, exact, as in the mixture; but here parts combine. "
        + ("Each net with more latents scores higher. " if rising else "More latents did not always score higher. ")
        + (f"Above the mixture of 20: {', '.join(workshop.titles[name] for name in past)}." if past else "")
    )
    named = [(workshop.titles[name], score) for name, score in zip(names, scores, strict=True)]
    named.append((workshop.titles["mixture"], mixture))
    return Told(
        text,
        [score_table(named, SCORE_CAPTION)],
        [workshop.draw(names[-1], "samples"), workshop.draw(names[-1], "curves")],
    )


def _cost(workshop: Workshop) -> Told:
    grids = {"M": (4, 6), "N": (32, 64), "D": (196, 392)} if workshop.quick else belief_net_cost.GRIDS
    at = workshop.size(10, 4)
    with workshop.progress.counter_for("cost of a belief net") as progress:
        rows = workshop.remember("belief-net-cost", lambda: belief_net_cost.measure_all(grids, at, progress=progress))
    last = next(row for row in reversed(rows["M"]) if "times_faster" in row)
    text = (
        "The coursework counts N M D 2^M operations a step for the belief net and N K D for the mixture. The sum "
        "over pixels of log(1 + exp) does not depend on the image, so it is shared by the batch, and the rest is one "
        "matrix product: 2^M (D + N). At "
        f"M = {last['M']}, N = {last['N']}, D = {last['D']} a step takes {last['ours']['ms']:.1f} ms, "
        f"{last['times_faster']:.0f} times less than the naive sum ({last['naive']['ms']:.0f} ms), with the same "
        f"log-probabilities to {last['difference']:.0e}. The mixture's step takes {last['mixture']['ms']:.2f} ms."
    )
    drawn = workshop.figure(
        "belief-net-cost", belief_net_cost.cost_figure(rows), "Cost of a step against each size, in logarithms."
    )
    return Told(text, [belief_net_cost.cost_table(rows)], [drawn])


def _vae(workshop: Workshop) -> Told:
    run, score = workshop.runs["vae"], workshop.score("vae")
    course, tight = Course(run), workshop.score("vae", 1000)
    first = -course.value("train", "negative_elbo")
    later = -course.value("train-set", "negative_elbo", 1.0)
    text = (
        f"The bound of the first minibatch is {first:.1f} nats, after one epoch {later:.1f} on the first 1,000 "
        f"training images, and at the end {score.nats:.2f} ± {score.stderr:.2f} on the test images. The "
        f"importance-weighted bound of {tight.samples:,} draws is {tight.nats:.2f}: the ELBO gives away "
        f"{tight.nats - score.nats:.2f} nats or more."
    )
    return Told(
        text,
        [score_table([(workshop.titles["vae"], score), (workshop.titles["vae"], tight)], SCORE_CAPTION)],
        [workshop.draw("vae", "curves")],
        [
            Check("VAE: first bound", "near -544 (± 15) nats", f"{first:.1f} nats", abs(first + 544) <= 15),
            Check("VAE: after 1 epoch", "above -174 nats", f"{later:.1f} nats", later > -174),
        ],
    )


def _samples(workshop: Workshop) -> Told:
    epochs = workshop.runs["vae"].settings.training.samples_at
    figures = [figure for epoch in epochs for figure in workshop.samples_at("vae", epoch)]
    return Told("The same draws of z each time, so only the decoder differs.", figures=figures)


def _manifold(workshop: Workshop) -> Told:
    return Told(
        "Each picture is the decoder's mean for one point of the plane; the points lie at percentiles of the standard "
        "normal, so each stands for about the same share of the prior.",
        figures=[workshop.draw("vae", "manifold", count=10)],
    )


def _monte_carlo(workshop: Workshop) -> Told:
    images, draws = workshop.size(100, 10), DRAWS if not workshop.quick else DRAWS[:3]

    def compute() -> list[dict[str, object]]:
        found = []
        with workshop.progress.counter_for("draws from the prior") as progress:
            for done, m in enumerate(LATENTS, 1):
                run = workshop.runs["vae" if m == 2 else f"vae-{m}"]
                model = run.load()
                assert isinstance(model, VAE)
                found.append(asdict(shortfall(model, run, m, draws, images, workshop.size(5000, 100))))
                progress(done, len(LATENTS))
        return found

    found = [Shortfall(**record) for record in workshop.remember("prior-sampling", compute)]
    few, many = found[0], found[-1]
    beside = (
        f"{few.nats[-1]:.2f} nats below the tight bound"
        if few.nats[-1] > 0
        else f"{-few.nats[-1]:.2f} nats above the bound by draws from q(z | x), since so many draws cover so few "
        "latents better than q does"
    )
    text = (
        f"With {few.latents} latents the estimate by {few.draws[-1]:,} draws from the prior lies {beside}; with "
        f"{many.latents} latents it lies {many.nats[-1]:.1f} below. Hardly any z from the prior explains a given "
        "image, and the volume to be searched grows exponentially with the dimension of z: that is why q(z | x) is "
        "learned."
    )
    figure = shortfall_figure({f"{f.latents} latents": f for f in found})
    return Told(
        text,
        [shortfall_table(found)],
        [workshop.figure("prior-sampling", figure, "The shortfall against the number of draws.")],
    )


def _divergence(workshop: Workshop) -> Told:
    found = [divergence_from_standard(*pair) for pair in ((0.0, 1.0), (0.01, 1.01), (1.0, 0.5), (10.0, 0.001))]
    text = (
        f"Two Gaussians that nearly agree have a divergence of {found[1].closed:.2g} nats; one far away and narrow has "
        f"{found[3].closed:.1f} nats from N(0, 1), and N(0, 1) has {found[3].reverse:.3g} from it: the divergence is "
        "not symmetric, and it punishes mass where the other has none."
    )
    return Told(text, [divergence_table(found)])


def _lead(workshop: Workshop) -> str:
    mixture, vae = workshop.score("mixture"), workshop.score("vae")
    deepest = workshop.score(f"belief-{STATES[-1]}")
    return (
        f"On the 10,000 test images of MNIST, cut at one half: the mixture of 20 Bernoullis has {mixture.nats:.1f} "
        f"nats an image (exact), the belief net of {STATES[-1]} latents {deepest.nats:.1f} (exact), the VAE of 2 "
        f"latents at least {vae.nats:.1f} (lower bound)."
    )


def _facts(workshop: Workshop) -> list[tuple[str, str]]:
    scores = {name: workshop.score(name) for name in ("mixture", f"belief-{STATES[-1]}", "vae")}
    return [(workshop.titles[name], f"{s.nats:.1f} nats, {s.kind_in_words}") for name, s in scores.items()]


STUDY = Study(
    title="Mixtures, belief nets and a first VAE",
    subtitle="University of Amsterdam, Deep Learning, assignment 3, 2018, on MNIST cut at one half",
    plan=lambda options: PLAN,
    lead=_lead,
    facts=_facts,
    quick=QUICK_MNIST,
    chapters=(
        Chapter(
            "Mixture of Bernoullis",
            _mixture,
            "Train p(x) = sum_k p(k) p(x | k) with 20 components by gradient (RMSprop, rate 0.01, batches of 100, 20 "
            "epochs); show log-probabilities of training and test images as they change.",
        ),
        Chapter(
            "Components and samples",
            _prototypes,
            "Show the K images of p(X = 1 | Z = k), and 16 samples.",
        ),
        Chapter("Expectation-maximisation", _expectation_maximisation),
        Chapter(
            "Frankenstein digits",
            _frankenstein,
            "Splice left halves of digits to right halves of other classes. Show 10 beside 10 natural ones with their "
            "log-probabilities, and give a reliable way to tell whether a batch is Frankenstein.",
            minutes=0.5,
        ),
        Chapter(
            "Numerical stability",
            _stability,
            "Compare the logarithm of a product of probabilities with the sum of their logarithms.",
        ),
        Chapter(
            "Sigmoid belief net",
            _belief_nets,
            "One layer of M binary latents, with the exact likelihood by a sum over all states.",
        ),
        Chapter(
            "What a belief net costs",
            _cost,
            "Compare the cost of a training step with the mixture's, by its growth with M, N and D.",
            minutes=2,
        ),
        Chapter(
            "Variational autoencoder",
            _vae,
            "2 latents, 200-200 hidden units both ways, Adam 1e-3, batches of 100, 40 epochs: the lower bound on "
            "training and test images as it changes.",
        ),
        Chapter("Samples of the VAE", _samples, "Samples before, midway and after the training."),
        Chapter("The latent manifold", _manifold, "A slice of the latent space as a grid of 10 by 10 images."),
        Chapter(
            "Monte Carlo from the prior",
            _monte_carlo,
            "Estimate log p(x) with z from the prior, and show how its efficiency falls with the dimension of z.",
            minutes=2,
        ),
        Chapter(
            "KL between Gaussians",
            _divergence,
            "The closed form of the divergence, with one example that is tiny and one that is huge.",
        ),
    ),
)
