"""Laws of the any-order models, by sums over all images, masks and orders of tiny instances."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.distributions.outputs import pixel_output
from ancestral.evaluation import scoring
from ancestral.evaluation.enumeration import all_images
from ancestral.families.any_order.build import build_any_order
from ancestral.families.any_order.initialise import begin_at_marginals
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.families.any_order.objective import AnyOrderObjective, held_out, training_masks
from ancestral.families.any_order.orders import FixedOrder, UniformOrders, random_turns, scans, stratified
from ancestral.families.any_order.settings import AnyOrderSettings
from ancestral.families.any_order.tiny import tiny_any_order
from ancestral.families.family import DataSpec
from ancestral.networks.unet import UNet

NAMES = [name for name in zoo.ZOO if name.startswith("any-order")]
ORDERS = ["raster", "columns", "random:3", "confidence"]


def model_of(name: str = "any-order") -> AnyOrderModel:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, AnyOrderModel)
    return model


def nine_pixels() -> AnyOrderModel:
    model = zoo.seeded(lambda: tiny_any_order((1, 3, 3)))
    assert isinstance(model, AnyOrderModel)
    return model


def all_masks(model: AnyOrderModel) -> Tensor:
    values = itertools.product([False, True], repeat=model.dimensions)
    return torch.tensor(list(values)).view(-1, *model.event_shape)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_probabilities_sum_to_one_in_every_order(name: str, order: str) -> None:
    model = model_of(name)
    total = model.log_prob_in_order(all_images(model), order).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_conditionals_sum_to_one_for_all_masks(order: str) -> None:
    """For each of the 512 masks of 3x3 pixels, over all values of the hidden pixels."""
    model = nine_pixels()
    x, torch_rows = all_images(model), torch.Generator().manual_seed(0)
    for mask in all_masks(model)[torch.randperm(512, generator=torch_rows)[:40]]:
        same = (x == x[171])[:, mask].all(1) if bool(mask.any()) else torch.ones(len(x), dtype=torch.bool)
        filled_in = x[same]
        found = model.log_prob_missing(filled_in, mask.expand_as(filled_in), order)
        assert found.exp().sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_hidden_pixels_do_not_change_the_conditionals(name: str) -> None:
    model = model_of(name)
    x = all_images(model)
    for mask in all_masks(model):
        observed = mask.expand_as(x)
        parameters = model.predict(x, observed)
        shown = torch.where(observed, x, 0)
        assert torch.equal(parameters, model.predict(shown, observed))
        assert torch.equal(parameters, model.predict(torch.where(observed, x, math.nan), observed))


def exact_bound(model: AnyOrderModel, x: Tensor) -> Tensor:
    """The ELBO of each image by a sum over all sets of observed pixels, shape (B,)."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for mask in all_masks(model)[:-1]:
        t = int(mask.sum())
        share = 1 / (model.dimensions * math.comb(model.dimensions, t))  # P(t) times that of the set
        log_p = model.log_probs_hidden(x, mask.expand_as(x)).sum(1)
        total += share * model.dimensions * log_p / (model.dimensions - t)
    return total


def log_probs_of_all_orders(model: AnyOrderModel, x: Tensor) -> Tensor:
    orders = torch.tensor(list(itertools.permutations(range(model.dimensions))))
    z = orders[:, None].expand(-1, len(x), -1)
    return model.log_joint(x, z) - model.prior().log_prob(z)


@pytest.mark.parametrize("name", ["any-order", "any-order, categorical", "any-order, logistic, colour"])
def test_the_bound_is_the_mean_over_all_orders(name: str) -> None:
    """And it is at most log p(x), the log of the mean probability."""
    model = model_of(name)
    x = all_images(model)
    with torch.no_grad():
        each = log_probs_of_all_orders(model, x)
        bound = exact_bound(model, x)
    assert torch.allclose(bound, each.mean(0), atol=1e-10)
    log_p = each.logsumexp(0) - math.log(len(each))
    assert (bound <= log_p + 1e-12).all()
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert (log_p - bound).mean() > 0.01  # otherwise the orders agree, and the tests above are weak


