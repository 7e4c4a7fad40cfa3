"""What lies behind images: their latents as arrays, and pictures of the space these live in."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent

from ancestral.data.toy import PointDataset
from ancestral.errors import InputError, NotComputable
from ancestral.evaluation.likelihood import BLOCK, counted, elbo_parts, per_image
from ancestral.figures.codes import code_scatter
from ancestral.figures.densities import Plane, draw_planes
from ancestral.figures.grids import image_grid
from ancestral.figures.heat import HeatTable, heat_tables
from ancestral.files import write_atomically
from ancestral.models.autoencoder import Autoencoder
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.flow import NormalizingFlow
from ancestral.models.gan import GAN
from ancestral.models.helmholtz import HelmholtzMachine
from ancestral.models.kinds import Decodes, Infers, Model
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.vae import VAE
from ancestral.numerics import seed_for, seeded_noise
from ancestral.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CODED = 2000  # test images in a plane of latents
SEARCHED = 100  # the same where each code is a search
MEASURED = 1000  # images that say how much a latent tells, and how far codes spread
PRIOR_DRAWS = 10_000
ROWS, STEPS, REACH = 16, 9, 3.0  # latents that are moved, places of each, and how far, in standard deviations
FLIPPED = 8  # images whose binary latents are flipped
BESIDE = 10  # images beside their posterior
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Inference:
    """Latents of images.

    Attributes: z: shape (N, M). labels: shape (N,), where known. stddev: of the posterior, shape (N, M), where it has
                one that says more than its mean. how: what z is, and how true.
    """

    z: Tensor
    labels: Tensor | None
    stddev: Tensor | None
    how: str

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, those there are."""
        known = {"z": self.z, "labels": self.labels, "stddev": self.stddev}
        return {name: values.numpy() for name, values in known.items() if values is not None}

    def save(self, path: Path) -> None:
        """Write the arrays into one .npz file, all of it or nothing."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays())  # type: ignore[arg-type]  # numbers alone: nothing is pickled
        write_atomically(path, buffer.getvalue())


def infer_run(run: Run, split: str = "test", count: int | None = None, progress: Progress | None = None) -> Inference:
    """Latents of the images of a split, or of points, as the run's model finds them.

    Args:      count: only the first so many.
    Raises:    NotComputable: the model has no latents, or cannot infer them. InputError: there are no such images.
    """
    model, images = run.load(), run.data.held(split, count)
    if not isinstance(model, Infers):
        raise NotComputable(f"a {type(model).__name__} has no latents that could be inferred")
    if not len(images):
        raise InputError(f"{run.path} has no {split} {run.data.space.noun}")

    def columns(x: Tensor) -> Tensor:
        if isinstance(model, VAE):
            q = model.posterior(x)
            return torch.cat([q.mean, q.stddev], 1)
        return model.encode(x)

    block = BLOCK if isinstance(model, GAN) else 10 * BLOCK
    found = per_image(model, images, block, columns, 0, counted(progress, len(images))).to(model.dtype)
    z, stddev = found.chunk(2, 1) if isinstance(model, VAE) else (found, None)
    labels = None if isinstance(run.data.dataset, PointDataset) else run.data.dataset.split(split).labels
    return Inference(z, None if labels is None else labels[: len(z)], stddev, model.inference)


def latents(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Codes of test images in colours of their classes: two latents as they are, more along their two principal axes;
    codes of points in the space of the flow's base."""
    model = run.load()
    if isinstance(model, MixtureOfBernoullis):
        raise NotComputable(
            "the latent of a mixture is the number of a component, and lies in no plane: draw posterior"
        )
    some = SEARCHED if isinstance(model, GAN) else CODED
    found = infer_run(run, "test", some if count is None else count)
    if isinstance(model, NormalizingFlow) and found.z.shape[1] == 2:
        return _base_space(model, found)
    z = found.z[:, : model.latents] if isinstance(model, GAN) else found.z  # without the class
    if z.shape[1] < 2 or len(z) < 3:
        raise NotComputable(f"a plane of latents needs 2 of them and 3 images: here are {z.shape[1]} and {len(z)}")
    if z.shape[1] == 2:
        places, axes = z, ("z1", "z2")
    else:
        places, shares = principal_axes(z)
        axes = tuple(f"principal axis {i + 1} ({share:.1%} of the variance)" for i, share in enumerate(shares.tolist()))
    known = "" if found.labels is None else ", by class"
    return code_scatter(
        places,
        found.labels,
        axes=(axes[0], axes[1]),
        title=f"{len(z)} test images in the space of {z.shape[1]} latents{known}",
        note=f"Latents: {found.how}.",
    )


