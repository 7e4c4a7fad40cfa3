"""The page's engine in a browser: probabilities sum to one, samples and completions have these probabilities."""

from __future__ import annotations

import math
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from browsing import Engine
from helpers import ROOT
from scipy import stats
from test_explorer_layers import NETWORKS, network_and_inputs
from tiny_pages import described
from zoo import seeded, tiny_flow, tiny_made, tiny_vae

from ancestral.core.modules import load_module
from ancestral.data.pixels import PixelSpace
from ancestral.explorer.describe import describe_model, in_half_precision
from ancestral.explorer.packing import Packing
from ancestral.families.catalogue import find
from ancestral.models.base import Model
from ancestral.networks.layers import layers_of

DRAWS = 2500
IMAGE = 0b101_100_010  # of 3 x 3 pixels, some of which are seen
P_VALUE = 1e-4  # of a chi-square test with a fixed random seed
EXACT = [
    ("mixture", "mixture"),
    ("mixture", "mixture of one"),
    ("belief-net", "belief net"),
    ("made", "made"),
    ("made", "made, deep"),
    ("made", "made, three orderings"),
    ("made", "made, categorical"),
    ("made", "made, logistic"),
    ("made", "fully visible belief net"),
    ("pixelcnn", "pixelcnn"),
    ("pixelcnn", "pixelcnn, categorical"),
    ("pixelcnn", "pixelcnn, logistic, colour"),
    ("circuit", "circuit"),
    ("circuit", "circuit, Chow-Liu tree, levels"),
    ("circuit", "circuit, logistic"),
    ("made", "made, conditional"),
    ("pixelcnn", "pixelcnn, conditional, colour"),
]
ALL_IMAGES = """
const images = (values, levels) => Array.from({ length: levels ** values }, (_, n) =>
  Float32Array.from({ length: values }, (_, d) => Math.trunc(n / levels ** (values - 1 - d)) % levels));
const number = (x, levels) => x.reduce((n, v) => n * levels + v, 0);
const [name, levels, values] = args;
const model = models[name];
"""


def loaded(engine: Engine, family: str, name: str, model: Model | None = None) -> tuple[str, int, int]:
    """A tiny model in the engine: its name, the number of values of a pixel, and the number of pixels."""
    one = described(family, name, model)
    engine.load(f"{family}/{name}", one["spec"], one["weights"])
    plain = one["spec"].get("given", [one["spec"]])[0]
    levels = plain.get("network", plain).get("levels", 2)
    return f"{family}/{name}", levels, math.prod(one["event"])


def log_probs(engine: Engine, *model: Any) -> np.ndarray:
    return np.array(engine.run(f"{ALL_IMAGES} return images(values, levels).map((x) => model.logProb(x));", *model))


def counts(engine: Engine, draw: str, name: str, levels: int, values: int, *more: Any, draws: int = DRAWS) -> Any:
    """How often each image is drawn. draw: JavaScript that returns one, with the generator `random`."""
    script = f"""{ALL_IMAGES}
    const random = new Random(11);
    const given = images(values, levels)[args[4] ?? 0];
    const found = new Array(levels ** values).fill(0);
    for (let n = 0; n < {draws}; n++) found[number({draw}, levels)] += 1;
    return found;"""
    return np.array(engine.run(script, name, levels, values, *more))


def agrees(found: np.ndarray, probabilities: np.ndarray) -> bool:
    """A chi-square test; cells with fewer than five expected are one cell."""
    expected = found.sum() * probabilities / probabilities.sum()
    common = expected >= 5
    cells = [*np.flatnonzero(common)[:, None].tolist(), np.flatnonzero(~common).tolist()]
    pairs = [(found[cell].sum(), expected[cell].sum()) for cell in cells if cell]
    statistic = sum((seen - wanted) ** 2 / max(wanted, 1e-3) for seen, wanted in pairs)
    return bool(stats.chi2.sf(statistic, max(len(pairs) - 1, 1)) > P_VALUE)