@pytest.mark.parametrize("masks", [1, 3, 9])
def test_the_estimate_of_the_bound_has_no_bias(masks: int) -> None:
    model = nine_pixels()
    model.bound_masks = masks
    x = all_images(model)[::73]
    torch.manual_seed(0)
    with torch.no_grad():
        truth = exact_bound(model, x)
        found = torch.stack([model.elbo(x) for _ in range(500)])
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - truth).abs() < 4.5 * error).all()  # 8 images: false alarm below 1e-4


@pytest.mark.parametrize("steps", [1, 2, 4, 9])
def test_the_bound_in_steps_is_that_of_independent_groups(steps: int) -> None:
    """By the sum over the random order of the log-probabilities of the groups, from 4,000 orders."""
    model = nine_pixels()
    x = all_images(model)[365:366]
    ends = [step * 9 // steps for step in range(steps + 1)]
    torch.manual_seed(0)
    turns = random_turns(4000, 9, x.device)
    rows, total = x.expand(len(turns), *x.shape[1:]), torch.zeros(len(turns), dtype=torch.float64)
    with torch.no_grad():
        for first, end in itertools.pairwise(ends):
            log_p = model.log_probs_hidden(rows, (turns < first).view(rows.shape))
            total += torch.where((turns >= first) & (turns < end), log_p, 0).sum(1)
        found = torch.cat([model.bound_in_steps(rows, steps) for _ in range(2)])
    gap = found.mean() - total.mean()
    error = math.hypot(found.std().item() / math.sqrt(len(found)), total.std().item() / math.sqrt(len(total)))
    assert abs(gap) < 4 * error


def test_samples_in_one_step_are_independent_and_in_all_steps_fit_the_mixture_of_orders() -> None:
    model = model_of()
    x = all_images(model)
    torch.manual_seed(0)
    index = 2 ** torch.arange(3, -1, -1)
    with torch.no_grad():
        each = log_probs_of_all_orders(model, x)
        truth = {4: (each.logsumexp(0) - math.log(24)).exp()}
        nothing = torch.zeros_like(x, dtype=torch.bool)
        truth[1] = model.log_probs_hidden(x, nothing).sum(1).exp()
    for steps, p in truth.items():
        drawn = (model.sample_in_steps(40_000, steps).flatten(1).long() * index).sum(1)
        counts = torch.bincount(drawn, minlength=16).double()
        statistic = ((counts - 40_000 * p).square() / (40_000 * p)).sum().item()
        assert statistic < 44.3  # chi-square of 15 degrees of freedom: false alarm 1e-4


@pytest.mark.parametrize("order", ORDERS)
def test_completions_fit_the_probability_of_the_missing_pixels(order: str) -> None:
    model = nine_pixels()
    observed = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1], dtype=torch.bool).view(1, 1, 3, 3)
    x = all_images(model)
    same = x[(x == x[300])[:, observed[0]].all(1)]
    p = model.log_prob_missing(same, observed.expand_as(same), order).exp()
    torch.manual_seed(0)
    drawn = model.complete(x[300:301].expand(30_000, -1, -1, -1), observed.expand(30_000, -1, -1, -1), order)
    assert torch.equal(drawn[:, observed[0]], x[300][observed[0]].expand(30_000, -1))
    index = 2 ** torch.arange(8, -1, -1)
    numbers = [(rows.flatten(1).long() * index).sum(1) for rows in (drawn, same)]
    counts = torch.bincount(numbers[0], minlength=512)[numbers[1]].double()
    assert counts.sum() == 30_000
    expected = 30_000 * p
    statistic = ((counts - expected).square() / expected).sum().item()
    assert statistic < 44.3  # 15 degrees of freedom: false alarm 1e-4


