"""The three kinds of model, told apart by what can be computed of them, and the further abilities they may have."""

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
from ancestral.models.saved import read_model


class Model(nn.Module):
    """A distribution over images (or vectors) of shape `event_shape`.

    Attributes: event_shape: shape of one x. spaces: pixel spaces it is a distribution over.
               levels: values a pixel may take, 0..levels-1, or None for real pixels (then it is a density).
               latent_kind: what a code holds: "real" numbers, "binary" units, or the number of a "component".
               latent_layer: which of several layers of latents a code is of, in words that follow "each latent".
               encodes_posterior_mean: `encode` returns the mean of the posterior over the latents.
               encodes_by_search: `encode` is an optimisation for each image, so it takes few images at a time.
               condition_width: entries of a code, after its latents, that hold a condition (a class, say).
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
        """Probabilities (True) or densities (False)."""
        return self.levels is not None

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the parameters."""
        return next((parameter.dtype for parameter in self.parameters()), torch.float32)

    def sample(self, n: int) -> Tensor:
        """`n` independent draws, shape (n, *event_shape), in the model's own pixel space."""
        raise NotImplementedError

    def sample_mean(self, n: int) -> Tensor:
        """`n` draws without the last step's pixel noise, where the model has such a step; else plain draws.

        What figures show: E[x | z] for z from the prior. Not a sample of the model.
        """
        return self.sample(n)

    def save(self, folder: Path | str, given: bool = False) -> None:
        """Write `config.json` and `model.safetensors` (no pickle) into `folder`.

        Args:      given: whoever loads the weights gives the model again, so that its class need not be registered.
        """
        folder = Path(folder)
        config = GivenModule(MODEL, self).described() if given else to_config(self)
        # clone: safetensors refuses tensors that share memory, as tied weights do; each name gets its copy
        weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.state_dict().items()}
        write_atomically(folder / "model.safetensors", safetensors.torch.save(weights))
        write_json(folder / "config.json", config)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """The model saved in `folder`, in evaluation mode.

        Raises:    InputError: files missing or damaged, or a model of another class.
        """
        model = load_saved(folder)
        if not isinstance(model, cls):
            raise InputError(f"{folder} holds a {type(model).__name__}, not a {cls.__name__}")
        return model


class ExactModel(Model):
    """A model whose log-probability can be computed."""

    kind = "exact"

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact. x: (B, *event_shape); returns (B,), nats."""
        raise NotImplementedError


class ImportanceSample(NamedTuple):
    """k latent draws per image with both log-probabilities: z (k, B, ...), log_joint and log_q (k, B)."""

    z: Tensor
    log_joint: Tensor
    log_q: Tensor


class LatentModel(Model):
    """A model p(x, z) with an approximate posterior q(z | x): log p(x) is bounded, not known."""

    kind = "latent"

    def prior(self) -> Distribution:
        """p(z), event shape = shape of one z."""
        raise NotImplementedError

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x), batch shape (B,)."""
        raise NotImplementedError

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z). x: (B, *event_shape), z: (k, B, ...); returns (k, B), nats."""
        raise NotImplementedError

    def importance_sample(self, x: Tensor, k: int) -> ImportanceSample:
        """Draw z_1..z_k ~ q(z | x) (reparameterised where q can be) and both log-probabilities of each."""
        q = self.posterior(x)
        z = q.rsample((k,)) if q.has_rsample else q.sample((k,))
        return ImportanceSample(z, self.log_joint(x, z), q.log_prob(z))

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, z_k) - log q(z_k | x) for z_k ~ q(z | x).

        Their mean over k estimates the ELBO, their log-mean-exp is the importance-weighted bound.
        One primitive serves training and evaluation.

        Args:      x: shape (B, *event_shape). k: draws per image.
        Returns:   shape (B, k), nats.
        Reference: Burda et al., 2016, eq. 8, arXiv 1509.00519.
        """
        sample = self.importance_sample(x, k)
        return (sample.log_joint - sample.log_q).T

    def elbo(self, x: Tensor) -> Tensor:
        """One-draw unbiased estimate of the evidence lower bound, shape (B,), nats."""
        return self.log_weights(x, 1)[:, 0]

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotComputable(
            f"log p(x) of a {type(self).__name__} is an integral over z with no closed form; "
            "use elbo(x), log_weights(x, k), or `ancestral evaluate`"
        )


class ImplicitModel(Model):
    """A model that can only be sampled: asking for a likelihood raises, it never returns a number."""

    kind = "implicit"

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotComputable(
            f"a {type(self).__name__} has no likelihood: it defines how to draw x, not how probable x is"
        )


