"""Value and gradient of a loss as one graph of `torch.compile`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ancestral.data.pixels import Batch
from ancestral.training.objectives import Terms

log = logging.getLogger("ancestral")
Results = tuple[Terms, Tensor, list[Tensor | None]]
Graph = Callable[[Batch], Results]
ALWAYS: dict[str, Any] = {"fallback_random": True}
"""Options of the compiler: random numbers come from the generator of eager mode, so both modes draw the same."""
ON_CPU: dict[str, Any] = {"cpp_wrapper": True}
"""The calls of the kernels are compiled too. For a small flow, this halves the time of the graph."""

COMPILING = 2
"""Calls in which torch may compile: layers may keep something in their first call, such as a mask."""


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
        self._graph: Graph | None = None
        self._calls = 0  # of the graph, up to `COMPILING`
        self._threads = 0  # torch compiles for their number
        self._shared: set[int] = set()  # gradients that share memory with other tensors

    def __call__(self, batch: Batch, step: int) -> Differentiated | None:
        """The results for a batch, or None: eager mode has to compute them. step: number of the batch in the run."""
        if self.failed or step == 0 or len(batch.x) != self.rows:
            return None
        if torch.get_num_threads() != self._threads:
            self._threads, self._calls = torch.get_num_threads(), 0
        before = _random_state(batch.x.device) if self._calls < COMPILING else None
        try:
            terms, loss, gradients = self._called(batch)
        except Exception as error:  # any: for a mistake in the objective, eager mode raises the error again
            if before is not None:
                _set_random_state(batch.x.device, before)
            self._give_up("it changes from step to step" if self._calls >= COMPILING else _why(error))
            return None
        own = [
            gradient.clone() if gradient is not None and place in self._shared else gradient
            for place, gradient in enumerate(gradients)
        ]
        return Differentiated(terms, loss, own)

    def restore(self, failed: bool) -> None:
        """Resume in the mode of the run: without compiling if the compiler failed before."""
        self.failed = failed
        if failed:
            log.warning("--compile: this training continues without it, as before: torch could not compile it")

    def _called(self, batch: Batch) -> Results:
        """The results of the graph, which is compiled in the first calls."""
        if self._graph is None:
            self._graph = graph_of(self._differentiate, self.backend, batch.x.device)
        if self._calls >= COMPILING:
            return self._graph(batch)
        with may_compile():
            found = self._graph(batch)
        self._calls += 1
        self._shared = _sharing(found[2], [*self.weights, *(part for part in batch if isinstance(part, Tensor))])
        return found

    def _give_up(self, reason: str) -> None:
        self.failed, self._graph = True, None
        log.warning("--compile: the training continues without it, because torch cannot compile it: %s", reason)

    def _differentiate(self, batch: Batch) -> Results:
        terms = self.terms_of(batch)
        loss = terms["loss"].mean()
        trained = [weight for weight in self.weights if weight.requires_grad]
        found = iter(torch.autograd.grad(loss, trained, allow_unused=True))
        gradients = [next(found) if weight.requires_grad else None for weight in self.weights]
        return {name: term.detach() for name, term in terms.items()}, loss.detach(), gradients


def graph_of(function: Callable[[Batch], Results], backend: str, device: torch.device) -> Graph:
    """A function that computes its results as one graph, which is compiled when it is called in `may_compile`."""
    on_device = ON_CPU if device.type == "cpu" else {}
    options = {**ALWAYS, **on_device} if backend == "inductor" else None
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend, options=options)


def may_compile() -> AbstractContextManager[None]:
    """Context in which torch can compile a function that computes gradients. Elsewhere a compilation fails.

    So a graph that depends on the step, and would be compiled at each step, is noticed.
    """
    import torch._dynamo

    return torch._dynamo.config.patch(trace_autograd_ops=True)


def _sharing(gradients: Sequence[Tensor | None], others: Sequence[Tensor]) -> set[int]:
    """Places of gradients whose memory is that of an earlier gradient or of another tensor.

    Clipping changes gradients in place. Autograd copies such gradients, and a graph does not.
    """
    used = {tensor.untyped_storage().data_ptr() for tensor in others}
    places = set()
    for place, gradient in enumerate(gradients):
        if gradient is None:
            continue
        memory = gradient.untyped_storage().data_ptr()
        if memory in used:
            places.add(place)
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