def test_each_order_reveals_each_pixel_once() -> None:
    model = nine_pixels()
    for order in ORDERS:
        rule = model._order(order)
        seen = torch.zeros(4, 9, dtype=torch.bool)
        x = model.sample(4)
        for _ in range(9):
            pixel = rule.next(model.predict(x, seen.view(x.shape)).flatten(1, -2), seen)
            assert not bool(seen[torch.arange(4), pixel].any())
            seen[torch.arange(4), pixel] = True
        assert bool(seen.all())


def test_the_confidence_order_chooses_the_lowest_entropy_among_hidden_pixels() -> None:
    model = nine_pixels()
    rule, x = model._order("confidence"), model.sample(50)
    torch.manual_seed(2)
    seen = torch.rand(50, 9) < 0.5
    seen[:, 4] = False
    parameters = model.predict(x, seen.view(x.shape)).flatten(1, -2)
    p = parameters[..., 0].sigmoid()
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    assert torch.equal(rule.next(parameters, seen), torch.where(seen, math.inf, entropy).argmin(1))
    # a pixel that is not generated yet has no influence
    other = torch.where(seen.view(x.shape), x, 1 - x)
    assert torch.equal(
        rule.next(parameters, seen), rule.next(model.predict(other, seen.view(x.shape)).flatten(1, -2), seen)
    )


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "zero-flag", "logistic"])
def test_entropy_and_fitted_parameters_of_outputs(name: str) -> None:
    levels = 2 if name == "bernoulli" else 5
    output = pixel_output(name, levels, 3)
    torch.manual_seed(0)
    parameters = torch.randn(7, output.size, dtype=torch.float64)
    each = torch.arange(levels, dtype=torch.float64)[:, None].expand(-1, 7)
    log_p = output.log_prob(parameters.expand(levels, -1, -1), each)
    assert torch.allclose(output.entropy(parameters), -(log_p.exp() * log_p).sum(0))
    counts = torch.tensor([[30.0, 10.0, 0.0, 5.0, 900.0], [1.0, 2.0, 3.0, 4.0, 5.0]], dtype=torch.float64)[:, :levels]
    found = output.log_prob(output.fitted(counts).expand(levels, -1, -1), each[:, :2]).exp().T
    wanted = (counts + 1) / (counts + 1).sum(1, keepdim=True)
    if name == "logistic":  # close only: a few components
        assert (found.argmax(1) == wanted.argmax(1)).all()
    else:
        assert torch.allclose(found, wanted)


def test_the_start_is_at_the_marginals_of_the_training_data() -> None:
    model = model_of("any-order, categorical")
    for parameter in model.network.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.tensor([[0, 1, 2], [0, 1, 1], [0, 2, 2], [1, 2, 2]], dtype=torch.uint8).view(4, 1, 1, 3)
    begin_at_marginals(model, PixelBatches(x, PixelSpace("levels", 3)))
    counts = torch.tensor([[3, 1, 0], [0, 2, 2], [0, 1, 3]], dtype=torch.float64)
    found = model.predict(x.double(), torch.zeros_like(x, dtype=torch.bool))[0, 0, 0].softmax(-1)
    assert torch.allclose(found, (counts + 1) / 7)


def test_training_masks_have_their_shares_and_weights() -> None:
    model = model_of()
    model = zoo.seeded(lambda: tiny_any_order((1, 4, 6)))
    assert isinstance(model, AnyOrderModel)
    torch.manual_seed(0)
    masks = training_masks(200, model, 0.25, 0.2)
    assert torch.allclose(masks.weights.sum(1), torch.ones(200, dtype=torch.float64))
    assert bool((masks.weights[masks.observed] == 0).all())
    assert int(masks.uniform.sum()) == 110
    rows = scans((1, 4, 6))
    prefixes = [(rows[None, scan] < masks.observed.sum(1)[:, None]) for scan in range(4)]
    scanned = torch.stack([(prefix == masks.observed).all(1) for prefix in prefixes]).any(0)
    assert bool(scanned[:50].all())
    halves = torch.stack([masks.observed[:, rows[scan] < 12].all(1) for scan in range(4)]).any(0)
    assert bool(halves[50:90].all())
    even = masks.weights[masks.uniform] * (24 - masks.observed[masks.uniform].sum(1, keepdim=True))
    assert torch.allclose(even[~masks.observed[masks.uniform]], torch.ones((), dtype=torch.float64))


