"""Value and gradient of a loss as one graph of `torch.compile`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ancestral.data.pixels import Batch
from ancestral.training.objectives import Terms

log = logging.getLogger("ancestral")
Results = tuple[Terms, Tensor, list[Tensor | None]]
ALWAYS: dict[str, Any] = {"fallback_random": True}
"""Options of the compiler: random numbers come from the generator of eager mode, so both modes draw the same."""
ON_CPU: dict[str, Any] = {"cpp_wrapper": True}
"""The calls of the kernels are compiled too. For a small flow, this halves the time of the graph."""


class Differentiated(NamedTuple):
    """A batch with its gradient.

    Attributes: terms: shape (B,) each, without gradient. loss: the mean of the term `loss`, shape (). gradients: of the
                mean loss by each weight; None for a weight that it does not depend on.
    """

    terms: Terms
    loss: Tensor
    gradients: list[Tensor | None]


class CompiledGradient:
    """Terms, mean loss and gradients of a batch as one graph, or nothing where eager mode has to compute them.

    The graph is compiled for the first whole batch after step 0, with fixed shapes. Step 0, in which layers initialise
    themselves, and a last smaller batch are left to eager mode. So the mode of a step depends on its number and its
    batch only, and a resumed training repeats it to the bit.

    If the compiler fails, one warning says why, and all steps are left to eager mode. Nothing is lost: weights and
    random numbers are those from before the attempt.

    Args:      terms_of: terms of a batch, shape (B,) each. weights: of the optimiser. rows: images of a whole batch.
               backend: of `torch.compile`.
    Attributes: failed: whether the compiler failed.
    """

    def __init__(
        self,
        terms_of: Callable[[Batch], Terms],
        weights: Sequence[nn.Parameter],
        rows: int,
        backend: str = "inductor",
    ) -> None:
        self.terms_of, self.weights, self.rows, self.backend = terms_of, weights, rows, backend
        self.failed = False
        self._graph: Callable[[Batch], Results] | None = None
        self._shared: list[int] = []  # gradients that share memory with other tensors

    def __call__(self, batch: Batch, step: int) -> Differentiated | None:
        """The results for a batch, or None: eager mode has to compute them. step: number of the batch in the run."""
        if self.failed or step == 0 or len(batch.x) != self.rows:
            return None
        device = batch.x.device
        before = _random_state(device) if self._graph is None else None
        try:
            terms, loss, gradients = self._first(batch) if self._graph is None else self._graph(batch)
        except Exception as error:  # any: for a mistake in the objective, eager mode raises the error again
            if before is not None:
                _set_random_state(device, before)
            self.failed, self._graph = True, None
            log.warning("--compile: the training continues without it, because torch cannot compile it: %s", _why(error))
            return None
        for place in self._shared:
            gradients[place] = gradients[place].clone()
        return Differentiated(terms, loss, gradients)

    def restore(self, failed: bool) -> None:
        """Resume in the mode of the run: without compiling if the compiler failed before."""
        self.failed = failed
        if failed:
            log.warning("--compile: this training continues without it, as before: torch could not compile it")

    def _first(self, batch: Batch) -> Results:
        """Compile the graph and call it."""
        import torch._dynamo

        inductor, on_cpu = self.backend == "inductor", batch.x.device.type == "cpu"
        graph = torch.compile(
            self._differentiate,
            fullgraph=True,
            dynamic=False,
            backend=self.backend,
            options={**ALWAYS, **(ON_CPU if on_cpu else {})} if inductor else None,
        )
        # only here: later calls can then not compile again, which would take long at each step
        with torch._dynamo.config.patch(trace_autograd_ops=True):
            found = graph(batch)
        self._graph = graph
        self._shared = _sharing(found[2], [*self.weights, *(part for part in batch if isinstance(part, Tensor))])
        return found

    def _differentiate(self, batch: Batch) -> Results:
        terms = self.terms_of(batch)
        loss = terms["loss"].mean()
        trained = [weight for weight in self.weights if weight.requires_grad]
        found = iter(torch.autograd.grad(loss, trained, allow_unused=True))
        gradients = [next(found) if weight.requires_grad else None for weight in self.weights]
        return {name: term.detach() for name, term in terms.items()}, loss.detach(), gradients


def _sharing(gradients: Sequence[Tensor | None], others: Sequence[Tensor]) -> list[int]:
    """Places of gradients whose memory is that of an earlier gradient or of another tensor.

    Clipping changes gradients in place. Autograd copies such gradients, and a graph does not.
    """
    used = {tensor.untyped_storage().data_ptr() for tensor in others}
    places = []
    for place, gradient in enumerate(gradients):
        if gradient is None:
            continue
        memory = gradient.untyped_storage().data_ptr()
        if memory in used:
            places.append(place)
        used.add(memory)
    return places


def _random_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


def _why(error: Exception) -> str:
    """One line about the first cause of an error of the compiler."""
    cause: BaseException = getattr(error, "inner_exception", error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
