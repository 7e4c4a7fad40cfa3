"""The adversarial step: the critic is trained to separate real from generated images, the generator against it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.utils import get_total_norm
from torch.nn.utils.parametrizations import spectral_norm

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.families.family import NONE_GIVEN, StepContext
from ancestral.families.gan.model import ACTIVATION, GAN
from ancestral.families.gan.settings import GANSettings
from ancestral.families.size import refuse_beyond_memory
from ancestral.networks.conv import ConvEncoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network
from ancestral.settings.training import TrainingSettings
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer, under_prefix, with_prefix
from ancestral.training.engine import Engine
from ancestral.training.graphs import graph_for
from ancestral.training.objectives import Terms
from ancestral.training.shards import WHOLE, Part, Shards, Sums, put_gradients
from ancestral.training.steps import build_optimizer, set_learning_rate

R1_EVERY = 16  # updates; a lazy penalty costs less and works as well (Karras et al., 2020, section 3.1)
AVERAGE_WARMUP = 10  # updates with a faster average, so that the weight of the untrained generator decays quickly


class AdversarialLoss(NamedTuple):
    """The losses of critic and generator, as functions of the critic's scores; each returns shape (B,).

    critic: (scores of real images, scores of generated images) -> loss. generator: scores of generated images -> loss.
    has_probabilities: whether sigmoid(score) is the critic's probability that an image is real.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    has_probabilities: bool


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) for D = sigmoid(score), nats: the negative value of the minimax game."""
    return softplus(-real) + softplus(fake)


LOSSES: dict[str, AdversarialLoss] = {
    # Goodfellow et al., 2014, section 3: -log D(G(z)), whose gradient does not vanish if the critic is good
    "non-saturating": AdversarialLoss(cross_entropy, lambda fake: softplus(-fake), True),
    # the same paper, eq. 1: log(1 - D(G(z)))
    "saturating": AdversarialLoss(cross_entropy, lambda fake: -softplus(fake), True),
    # Lim and Ye, 2017, arXiv 1705.02894
    "hinge": AdversarialLoss(lambda real, fake: relu(1 - real) + relu(1 + fake), lambda fake: -fake, False),
    # Arjovsky et al., 2017, arXiv 1701.07875
    "wasserstein": AdversarialLoss(lambda real, fake: fake - real, lambda fake: -fake, False),
}


class Critic(nn.Module):
    """The critic: a score for each image, higher for images that look real; in a conditional GAN, for its class.

    Args:      network: pixels in [-1, 1], or points, to one score, or to one score per class. of_images: whether the
               inputs are pixels in [0, 1], which are mapped to [-1, 1].
    Reference: the score of a class is that of Miyato and Koyama, 2018, eq. 3, arXiv 1802.05637; its unconditional part
               is absorbed by the weights of the classes.
    """

    def __init__(self, network: nn.Module, of_images: bool) -> None:
        super().__init__()
        self.network, self.of_images = network, of_images

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Scores, shape (B,). labels: (B,), for a conditional GAN."""
        scores = self.network(2 * x - 1 if self.of_images else x)
        return scores[:, 0] if labels is None else scores.gather(1, labels[:, None])[:, 0]


def build_critic(settings: GANSettings, event_shape: Sequence[int], networks: Mapping[str, Any] = NONE_GIVEN) -> Critic:
    """The user's own critic, or the one that the settings describe.

    Raises:    InputError: it needs too much memory; or as `given_network`.
    """
    network: nn.Module | None = given_network(networks, "critic", event_shape, _scores(settings))
    if network is None:
        refuse_beyond_memory("critic", lambda: _critic_network(settings, event_shape))
        network = _critic_network(settings, event_shape)
    if settings.spectral_norm:
        for layer in list(network.modules()):
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                spectral_norm(layer)
    return Critic(network, of_images=len(event_shape) == 3)