def _base_space(model: NormalizingFlow, found: Inference) -> Figure:
    """Codes of points, among circles of equal density of the base."""
    scale = (model.log_variance[0] / 2).exp().item()
    turn = torch.linspace(0, 2 * math.pi, 200)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    circles = torch.stack([radius * scale * circle for radius in (1.0, 2.0, 3.0)])
    extent = 1.05 * max(3 * scale, found.z.abs().max().item())
    return draw_planes(
        [Plane(f"{len(found.z)} test points, {found.how.split(': ')[1]}", extent, points=found.z, lines=[circles])],
        title="codes of test points in the base space",
        note="Circles: 1, 2 and 3 standard deviations of the base, which hold 39.3 %, 86.5 % and 98.9 % of its draws.",
        columns=1,
    )


def principal_axes(z: Tensor) -> tuple[Tensor, Tensor]:
    """Codes along their two principal axes, shape (N, 2), and the share of the variance of each, shape (2,).

    An axis points where its largest component is positive, so that the picture does not depend on a sign.
    """
    centred = (z - z.mean(0)).double()
    _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)).sign()
    return (centred @ axes.T).to(z.dtype), (spread.square() / spread.square().sum().clamp_min(1e-300))[:2].to(z.dtype)


def posterior(run: Run, count: int = BESIDE, seed: int = 0) -> Figure:
    """Test images beside their posterior over components or binary latents, and the mean of that in each class."""
    model = run.load()
    if not isinstance(model, (MixtureOfBernoullis, SigmoidBeliefNet)):
        raise NotComputable(
            f"a posterior over states is drawn of a mixture or a belief net; this is a {type(model).__name__}"
        )
    found = infer_run(run, "test", max(count, CODED))
    shown = run.data.space.to_unit(run.data.held("test").first(count))
    mixture = isinstance(model, MixtureOfBernoullis)
    classes = None if found.labels is None else by_class(found.z, found.labels)
    order = torch.arange(found.z.shape[1])
    if mixture:  # components of a class side by side, the largest first
        of = classes if classes is not None else found.z.mean(0, keepdim=True)
        order = torch.from_numpy(np.lexsort((-of.amax(0).numpy(), of.argmax(0).numpy())))
    tables = [HeatTable("test images", found.z[:count, order].clamp(0, 1), shown)]
    if classes is not None and found.labels is not None:
        top = classes.max().item() if mixture else 1.0
        names = [str(label) for label in found.labels.unique().tolist()]
        tables.append(HeatTable(f"classes: mean of {len(found.z)} test images", classes[:, order], names, top))
    return heat_tables(
        tables,
        quantity="p(component | image)" if mixture else "p(latent = 1 | image)",
        xlabel="components, those of a class side by side" if mixture else "latents",
        title="the posterior of images, exact",
    )


def by_class(z: Tensor, labels: Tensor) -> Tensor:
    """Mean of the rows of each class there is, in order. z: (N, M), labels: (N,); returns (classes, M)."""
    _, which = labels.unique(return_inverse=True)
    members = torch.nn.functional.one_hot(which).to(z)  # (N, classes)
    return members.T @ z / members.sum(0)[:, None]


def traversals(run: Run, count: int = ROWS, seed: int = 0) -> Figure:
    """What each latent does: it moves, the others stay at the code of a test image (of a GAN: at a draw).

    Binary latents are flipped, those of several test images one by one.
    """
    model = run.load()
    if run.data.space.noun != "images":
        raise NotComputable(f"traversals are drawn of images; {run.data.name} are {run.data.space.noun}")
    if isinstance(model, MixtureOfBernoullis):
        raise NotComputable("the latent of a mixture is the number of a component: draw components instead")
    if not isinstance(model, Decodes):
        raise NotComputable(f"traversals need a model that decodes latents; a {type(model).__name__} has none")
    if isinstance(model, (SigmoidBeliefNet, HelmholtzMachine)):
        return _flips(run, model, count)
    return _moves(run, model, count, seed)