@runtime_checkable
class Infers(Protocol):
    """Can say which latents are behind an image; `inference` says which numbers these are, and how true."""

    inference: ClassVar[str]

    def encode(self, x: Tensor) -> Tensor:
        """Latents of x, shape (B, M): posterior means, responsibilities or codes."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can turn latents into images."""

    def decode(self, z: Tensor) -> Tensor:
        """Expected image E[x | z]. z: (B, M); returns (B, *event_shape) in the model's pixel space."""
        ...


@runtime_checkable
class EncodesWithSpread(Protocol):
    """Can return the standard deviation of the posterior over the latents beside its mean."""

    def encode_with_stddev(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior of each latent, shapes (B, M)."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Can return the loss of coding an image and decoding it again."""

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """-log p(x | z) for the code z of x, shape (B,), nats."""
        ...


class LatentScale(NamedTuple):
    """Mean and standard deviation of each latent, shape (M,), and of which distribution they are, in words."""

    mean: Tensor
    stddev: Tensor
    of: str


@runtime_checkable
class HasLatentScale(Protocol):
    """Knows how far its latents spread, without data."""

    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the prior, exact or from draws."""
        ...


@runtime_checkable
class HasBase(Protocol):
    """Is an invertible map of draws from a simple distribution."""

    def base(self) -> Distribution:
        """The distribution of the latents, event shape = shape of one z."""
        ...


@runtime_checkable
class SamplesCodes(Protocol):
    """Can draw codes: all that `decode` takes, the latents and, where there is one, the condition."""

    def codes(self, n: int) -> Tensor:
        """`n` draws, shape (n, M + condition_width)."""
        ...


class CodePairs(NamedTuple):
    """Pairs of latents, `first` and `last` of shape (n, M), and the condition of each pair, `held` of shape (n, C)."""

    first: Tensor
    last: Tensor
    held: Tensor


@runtime_checkable
class SamplesCodePairs(Protocol):
    """Can draw pairs of latents with a path between them: both have the same condition, where there is one."""

    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs. `decode` takes latents with `held` after them; C is 0 where there is no condition."""
        ...


@runtime_checkable
class SamplesClasses(Protocol):
    """Can draw images of classes that are asked for. `classes`: how many it knows; 0 for none, and then it raises."""

    classes: int

    def sample_classes(self, labels: Tensor) -> Tensor:
        """One draw of each class named. labels: (n,), whole numbers; returns (n, *event_shape)."""
        ...


@runtime_checkable
class DrawsClasses(Protocol):
    """Can draw classes as often as they occur in the training data."""

    def draw_classes(self, n: int) -> Tensor:
        """`n` classes, whole numbers, shape (n,)."""
        ...


@runtime_checkable
class HasPresentClasses(Protocol):
    """Knows which classes the training data had images of."""

    def present_classes(self) -> Tensor:
        """Their numbers, in order, shape (K,)."""
        ...


@runtime_checkable
class SamplesJointly(Protocol):
    """Can draw images together with the latents behind them."""

    def sample_joint(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` joint draws of p(x, z): images (n, *event_shape) and their latents (n, M)."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Can fill in missing pixels; `completion` says whether exactly, and if not, how."""

    completion: ClassVar[str]

    def complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """A draw of x given its pixels where `observed` (boolean, shape of x) is true; those stay as they are."""
        ...


@runtime_checkable
class ScoresMissing(Protocol):
    """Can say how probable the other pixels of an image are, given some."""

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(x where not observed | x where observed), exact, shape (B,), nats."""
        ...


@runtime_checkable
class HasConditionals(Protocol):
    """Can say how probable each pixel is given those before it."""

    def conditionals(self, x: Tensor) -> Distribution:
        """p(x_d | x_<d) for every d, batch shape = shape of x."""
        ...


@runtime_checkable
class SplitsElbo(Protocol):
    """Can split its lower bound into reconstruction and divergence."""

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) for z ~ q, shape (B,), and KL(q || p), shape (B, J), one column per independent part."""
        ...


def load_saved(
    folder: Path | str, sha256: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> Model:
    """The model saved in `folder`, in evaluation mode, on the CPU.

    Args:      sha256: of `config.json` and `model.safetensors`, by name, where they are known. given: modules that a
               person gave when the model was made, by name.
    Raises:    InputError: as `read_model`.
    """
    return read_model(folder, Model, sha256, given)


def as_images(rows: Tensor, event_shape: Sequence[int]) -> Tensor:
    """(..., D) to (..., *event_shape)."""
    return rows.unflatten(-1, tuple(event_shape))
