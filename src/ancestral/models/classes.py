"""Models of p(x, y) = p(y) p(x | y) with a class y: what they can compute, and how a network gets the class.

A model with classes is still a distribution over x: `log_prob` and `sample` sum over the classes, and mean the same as
for a model without classes. `given` returns the distribution of x for known classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError, NotComputable
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model
from ancestral.models.vectors import TakesVectors


@runtime_checkable
class HasClasses(Protocol):
    """Is a distribution over x for each of K classes, with the probabilities of the classes.

    `classes`: K; 0 if the model was built without classes, and then the methods raise.
    """

    classes: int

    def log_class_probs(self) -> Tensor:
        """log p(y), shape (K,), nats; -inf for a class that the training data do not have."""
        ...

    def given(self, labels: int | Tensor) -> Model:
        """The distribution p(x | y), which shares all parameters with this model.

        Args:      labels: one class for all x; or one for each x of a batch, whole numbers, shape (B,).
        Raises:    InputError: the model has no classes, or a label is not one of them.
        """
        ...


@runtime_checkable
class ScoresClasses(HasClasses, Protocol):
    """Can compute the joint probability of x and each class, exactly."""

    def log_joint_classes(self, x: Tensor) -> Tensor:
        """log p(x, y) of all classes, exact, shape (B, K), nats."""
        ...


@runtime_checkable
class WeighsClasses(HasClasses, Protocol):
    """Can estimate the joint probability of x and each class without bias."""

    def log_weights_classes(self, x: Tensor, k: int) -> Tensor:
        """log p(y) + log p(x, z_k | y) - log q(z_k | x, y) for z_k ~ q(z | x, y), shape (B, K, k), nats."""
        ...


@runtime_checkable
class PredictsClasses(HasClasses, Protocol):
    """Has p(y | observed pixels) of its own for any set of pixels, so p(y | x) needs no Bayes' rule."""

    def log_class_posterior(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(y | observed pixels) of all classes, shape (B, K), nats.

        Args:      x: shape (B, *event_shape); hidden values are not used. observed: boolean, same shape.
        """
        ...


class ClassConditional(TakesVectors):
    """Base class of models whose parameters depend on a condition c: the class y as a one-hot vector, or a vector of
    real numbers (see `TakesVectors`).

        log p(x) = log sum_y p(y) p(x | y)

    A subclass calls `set_classes` in its constructor. Its computations use `condition`. They sum over the classes if
    `sums_classes`, that is, if the model has classes and no condition is given.

    Attributes: classes: K, 0 for none. condition: c, shape (1 or B, K); None if no class is given.
    Reference: van den Oord et al., 2016, section 2.3, arXiv 1606.05328; Sohn et al., 2015 (conditional VAE).
    """

    classes: int = 0
    shares: Tensor

    def set_classes(self, classes: int, proportions: Sequence[float] | None = None) -> None:
        """Set the number of classes and p(y).

        Args:      classes: K; 0 for none. proportions: of the classes in the training data; None: equal.
        Raises:    InputError: the proportions are not K numbers >= 0, or all are 0.
        """
        self.classes = classes
        shares = [1.0] * classes if proportions is None else list(proportions)
        if len(shares) != classes or any(share < 0 for share in shares) or (classes and not sum(shares) > 0):
            raise InputError(
                f"proportions {shares} are not valid for {classes} classes: give {classes} numbers >= 0, not all zero"
            )
        self.register_buffer("shares", torch.tensor(shares), persistent=False)

    @property
    def sums_classes(self) -> bool:
        """Whether the model has classes and none is given, so that x has the distribution of the mixture."""
        return self.classes > 0 and self.condition is None

    def refuse_without_class(self) -> None:
        """Raises:    NotComputable: a class or a vector is an input of the network, and none is given."""
        self.refuse_without_vector()
        if self.sums_classes:
            raise NotComputable(
                f"the network of this {type(self).__name__} needs a class: use given(label), for one class"
            )

    def log_class_probs(self) -> Tensor:
        """log p(y): the proportions of the classes in the training data, shape (K,), nats."""
        refuse_without_classes(self)
        return (self.shares / self.shares.sum()).log()

    def given(self, labels: int | Tensor) -> Self:
        """The distribution p(x | y), which shares all parameters with this model.

        Args:      labels: one class for all x; or one for each x of a batch, whole numbers, shape (B,).
        Raises:    InputError: the model has no classes, or a label is not one of them.
        """
        refuse_without_classes(self)
        return self.under(one_hot(checked_labels(labels, self.classes), self.classes))

    def under(self, condition: Tensor) -> Self:
        """The distribution p(x | c), which shares all parameters with this model. condition: shape (1 or B, K)."""
        view = copy.copy(self)
        view.condition = condition.to(self.shares.device, self.dtype)
        return view

    def conditions(self, n: int) -> Tensor | None:
        """The condition of each of n rows, shape (n, K); None if none is given.

        Raises:    InputError: conditions were given for another number of rows. NotComputable: as
                   `refuse_without_vector`.
        """
        self.refuse_without_vector()
        if self.condition is None or len(self.condition) == n:
            return self.condition
        if len(self.condition) != 1:
            given = "vectors" if self.vector_size else "labels"
            raise InputError(f"{given} were given for {len(self.condition)} images, but there are {n}")
        return self.condition.expand(n, -1)

    def log_joint_classes(self, x: Tensor) -> Tensor:
        """log p(x, y) of all classes, exact, shape (B, K), nats; for a model with an exact log p(x | y)."""
        each = [self.given(label).log_prob(x) for label in range(self.classes)]  # type: ignore[attr-defined]
        return torch.stack(each, 1) + self.log_class_probs()

    def log_weights_classes(self, x: Tensor, k: int) -> Tensor:
        """log p(y) + log p(x, z_k | y) - log q(z_k | x, y), shape (B, K, k), nats; for a model with latents."""
        each = [self.given(label).log_weights(x, k) for label in range(self.classes)]  # type: ignore[attr-defined]
        return torch.stack(each, 1) + self.log_class_probs()[:, None]

    def class_posterior(self, x: Tensor, k: int = 1) -> Categorical:
        """p(y | x) by Bayes' rule, batch shape (B,): exact, or estimated from k samples of the latents of each class.

        Raises:    InputError: the model has no classes.
        """
        return Categorical(logits=log_joint_of_classes(self, x, k), validate_args=False)

    @torch.no_grad()
    def sample_classes(self, labels: Tensor) -> Tensor:
        """One sample for each label. labels: (n,), whole numbers; returns (n, *event_shape).

        Raises:    InputError: the model has no classes, or a label is not one of them.
        """
        return self.given(labels).sample(len(labels))

    def draw_classes(self, n: int) -> Tensor:
        """`n` random classes with the probabilities p(y), shape (n,)."""
        probs = self.log_class_probs().exp()
        return torch.multinomial(probs, n, replacement=True) if n else probs[:0].long()

    def present_classes(self) -> Tensor:
        """The classes that occur in the training data, in order."""
        return (self.log_class_probs() > -torch.inf).nonzero()[:, 0]


class CodesClasses(ClassConditional):
    """A model with codes: the latents, followed by the class as a one-hot vector if the model has classes and none is
    given."""

    @property
    def condition_width(self) -> int:  # type: ignore[override]
        return self.classes if self.sums_classes else 0

    def code(self, z: Tensor) -> Tensor:
        """The input of the decoder: z, followed by the given class if there is one.

        Args:      z: shape (..., B, M) for B given conditions; (..., M) for one or none.
        Raises:    InputError, NotComputable: as `conditions`.
        """
        self.refuse_without_vector()
        if self.condition is None:
            return z
        if len(self.condition) > 1:
            self.conditions(z.shape[-2])  # raises for another number of rows
        return torch.cat([z, self.condition.expand(*z.shape[:-1], -1)], -1)

    def classes_in_turn(self, n: int) -> Tensor:
        """Conditions of n codes, the classes of the training data in turn, shape (n, condition_width)."""
        if not self.sums_classes:
            return self.shares.new_zeros(n, 0)
        present = self.present_classes()
        return one_hot(present[torch.arange(n, device=present.device) % len(present)], self.classes).to(self.shares)


def split_divergences(model: Model, parts: Tensor) -> tuple[Tensor, Tensor]:
    """The divergences of `SplitsElbo.elbo_parts`, those of the latents and that of the class.

    Args:      parts: shape (B, J), the last column KL(q(y | x) || p(y)) if the model has classes and none is given.
    Returns:   shapes (B, M), or (B, 1) if they do not split by latent; and (B, 1), or (B, 0) without classes, nats.
    """
    latents = parts.shape[1] - int(isinstance(model, ClassConditional) and model.sums_classes)
    return parts[:, :latents], parts[:, latents:]


def refuse_without_classes(model: Model) -> None:
    """Raises:    InputError: the model was built without classes."""
    if not getattr(model, "classes", 0):
        raise InputError(f"this {type(model).__name__} has no classes: train one with --conditional")


def checked_labels(labels: int | Tensor, classes: int) -> Tensor:
    """Labels as whole numbers, shape (1,) or (B,).

    Raises:    InputError: fractional or missing labels, or no such class.
    """
    found = torch.as_tensor(labels)
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool or found.ndim > 1:
        raise InputError(f"labels must be whole numbers, one or one for each image, not {found.dtype} of {found.ndim}D")
    found = found.reshape(-1).long()
    if not bool(((found >= 0) & (found < classes)).all()):
        wrong = found[(found < 0) | (found >= classes)][0].item()
        raise InputError(f"there is no class {wrong}: this model has the classes 0 to {classes - 1}")
    return found


def scores_classes(model: Model) -> bool:
    """Whether a model has classes, and p(x, y) of each that can be computed or estimated."""
    if isinstance(model, ImplicitModel) or not isinstance(model, HasClasses) or model.classes == 0:
        return False
    return isinstance(model, ScoresClasses if isinstance(model, ExactModel) else WeighsClasses)


def log_joint_of_classes(model: Model, x: Tensor, k: int = 1) -> Tensor:
    """log p(x, y) of all classes, shape (B, K), nats: exact, or an estimate from k samples of the latents.

    The exponential of the estimate is unbiased for p(x, y). So is the sum over the classes for p(x), and the logarithm
    of an unbiased estimate is in expectation a lower bound (Jensen).

    Raises:    InputError: the model has no classes.
    """
    if isinstance(model, ExactModel) and isinstance(model, ScoresClasses):
        refuse_without_classes(model)
        return model.log_joint_classes(x)
    if isinstance(model, LatentModel) and isinstance(model, WeighsClasses):
        refuse_without_classes(model)
        return model.log_weights_classes(x, k).logsumexp(2) - torch.tensor(float(k)).log()
    raise InputError(f"this {type(model).__name__} has no classes: train one with --conditional")
