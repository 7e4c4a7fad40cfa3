"""What can be drawn of a trained run: each drawing computes its arrays from the model and hands them to `figures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Normal

from ancestral.errors import InputError, NotComputable
from ancestral.figures.curves import Curve, learning_curves, small_multiples
from ancestral.figures.grids import image_grid, manifold_grid, pair_grid
from ancestral.models.kinds import Decodes, Infers, Model
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.numerics import seed_for, seeded_noise
from ancestral.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS = 50
INTERPOLATIONS, INTERPOLATION_STEPS = 10, 10
MANIFOLD_SIDE = 20
IN_WORDS = {
    "loss": "loss",
    "nll": "negative log-likelihood",
    "negative_elbo": "negative ELBO",
    "reconstruction": "reconstruction",
    "kl": "KL divergence",
}


def samples(run: Run, count: int = 64, seed: int = 0) -> Figure:
    """Draws from the model, shown as E[x | z] where it has such a mean; no picture is chosen over another."""
    model = run.load()
    with seeded_noise(seed_for(seed, "drawing")):
        images = model.sample_mean(count)
    return image_grid(_grey(run, images), title=f"{count} samples")


def reconstructions(run: Run, count: int = PAIRS, seed: int = 0) -> Figure:
    """Test images beside E[x | z] for z = encode(x)."""
    model = run.load()
    encode, decode = _coder(model, "reconstructions")
    x = run.data.held("test").first(count)
    with torch.no_grad():
        back = decode(encode(x))
    return pair_grid(_grey(run, x), _grey(run, back), columns=10, title="test images and their reconstructions")


def interpolations(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Straight lines in the latent space between pairs of test images; the ends are reconstructions."""
    model = run.load()
    encode, decode = _coder(model, "interpolations")
    test = run.data.held("test")
    pairs = min(INTERPOLATIONS, len(test) // 2) if count is None else count
    if not 1 <= pairs <= len(test) // 2:
        raise InputError(f"interpolations run between pairs of test images: there are {len(test)} of them")
    x = test.first(2 * pairs)
    weights = torch.linspace(0, 1, INTERPOLATION_STEPS)[None, :, None]
    with torch.no_grad():
        z = encode(x).unflatten(0, (pairs, 2))  # (pairs, 2, M)
        line = torch.lerp(z[:, :1], z[:, 1:], weights.to(z.dtype))
        images = decode(line.flatten(0, 1))
    return image_grid(
        _grey(run, images),
        columns=INTERPOLATION_STEPS,
        title="from one test image to another, through the latent space",
    )


def manifold(run: Run, count: int = MANIFOLD_SIDE, seed: int = 0) -> Figure:
    """E[x | z] over a grid of a two-dimensional latent space, at the standard normal's percentiles
    (1/2)/(S+1), (3/2)/(S+1), ..., so that each cell stands for about the same share of the prior."""
    model = run.load()
    latents = getattr(run.settings.model, "latents", None)
    if latents != 2 or not isinstance(model, Decodes):
        raise NotComputable(f"a manifold needs a decoder with 2 latents; this {type(model).__name__} has {latents}")
    axis = Normal(0.0, 1.0).icdf((torch.arange(count) + 0.5) / (count + 1))
    second, first = torch.meshgrid(axis, axis, indexing="ij")
    z = torch.stack([first, second], -1).flatten(0, 1)
    with torch.no_grad():
        images = model.decode(z.to(model.dtype))
    return manifold_grid(_grey(run, images), axis_values=axis.tolist(), title="the latent manifold")


def components(run: Run, count: int = 100, seed: int = 0) -> Figure:
    """p(X = 1 | Z = k) of the most probable components of a mixture, with p(Z = k)."""
    model = run.load()
    if not isinstance(model, MixtureOfBernoullis):
        raise NotComputable(f"only a mixture has components; this is a {type(model).__name__}")
    order = model.component_probs.argsort(descending=True)[:count]
    captions = [f"{model.component_probs[k]:.1%}" for k in order.tolist()] if len(order) <= 60 else None
    images = model.component_images[order].detach()
    return image_grid(_grey(run, images), captions=captions, title="mixture components and their probabilities")


def curves(run: Run, count: int = 0, seed: int = 0) -> Figure:
    """Training and held-out curves from the log, in nats per image; reconstruction and KL beside the bound."""
    log = run.log()
    if not log:
        raise NotComputable(f"{run.path} has no log yet: nothing was trained")
    per_epoch = -(-run.record["data"]["counts"]["train"] // run.settings.training.batch_size)
    known = {(line.split, line.name) for line in log}

    def curve(split: str, name: str, label: str) -> Curve:
        lines = [line for line in log if (line.split, line.name) == (split, name)]
        return Curve(label, [line.step / per_epoch for line in lines], [line.value for line in lines])

    def panel(name: str) -> list[Curve]:
        """Training and held-out curves of one quantity; evaluated training images stand for minibatches."""
        first = next(key for key in (("train-set", name), ("train", name), ("train", "loss")) if key in known)
        # a loss that is not the bound (importance-weighted, say) must not pass for it
        label = "training loss" if name == "negative_elbo" and first[1] == "loss" else "train"
        held_out = [curve(split, name, split) for split in ("valid", "test") if (split, name) in known]
        return [curve(*first, label), *held_out]

    main = next((name for name in ("nll", "negative_elbo", "reconstruction") if name in {n for _, n in known}), "loss")
    title = f"{IN_WORDS[main]}, nats per image"
    parts = [name for name in ("reconstruction", "kl") if ("train", name) in known and name != main]
    if parts:
        return small_multiples([(title, panel(main)), *((IN_WORDS[name], panel(name)) for name in parts)])
    best = run.outcome.get("best_step")
    marks = [(best / per_epoch, "best")] if best else None
    return learning_curves(panel(main), title=title, marks=marks)


DRAWINGS: dict[str, Callable[..., Figure]] = {
    "samples": samples,
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "manifold": manifold,
    "components": components,
    "curves": curves,
}


def _coder(model: Model, what: str) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    if not (isinstance(model, Infers) and isinstance(model, Decodes)):
        raise NotComputable(f"{what} need a model that encodes and decodes; a {type(model).__name__} does not")
    return lambda x: model.encode(x.to(model.dtype)), model.decode


def _grey(run: Run, images: Tensor) -> Tensor:
    return run.data.space.to_unit(images.float())