@pytest.mark.parametrize(("family", "name"), EXACT)
def test_probabilities_sum_to_one_and_samples_have_them(family: str, name: str, engine: Engine) -> None:
    model = loaded(engine, family, name)
    probabilities = np.exp(log_probs(engine, *model))
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    if "orderings" not in name and name != "made, categorical":  # a sample has one ordering, log p(x) is of all
        assert agrees(counts(engine, "model.sample(random).x", *model), probabilities)


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_an_any_order_model_has_its_probabilities_in_each_number_of_steps(
    steps: int, confidence: bool, engine: Engine
) -> None:
    """log p in steps sums to one; samples in these steps have it, in one fixed order or the confidence order; and the
    bound is the mean of log p over all orders."""
    model, how = loaded(engine, "any-order", "any-order")[0], {"steps": steps, "confidence": confidence}
    script = (
        f"{ALL_IMAGES} return images(4, 2).map((x) => model.logProbInSteps(x, new Uint8Array(4), args[3], args[4]));"
    )
    of_order = [np.exp(np.array(engine.run(script, model, 2, 4, how, order))) for order in permutations(range(4))]
    assert [part.sum() for part in of_order] == pytest.approx([1.0] * 24, abs=1e-5)
    found = counts(engine, "model.sample(random, 1, args[3]).x", model, 2, 4, how, draws=1000)
    assert agrees(found, np.mean(of_order, 0))
    if steps == 4 and not confidence:
        script = f"{ALL_IMAGES} return model.score(images(4, 2)[5], new Random(3), 4000);"
        bound, elbo = engine.run(script, model, 2, 4), np.log(np.array(of_order)[:, 5]).mean()
        assert bound["kind"] == "bound" and bound["nats"] == pytest.approx(elbo, abs=5 * bound["error"])
        assert 0 < bound["error"] < 0.05