def test_the_loss_and_the_held_out_bound_are_estimates_of_the_bound() -> None:
    model = nine_pixels()
    x = all_images(model)[::7][:64]
    truth = -exact_bound(model, x).mean().item()
    objective = AnyOrderObjective(0.0, 0.0)
    torch.manual_seed(0)
    with torch.no_grad():
        losses = torch.stack([objective(model, Batch(x))["loss"].mean() for _ in range(400)])
        shares = AnyOrderObjective(0.25, 0.2)
        batches = (Batch(x[torch.randperm(64)]) for _ in range(1500))  # a training shuffles its images
        terms = torch.stack([shares(model, batch)["negative_elbo"].mean() for batch in batches])
    for found in (losses, terms):
        assert abs(found.mean().item() - truth) < 4 * found.std().item() / math.sqrt(len(found))
    images = PixelBatches(x.repeat(100, 1, 1, 1).to(torch.uint8), PixelSpace("levels", 2))
    found = held_out(model, images)["negative_elbo"]
    assert found == held_out(model, images)["negative_elbo"]
    assert abs(found - truth) < 0.15


def test_scans_go_in_four_directions_with_the_channels_of_a_pixel_together() -> None:
    turns = scans((2, 2, 3)).view(4, 2, 2, 3)
    assert turns[0].tolist() == [[[0, 2, 4], [6, 8, 10]], [[1, 3, 5], [7, 9, 11]]]
    assert turns[1, 0].tolist() == [[0, 4, 8], [2, 6, 10]]
    assert torch.equal(turns[2], 11 - turns[0])
    assert torch.equal(turns[3], 11 - turns[1])


def test_stratified_numbers_cover_all_sizes() -> None:
    torch.manual_seed(0)
    found = stratified(40, 10, torch.device("cpu"))
    assert torch.equal(found.bincount(minlength=10), torch.full((10,), 4))


def test_orders_of_the_prior_are_uniform_permutations() -> None:
    torch.manual_seed(0)
    z = UniformOrders(3).sample((6000,))
    assert torch.equal(z.sort(1).values, torch.arange(3).expand(6000, 3))
    counts = torch.bincount(z @ torch.tensor([9, 3, 1]))
    counts = counts[counts > 0].double()
    assert len(counts) == 6
    assert ((counts - 1000).square() / 1000).sum() < 25.7  # 5 degrees of freedom: false alarm 1e-4
    assert UniformOrders(3).log_prob(z)[0].item() == pytest.approx(-math.log(6))


def test_wrong_orders_steps_and_masks_are_refused() -> None:
    model = model_of()
    x = all_images(model)[:2]
    for name in ("rasters", "random", "random:x", "random:-1", ""):
        with pytest.raises(InputError, match="unknown order"):
            model.log_prob_in_order(x, name)
    for steps in (0, 5):
        with pytest.raises(InputError, match="from 1 to 4"):
            model.sample_in_steps(2, steps)
    with pytest.raises(InputError, match="same"):
        model.log_prob_missing(x, torch.ones(2, 1, 2, 3, dtype=torch.bool))
    with pytest.raises(InputError, match="levels"):
        model.log_prob_in_order(x + 0.5)
    everything = torch.ones_like(x, dtype=torch.bool)
    assert model.log_prob_missing(x, everything).tolist() == [0.0, 0.0]
    assert torch.equal(model.complete(x, everything), x)
    assert torch.allclose(model.log_prob_missing(x, ~everything), model.log_prob_in_order(x))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (1, 5, 7), (2, 1, 3)])
