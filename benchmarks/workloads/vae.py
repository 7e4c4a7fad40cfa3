"""Training steps of the VAE of `uva2020`: fully connected at two batch sizes, and convolutional."""

from __future__ import annotations

import os
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness.declarations import Contestant, Repetition, Workload, usual
from benchmarks.harness.replay import linear_products
from benchmarks.harness.training import Ours, binary_images, limit_of, plain_loop

PIXELS, HIDDEN, LATENTS = 784, 512, 20
LAYERS = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENTS), (LATENTS, HIDDEN), (HIDDEN, PIXELS)]


class PlainVAE(nn.Module):
    """The networks as a user writes them. The order of the weights is that of ours."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative ELBO with one latent sample, nats."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        std = (0.5 * log_variance).exp()
        logits = self.decoder(mean + std * torch.randn_like(std))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x.view_as(logits), reduction="none").flatten(1)
        divergence = 0.5 * (std.square() + mean.square() - 1 - log_variance).sum(1)
        return (reconstruction.sum(1) + divergence).mean()


def plain_mlp() -> PlainVAE:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENTS))
    return PlainVAE(encoder, nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS)))


def ours(batch: int, steps: int, tiny: bool, network: str = "mlp", compile: bool = False) -> Ours:
    batch, steps = (4, 2) if tiny else (batch, steps)
    own = {"hidden": (HIDDEN,), "latents": LATENTS, "network": network, "compile": compile}
    return Ours("vae", binary_images(batch * steps), batch, **own)


def ours_compiled(batch: int, steps: int, tiny: bool) -> Ours:
    """Ours with `--compile`; the first repetition compiles. Not at tiny sizes: it takes half a minute."""
    return ours(batch, steps, tiny, compile=not tiny).begun()


def plain(batch: int, steps: int, tiny: bool) -> Repetition:
    batch, steps = (4, 2) if tiny else (batch, steps)
    network = plain_mlp()
    return plain_loop(binary_images(batch * steps), batch, network, network.loss)


def pythae(batch: int, steps: int, tiny: bool) -> Repetition:
    """The model of pythae, with its default networks of the same shapes, in a plain loop."""
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]

    batch, steps = (4, 2) if tiny else (batch, steps)
    network = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"))
    return plain_loop(binary_images(batch * steps), batch, network, lambda x: network({"data": x}).loss)


def jax_scan(batch: int, steps: int, tiny: bool) -> Repetition:
    """JAX on one thread: all steps in one compiled `scan`, with the Adam of its example library."""
    if hasattr(os, "sched_setaffinity"):  # JAX uses all cores that it may use, and has no setting that changes this
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
    from jax.example_libraries import optimizers  # pyright: ignore[reportMissingImports]

    batch, steps = (4, 2) if tiny else (batch, steps)
    data = jnp.asarray((binary_images(batch * steps) > 127).flatten(1).float().numpy())
    keys = jax.random.split(jax.random.PRNGKey(0), len(LAYERS))
    weights = [
        (jax.random.normal(key, shape) / shape[0] ** 0.5, jnp.zeros(shape[1]))
        for key, shape in zip(keys, LAYERS, strict=True)
    ]
    begin, update, parameters_of = optimizers.adam(1e-3)

    def loss(parameters, x, key):
        (a, a0), (b, b0), (c, c0), (d, d0) = parameters
        mean, log_variance = jnp.split(jax.nn.relu(x @ a + a0) @ b + b0, 2, 1)
        z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        logits = jax.nn.relu(z @ c + c0) @ d + d0
        reconstruction = (jax.nn.softplus(logits) - x * logits).sum(1)
        return (reconstruction + 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)).mean()

    @jax.jit
    def epoch(state, key):
        order, noise = jax.random.split(key)
        rows = jax.random.permutation(order, len(data)).reshape(steps, batch)

        def one(state, inputs):
            number, chosen, key = inputs
            value, gradient = jax.value_and_grad(loss)(parameters_of(state), data[chosen], key)
            return update(number, gradient, state), value

        return jax.lax.scan(one, state, (jnp.arange(steps), rows, jax.random.split(noise, steps)))[0]

    held = [begin(weights), jax.random.PRNGKey(1)]

    def repetition() -> None:
        held[1], key = jax.random.split(held[1])
        held[0] = jax.block_until_ready(epoch(held[0], key))

    return repetition


def limit(batch: int, steps: int, tiny: bool) -> Repetition:
    return linear_products(LAYERS, *((4, 2) if tiny else (batch, steps)))


class PlainCNN(PlainVAE):
    """Plain loop over the networks of our convolutional VAE, so that both compute the same layers."""

    def __init__(self, model) -> None:
        nn.Module.__init__(self)
        self.encoder, self.decoder = model.encoder.network, model.likelihood.network


def plain_cnn(batch: int, steps: int, tiny: bool) -> Repetition:
    made = ours(batch, steps, tiny, "cnn")
    network = PlainCNN(made.model)
    return plain_loop(made.raw, made.batch, network, network.loss)


def mlp(batch: int, steps: int) -> Workload:
    return Workload(
        f"vae-{batch}",
        f"MLP VAE, batch {batch:,}",
        f"{steps} training steps, 784-512-(20+20), 20-512-784",
        usual(
            partial(ours, batch, steps),
            partial(plain, batch, steps),
            partial(limit, batch, steps),
            Contestant("--compile", "option", partial(ours_compiled, batch, steps)),
            Contestant("pythae", "peer", partial(pythae, batch, steps), ("pythae",)),
            Contestant("JAX", "peer", partial(jax_scan, batch, steps), ("jax",), 1),
        ),
    )


def ours_cnn(tiny: bool) -> Ours:
    return ours(64, 8, tiny, "cnn")


WORKLOADS = (
    mlp(128, 100),
    mlp(1024, 16),
    Workload(
        "vae-cnn",
        "convolutional VAE",
        "8 training steps of 64 images 28 x 28, the default networks",
        usual(ours_cnn, partial(plain_cnn, 64, 8), partial(limit_of, ours_cnn)),
    ),
)