@torch.no_grad()
def _flips(run: Run, model: SigmoidBeliefNet | HelmholtzMachine, count: int) -> Figure:
    """Rows of images with one unit flipped, those that change most first."""
    x = run.data.held("test").first(FLIPPED).to(model.dtype)
    z = model.encode(x).round()
    units = torch.eye(z.shape[1]).to(z)[:, None]
    flipped = model.decode((z - units).abs().flatten(0, 1)).unflatten(0, (-1, len(x)))  # (M, B, C, H, W)
    plain = model.decode(z)
    ranked = (flipped - plain).square().flatten(1).mean(1).argsort(descending=True)[:count]
    layer = " of the layer nearest the image" if isinstance(model, HelmholtzMachine) else ""
    return image_grid(
        run.data.space.to_unit(torch.cat([x, plain, flipped[ranked].flatten(0, 1)]).float()),
        columns=len(x),
        row_titles=["test image", "E[x | z]", *(f"z{m + 1} flipped" for m in ranked.tolist())],
        title=f"each latent{layer} flipped",
        note=f"z: the likelier state of each latent given the image. {_shown(len(ranked), z.shape[1])} that change the "
        "images most, in this order.",
    )


@torch.no_grad()
def _moves(run: Run, model: Model, count: int, seed: int) -> Figure:
    """Rows of images along one latent each, those with the largest divergence first, where it is known."""
    assert isinstance(model, Decodes)
    x = run.data.held("test").first(1).to(model.dtype)
    with seeded_noise(seed_for(seed, "drawing")):
        centre, spread, of = _spread(run, model)
        start = model.codes(1)[0] if isinstance(model, GAN) else model.encode(x)[0]  # type: ignore[operator]
    along = torch.linspace(-REACH, REACH, STEPS, dtype=start.dtype)
    at = centre[:, None] + spread[:, None] * along  # (M, steps)
    divergences = _divergences(run, model)
    everyone = list(range(len(centre)))
    if divergences is not None:
        weights, first = divergences, "the largest KL, which stands beside them"
    else:
        ends = torch.cat([model.decode(z) for z in traversed(start, everyone, at[:, [0, -1]]).flatten(0, 1).split(256)])
        ends = ends.flatten(1).unflatten(0, (-1, 2))
        weights, first = (ends[:, 1] - ends[:, 0]).square().mean(1), "the largest change from end to end"
    ranked = weights.argsort(descending=True)[:count].tolist()
    images = model.decode(traversed(start, ranked, at[ranked]).flatten(0, 1))
    titles = [f"z{m + 1}" + ("" if divergences is None else f", {divergences[m]:.1f} nats") for m in ranked]
    held = "a draw" if isinstance(model, GAN) else "the code of a test image"
    return image_grid(
        run.data.space.to_unit(images.float()),
        columns=STEPS,
        row_titles=titles,
        title=f"each latent from -{REACH:.0f} to {REACH:.0f} standard deviations",
        note=f"Standard deviations of {of}, around its mean; the other latents are held at {held}. "
        f"{_shown(len(ranked), len(everyone))} with {first}.",
    )


def traversed(start: Tensor, moved: list[int], at: Tensor) -> Tensor:
    """A code again and again, with one latent put elsewhere: shape (len(moved), steps, M).

    Args:      start: shape (M,). moved: latents. at: where each is put, shape (len(moved), steps).
    """
    codes = start.expand(*at.shape, len(start)).clone()
    index = torch.tensor(moved, device=start.device)[:, None, None].expand(*at.shape, 1)
    return codes.scatter_(2, index, at[..., None].to(codes))


def _spread(run: Run, model: Model) -> tuple[Tensor, Tensor, str]:
    """Mean and standard deviation of each latent, shape (M,), and of what they are."""
    if isinstance(model, VAE):
        p = model.prior()
        if isinstance(p, Independent):
            return p.mean, p.stddev, "the prior"
        z = p.sample((PRIOR_DRAWS,))
        return z.mean(0), z.std(0), f"{PRIOR_DRAWS:,} draws of the prior"
    if isinstance(model, Autoencoder):
        z = infer_run(run, "test", MEASURED).z
        return z.mean(0), z.std(0), f"the codes of {len(z)} test images"
    size = model.latents if isinstance(model, GAN) else math.prod(model.event_shape)
    return torch.zeros(size, dtype=model.dtype), torch.ones(size, dtype=model.dtype), "the prior"


def _divergences(run: Run, model: Model) -> Tensor | None:
    """Mean KL of each latent over test images, shape (M,), nats; None where it does not split so."""
    if not isinstance(model, VAE):
        return None
    divergences = elbo_parts(model, run.data.held("test", MEASURED))[2].mean(0)
    return divergences if len(divergences) > 1 else None


def _shown(shown: int, of: int) -> str:
    return f"All {of} latents, first those" if shown == of else f"The {shown} of {of} latents"
