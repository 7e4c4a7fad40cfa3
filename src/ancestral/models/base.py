"""The three kinds of model, by what can be computed, and protocols for optional abilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically, write_json
from ancestral.core.given import MODEL, GivenModule
from ancestral.core.serialization import to_config
from ancestral.core.text import type_in_words
from ancestral.models.saved import read_model


class Model(nn.Module):
    """A distribution over images (or vectors) of shape `event_shape`.

    Attributes: event_shape: shape of one x. spaces: pixel spaces that it is a distribution over.
               levels: number of values of a pixel, 0..levels-1; None for real pixels (then it is a density).
               latent_kind: content of a code: "real" numbers, "binary" units, or the number of a "component".
               latent_layer: the layer of latents in a code, if there are several, as text after "each latent".
               encodes_posterior_mean: `encode` returns the mean of the posterior over the latents.
               encodes_by_search: `encode` runs an optimisation for each image, so it is called with few images.
               condition_width: number of entries of a code, after its latents, for a condition, such as a class.
    """

    kind: ClassVar[str]
    event_shape: tuple[int, ...]
    spaces: tuple[str, ...]
    levels: int | None
    latent_kind: ClassVar[str] = "real"
    latent_layer: ClassVar[str] = ""
    encodes_posterior_mean: ClassVar[bool] = False
    encodes_by_search: ClassVar[bool] = False
    condition_width: int = 0

    @property
    def discrete(self) -> bool:
        """Whether `log_prob` is a log-probability (True) or a log-density (False)."""
        return self.levels is not None

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the parameters."""
        return next((parameter.dtype for parameter in self.parameters()), torch.float32)

    def sample(self, n: int) -> Tensor:
        """`n` independent samples, shape (n, *event_shape), in the model's pixel space."""
        raise NotImplementedError

    def sample_mean(self, n: int) -> Tensor:
        """`n` mean images E[x | z] for z from the prior, if the model has latents; otherwise `n` samples.

        Figures show these images. They are not samples of the model, because the pixel noise is missing.
        """
        return self.sample(n)

    def save(self, folder: Path | str, given: bool = False) -> None:
        """Write `config.json` and `model.safetensors` (no pickle) into `folder`.

        Args:      given: the user gives the model again to load the weights, so its class need not be registered.
        """
        folder = Path(folder)
        config = GivenModule(MODEL, self).described() if given else to_config(self)
        # clone: safetensors does not accept tensors that share memory (tied weights), so each name gets a copy
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.state_dict().items()}
        write_atomically(folder / "model.safetensors", safetensors.torch.save(weights))
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The model saved in `folder`, in evaluation mode.

        Raises:    InputError: files are missing or damaged, or the model is of another class.
        """
        model = load_saved(folder)
        if not isinstance(model, cls):
            raise InputError(f"{folder} holds {type_in_words(model)}, not a {cls.__name__}")
        return model


class ExactModel(Model):
    """A model with an exact log-probability or log-density."""

    kind = "exact"

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact. x: (B, *event_shape); returns (B,), nats."""
        raise NotImplementedError


class ImportanceSample(NamedTuple):
    """k latent samples per image with their log-probabilities: z (k, B, ...), log_joint and log_q (k, B), nats."""

    z: Tensor
    log_joint: Tensor
    log_q: Tensor