def _critic_network(settings: GANSettings, event_shape: Sequence[int]) -> nn.Module:
    shape, outputs, hidden = list(event_shape), _scores(settings), list(settings.critic_hidden)
    dropout = settings.critic_dropout
    if settings.network == "mlp":
        return MLP(shape, hidden, outputs, ACTIVATION, dropout=dropout)
    channels = list(settings.critic_channels)
    return ConvEncoder(shape, channels, [2] * len(channels), outputs, ACTIVATION, dropout=dropout)


def _scores(settings: GANSettings) -> list[int]:
    """The shape of the critic's output for one image: one score, or one per class."""
    return [max(1, settings.classes)]


def gradient_norms(critic: Callable[..., Tensor], x: Tensor, labels: Tensor | None) -> Tensor:
    """|| d score / dx || at each x, shape (B,); differentiable in the critic's weights."""
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x, labels).sum(), x, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def r1_penalty(critic: Callable[..., Tensor], real: Tensor, labels: Tensor | None) -> Tensor:
    """1/2 || d score / dx ||^2 at real images, shape (B,).

    Reference: Mescheder et al., 2018, eq. 9, arXiv 1801.04406.
    """
    return 0.5 * gradient_norms(critic, real, labels).square()


def gradient_penalty(critic: Callable[..., Tensor], real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
    """(|| d score / dx || - 1)^2 at a random point between each real image and a generated one, shape (B,).

    Reference: Gulrajani et al., 2017, eq. 3, arXiv 1704.00028.
    """
    weight = torch.rand(len(real), *[1] * (real.dim() - 1), dtype=real.dtype, device=real.device)
    return (gradient_norms(critic, torch.lerp(real, fake, weight), labels) - 1).square()


class AdversarialStep:
    """One update of the critic and, in every `critic_steps`-th call, one of the generator.

    Terms:     loss: of the generator. critic_loss: without penalties. real_score, fake_score: scores of the critic. For
               losses with probabilities: real_prob D(x), fake_prob D(G(z)), and value, log D(x) + log(1 - D(G(z))),
               which is -2 log 2 at equilibrium.
               generator_gradient, critic_gradient: norms of the gradients of the mean losses.
    Args:      model: moved to the device in place; with `settings.average` it holds the moving average of the trained
               generator. critic: moved to the device in place. total_steps: number of updates in the whole run.
               shards: into which a batch is divided; batch normalisation uses the statistics of a shard.
    Reference: Goodfellow et al., 2014, algorithm 1.
    """

    beside = "critic"
    divides = True

    def __init__(
        self,
        engine: Engine,
        model: GAN,
        critic: Critic,
        settings: GANSettings,
        training: TrainingSettings,
        total_steps: int,
        shards: Shards = WHOLE,
    ) -> None:
        self.shards = shards
        self.engine, self.settings, self.training, self.total_steps = engine, settings, training, total_steps
        self.model = model
        self.trained = copy.deepcopy(model) if settings.average else model
        self.critic_module = critic.to(engine.device)
        generator = self.trained.generator
        self.generator, self.generator_optimizer = engine.setup(generator, build_optimizer(generator, training))
        self.critic, self.critic_optimizer = engine.setup(critic, build_optimizer(critic, training))
        self.both = nn.ModuleList([self.generator, self.critic])
        self.loss = LOSSES[settings.loss]
        # of the last update of the generator; logged again in steps that update the critic only
        self.last = {name: torch.zeros((), device=engine.device) for name in ("loss", "generator_gradient")}
        self._optimizers = [self.generator_optimizer, self.critic_optimizer]
        epoch = max(1, total_steps // training.epochs)
        self.graph = graph_for(self.update, training, epoch, self._optimizers, engine.device)
        self._look_at_once = engine.device.type == "cpu" and self.graph is None

    def __call__(self, batch: Batch, step: int) -> Terms:
        for optimizer in self._optimizers:
            set_learning_rate(optimizer, step, self.total_steps, self.training)
        kind = f"generator {self._trains_generator(step)}, penalty {self._penalises(step)}"
        replayed = None if self.graph is None else self.graph(batch, step, kind)
        terms = self.update(batch, step) if replayed is None else replayed
        if self._trains_generator(step):
            self.last = {name: terms[name][0] for name in self.last}
            if self.settings.average:
                self._average(step)
        everywhere = {name: value.expand(len(batch.x)) for name, value in self.last.items()}
        return {"loss": everywhere.pop("loss"), **terms, **everywhere}

    def update(self, batch: Batch, step: int) -> Terms:
        """Update the critic and, if it is the generator's turn, the generator, with the present learning rates."""
        fakes: dict[int, Tensor] = {}  # of the shards that this process computes
        terms = self._update_critic(batch, fakes, step)
        return terms | self._update_generator(batch, fakes, step) if self._trains_generator(step) else terms

    def _trains_generator(self, step: int) -> bool:
        return (step + 1) % self.settings.critic_steps == 0

    def _penalises(self, step: int) -> bool:
        """Whether the critic has the penalty R1 in this step."""
        return bool(self.settings.r1) and step % R1_EVERY == 0

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.settings.classes else None

    def _update_critic(self, batch: Batch, fakes: dict[int, Tensor], step: int) -> Terms:
        def contribution(part: Part) -> tuple[Terms, Sums]:
            real, labels = part.batch.x, self._labels(part.batch)
            fake = self.trained.to_pixels(self.generator(self.trained.codes(len(real), labels)))
            fakes[part.number] = fake
            terms, total = self._critic_terms(real, fake.detach(), labels, step)
            return terms, self._gradients(part.mean(total), self.critic, self.critic_optimizer, step)

        terms, gradients = self.shards.sum(batch, step, contribution, self.both)
        norm = self._descend(gradients, self.critic, self.critic_optimizer)
        return terms | {"critic_gradient": norm.expand(len(batch.x))}

    def _critic_terms(self, real: Tensor, fake: Tensor, labels: Tensor | None, step: int) -> tuple[Terms, Tensor]:
        """The terms of real images, and the critic's loss with penalties, shape (B,)."""
        both = None if labels is None else labels.repeat(2)
        real_score, fake_score = self.critic(torch.cat([real, fake]), both).chunk(2)
        critic_loss = self.loss.critic(real_score, fake_score)
        total = critic_loss
        plain = self.critic_module  # second-order gradients use full precision
        if self._penalises(step):
            total = total + R1_EVERY * self.settings.r1 * r1_penalty(plain, real, labels)
        if self.settings.loss == "wasserstein" and self.settings.gradient_penalty:
            total = total + self.settings.gradient_penalty * gradient_penalty(plain, real, fake, labels)
        terms = {"critic_loss": critic_loss, "real_score": real_score, "fake_score": fake_score}
        if self.loss.has_probabilities:
            terms |= {"real_prob": real_score.sigmoid(), "fake_prob": fake_score.sigmoid(), "value": -critic_loss}
        return {name: term.detach() for name, term in terms.items()}, total

    def _update_generator(self, batch: Batch, fakes: dict[int, Tensor], step: int) -> Terms:
        def contribution(part: Part) -> tuple[Terms, Sums]:
            losses = self.loss.generator(self.critic(fakes[part.number], self._labels(part.batch)))
            gradients = self._gradients(part.mean(losses), self.generator, self.generator_optimizer, step)
            return {"loss": losses.detach()}, gradients

        self.critic.requires_grad_(False)  # their gradients are not needed here and would be a third of the work
        terms, gradients = self.shards.sum(batch, step, contribution, self.critic, "generator")
        norm = self._descend(gradients, self.generator, self.generator_optimizer)
        self.critic.requires_grad_(True)
        found = {"loss": terms["loss"].mean(), "generator_gradient": norm}
        return {name: value.expand(len(batch.x)) for name, value in found.items()}

    def _gradients(self, loss: Tensor, module: Any, optimizer: Any, step: int) -> Sums:
        """The gradients of a loss for the weights of the critic or the generator."""
        if self._look_at_once and not math.isfinite(loss.item()):
            raise TrainingDiverged(f"a loss of the GAN is {loss.item()} at step {step + 1}")
        optimizer.zero_grad()
        self.engine.backward(loss)
        return [weight.grad for weight in module.parameters()]

    def _descend(self, gradients: Sums, module: Any, optimizer: Any) -> Tensor:
        """One gradient step of the critic or the generator; returns the norm of the gradient before clipping."""
        put_gradients(list(module.parameters()), gradients)
        norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
        if self.training.clip_norm is not None:
            self.engine.clip_gradients(
                module, optimizer, max_norm=self.training.clip_norm, error_if_nonfinite=self._look_at_once
            )
        optimizer.step()
        return norm.detach()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Update the moving average of the generator; batch statistics are copied."""
        weight = max(1 - self.settings.average, AVERAGE_WARMUP / (AVERAGE_WARMUP + step))
        for average, newest in zip(self.model.parameters(), self.trained.parameters(), strict=True):
            average.lerp_(newest, weight)
        for average, newest in zip(self.model.buffers(), self.trained.buffers(), strict=True):
            average.copy_(newest)

    def end_epoch(self) -> None:
        pass

    def take_over(self, tensors: dict[str, Tensor]) -> bool:
        """Use the critic of another training if it has the same shapes; returns whether it has."""
        critic = under_prefix("critic", tensors)
        own = self.critic_module.state_dict()
        fits = {n: t.shape for n, t in critic.items()} == {n: t.shape for n, t in own.items()}
        if fits:
            self.critic_module.load_state_dict(critic)
        return fits

    def state(self) -> dict[str, Tensor]:
        tensors = with_prefix("critic", self.critic_module.state_dict()) | with_prefix("last", self.last)
        tensors |= with_prefix("critic_optimizer", optimizer_tensors(self.critic_optimizer))
        tensors |= with_prefix("generator_optimizer", optimizer_tensors(self.generator_optimizer))
        return tensors | (with_prefix("trained", self.trained.state_dict()) if self.settings.average else {})

    def restore(self, tensors: dict[str, Tensor]) -> None:
        if self.graph is not None:
            self.graph.forget()
        self.critic_module.load_state_dict(under_prefix("critic", tensors))
        restore_optimizer(self.critic_optimizer, under_prefix("critic_optimizer", tensors))
        restore_optimizer(self.generator_optimizer, under_prefix("generator_optimizer", tensors))
        if self.settings.average:
            self.trained.load_state_dict(under_prefix("trained", tensors))
        self.last = {name: tensor.to(self.engine.device) for name, tensor in under_prefix("last", tensors).items()}


def step_for(context: StepContext) -> AdversarialStep:
    """The adversarial step with a new critic, whose weights depend on the seed of the run.

    Raises:    InputError: the classes of the settings do not fit the training data.
    """
    settings = context.settings
    assert isinstance(context.model, GAN)
    if settings.classes:
        refuse_other_classes(context.train, settings.classes)
    with seeded_noise(seed_for(context.training.seed, "critic")):
        critic = build_critic(settings, context.model.event_shape, context.networks)
    shards = context.shards or WHOLE
    return AdversarialStep(
        context.engine, context.model, critic, settings, context.training, context.total_steps, shards
    )


def refuse_other_classes(train: PixelBatches, classes: int) -> None:
    """Raises:    InputError: the training data have no labels, or labels of more classes."""
    if train.labels is None:
        raise InputError(
            f"--classes {classes} needs labels, and these {train.space.noun} have none: leave --classes out"
        )
    if bool((train.labels < 0).any()):
        raise InputError(f"--classes {classes} needs a label for every image: some have none (-1)")
    if train.labels.max() >= classes:
        raise InputError(f"--classes {classes} is too small: the largest label is {int(train.labels.max())}")
