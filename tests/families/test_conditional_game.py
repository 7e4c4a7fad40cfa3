"""The game of a conditional GAN: each draw is made and judged under the label of the image beside it."""

from __future__ import annotations

from typing import Any

import torch
from test_gan import SHAPE, TINY, game, images
from torch import Tensor

from ancestral.data.pixels import Batch
from ancestral.families.family import DataSpec
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import AdversarialStep

LABELS = torch.tensor([2, 0, 1, 1])


def watched(step: AdversarialStep, name: str) -> list[tuple[Any, ...]]:
    """The arguments of each call of a network of the game."""
    calls: list[tuple[Any, ...]] = []
    network = getattr(step, name)
    network.register_forward_pre_hook(lambda module, arguments: calls.append(arguments))
    return calls


def test_samples_and_critic_use_the_labels_of_the_batch() -> None:
    step, x = game(classes=3), images()[: len(LABELS)]
    made, judged = watched(step, "generator"), watched(step, "critic")
    step(Batch(x, LABELS), 0)
    ((codes,),) = made
    assert torch.equal(codes[:, -3:].argmax(1), LABELS)
    (both, labels), (fake, again) = judged
    assert torch.equal(both[: len(x)], x) and torch.equal(labels, torch.cat([LABELS, LABELS]))
    assert torch.equal(both[len(x) :], fake.detach()) and torch.equal(again, LABELS)
    assert not both.requires_grad and fake.requires_grad  # the critic's update does not reach the generator


def test_averaged_weights_have_the_newest_batch_statistics() -> None:
    step, x = game(average=0.9), images()
    step.trained.register_buffer("statistics", torch.zeros(2))
    step.model.register_buffer("statistics", torch.zeros(2))
    step.trained.get_buffer("statistics").fill_(3.0)
    step(Batch(x), 0)
    assert step.model.get_buffer("statistics").tolist() == [3.0, 3.0]


def conditional(proportions: tuple[float, ...] | None = None) -> GAN:
    return build_gan(GANSettings(**TINY, classes=3), DataSpec(SHAPE, 0, "unit", 3, proportions=proportions))


def test_a_class_without_training_images_is_never_sampled() -> None:
    model = conditional((0.25, 0.75))
    assert model.shares.tolist() == [0.25, 0.75, 0.0]
    labels = model.draw_classes(400)
    assert labels.max() == 1 and abs(labels.double().mean().item() - 0.75) < 0.1


def test_both_codes_of_a_pair_have_the_same_class() -> None:
    first, last, held = conditional().sample_code_pairs(6)
    assert first.shape == last.shape == (6, 3) and len(torch.cat([first, last]).unique(dim=0)) == 12
    counts: Tensor = held.sum(0)
    assert counts.sum() == 6 and (held.sum(1) == 1).all()