class LatentModel(Model):
    """A model p(x, z) with an approximate posterior q(z | x). log p(x) has lower bounds, but no exact value."""

    kind = "latent"

    def prior(self) -> Distribution:
        """p(z), event shape = shape of one z."""
        raise NotImplementedError

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x), batch shape (B,)."""
        raise NotImplementedError

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z), exact. x: (B, *event_shape), z: (k, B, ...); returns (k, B), nats."""
        raise NotImplementedError

    def importance_sample(self, x: Tensor, k: int) -> ImportanceSample:
        """Sample z_1..z_k ~ q(z | x), reparameterised if q allows it, and compute log p(x, z) and log q(z | x)."""
        q = self.posterior(x)
        z = q.rsample((k,)) if q.has_rsample else q.sample((k,))
        return ImportanceSample(z, self.log_joint(x, z), q.log_prob(z))

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, z_k) - log q(z_k | x) for z_k ~ q(z | x).

        Their mean over k is an estimate of the ELBO; their log-mean-exp is an estimate of the importance-weighted
        bound. Training and evaluation both use this method.

        Args:      x: shape (B, *event_shape). k: number of samples per image.
        Returns:   shape (B, k), nats.
        Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
        """
        sample = self.importance_sample(x, k)
        return (sample.log_joint - sample.log_q).T

    def elbo(self, x: Tensor) -> Tensor:
        """Unbiased estimate of the evidence lower bound from one sample, shape (B,), nats."""
        return self.log_weights(x, 1)[:, 0]

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotComputable(
            f"log p(x) of {type_in_words(self)} is an integral over z with no closed form; "
            "use elbo(x), log_weights(x, k), or `ancestral evaluate`"
        )


class ImplicitModel(Model):
    """A model that can only be sampled. Methods for a likelihood raise `NotComputable`."""

    kind = "implicit"

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotComputable(
            f"{type_in_words(self)} can only be sampled: it has no likelihood; use `ancestral quality` to evaluate it"
        )


@runtime_checkable
class Infers(Protocol):
    """Can infer latents of an image. `inference` describes them, and whether they are exact or approximate."""

    inference: ClassVar[str]

    def encode(self, x: Tensor) -> Tensor:
        """Latents of x, shape (B, M): posterior means, responsibilities or codes."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can decode latents to images."""

    def decode(self, z: Tensor) -> Tensor:
        """Mean image E[x | z]. z: (B, M); returns (B, *event_shape) in the model's pixel space."""
        ...


