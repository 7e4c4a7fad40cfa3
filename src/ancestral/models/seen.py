"""Models of the seen pixels of a batch, with which objectives and scores treat missing pixels like any images."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, Self, TypeVar, runtime_checkable

from torch import Tensor
from torch.distributions import Distribution

from ancestral.core.errors import NotComputable
from ancestral.core.text import type_in_words
from ancestral.distributions.by_class import ClassAndLatents, mean_over_classes
from ancestral.distributions.conditional import kl_parts
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.models.classes import ClassConditional, HasClasses

M = TypeVar("M")


@runtime_checkable
class ScoresSeen(Protocol):
    """Can compute the probability of some of the pixels, so it can be trained on images with missing pixels."""

    def log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """log p(x where seen), the other pixels summed out; exact, shape (B,), nats; 0 if no pixel is seen.

        It has gradients, and the values of x where `seen` (boolean, shape of x) is False are not used.
        """
        ...


@runtime_checkable
class InfersSeen(Protocol):
    """A latent model that can be trained on images with missing pixels, by the evidence of the seen ones."""

    def posterior_seen(self, x: Tensor, seen: Tensor) -> Distribution:
        """q(z | x where seen), batch shape (B,). The other values of x are not used."""
        ...

    def log_likelihood_seen(self, x: Tensor, seen: Tensor, z: Tensor) -> Tensor:
        """log p(x where seen | z), exact. z: (..., B, M); returns (..., B), nats."""
        ...


@runtime_checkable
class RestrictsToSeen(Protocol):
    """Is a distribution of any set of pixels itself, so it can be trained and scored on images with missing pixels."""

    def where_seen(self, seen: Tensor) -> Model:
        """The distribution of the seen pixels of some images, which shares all parameters with this model.

        Args:      seen: boolean, shape (B, *event_shape). The other values of x are not used.
        """
        ...


@runtime_checkable
class EstimatesSeen(Protocol):
    """Can estimate the probability of any set of pixels without bias, for models without an exact one."""

    seen_samples: ClassVar[int]

    def estimate_log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """The logarithm of an unbiased estimate of p(x where seen) from `seen_samples` samples, shape (B,), nats.

        Its expectation is a lower bound on log p(x where seen). The values of x where `seen` is False are not used.
        """
        ...


@runtime_checkable
class HasPixelProbs(Protocol):
    """Can compute the distribution of each pixel given any set of observed ones."""

    def pixel_probs(self, x: Tensor, observed: Tensor) -> Tensor:
        """p(x_d = v | observed pixels) for every pixel and level, exact, shape (B, *event_shape, L)."""
        ...


@runtime_checkable
class FindsMostProbable(Protocol):
    """Can find the most probable missing pixels. `maximisation` describes what is maximised, and whether exactly."""

    maximisation: ClassVar[str]

    def most_probable(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The images with the missing pixels of the maximum, and its log-probability, shape (B,), nats."""
        ...


def on_seen(model: M, seen: Tensor | None) -> M:
    """The model of the seen pixels of some images: its `log_prob(x)` or bound is that of x where `seen` is True.

    Args:      seen: boolean, shape of the images; None: all pixels are seen, so the model itself is returned.
    Raises:    NotComputable: the model cannot leave out pixels.
    """
    if seen is None:
        return model
    refuse_missing(model)
    if isinstance(model, RestrictsToSeen):
        return model.where_seen(seen)  # type: ignore[return-value]
    view: Any = _SeenPixels(model, seen) if isinstance(model, ScoresSeen) else _SeenEvidence(model, seen)
    return view


def can_train_on_missing(model: Any) -> bool:
    """Whether a model can be trained and scored on images with missing pixels.

    A model of a new kind, with an objective of its own that reads `batch.seen`, has an attribute `trains_on_missing`.
    """
    known = isinstance(model, ScoresSeen | RestrictsToSeen) or (
        isinstance(model, LatentModel) and isinstance(model, InfersSeen)
    )
    return known or bool(getattr(model, "trains_on_missing", False))


def refuse_missing(model: Any) -> None:
    """Raises:    NotComputable: the model cannot be trained or scored on missing pixels."""
    if not can_train_on_missing(model):
        raise NotComputable(
            f"{type_in_words(model)} cannot leave out missing values: choose a mixture, a belief-net with the method "
            "exact, a circuit, an any-order model or a vae, or fill the values in before"
        )


class _Seen(ClassConditional):
    """Base class of the views. They share the weights of the model, and have its classes and its given class."""

    def __init__(self, model: Any, seen: Tensor) -> None:
        super().__init__()
        self._of, self._seen = (model,), seen  # a tuple, so that its weights are not registered twice
        self.classes = model.classes if isinstance(model, HasClasses) else 0
        self.condition = model.condition if isinstance(model, ClassConditional) else None

    @property
    def dtype(self) -> Any:
        return self._of[0].dtype

    def log_class_probs(self) -> Tensor:
        return self._of[0].log_class_probs()

    def given(self, labels: int | Tensor) -> Self:
        return type(self)(self._of[0].given(labels), self._seen)


class _SeenPixels(_Seen, ExactModel):
    """p(x where seen), exact."""

    def log_prob(self, x: Tensor) -> Tensor:
        return self._of[0].log_prob_seen(x, self._seen)


class _SeenEvidence(_Seen, LatentModel):
    """p(z) p(x where seen | z) with q(z | x where seen)."""

    def __init__(self, model: Any, seen: Tensor) -> None:
        super().__init__(model, seen)
        self.event_shape = model.event_shape

    def prior(self) -> Distribution:
        return self._of[0].prior()

    def posterior(self, x: Tensor) -> Distribution:
        return self._of[0].posterior_seen(x, self._seen)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return self._of[0].log_likelihood_seen(x, self._seen, z) + self.prior().log_prob(z)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """As `LatentModel.log_weights`; the sum of the weights of all classes, if none is given."""
        return self.log_weights_classes(x, k).logsumexp(1) if self.sums_classes else super().log_weights(x, k)

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `SplitsElbo`, of the seen pixels."""
        q = self.posterior(x)
        if isinstance(q, ClassAndLatents):
            each = [self.given(label).elbo_parts(x) for label in range(self.classes)]
            return mean_over_classes(q, self.log_class_probs(), *zip(*each, strict=True))
        z = q.rsample()
        return self._of[0].log_likelihood_seen(x, self._seen, z), kl_parts(q, self.prior(), z)

    def elbo(self, x: Tensor) -> Tensor:
        reconstruction, divergence = self.elbo_parts(x)
        return reconstruction - divergence.sum(1)


def without_unseen(x: Tensor, seen: Tensor, like: Model) -> Tensor:
    """The images with zeros where pixels are not seen, in the number format of a model."""
    return x.where(seen, 0).to(like.dtype)
