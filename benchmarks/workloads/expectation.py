"""Expectation-maximisation of mixtures of Bernoullis and of a circuit; the exact belief net."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness.declarations import Contestant, Repetition, Workload, usual
from benchmarks.harness.replay import products_of
from benchmarks.harness.training import Ours, binary_images, limit_of

PIXELS, BATCH = 784, 128


def count(images: int, tiny: bool) -> int:
    return 64 if tiny else images


def ours(components: int, images: int, tiny: bool) -> Ours:
    raw = binary_images(count(images, tiny))
    return Ours("mixture", raw, BATCH, method="em", components=components)


def em_step(x: Tensor, log_probs: Tensor, logits: Tensor) -> Tensor:
    """One update of all parameters from all images, with pseudo-counts of 1; also the log-likelihood of each image."""
    joint = log_probs + x @ logits.T - F.softplus(logits).sum(1)
    log_prob = joint.logsumexp(1)
    responsibilities = (joint - log_prob[:, None]).exp()
    counts = responsibilities.sum(0)
    probs = (responsibilities.T @ x + 1) / (counts[:, None] + 2)
    log_probs.copy_(((counts + 1) / (counts + 1).sum()).log())
    logits.copy_(probs.logit())
    return log_prob


def plain(components: int, images: int, tiny: bool) -> Repetition:
    """All images at once, in float32, as a user writes it."""
    x = (binary_images(count(images, tiny)) > 127).flatten(1).float()
    logits = torch.randn(components, PIXELS)
    log_probs = torch.full((components,), 1 / components).log()
    return lambda: em_step(x, log_probs, logits)


def limit(components: int, images: int, tiny: bool) -> Repetition:
    """The two products of a batch: log-probabilities and counts."""
    x, logits = torch.randn(BATCH, PIXELS), torch.randn(components, PIXELS)
    responsibilities, batches = torch.randn(BATCH, components), -(-count(images, tiny) // BATCH)

    @torch.no_grad()
    def repetition() -> None:
        for _ in range(batches):
            _ = x @ logits.T
            _ = responsibilities.T @ x

    return repetition


def ours_circuit(tiny: bool) -> Ours:
    return Ours("circuit", binary_images(count(500, tiny), 14 if tiny else 28), 500, states=4 if tiny else 32)


def em(components: int, images: int) -> Workload:
    return Workload(
        f"em-{components}",
        f"EM of the mixture, K = {components}",
        f"one epoch of {images:,} images with 784 pixels",
        usual(
            partial(ours, components, images), partial(plain, components, images), partial(limit, components, images)
        ),
    )


def belief_net(way: str, tiny: bool) -> Repetition:
    """Value and gradient of the exact log-likelihood, which sums over all states of the latents."""
    from ancestral.studies.demonstrations.belief_net_cost import steps_at

    return steps_at(*((4, 8, 49) if tiny else (12, 128, PIXELS)))[way]


WORKLOADS = (
    em(20, 12_800),
    em(500, 6_400),
    Workload(
        "em-circuit",
        "EM of a circuit",
        "one update from 500 images 28 x 28, 32 states",
        usual(ours_circuit, None, partial(limit_of, ours_circuit)),
    ),
    Workload(
        "belief-net",
        "exact sigmoid belief net",
        "value and gradient of 128 images, 784 pixels, 12 latents",
        (
            Contestant("ours", "ours", partial(belief_net, "ours")),
            Contestant("PyTorch, sum by its definition", "plain", partial(belief_net, "naive")),
            Contestant("products", "limit", lambda tiny: products_of(belief_net("ours", tiny))),
        ),
        threads=(1,),
        most_rounds=3,
    ),
)