def test_an_any_order_model_has_the_probabilities_of_each_class(engine: Engine) -> None:
    """Of 3 pixels; null hides the class. And p(class | seen) sums to one, whatever the hidden pixels are."""
    model, how = loaded(engine, "any-order", "any-order, unet, conditional")[0], {"steps": 3}
    script = (
        f"{ALL_IMAGES} return images(3, 2).map((x) => model.logProbInSteps(x, [0, 0, 0], args[3], args[4], args[5]));"
    )
    found = []
    for label in (None, 0, 1):
        each = [
            np.exp(np.array(engine.run(script, model, 2, 3, how, order, label))) for order in permutations(range(3))
        ]
        assert [part.sum() for part in each] == pytest.approx([1.0] * 6, abs=1e-5)
        draw = "model.sample(random, 1, args[3], args[4]).x"
        assert agrees(counts(engine, draw, model, 2, 3, how, label, draws=1000), np.mean(each, 0))
        found.append(np.mean(each, 0))
    assert np.abs(found[1] - found[2]).sum() > 0.02 and np.abs(found[0] - found[1]).sum() > 0.01
    script = f"{ALL_IMAGES} return images(3, 2).map((x) => Array.from(model.classProbs(x, args[3])));"
    probs = np.array(engine.run(script, model, 2, 3, [1, 0, 0]))
    assert probs.sum(1) == pytest.approx(np.ones(8), abs=1e-5)
    assert all(np.array_equal(row, probs[4 * (n // 4)]) for n, row in enumerate(probs)) and probs[0, 0] != probs[4, 0]


def test_completions_of_an_any_order_model_have_its_conditional_probabilities(engine: Engine) -> None:
    """One pixel in each step, in the confidence order: p(hidden | seen) is a product of its conditionals."""
    model, known, how = loaded(engine, "any-order", "any-order")[0], [1, 0, 0, 1], {"steps": 4, "confidence": True}
    script = f"{ALL_IMAGES} return images(4, 2).map((x) => model.logProbInSteps(x, args[3], args[4]));"
    log_p = np.array(engine.run(script, model, 2, 4, known, how))
    wanted = conditional(np.exp(log_p), known, 0b1001)
    assert wanted.sum() == pytest.approx(1, abs=1e-5)
    script = """(() => {
      const done = model.complete(given, args[3], random, 1, args[5]);
      if (!done.exact) throw new Error("not exact");
      if (Math.abs(done.logProb - args[6][number(done.x, levels)]) > 1e-4) throw new Error("another log p");
      return done.x;
    })()"""
    assert agrees(counts(engine, script, model, 2, 4, known, 0b1001, how, log_p.tolist(), draws=1000), wanted)


CLASSES = {  # a model of each family, and the mask that its class completes exactly
    "mixture": ("mixture, conditional", "scattered"),
    "circuit": ("circuit by class", "scattered"),
    "made": ("made, conditional", "upper rows"),
    "pixelcnn": ("pixelcnn, conditional", "upper rows"),
}


@pytest.mark.parametrize("family", CLASSES)
def test_a_class_has_its_own_probabilities_samples_and_completions(family: str, engine: Engine) -> None:
    name, mask = CLASSES[family]
    model, known = loaded(engine, family, name), KNOWN[mask]
    script = f"{ALL_IMAGES} return images(values, levels).map((x) => model.logProb(x, args[3]));"
    classes = engine.run(f"{ALL_IMAGES} return model.classes;", *model)
    each = [np.exp(np.array(engine.run(script, *model, label))) for label in range(classes)]
    assert [part.sum() for part in each] == pytest.approx([1.0] * classes, abs=1e-5)
    assert agrees(counts(engine, "model.sample(random, 1, args[3]).x", *model, 1), each[1])
    assert not agrees(counts(engine, "model.sample(random, 1, args[3]).x", *model, 0), each[1])
    wanted = conditional(each[1], known, IMAGE)
    found = counts(engine, "model.complete(given, args[3], random, 1, 0, args[5]).x", *model, known, IMAGE, 1)
    assert agrees(found, wanted)
    script = f"{ALL_IMAGES} return model.logProbMissing(images(values, levels)[args[4]], args[3], args[5]);"
    log_p = engine.run(script, *model, known, IMAGE, 1)
    assert log_p == pytest.approx(math.log(wanted[IMAGE] / wanted.sum()), abs=1e-4)


def test_each_ordering_is_a_distribution_that_its_samples_have(engine: Engine) -> None:
    model = loaded(engine, "made", "made, three orderings")
    for ordering in range(3):
        total = "model.conditionals(x, args[3]).reduce((a, b) => a + b)"
        script = f"{ALL_IMAGES} return images(values, levels).map((x) => {total});"
        probabilities = np.exp(np.array(engine.run(script, *model, ordering)))
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert agrees(counts(engine, "model.sample(random, 1, args[3]).x", *model, ordering), probabilities)


def conditional(probabilities: np.ndarray, known: list[int], seen: int) -> np.ndarray:
    """p(image | its known pixels are those of image number `seen`), binary images."""
    bits = 2 ** np.arange(len(known))[::-1] * np.array(known)
    return np.where((np.arange(len(probabilities)) & bits.sum()) == (seen & bits.sum()), probabilities, 0)


KNOWN = {  # 1 for a pixel that is seen
    "upper rows": [1, 1, 1, 1, 0, 0, 0, 0, 0],
    "lower rows": [0, 0, 0, 1, 1, 1, 1, 1, 1],
    "scattered": [1, 0, 1, 0, 1, 0, 0, 1, 0],
    "nothing": [0, 0, 0, 0, 0, 0, 0, 0, 0],
}
COMPLETE = """(() => {
  const done = model.complete(given, args[3], random);
  if (done.exact !== args[5]) throw new Error("exact: " + done.exact);
  const check = Math.abs(Math.exp(done.logProb) - args[6][number(done.x, levels)]);
  if (done.logProb !== null && check > 1e-4) throw new Error("log p(hidden | seen) is wrong by " + check);
  return done.x;
})()"""


def _completions() -> list[Any]:
    """Each family with each mask; those where a MADE or a PixelCNN weighs tries take long."""
    chosen = [(*EXACT[number], mask) for number in (0, 2, 3, 9, 12) for mask in KNOWN]
    chosen += [("made", "made, conditional", mask) for mask in ("upper rows", "scattered")]
    long = [one for one in chosen if one[0] == "pixelcnn" and one[2] in ("lower rows", "scattered")]
    return [pytest.param(*one, marks=pytest.mark.slow if one in long else ()) for one in chosen]


@pytest.mark.parametrize(("family", "name", "mask"), _completions())
def test_completions_have_their_conditional_probabilities(family: str, name: str, mask: str, engine: Engine) -> None:
    model, known = loaded(engine, family, name), KNOWN[mask]
    wanted = conditional(np.exp(log_probs(engine, *model)), known, IMAGE)
    wanted = wanted / wanted.sum()
    exact = (
        "logits" in described(family, name)["spec"]
        or family in ("belief-net", "circuit")
        or mask in ("upper rows", "nothing")
    )
    found = counts(engine, COMPLETE, *model, known, IMAGE, exact, wanted.tolist())
    if exact:
        assert agrees(found, wanted)
    else:  # 20 weighted tries are biased a little
        assert 0.5 * np.abs(found / found.sum() - wanted).sum() < 0.08


HIDDEN = [(name, mask) for name in ("made, deep", "made, three orderings", "made, conditional") for mask in KNOWN]


@pytest.mark.parametrize(("name", "mask"), HIDDEN)
def test_log_p_of_hidden_pixels_is_exact_or_absent(name: str, mask: str, engine: Engine) -> None:
    model, known = loaded(engine, "made", name), KNOWN[mask]
    script = f"{ALL_IMAGES} return model.logProbMissing(images(values, levels)[args[4]], args[3]);"
    found = engine.run(script, *model, known, IMAGE)
    if mask == "nothing" or (name != "made, three orderings" and mask == "upper rows"):
        wanted = conditional(np.exp(log_probs(engine, *model)), known, IMAGE)
        assert found == pytest.approx(math.log(wanted[IMAGE] / wanted.sum()), abs=1e-4)
    else:
        assert found is None


def test_the_deep_net_sums_to_one_and_its_samples_and_posterior_have_its_probabilities(engine: Engine) -> None:
    name, levels, values = loaded(engine, "belief-net", "Helmholtz machine, two layers")
    script = f"""{ALL_IMAGES}
    const latents = images(4, 2);
    const posterior = latents.map((z) => model.logPosterior(images(values, levels)[args[3]], z));
    return [images(values, levels).map((x) => latents.map((z) => model.logJoint(x, z))), posterior];"""
    joint, posterior = (np.exp(np.array(part)) for part in engine.run(script, name, levels, values, IMAGE))
    assert joint.sum() == pytest.approx(1, abs=1e-5) and posterior.sum() == pytest.approx(1, abs=1e-5)
    assert agrees(counts(engine, "model.sample(random).x", name, levels, values), joint.sum(1))
    assert agrees(counts(engine, "model.sample(random).z", name, 2, values)[:16], joint.sum(0))
    coded = "model.posterior(given).sample(random)"
    assert agrees(counts(engine, coded, name, 2, values, None, IMAGE)[:16], posterior)
    script = f"{ALL_IMAGES} return model.score(images(9, 2)[args[3]], new Random(1), 3000);"
    bound = engine.run(script, name, levels, values, IMAGE)
    truth = math.log(joint[IMAGE].sum())
    spread = math.sqrt((joint[IMAGE] ** 2 / posterior).sum() / math.exp(2 * truth) - 1)  # of a weight, its mean as unit
    assert bound["kind"] == "bound" and bound["tighter"] == pytest.approx(truth, abs=5 * spread / math.sqrt(3000))
    elbo = (posterior * (np.log(joint[IMAGE]) - np.log(posterior))).sum()
    assert bound["nats"] == pytest.approx(elbo, abs=5 * bound["error"]) and 0 < bound["error"] < 0.1
    assert elbo < truth - 0.05


@pytest.mark.slow
def test_completion_by_a_chain_has_the_conditional_probabilities(engine: Engine) -> None:
    model, known = loaded(engine, "belief-net", "Helmholtz machine, two layers"), KNOWN["scattered"]
    script = f"{ALL_IMAGES} return images(values, levels).map((x) => images(4, 2).map((z) => model.logJoint(x, z)));"
    wanted = conditional(np.exp(np.array(engine.run(script, *model))).sum(1), known, IMAGE)
    found = counts(engine, COMPLETE, *model, known, IMAGE, False, wanted.tolist(), draws=500)
    assert agrees(found, wanted)


GRID = """
const side = 200, reach = 14, step = (2 * reach) / side;
const grid = Array.from({ length: side * side }, (_, n) =>
  Float64Array.of(-reach + (Math.trunc(n / side) + 0.5) * step, -reach + ((n % side) + 0.5) * step));
const part = (v) => Math.min(5, Math.max(0, Math.ceil(v / (6 * step)) + 2)); // squares, the outer ones open
const cell = (z) => 6 * part(z[0]) + part(z[1]);
const mass = new Array(36).fill(0), found = new Array(36).fill(0), random = new Random(3);
const model = models[args[0]];
"""


@pytest.mark.parametrize("name", ["vae", "vae, mixture prior", "vae, VampPrior", "vae, flow prior"])
def test_priors_are_densities_that_their_samples_have(name: str, engine: Engine) -> None:
    model, _, _ = loaded(engine, "vae", name)
    script = f"""{GRID}
    for (const z of grid) mass[cell(z)] += Math.exp(model.prior.logProb(z)) * step * step;
    for (let n = 0; n < 3000; n++) found[cell(model.sample(random).z)] += 1;
    return [mass, found];"""
    mass, found = (np.array(part) for part in engine.run(script, model))
    assert mass.sum() == pytest.approx(1, abs=0.01)
    assert agrees(found, mass)


def test_importance_weights_of_the_posterior_estimate_the_evidence(engine: Engine) -> None:
    """E_q[p(x, z) / q(z | x)] is the integral of p(x, z) over a grid: draws, log q and the bound belong together."""
    model, _, _ = loaded(engine, "vae", "vae")
    script = f"""{GRID}
    const x = Float32Array.of(1, 0, 1, 1, 0, 0, 0, 1, 0);
    const evidence = grid.reduce((a, z) => a + Math.exp(model.logJoint(x, z)) * step * step, 0);
    return [Math.log(evidence), model.score(x, new Random(5), 4000)];"""
    truth, bound = engine.run(script, model)
    assert bound["tighter"] == pytest.approx(truth, abs=0.03)
    assert bound["nats"] < truth - 0.02


def test_codes_of_a_conditional_vae_estimate_the_evidence_of_all_classes(engine: Engine) -> None:
    """As above, summed over the classes: the posterior draws a class with the probability that it has in log q."""
    model, _, _ = loaded(engine, "vae", "vae, conditional")
    script = f"""{GRID}
    const x = Float32Array.of(1, 0, 1, 1);
    const codes = (z) => [Float32Array.of(...z, 1, 0), Float32Array.of(...z, 0, 1)];
    const joint = (z) => codes(z).reduce((a, code) => a + Math.exp(model.logJoint(x, code)), 0);
    return [Math.log(grid.reduce((a, z) => a + joint(z) * step * step, 0)), model.score(x, new Random(5), 4000)];"""
    truth, bound = engine.run(script, model)
    assert bound["tighter"] == pytest.approx(truth, abs=0.03)
    assert bound["nats"] < truth - 0.02


@pytest.mark.parametrize("label", [None, 1])
def test_samples_and_completions_of_a_conditional_vae_have_their_class(label: int | None, engine: Engine) -> None:
    """log p(x) and log p(x | y) are importance-weighted estimates of PyTorch."""
    model = in_half_precision(seeded(find("vae").code("tiny")["vae, conditional"]))
    one, other = loaded(engine, "vae", "vae, conditional", model), [1, 0, 0, 1]
    images = torch.tensor(list(product((0.0, 1.0), repeat=4))).view(-1, *model.event_shape)
    torch.manual_seed(3)
    estimates = [view.log_weights(images, 4000).logsumexp(1) for view in (model, model.given(0), model.given(1))]
    of_all, of_first, of_last = (part.detach().softmax(0).numpy() for part in estimates)
    wanted = of_all if label is None else of_last
    found = counts(engine, "model.sample(random, 1, args[3]).x", *one, label)
    assert agrees(found, wanted) and not agrees(found, of_first)
    found = counts(engine, "model.complete(given, args[3], random, 1, 0, args[5]).x", *one, other, 9, label, draws=400)
    assert agrees(found, conditional(wanted, other, 9))


FLOWS = [("affine", "linear"), ("spline", "linear"), ("spline", "permute"), ("maf", "permute")]


@pytest.mark.parametrize(("layers", "mixing"), FLOWS)
def test_flows_of_points_are_densities_and_undo_themselves(layers: str, mixing: str, engine: Engine) -> None:
    flow = seeded(lambda: tiny_flow((2,), 0, "points", layers=layers, mixing=mixing, base_scale=0.8))
    model, _, _ = loaded(engine, "flow", f"{layers}, {mixing}", flow)
    script = f"""{GRID}
    for (const z of grid) mass[cell(z)] += Math.exp(model.logProb(z)) * step * step;
    for (let n = 0; n < 3000; n++) found[cell(model.sample(random).x)] += 1;
    const z = Float64Array.of(0.4, -0.7), x = model.decode(z), stages = model.layers([...z, ...z]);
    const density = model.density(-1, 1, -2, 2, 4);
    const pairs = [density[0], model.logProb(Float64Array.of(-0.75, 1.5)),
      density[7], model.logProb(Float64Array.of(0.75, 0.5))];
    return [mass, found, Array.from(model.encode(x).mean), Array.from(x), stages.map((s) => Array.from(s)), pairs];"""
    mass, found, z, x, stages, density = engine.run(script, model)
    assert sum(mass) == pytest.approx(1, abs=0.01) and agrees(np.array(found), np.array(mass))
    assert z == pytest.approx([0.4, -0.7], abs=1e-5)
    assert stages[0] == pytest.approx([0.4, -0.7, 0.4, -0.7]) and stages[-1] == pytest.approx([*x, *x], abs=1e-6)
    assert density[0] == pytest.approx(density[1], abs=1e-4) and density[2] == pytest.approx(density[3], abs=1e-4)


@pytest.mark.parametrize("layers", ["affine", "maf"])
def test_a_conditional_flow_of_points_has_a_density_samples_and_layers_of_each_class(
    layers: str, engine: Engine
) -> None:
    flow = seeded(lambda: tiny_flow((2,), 0, "points", layers=layers, conditional=True, base_scale=0.5))
    model, _, _ = loaded(engine, "flow", f"{layers}, conditional", flow)
    script = f"""{GRID}
    const other = mass.slice(), codes = [0, 1].map((y) => Float32Array.of(0.4, -0.7, 1 - y, y));
    for (const z of grid) {{
      mass[cell(z)] += Math.exp(model.logProb(z, 1)) * step * step;
      other[cell(z)] += Math.exp(model.logProb(z, 0)) * step * step;
    }}
    for (let n = 0; n < 3000; n++) found[cell(model.sample(random, 1, 1).x)] += 1;
    const points = codes.flatMap((code) => Array.from(model.decode(code)));
    const stages = model.layers(Float64Array.of(0.4, -0.7, 0.4, -0.7), [0, 1]);
    const x = Float64Array.of(0.5, 0.5);
    const density = [0, 1, null].map((y) => [model.density(0, 1, 0, 1, 1, y)[0], model.logProb(x, y)]);
    return [mass, other, found, points, [stages.length, Array.from(stages.at(-1))], density];"""
    mass, other, found, points, (stages, ends), density = engine.run(script, model)
    assert [sum(mass), sum(other)] == pytest.approx([1, 1], abs=0.01)
    assert agrees(np.array(found), np.array(mass)) and not agrees(np.array(found), np.array(other))
    assert stages == len(flow.bijection.steps) + 1 and ends == pytest.approx(points, abs=1e-5)
    assert points[:2] != pytest.approx(points[2:], abs=1e-3)
    assert [one for one, _ in density] == pytest.approx([two for _, two in density], abs=1e-4)


IMAGE_FLOWS = [f"flow of images{more}" for more in ("", ", variational", ", binary, affine", ", conditional")]


@pytest.mark.parametrize("name", IMAGE_FLOWS)
def test_weights_of_a_flow_of_images_sum_to_one_over_all_images(name: str, engine: Engine) -> None:
    model = loaded(engine, "flow", name)
    script = f"""{ALL_IMAGES}
    const random = new Random(2), totals = [];
    for (let n = 0; n < 100; n++) totals.push(images(values, levels).reduce((a, x) => {{
      const u = model.posterior(x).sample(random);
      return a + Math.exp(model.logJoint(x, u) - model.logPosterior(x, u));
    }}, 0));
    return totals;"""
    totals = np.array(engine.run(script, *model))
    assert totals.mean() == pytest.approx(1, abs=5 * totals.std() / 10) and totals.std() < 1


def test_random_numbers_repeat_by_their_seed_and_are_what_they_say(engine: Engine) -> None:
    script = """
    const numbers = (seed, kind, count) => {
      const r = new Random(seed);
      return Array.from({ length: count }, () => r[kind]());
    };
    const r = new Random(8), seen = [0, 0, 0], cold = [0, 0, 0], logits = [0.2, 0.5, 0.3].map(Math.log);
    for (let n = 0; n < 6000; n++) seen[r.category(logits)] += 1;
    for (let n = 0; n < 3000; n++) cold[r.category(logits, 0.5)] += 1;
    const uniform = numbers(1, "uniform", 20000);
    return [uniform, numbers(1, "uniform", 5), numbers(2, "uniform", 5), numbers(4, "normal", 20000), seen, cold];"""
    uniform, again, other, normal, seen, cold = (np.array(part) for part in engine.run(script))
    assert (uniform[:5] == again).all() and not (again == other).any()
    assert uniform.min() > 0 and uniform.max() < 1
    assert stats.kstest(uniform, "uniform").pvalue > P_VALUE and stats.kstest(normal, "norm").pvalue > P_VALUE
    for numbers in (uniform, normal):
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03
    assert agrees(seen, np.array([0.2, 0.5, 0.3])) and agrees(cold, np.array([0.04, 0.25, 0.09]))


@pytest.mark.parametrize("activation", ["relu", "leaky-relu", "gelu", "silu", "tanh"])
def test_every_activation_is_known_to_all_networks(activation: str, engine: Engine) -> None:
    made = seeded(lambda: tiny_made(hidden=[8], activation=activation))
    for family, model in (("made", made), ("vae", seeded(lambda: tiny_vae(activation=activation)))):
        one = described(family, activation, model)
        engine.load(activation, one["spec"], one["weights"])
        tests = engine.run("return modules.$models.selfTest(models[args[0]], args[1]);", activation, one["vectors"])
        assert tests and all(test["passed"] for test in tests), tests


def test_a_family_of_ones_own_is_computed_from_its_description(engine: Engine) -> None:
    chain = load_module(ROOT / "examples" / "chain.py", "family")
    torch.manual_seed(1)
    model = in_half_precision(chain.FAMILY.code("tiny")["chain"]())
    one = describe_model("chain", chain.FAMILY, model, PixelSpace("threshold", 256), "images of a test")
    engine.load("chain", one["spec"], one["weights"])
    tests = engine.run("return modules.$models.selfTest(models[args[0]], args[1]);", "chain", one["vectors"])
    assert [test["call"] for test in tests] == 3 * ["logProb"] + 3 * ["conditionals"]
    assert all(test["passed"] for test in tests), tests
    probabilities = np.exp(log_probs(engine, "chain", 2, 9))
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert agrees(counts(engine, "model.sample(random).x", "chain", 2, 9), probabilities)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_all_layers_compute_what_pytorch_computes(name: str, engine: Engine) -> None:
    network, x = network_and_inputs(name)
    packing = Packing()
    with torch.no_grad():
        layers, expected = packing.replace(layers_of(network)), network(x)
    script = """return modules.$store.openStore(args[0]).then((tensors) => {
      const network = new modules.$layers.Network(args[1], tensors);
      return args[2].map((x) => Array.from(network.run(Float32Array.from(x), args[3]).data));
    });"""
    found = engine.run(script, packing.text(), layers, x.flatten(1).tolist(), list(x.shape[1:]))
    torch.testing.assert_close(torch.tensor(found).double(), expected.flatten(1), atol=1e-5, rtol=1e-5)


def test_a_gan_completes_with_an_image_near_the_seen_pixels(engine: Engine) -> None:
    """The seen pixels of one of its own draws: the search finds an image nearer to them than other draws are."""
    model, _, values = loaded(engine, "gan", "gan, conditional")
    known = [1.0] * 6 + [0.0] * (values - 6)
    script = """
    const model = models[args[0]], known = Float32Array.from(args[1]), random = new Random(4), found = [];
    for (let n = 0; n < 10; n++) {
      const { x } = model.sample(random, 1, 1);
      const done = model.complete(x, known, random);
      const other = model.sample(random).x;
      const gap = (image) => known.reduce((total, seen, d) => total + (seen ? 0 : (image[d] - x[d]) ** 2), 0);
      const same = known.every((seen, d) => !seen || done.x[d] === x[d]);
      found.push([gap(done.x), gap(other), same && !done.exact && done.logProb === null]);
    }
    return [found, model.sample(random, 1, 2).z.slice(model.latents)];"""
    found, label = engine.run(script, model, known)
    assert all(sound for _, _, sound in found) and label == [0, 0, 1]
    assert sum(near for near, _, _ in found) < 0.2 * sum(far for _, far, _ in found)