def test_networks_take_images_of_any_size(shape: tuple[int, int, int]) -> None:
    for network in ("unet", "mlp"):
        for levels, space in ((2, "threshold"), (16, "levels"), (256, "levels")):
            settings = AnyOrderSettings(network=network, width=6, dense=5, hidden=(7,), components=2)  # type: ignore[arg-type]
            model = build_any_order(settings, DataSpec(shape, levels, space)).eval()
            x = torch.randint(levels, (2, *shape)).float()
            assert model.elbo(x).shape == (2,)
            assert model.sample_in_steps(2, 2).shape == x.shape


def test_padded_sides_of_the_unet_are_cut_off_and_all_outputs_depend_on_all_inputs() -> None:
    torch.manual_seed(0)
    network = zoo.perturbed(UNet(1, 1, (5, 7), 6, 1, 8), 0.3).double()
    x = torch.randn(1, 1, 5, 7, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(network, x).view(35, 35)  # type: ignore[attr-defined]
    assert bool((jacobian.abs() > 0).all())


def test_named_orders_are_scored_exactly_and_can_be_scored_again() -> None:
    model = nine_pixels()
    x = all_images(model)[::31]
    images = PixelBatches(x.to(torch.uint8), PixelSpace("threshold", 2))
    score = scoring.score(model, images, dataset="tiny", split="test", order="random:5")
    assert (score.kind, score.side, score.method) == ("exact", None, "log p(x), random:5 order")
    assert score.nats == pytest.approx(model.log_prob_in_order(x, "random:5").mean().item())
    assert scoring.score_again(model, images, score, "tiny") == score
    parallel = scoring.score(model, images, dataset="tiny", split="test", steps=3)
    assert (parallel.kind, parallel.side, parallel.method) == ("bound", "lower", "ELBO, 3 steps")
    assert scoring.score_again(model, images, parallel, "tiny") == parallel
    whole = scoring.score(model, images, dataset="tiny", split="test", steps=9)
    assert whole.nats == scoring.score(model, images, dataset="tiny", split="test").nats


def test_a_fixed_order_may_differ_between_images() -> None:
    model = nine_pixels()
    x, turns = all_images(model)[100:103], random_turns(3, 9, torch.device("cpu"))
    nothing = torch.zeros_like(x, dtype=torch.bool)
    together = model._log_prob_hidden_fixed(x, nothing, FixedOrder(turns))
    for i in range(3):
        alone = model._generate(x[i : i + 1], nothing[:1], FixedOrder(turns[i]), x[i : i + 1].flatten(1))[1]
        assert alone.item() == pytest.approx(together[i].item(), abs=1e-12)


@pytest.mark.parametrize("order", ["raster", "confidence"])
@pytest.mark.parametrize("name", NAMES)
def test_the_log_probability_of_no_hidden_pixel_is_zero(name: str, order: str) -> None:
    x = all_images(model := model_of(name))[:3]
    assert model.log_prob_missing(x, torch.ones_like(x, dtype=torch.bool), order).tolist() == [0, 0, 0]


# ---- missing pixels


def exact_bound_of_seen(model: AnyOrderModel, x: Tensor, seen: Tensor) -> Tensor:
    """The mean of log p(seen pixels | order) over all orders of the seen pixels of one mask, (D,), shape (B,)."""
    places = seen.nonzero()[:, 0].tolist()
    total, orders = torch.zeros(len(x), dtype=torch.float64), list(itertools.permutations(places))
    for order in orders:
        observed = torch.zeros(len(x), model.dimensions, dtype=torch.bool)
        for pixel in order:
            total += model.log_probs_hidden(x, observed.view(x.shape))[:, pixel]
            observed[:, pixel] = True
    return total / len(orders)


MISSING = [(True, False, True, True), (False, True, False, False), (True, False, False, True), (False,) * 4]


@pytest.mark.parametrize("mask", MISSING)
def test_missing_pixels_come_last_in_every_order(mask: tuple[bool, ...]) -> None:
    """The probabilities of the seen pixels sum to one, and the estimate of their bound has no bias."""
    model, seen = model_of(), torch.tensor(mask)
    x = all_images(model)
    x = x[(x.flatten(1)[:, ~seen] == 0).all(1)]
    hidden = x.where(seen.view(1, *model.event_shape), math.nan)
    view = model.where_seen(seen.view(1, *model.event_shape).expand_as(x))
    orders = torch.tensor(list(itertools.permutations(range(4))))[:, None].expand(-1, len(x), -1)
    with torch.no_grad():
        each = view.log_joint(hidden, orders) - view.prior().log_prob(orders)
        assert each.logsumexp(0).exp().sum().item() / 24 == pytest.approx(1, abs=1e-10)
        truth = exact_bound_of_seen(model, x, seen)
        assert torch.allclose(each.mean(0), truth, atol=1e-10)
        torch.manual_seed(0)
        found = torch.stack([view.elbo(hidden) for _ in range(400)])
    error = found.std(0) / 20
    assert ((found.mean(0) - truth).abs() <= 4.5 * error + 1e-9).all()
    for order in ORDERS:
        assert view.log_prob_in_order(hidden, order).exp().sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.3, 0.3)])