@runtime_checkable
class EncodesWithSpread(Protocol):
    """Can return the mean and the standard deviation of the posterior over the latents."""

    def encode_with_stddev(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior of each latent, shapes (B, M)."""
        ...


@runtime_checkable
class HasPixels(Protocol):
    """Can compute the distribution of the pixels given the latents, p(x | z)."""

    def pixels(self, z: Tensor) -> Distribution:
        """p(x | z), independent pixels. z: (..., M); an event is an image."""
        ...


@runtime_checkable
class HasStates(Protocol):
    """Has one latent with K states, over which it can sum: a mixture, or a few binary units."""

    def log_prior(self) -> Tensor:
        """log p(Z = k), shape (K,), nats."""
        ...

    def log_joint_states(self, x: Tensor) -> Tensor:
        """log p(x, Z = k), exact, shape (B, K), nats."""
        ...

    def pixels_of_states(self, states: Tensor) -> Distribution:
        """p(x | Z = k), independent pixels. states: whole numbers, shape (B,); an event is an image."""
        ...


class StateTree(NamedTuple):
    """A tree of hidden states, one for each pixel; K states, L levels of a pixel.

    Args:      parents: the number of the parent of each node, which is smaller than the node's; node 0 is the root,
               shape (D,). pixels: the pixel of each node, shape (D,). log_root: log p(z of the root), (K,).
               log_transitions: log p(z | z of the parent) of nodes 1 to D - 1, shape (D - 1, K, K), rows for the
               parent. log_leaves: log p(x | z), shape (D, L, K).
    """

    parents: Tensor
    pixels: Tensor
    log_root: Tensor
    log_transitions: Tensor
    log_leaves: Tensor


@runtime_checkable
class HasStateTrees(Protocol):
    """Is a mixture of trees of hidden states, with one state and one pixel at each node."""

    def log_prior_trees(self) -> Tensor:
        """log p(c) of the trees, shape (C,), nats."""
        ...

    def state_trees(self) -> list[StateTree]:
        """The trees, all with K states."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Can return the reconstruction loss of an image."""

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """-log p(x | z) for the code z of x, shape (B,), nats."""
        ...


class LatentScale(NamedTuple):
    """Mean and standard deviation of each latent, shape (M,). of: name of their distribution, in words."""

    mean: Tensor
    stddev: Tensor
    of: str


@runtime_checkable
class HasLatentScale(Protocol):
    """Knows the mean and the standard deviation of its latents without data."""

    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the prior, exact or estimated from samples."""
        ...


@runtime_checkable
class HasBase(Protocol):
    """Is an invertible map of a simple base distribution."""

    def base(self) -> Distribution:
        """The distribution of the latents, event shape = shape of one z."""
        ...


@runtime_checkable
class SamplesCodes(Protocol):
    """Can sample codes, the input of `decode`: the latents and the condition, if there is one."""

    def codes(self, n: int) -> Tensor:
        """`n` samples, shape (n, M + condition_width)."""
        ...


class CodePairs(NamedTuple):
    """Pairs of latents, `first` and `last` of shape (n, M), and the condition of each pair, `held` of shape (n, C)."""

    first: Tensor
    last: Tensor
    held: Tensor


@runtime_checkable
class SamplesCodePairs(Protocol):
    """Can sample pairs of latents for interpolation. Both have the same condition, if there is one."""

    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs. The input of `decode` is latents followed by `held`; C is 0 if there is no condition."""
        ...


@runtime_checkable
class SamplesClasses(Protocol):
    """Can sample images of given classes. `classes`: number of classes; 0 if there are none: sampling then raises."""

    classes: int

    def sample_classes(self, labels: Tensor) -> Tensor:
        """One sample for each label. labels: (n,), whole numbers; returns (n, *event_shape)."""
        ...


@runtime_checkable
class DrawsClasses(Protocol):
    """Can sample classes with their frequencies in the training data."""

    def draw_classes(self, n: int) -> Tensor:
        """`n` classes, whole numbers, shape (n,)."""
        ...


@runtime_checkable
class HasPresentClasses(Protocol):
    """Knows which classes occur in the training data."""

    def present_classes(self) -> Tensor:
        """The classes in increasing order, shape (K,)."""
        ...


@runtime_checkable
class SamplesJointly(Protocol):
    """Can sample images together with their latents."""

    def sample_joint(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` joint samples of p(x, z): images (n, *event_shape) and their latents (n, M)."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Can complete missing pixels. `completion` describes the method, and whether it is exact."""

    completion: ClassVar[str]

    def complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """A sample of x given its pixels where `observed` (boolean, shape of x) is True; these are not changed."""
        ...


@runtime_checkable
class ScoresMissing(Protocol):
    """Can compute the probability of the missing pixels of an image, given the observed ones."""

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(x where not observed | x where observed), exact, shape (B,), nats."""
        ...


@runtime_checkable
class HasConditionals(Protocol):
    """Can compute the distribution of each pixel given those before it."""

    def conditionals(self, x: Tensor) -> Distribution:
        """p(x_d | x_<d) for every d, batch shape = shape of x."""
        ...


@runtime_checkable
class SplitsElbo(Protocol):
    """Can split its lower bound into reconstruction term and divergence."""

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) for z ~ q, shape (B,), and KL(q || p), shape (B, J), one column per independent part, nats."""
        ...


def load_saved(
    folder: Path | str, sha256: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> Model:
    """The model saved in `folder`, in evaluation mode, on the CPU.

    Args:      sha256: expected hashes of `config.json` and `model.safetensors`, by name, if known. given: modules that
               the user gave when the model was made, by name.
    Raises:    InputError: as `read_model`.
    """
    return read_model(folder, Model, sha256, given)


def as_images(rows: Tensor, event_shape: Sequence[int]) -> Tensor:
    """(..., D) to (..., *event_shape)."""
    return rows.unflatten(-1, tuple(event_shape))
