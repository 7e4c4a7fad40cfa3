"""Every cell of the capability table has a law, which is checked on tiny models of the class in its row.

An exact answer equals a sum over all images, for all masks of 3x3 pixels (any-order models: of 2x3). An approximate
one has the limit, the side or the distribution that its note states. Chi-square tests have fixed seeds and reject a
right answer less than once in 10,000.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import zoo
from scipy import stats
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.evaluation.enumeration import all_images, enumerable, log_probs_of_all
from ancestral.evaluation.queries import entropy, log_marginal
from ancestral.families.abilities import abilities_of, classes, kind_of, table_of
from ancestral.families.any_order.tiny import tiny_any_order
from ancestral.families.catalogue import BUILT_IN
from ancestral.models.base import ExactModel, HasStates, HasStateTrees, ImplicitModel, LatentModel, Model

FALSE_ALARM = 1e-4
DRAWS = 1500
QUERIES = list(abilities_of(Model))[:8]
CASES = [(query, cls) for cls in classes() for query in QUERIES if abilities_of(cls)[query] != "not available"]
MAKERS = {**zoo.ZOO, "any-order, 2x3": lambda: tiny_any_order((1, 2, 3))}


@cache
def model_of(name: str) -> Any:
    return zoo.seeded(MAKERS[name]).requires_grad_(False)


def names_of(cls: type, wanted: Callable[[Any], bool] = enumerable) -> list[str]:
    """At most three tiny models of a class, the largest first."""
    found = [name for name in MAKERS if type(model_of(name)) is cls and wanted(model_of(name))]
    assert found, f"no tiny model of {cls.__name__} can prove this"
    return sorted(found, key=lambda name: -math.prod(model_of(name).event_shape))[:3]


def of_class(cls: type) -> list[str]:
    """Tiny models with classes."""
    return names_of(cls, lambda model: bool(getattr(model, "classes", 0)) and model.levels is not None)


@cache
def truth_of(name: str) -> tuple[Tensor, Tensor, Tensor]:
    """All images, log p(x), and its relative standard error."""
    model = model_of(name)
    with seeded_noise(0):
        return (all_images(model), *log_probs_of_all(model))


def all_masks(model: Model) -> Tensor:
    pixels = math.prod(model.event_shape)
    return (torch.arange(1 << pixels)[:, None] >> torch.arange(pixels) & 1).bool()


def log_sums(name: str, rows: Tensor, masks: Tensor) -> Tensor:
    """log of the sum of p over the images that agree with each row where its mask is True."""
    x, log_p, _ = truth_of(name)
    agree = ((x.flatten(1)[None] == rows[:, None]) | ~masks[:, None]).all(2)
    return torch.where(agree, log_p, -math.inf).logsumexp(1)


def cases_of_masks(name: str) -> tuple[Tensor, Tensor]:
    """A random image for each mask, rows (M, D), and the masks."""
    x, masks = truth_of(name)[0].flatten(1), all_masks(model_of(name))
    with seeded_noise(1):
        return x[torch.randint(len(x), (len(masks),))], masks


def chi_square(drawn: Tensor, expected: Tensor, relative: Tensor, levels: int) -> float:
    """p-value of samples against the probabilities of all images; relative: standard error, which adds variance."""
    rows = drawn.flatten(1).round().long()
    index = (rows * levels ** torch.arange(rows.shape[1] - 1, -1, -1)).sum(1)
    counts = torch.bincount(index, minlength=len(expected)).double()
    assert (counts[expected == 0] == 0).all()
    mean = len(drawn) * expected
    order, variance = mean.argsort(descending=True), mean + (mean * relative).square()
    common = max(1, int((mean >= 5).sum()) - 1)
    cells = [torch.cat([v[order][:common], v[order][common:].sum()[None]]) for v in (mean, variance, counts)]
    used = cells[0] > 0
    statistic = ((cells[2] - cells[0]).square()[used] / cells[1][used]).sum().item()
    return float(stats.chi2.sf(statistic, common))


def conditional(name: str, row: Tensor, mask: Tensor) -> Tensor:
    """p(x | the pixels of a row under the mask) of all images."""
    x, log_p, _ = truth_of(name)
    return torch.where((x.flatten(1) == row)[:, mask].all(1), log_p.double(), -math.inf).softmax(0)


def completions(name: str, row: Tensor, mask: Tensor, **options: int) -> Tensor:
    model = model_of(name)
    hidden = torch.where(mask, row, torch.nan).view(1, *model.event_shape).expand(DRAWS, *model.event_shape)
    with seeded_noise(3):
        return model.complete(hidden, mask.view(1, *model.event_shape).expand(hidden.shape), **options)


# ---- log p(x)


def probabilities_sum_to_one(cls: type) -> None:
    if not issubclass(cls, zoo_flow()):
        for name in names_of(cls):
            assert truth_of(name)[1].exp().sum().item() == pytest.approx(1, abs=1e-10)
        return
    for name in names_of(cls, lambda model: model.event_shape == (2,)):
        axis = torch.linspace(-40, 40, 801, dtype=torch.float64)  # the tails of one of them reach beyond 12
        density = model_of(name).log_prob(torch.cartesian_prod(axis, axis)).exp()
        assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=1e-4)


def zoo_flow() -> type:
    return type(model_of("flow, affine"))


def the_bound_is_below(cls: type) -> None:
    name = names_of(cls, lambda model: enumerable(model) and (model.event_shape != (1, 2, 3)))[0]  # a slow reference
    x, log_p, relative = (part[:: max(1, len(truth_of(name)[0]) // 40)] for part in truth_of(name))
    with seeded_noise(2):
        bounds = torch.stack([model_of(name).elbo(x) for _ in range(400)])
    error = (bounds.var(0) / 400 + relative.square()).sqrt()
    assert (bounds.mean(0) <= log_p + 5 * error).all()
    assert truth_of(name)[1].exp().sum().item() == pytest.approx(1, abs=0.05), "the reference is p(x)"


# ---- marginals and conditionals


def every_marginal_is_a_sum(cls: type) -> None:
    for name in names_of(cls):
        model, (rows, masks) = model_of(name), cases_of_masks(name)
        x = torch.where(masks, rows, torch.nan).view(-1, *model.event_shape)
        found = log_marginal(model, x, masks.view(x.shape))
        assert torch.allclose(found, log_sums(name, rows, masks), rtol=0, atol=1e-10)


def every_conditional_is_a_ratio(cls: type) -> None:
    for name in names_of(cls):
        model, (rows, masks) = model_of(name), cases_of_masks(name)
        x = rows.view(-1, *model.event_shape)
        expected = log_sums(name, rows, torch.ones_like(masks)) - log_sums(name, rows, masks)
        assert torch.allclose(model.log_prob_missing(x, masks.view(x.shape)), expected, rtol=0, atol=1e-10)


def in_order(name: str, ask: Callable[[Tensor, Tensor], Tensor], expected: Tensor) -> None:
    """Answers for exactly the masks whose observed pixels come first in each order; other masks raise."""
    model, (rows, masks) = model_of(name), cases_of_masks(name)
    answered = 0
    for row, mask, value in zip(rows, masks, expected, strict=True):
        first = all(bool((mask[order].int().diff() <= 0).all()) for order in model.orders)
        x, seen = row.view(1, *model.event_shape), mask.view(1, *model.event_shape)
        if not first:
            with pytest.raises(NotComputable):
                ask(x, seen)
            continue
        answered += 1
        assert ask(x, seen).item() == pytest.approx(value.item(), abs=1e-10)
    assert answered >= 2
    if len(model.orders) == 1:
        assert answered == masks.shape[1] + 1


def every_marginal_in_order_is_a_sum(cls: type) -> None:
    for name in names_of(cls):
        model = model_of(name)
        in_order(name, lambda x, seen, model=model: log_marginal(model, x, seen), log_sums(name, *cases_of_masks(name)))


def every_conditional_in_order_is_a_ratio(cls: type) -> None:
    for name in names_of(cls):
        rows, masks = cases_of_masks(name)
        expected = log_sums(name, rows, torch.ones_like(masks)) - log_sums(name, rows, masks)
        in_order(name, model_of(name).log_prob_missing, expected)


def the_marginal_bound_is_below_and_tight(cls: type) -> None:
    name = names_of(cls, lambda model: enumerable(model) and not getattr(model, "classes", 0))[0]
    model, (rows, masks) = model_of(name), cases_of_masks(name)
    some = torch.arange(0, len(masks), 9)
    rows, masks = rows[some], masks[some]
    x, seen = (values.view(-1, *model.event_shape) for values in (torch.where(masks, rows, torch.nan), masks))
    truth = log_sums(name, rows, masks)
    with seeded_noise(4):
        one = torch.stack([log_marginal(model, x, seen, samples=1) for _ in range(300)])
        many = log_marginal(model, x, seen, samples=5000)
    slack = 0.02  # the reference is a sum of importance-sampled probabilities
    assert (one.mean(0) <= truth + 5 * one.std(0) / math.sqrt(300) + slack).all()
    assert (many - truth).abs().max() < 0.1
    assert (truth - one.mean(0)).mean() > 0.01, "one sample gives a looser bound"


def conditionals_in_raster_order_sum_to_one(cls: type) -> None:
    """For every mask, p(hidden | observed) sums to one and is the product of the conditionals in raster order."""
    name = names_of(cls)[0]
    model, x = model_of(name), truth_of(name)[0]
    for mask in all_masks(model):
        seen = mask.view(1, *model.event_shape)
        log_p = model.log_prob_missing(x, seen.expand_as(x))
        groups = (x.flatten(1) * mask) @ 2.0 ** torch.arange(len(mask), dtype=x.dtype)
        for group in groups.unique():
            assert log_p[groups == group].exp().sum().item() == pytest.approx(1, abs=1e-10)
        product, now = torch.zeros_like(log_p), seen.expand_as(x).clone()
        for pixel in (~mask).nonzero()[:, 0].tolist():
            product += model.output.log_prob(model.predict(x, now), x).flatten(1)[:, pixel]
            now.flatten(1)[:, pixel] = True
        assert torch.allclose(log_p, product, atol=1e-10)


# ---- completions


def log_joints_of_trees(model: HasStateTrees) -> list[tuple[Any, Tensor, Tensor]]:
    """For each tree: the tree, all states of its nodes (S, D), and log p(c, z) of each, by the definition."""
    found = []
    for tree, log_c in zip(model.state_trees(), model.log_prior_trees(), strict=True):
        states = torch.tensor(list(itertools.product(range(len(tree.log_root)), repeat=len(tree.parents))))
        log_p = log_c + tree.log_root[states[:, 0]]
        for node in range(1, states.shape[1]):
            log_p = log_p + tree.log_transitions[node - 1, states[:, tree.parents[node]], states[:, node]]
        found.append((tree, states, log_p))
    return found


def leaves_of(tree: Any, row: Tensor) -> Tensor:
    """log p(x_d | z_d) of each node and state for one image, (D, K)."""
    return tree.log_leaves[torch.arange(len(tree.pixels)), row[tree.pixels].long()]


def most_probable_is_the_maximum(cls: type) -> None:
    """The returned log-probability is the maximum over latents and hidden pixels, and the images attain it."""
    binary = names_of(cls, lambda model: enumerable(model) and model.levels == 2)
    for name in binary:
        model, (rows, masks) = model_of(name), cases_of_masks(name)
        x = rows.view(-1, *model.event_shape)
        found, log_prob = model.most_probable(torch.where(masks, rows, torch.nan).view(x.shape), masks.view(x.shape))
        assert torch.equal(found.flatten(1)[masks], rows[masks])
        if isinstance(model, HasStates):
            images = truth_of(name)[0]
            best = model.log_joint_states(images).amax(1)
            agree = ((images.flatten(1)[None] == rows[:, None]) | ~masks[:, None]).all(2)
            expected = torch.where(agree, best, -math.inf).amax(1)
            attained = model.log_joint_states(found).amax(1)
        else:
            some = torch.arange(0, len(masks), 16)  # the others are as good: the sum is over 19,683 states of each tree
            trees = log_joints_of_trees(model)
            rows, masks, log_prob = rows[some], masks[some], log_prob[some]
            expected, attained = (
                torch.stack(
                    [
                        max(best_of_tree(*tree, row, mask) for tree in trees)
                        for row, mask in zip(images, seen, strict=True)
                    ]
                )
                for images, seen in ((rows, masks), (found[some].flatten(1), torch.ones_like(masks)))
            )
        assert torch.allclose(log_prob, expected, rtol=0, atol=1e-10)
        assert torch.allclose(attained, expected, rtol=0, atol=1e-10)


def best_of_tree(tree: Any, states: Tensor, log_p: Tensor, row: Tensor, mask: Tensor) -> Tensor:
    each = torch.where(mask[tree.pixels][:, None], leaves_of(tree, row), tree.log_leaves.amax(1))
    return (log_p + each[torch.arange(states.shape[1]), states].sum(1)).max()


def completions_have_the_conditional(cls: type) -> None:
    for name in names_of(cls):
        rows, masks = cases_of_masks(name)
        for place in range(0, len(masks), max(1, len(masks) // 8)):
            expected = conditional(name, rows[place], masks[place])
            drawn = completions(name, rows[place], masks[place])
            p = chi_square(drawn, expected, torch.zeros_like(expected), model_of(name).levels)
            assert p > FALSE_ALARM / 8, (name, masks[place])


def distance(drawn: Tensor, expected: Tensor) -> float:
    """Total variation distance of the shares of binary images from their probabilities."""
    index = (drawn.flatten(1).long() * 2 ** torch.arange(drawn[0].numel() - 1, -1, -1)).sum(1)
    return (torch.bincount(index, minlength=len(expected)) / len(drawn) - expected).abs().sum().item() / 2


def particles_converge(cls: type) -> None:
    """Exact with one particle if the observed pixels come first; else the distance falls as particles are added."""
    name = names_of(cls, lambda m: enumerable(m) and m.levels == 2 and len(m.orders) == 1 and not m.classes)[0]
    model, (rows, _) = model_of(name), cases_of_masks(name)
    pixels = len(model.order)
    first = torch.zeros(pixels, dtype=torch.bool).index_fill_(0, model.order[: pixels // 2], True)
    expected = conditional(name, rows[5], first)
    drawn = completions(name, rows[5], first, particles=1)
    assert chi_square(drawn, expected, torch.zeros_like(expected), 2) > FALSE_ALARM
    x, log_p, _ = truth_of(name)
    row = x.flatten(1)[log_p.exp().multinomial(1, generator=torch.Generator().manual_seed(2))[0]]
    expected = conditional(name, row, ~first)
    one, ten, many = (completions(name, row, ~first, particles=count) for count in (1, 10, 200))
    assert distance(one, expected) > distance(ten, expected)
    assert distance(one, expected) > 2 * distance(many, expected)
    assert chi_square(many, expected, torch.zeros_like(expected), 2) > FALSE_ALARM


def completions_in_raster_order_have_their_conditional(cls: type) -> None:
    name = names_of(cls)[0]
    model, (rows, masks), x = model_of(name), cases_of_masks(name), truth_of(name)[0]
    for place in range(0, len(masks), 9):
        row, mask = rows[place], masks[place]
        agree = (x.flatten(1) == row)[:, mask].all(1)
        log_p = model.log_prob_missing(x, mask.view(1, *model.event_shape).expand_as(x))
        expected = torch.where(agree, log_p, -math.inf).exp()
        drawn = completions(name, row, mask)
        assert chi_square(drawn, expected, torch.zeros_like(expected), 2) > FALSE_ALARM / 8


def chains_reach_their_limit(cls: type) -> None:
    """Chains: the exact conditional. Encoding and decoding in turn: the stationary distribution. GAN: nearer images."""
    if issubclass(cls, ImplicitModel):
        (turns_are_stationary if hasattr(cls, "reconstruction_loss") else nearer_than_samples)(cls)
    elif issubclass(cls, zoo_flow()):
        points_have_the_conditional(cls)
    else:
        name = names_of(cls, lambda model: enumerable(model) and not getattr(model, "classes", 0))[0]
        rows, _ = cases_of_masks(name)
        mask, relative = torch.arange(rows.shape[1]) % 3 == 1, truth_of(name)[2]
        options = {"warming": 8, "sweeps": 12, "steps": 3} if hasattr(cls, "base") else {"warming": 5, "sweeps": 40}
        drawn = completions(name, rows[6], mask, **options)
        assert chi_square(drawn, conditional(name, rows[6], mask), relative, model_of(name).levels) > FALSE_ALARM


def points_have_the_conditional(cls: type) -> None:
    """A Kolmogorov-Smirnov test of the second coordinate, by the distribution function on a grid."""
    name = names_of(cls, lambda model: model.event_shape == (2,))[0]
    row, mask = torch.tensor([0.4, 0.0], dtype=torch.float64), torch.tensor([True, False])
    grid = torch.linspace(-15, 15, 30_001, dtype=torch.float64)
    density = model_of(name).log_prob(torch.stack([row[:1].expand_as(grid), grid], 1)).exp()
    cdf = density.cumsum(0) / density.sum()
    drawn = completions(name, row, mask)[:, 1]
    found = stats.kstest(cdf[torch.searchsorted(grid, drawn.contiguous()).clamp_max(len(grid) - 1)].numpy(), "uniform")
    assert found.pvalue > FALSE_ALARM


def turns_are_stationary(cls: type) -> None:
    name = names_of(cls, lambda model: model.event_shape == (1, 3, 3))[0]
    model = model_of(name)
    mask = torch.arange(9) % 3 != 1
    row = torch.tensor([1.0, 0, 0, 1, 1, 0, 1, 0, 1], dtype=torch.float64)
    images = torch.tensor(list(itertools.product((0.0, 1.0), repeat=9)), dtype=torch.float64)
    agree = (images == row)[:, mask].all(1)
    there = images[agree].view(-1, 1, 3, 3)
    means = model.decode(model.encode(there)).flatten(1)[:, ~mask]
    hidden = there.flatten(1)[:, ~mask]
    step = torch.where(hidden[None] == 1, means[:, None], 1 - means[:, None]).prod(2)
    stationary = torch.linalg.matrix_power(step, 200)[0]
    expected = torch.zeros(len(images), dtype=torch.float64).masked_scatter_(agree, stationary)
    assert chi_square(completions(name, row, mask), expected / expected.sum(), torch.zeros(512), 2) > FALSE_ALARM


def nearer_than_samples(cls: type) -> None:
    """The hidden half of an image of the model is completed more accurately than by samples."""
    model = model_of(names_of(cls, lambda model: model.event_shape == (1, 3, 3) and not model.classes)[0])
    with seeded_noise(6):
        x, other = model.sample(32), model.sample(32)
        observed = (torch.arange(9) < 5).view(1, 1, 3, 3).expand_as(x)
        drawn = model.complete(x, observed)
    assert (drawn - x)[~observed].square().mean() < 0.25 * (other - x)[~observed].square().mean()


# ---- classes, latents, entropy


def class_posteriors_follow_from_bayes(cls: type) -> None:
    for name in names_of(cls, lambda model: bool(getattr(model, "classes", 0))):
        model = model_of(name)
        if not enumerable(model):  # points, whose p(x | y) and p(x) are proven as densities
            with seeded_noise(2):
                x = model.sample(50)
            parts = [model.given(label).log_prob(x) + model.log_class_probs()[label] for label in range(model.classes)]
            posterior, total = torch.stack(parts, 1).softmax(1), None
        else:
            x = truth_of(name)[0]
            of_class = torch.stack([log_probs_of_all(model.given(label))[0] for label in range(model.classes)], 1)
            assert torch.allclose(of_class.exp().sum(0), torch.ones(model.classes, dtype=x.dtype), atol=1e-10)
            joint = of_class.exp() * model.log_class_probs().exp()
            posterior, total = joint / joint.sum(1, keepdim=True), joint.sum(1)
        assert torch.allclose(model.class_posterior(x).probs, posterior, atol=1e-10)
        assert total is None or torch.allclose(total, truth_of(name)[1].exp(), atol=1e-10)


def class_posteriors_converge(cls: type) -> None:
    name = of_class(cls)[0]
    model, x = model_of(name), truth_of(name)[0]
    with seeded_noise(7):
        given = torch.stack([log_probs_of_all(model.given(label))[0] for label in range(model.classes)], 1)
        posterior = (given + model.log_class_probs()).softmax(1)
        few, many = ([(model.class_posterior(x, k).probs - posterior).abs().mean().item()] for k in (1, 4000))
    assert many[0] < 0.02
    assert few[0] > 2 * many[0]


def the_class_is_the_last_variable(cls: type) -> None:
    """p(x, y) = p(x) p(y | x) sums to one over images and classes, and over the classes to p(x) of the same order."""
    name = of_class(cls)[0]
    model = model_of(name)
    x = all_images(model)
    with torch.no_grad():
        log_p, posterior = model.log_prob_in_order(x, "raster"), model.class_posterior(x).logits
    joint = log_p[:, None] + posterior
    assert posterior.shape == (len(x), model.classes) and posterior.std() > 0.01
    assert joint.exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert torch.allclose(joint.logsumexp(1), log_p, atol=1e-12)


def latents_follow_from_bayes(cls: type) -> None:
    """The posterior over latents equals the joint, divided by its sum over all latents."""
    if issubclass(cls, zoo_flow()):
        for name in names_of(cls, lambda model: not model.classes):  # one z for each x
            with seeded_noise(1):
                x = model_of(name).sample(64)
            assert torch.allclose(model_of(name).decode(model_of(name).encode(x)), x, atol=1e-8)
        return
    for name in names_of(cls, lambda model: enumerable(model) and model.levels == 2):
        model, x = model_of(name), truth_of(name)[0]
        codes: Tensor = model.encode(x)
        if isinstance(model, HasStates):
            states = torch.arange(len(model.log_prior()))
            given = torch.stack([model.pixels_of_states(s.expand(len(x))).log_prob(x) for s in states], 1)
            posterior = (model.log_prior() + given).softmax(1)
            units = getattr(model, "states", None)  # of a belief net, whose codes are marginals of units
            assert torch.allclose(codes, posterior if units is None else posterior @ units, atol=1e-10)
            continue
        parts = []
        for tree, states, log_p in log_joints_of_trees(model):
            root = torch.nn.functional.one_hot(states[:, 0], len(tree.log_root)).double()
            leaves = [leaves_of(tree, row)[torch.arange(states.shape[1]), states].sum(1) for row in x[::40].flatten(1)]
            parts.append(torch.stack([(log_p + leaf).exp() @ root for leaf in leaves]))
        joint = torch.cat(parts, 1)
        assert torch.allclose(codes[::40], joint / joint.sum(1, keepdim=True), atol=1e-10)


def approximate_latents_have_their_law(cls: type) -> None:
    """VAE, belief net: log p(x) - ELBO is KL(q || p(z | x)) >= 0. Flow, GAN: the image of the latents is near x."""
    if issubclass(cls, LatentModel) and not hasattr(cls, "base"):
        the_bound_is_below(cls)
        name = names_of(cls, lambda model: enumerable(model) and not getattr(model, "classes", 0))[0]
        model, x = model_of(name), truth_of(name)[0][::20]
        with seeded_noise(
            8
        ):  # the weighted mean of the samples of q converges to the posterior mean; q is no posterior
            sample = model.importance_sample(x, 4000)
            log_w = sample.log_joint - sample.log_q
            effective = log_w.softmax(0).square().sum(0).reciprocal() / 4000
        assert (effective < 0.999).any() and (effective > 0.01).all()
        units = model.encode(x).shape[1]
        error = sample.z.double().std(0)[:, :units] / math.sqrt(4000)
        assert ((sample.z.double().mean(0)[:, :units] - model.encode(x)).abs() <= 5 * error + 1e-9).all()
        return
    name = names_of(cls, lambda model: not getattr(model, "classes", 0))[0]
    with seeded_noise(9):
        x, other = model_of(name).sample(32), model_of(name).sample(32)
        again = model_of(name).decode(model_of(name).encode(x))
    assert (again - x).square().mean() < 0.25 * (other - x).square().mean()


def codes_are_deterministic(cls: type) -> None:
    model = model_of(names_of(cls, lambda model: True)[0])
    with seeded_noise(1):
        x = model.sample(8)
    assert torch.equal(model.encode(x), model.encode(x)) and len(model.encode(x).unique(dim=0)) > 1


def exact_entropy(name: str) -> float:
    log_p = truth_of(name)[1].double()
    return -(log_p.exp() * log_p).sum().item()


def the_entropy_is_unbiased(cls: type) -> None:
    if issubclass(cls, zoo_flow()):
        model = model_of(names_of(cls, lambda model: model.event_shape == (2,))[0])
        axis = torch.linspace(-40, 40, 801, dtype=torch.float64)  # the tails of one of them reach beyond 12
        log_p = model.log_prob(torch.cartesian_prod(axis, axis))
        truths = {model: -(log_p.exp() * log_p).sum().item() * (axis[1] - axis[0]).item() ** 2}
    else:
        truths = {model_of(name): exact_entropy(name) for name in names_of(cls)}
    for model, truth in truths.items():
        found = entropy(model, 4000)
        assert found.side is None and found.count == 4000
        assert abs(found.nats - truth) < 4 * found.stderr < 0.4


def the_entropy_bound_is_above(cls: type) -> None:
    name = names_of(cls, lambda model: enumerable(model) and (model.event_shape != (1, 2, 3)))[0]
    one, many = (entropy(model_of(name), 2000, samples=samples) for samples in (1, 50))
    assert one.side == many.side == "upper"
    assert one.nats > exact_entropy(name) - 4 * one.stderr
    assert many.nats > exact_entropy(name) - 4 * many.stderr
    assert many.nats - exact_entropy(name) < 0.5


LAWS: dict[tuple[str, str], Callable[[type], None]] = {
    ("log p(x)", "exact"): probabilities_sum_to_one,
    ("log p(x)", "lower bound"): the_bound_is_below,
    ("any marginal", "exact"): every_marginal_is_a_sum,
    ("any marginal", "exact in its order"): every_marginal_in_order_is_a_sum,
    ("any marginal", "lower bound"): the_marginal_bound_is_below_and_tight,
    ("any conditional", "exact"): every_conditional_is_a_ratio,
    ("any conditional", "exact in its order"): every_conditional_in_order_is_a_ratio,
    ("any conditional", "exact in the raster order of the hidden pixels"): conditionals_in_raster_order_sum_to_one,
    ("most probable completion", "exact"): most_probable_is_the_maximum,
    ("complete", "exact"): completions_have_the_conditional,
    ("complete", "exact in its order, else approximate"): particles_converge,
    ("complete", "exact in the raster order of the hidden pixels"): completions_in_raster_order_have_their_conditional,
    ("complete", "approximate"): chains_reach_their_limit,
    ("p(y | x)", "exact"): class_posteriors_follow_from_bayes,
    ("p(y | x)", "exact if the class comes last"): the_class_is_the_last_variable,
    ("p(y | x)", "approximate"): class_posteriors_converge,
    ("infer", "exact"): latents_follow_from_bayes,
    ("infer", "approximate"): approximate_latents_have_their_law,
    ("infer", "a code"): codes_are_deterministic,
    ("entropy", "approximate"): the_entropy_is_unbiased,
    ("entropy", "upper bound"): the_entropy_bound_is_above,
}


SLOW = {
    *(("complete", "ImageFlow"), ("complete", "PixelCNN"), ("log p(x)", "ImageFlow")),
    ("any conditional", "AnyOrderModel"),
}
MARKED = [
    pytest.param(
        query, cls, marks=pytest.mark.slow if (query, cls.__name__) in SLOW else (), id=f"{query}-{cls.__name__}"
    )
    for query, cls in CASES
]


@pytest.mark.parametrize("query, cls", MARKED)
def test_every_answer_of_the_table_keeps_its_law(query: str, cls: type[Model]) -> None:
    LAWS[query, kind_of(abilities_of(cls)[query])](cls)


def test_what_is_not_available_raises() -> None:
    x = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    for name in ("gan", "Helmholtz machine", "any-order, 2x3", "vae, conditional"):
        model = model_of(name)
        rows = x[..., : model.event_shape[1], : model.event_shape[2]]
        with pytest.raises(NotComputable):
            log_marginal(model, rows, torch.ones_like(rows, dtype=torch.bool))
    with pytest.raises(NotComputable, match="no entropy"):
        entropy(model_of("gan"))
    with pytest.raises(InputError, match="at least 2"):
        entropy(model_of("mixture"), 1)


def test_the_entropy_keeps_the_mode_and_the_callers_generator() -> None:
    model = zoo.seeded(zoo.ZOO["made"]).train()
    before = torch.get_rng_state()
    assert entropy(model, 50) == entropy(model, 50) != entropy(model, 50, seed=1)
    assert model.training and torch.equal(before, torch.get_rng_state())


def test_every_class_has_a_row_and_every_note_is_used() -> None:
    header, rows, notes = table_of()
    assert [row[0] for row in rows] == [cls.__name__ for cls in classes()]
    assert {len(row) for row in rows} == {len(header)}
    used = {int(cell.rpartition("(")[2][:-1]) for row in rows for cell in row if cell.endswith(")")}
    assert used == set(range(1, len(notes) + 1))
    assert len(BUILT_IN) <= len(rows)


def test_kinds_alone_decide_the_answers_of_a_class_of_a_user() -> None:
    class Own(ExactModel):
        def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor: ...

        completion = "exact: by hand"

    found = abilities_of(Own)
    assert (found["log p(x)"], found["any conditional"], found["any marginal"]) == ("exact", *["exact: by hand"] * 2)
    assert found["p(y | x)"] == found["infer"] == "not available"
