"""Workloads of the benchmark: contestants exist, run at tiny sizes, and compute the same as ours."""

import importlib.util

import pytest
import torch
from torch.distributions import Distribution
from torch.utils.flop_counter import FlopCounterMode

from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.likelihood import importance_weighted
from benchmarks.harness.catalogue import workloads
from benchmarks.harness.declarations import Missing
from benchmarks.harness.replay import linear_products
from benchmarks.harness.training import Ours, binary_images, same_weights
from benchmarks.workloads import autoregressive, expectation, flow, using, vae

ALL = workloads()
SLOW = ("training", "verbs", "verbs-mnist", "sampling-pixelcnn", "completion", "any-order", "flow-images")
RUN = [
    pytest.param(name, part.name, id=f"{name}-{part.name}", marks=[pytest.mark.slow] if name in SLOW else [])
    for name, one in ALL.items()
    for part in one.contestants
]


@pytest.fixture(autouse=True)
def argument_checks_as_before(monkeypatch):
    """Zuko, which a contestant imports, switches the argument checks of all distributions off."""
    monkeypatch.setattr(Distribution, "_validate_args", Distribution._validate_args)


def test_every_workload_of_the_list_exists():
    assert set(ALL) >= {
        *("vae-128", "vae-1024", "vae-cnn", "gan", "made", "pixelcnn", "any-order", "flow-points", "flow-images"),
        *("em-20", "em-500", "em-circuit", "iwae", "sampling-made", "sampling-pixelcnn", "completion", "compression"),
        *("verbs", "verbs-mnist", "training", "reading-array", "reading-folder", "belief-net"),
        *("curve-images", "curve-width", "curve-latents", "curve-pixels", "memory-samples", "memory-images"),
    }


def test_ours_comes_first_and_names_are_unique():
    for one in ALL.values():
        names = [part.name for part in one.contestants]
        assert one.contestants[0].role == "ours" and len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "contestant"), RUN)
def test_every_contestant_runs_at_tiny_sizes(name, contestant):
    part = ALL[name].contestant(contestant)
    if not all(map(importlib.util.find_spec, part.needs)):
        pytest.skip("the package is not installed")
    try:
        repetition = part.setup(True)
    except Missing as reason:
        pytest.skip(str(reason))
    repetition()
    repetition()


def first_loss(ours: Ours, plain) -> tuple[float, float]:
    """Mean loss of the first batch: ours and plain, with the same weights and random numbers."""
    batch = ours.first_batch()
    torch.manual_seed(1)
    theirs = plain.loss(batch.x).item()
    torch.manual_seed(1)
    return ours.one(batch)["loss"].mean().item(), theirs


@pytest.mark.parametrize(
    ("ours", "plain"),
    [
        (lambda: vae.ours(4, 2, True), vae.plain_mlp),
        (lambda: autoregressive.ours_made(True), autoregressive.PlainMADE),
        (lambda: flow.ours(True), flow.PlainFlow),
    ],
    ids=["vae", "made", "flow"],
)
def test_plain_pytorch_computes_our_loss_from_our_weights(ours, plain):
    made, network = ours(), plain()
    if isinstance(network, flow.PlainFlow):  # its last layers are 0 at the start
        with torch.no_grad():
            for weights in made.model.parameters():
                weights.add_(0.05 * torch.randn_like(weights))
    same_weights(made.model, network)
    mine, theirs = first_loss(made, network)
    assert mine == pytest.approx(theirs, rel=1e-5)


def test_the_plain_convolutional_vae_computes_our_loss():
    made = vae.ours(4, 2, True, "cnn")
    mine, theirs = first_loss(made, vae.PlainCNN(made.model))
    assert mine == pytest.approx(theirs, rel=1e-5)


def test_the_plain_pixelcnn_computes_our_loss_from_our_weights():
    made, network = autoregressive.ours_pixelcnn(True), autoregressive.PlainPixelCNN()
    with torch.no_grad():
        for mine, theirs in zip(made.model.parameters(), network.parameters(), strict=True):
            if mine.dim() == 4:  # ours stores the rows of a kernel that are not masked
                theirs[:, :, : mine.shape[2]] = mine
            else:
                theirs.copy_(mine)
    mine, theirs = first_loss(made, network)
    assert mine == pytest.approx(theirs, rel=1e-5)


def test_plain_expectation_maximisation_is_ours_with_the_same_pseudo_counts():
    x = (binary_images(64) > 127).flatten(1).float()
    made = Ours("mixture", binary_images(64), 16, method="em", components=5, smoothing=1.0)
    with torch.no_grad():
        logits, log_probs = made.model.logits.clone(), made.model.log_prior().clone()
        before = expectation.em_step(x, log_probs, logits)
        assert torch.allclose(made.model.log_prob(x.view(-1, 1, 28, 28)), before, atol=1e-3)
        made()
        assert torch.allclose(made.model.logits, logits, atol=1e-4)
        assert torch.allclose(made.model.log_prior(), log_probs, atol=1e-5)


def test_the_plain_importance_weighted_score_agrees_with_ours():
    made, network = using.vae(True), vae.plain_mlp()
    same_weights(made.model, network)
    x = made.first_batch().x
    ours = importance_weighted(made.model, PixelBatches(255 * x, PixelSpace("threshold", 256)), 4000)
    assert torch.allclose(using.plain_scores(network, x, 4000), ours.float(), atol=0.3)


def test_the_limit_of_made_has_the_operations_of_its_three_layers():
    with FlopCounterMode(display=False) as counter:
        autoregressive.limit_made(True)()
    layers = [(784, 1000), (1000, 1000), (1000, 784)]
    assert counter.get_total_flops() == 2 * 2 * 4 * (3 * sum(a * b for a, b in layers) - 784 * 1000)
    with FlopCounterMode(display=False) as counter:
        linear_products(layers, 8, 3)()
    assert counter.get_total_flops() == 3 * 2 * 8 * (3 * sum(a * b for a, b in layers) - 784 * 1000)