def test_training_masks_show_and_weigh_no_missing_pixel(shares: tuple[float, float]) -> None:
    model = nine_pixels()
    torch.manual_seed(1)
    seen = torch.rand(400, 9) < 0.6
    seen[:3] = False
    masks = training_masks(400, model, *shares, seen)
    assert not (masks.observed & ~seen).any() and not (masks.weights * ~seen).any()
    assert not (masks.weights * masks.observed).any()
    assert torch.allclose(masks.weights.sum(1), seen.any(1).double())
    torch.manual_seed(2)
    plain = training_masks(64, model, *shares)
    torch.manual_seed(2)
    same = training_masks(64, model, *shares, torch.ones(64, 9, dtype=torch.bool))
    assert all(torch.equal(one, other) for one, other in zip(plain, same, strict=True))


def test_the_loss_and_the_held_out_bound_of_missing_pixels_are_estimates_of_their_bound() -> None:
    model = model_of()
    x, seen = all_images(model)[[5, 6, 10, 15]], torch.tensor(MISSING)
    shape = (4, *model.event_shape)
    with torch.no_grad():
        truth = torch.cat([exact_bound_of_seen(model, one[None], mask) for one, mask in zip(x, seen, strict=True)])
        torch.manual_seed(0)
        batch = Batch(x.repeat(100, 1, 1, 1), seen=seen.view(shape).repeat(100, 1, 1, 1))
        losses = torch.stack([AnyOrderObjective(0.0, 0.0)(model, batch)["loss"].view(100, 4) for _ in range(20)])
        split = Split(x.to(torch.uint8).repeat(500, 1, 1, 1), None, seen=seen.view(shape).repeat(500, 1, 1, 1))
        found = held_out(model, PixelBatches(split, PixelSpace("threshold", 2)))["negative_elbo"]
    losses = losses.flatten(0, 1)
    error = losses.std(0) / len(losses) ** 0.5
    assert ((losses.mean(0) + truth).abs() <= 4.5 * error + 1e-9).all() and (error < 0.06).all()
    assert found == pytest.approx(-truth.mean().item(), abs=0.06)


def test_the_start_counts_no_missing_pixel() -> None:
    model = nine_pixels()
    images = torch.ones(50, 1, 3, 3, dtype=torch.uint8)
    seen = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    images[~seen] = 0
    begin_at_marginals(model, PixelBatches(Split(images, None, seen=seen), PixelSpace("threshold", 2)))
    count = seen.sum(0).double() + 1
    assert torch.allclose(model.bias[..., 0], count.log(), atol=1e-6)
