"""What the chapters of the study share: log-probabilities of test images and of samples, under truth and models."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.known_truth import Divergence, divergence
from ancestral.evaluation.likelihood import EXACT, exact_log_prob, log_probs
from ancestral.evaluation.quality import Quality
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model
from ancestral.models.classes import log_joint_of_classes
from ancestral.models.orders import bound_samples
from ancestral.runs.quality import Comparison, View
from ancestral.runs.run import Run
from ancestral.runs.synthetic import true_model
from ancestral.studies.workshop import Workshop

AT_ONCE = 250  # samples drawn together
BLOCK = 250  # images scored together
IMPORTANCE_SAMPLES = {"vae": 200, "helmholtz": 200, "flow": 8}
SHOWN = 8


def truth(workshop: Workshop) -> Model:
    """The true distribution p, with classes; see `true_model`. It is read once."""
    return _truth(first_run(workshop).data.name)


@functools.cache
def _truth(name: str) -> Model:
    return true_model(name)


def true_joint(model: Model, x: Tensor) -> Tensor:
    """log p(x, y), exact, float64, shape (N, classes), nats."""
    with torch.no_grad():
        return torch.cat([log_joint_of_classes(model, some.double()) for some in x.split(BLOCK)])


def as_images(x: Tensor) -> PixelBatches:
    """Images that are already in the pixel space of a model."""
    return PixelBatches(x, PixelSpace("points", 0))


def true_log_probs(model: Model, x: Tensor) -> Tensor:
    """log p(x), exact, float64, nats."""
    return exact_log_prob(model, as_images(x))


def first_run(workshop: Workshop) -> Run:
    """A run with binary pixels; all have the same test images."""
    return next(run for run in workshop.runs.values() if run.data.space.name == "threshold")


def count_of(workshop: Workshop) -> int:
    """Number of test images."""
    return min(workshop.size(2000, 100), len(first_run(workshop).data.dataset.test))


def test_images(workshop: Workshop, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The first binary test images, shape (N, 1, H, W), and their labels."""
    count = count or count_of(workshop)
    test = first_run(workshop).data.dataset.test
    assert test.labels is not None
    return test.first(count).images.float(), test.labels[:count]


@dataclass(frozen=True)
class OnTest:
    """Values of the test images.

    Attributes: log_p: log p(x) of each, shape (N,), nats, exact. posteriors: p(y | x), shape (N, classes).
                log_q: of each model with a likelihood, log q(x) or its bound. methods: how each was computed.
    """

    log_p: Tensor
    posteriors: Tensor
    log_q: dict[str, Tensor]
    methods: dict[str, str]

    def divergence(self, name: str) -> Divergence:
        """KL(p || q); at most this if log q is a lower bound."""
        bound = self.methods[name] != EXACT
        return divergence(self.log_p, self.log_q[name], "upper" if bound else None)


def on_test(workshop: Workshop) -> OnTest:
    """log p(x) and log q(x) of all models on the test images."""
    count = count_of(workshop)

    def compute() -> dict[str, Any]:
        x, _ = test_images(workshop)
        joint = true_joint(truth(workshop), x)
        found: dict[str, Any] = {"p": joint.logsumexp(1).tolist(), "posteriors": joint.softmax(1).tolist(), "q": {}}
        found["methods"] = {}
        with workshop.progress.counter_for("log q(x) of test images") as progress:
            for done, (name, run) in enumerate(workshop.runs.items(), 1):
                network = run.load()
                if not isinstance(network, ImplicitModel):
                    values, method = log_probs(
                        network, run.data.held("test", count), samples_for(workshop, name, network)
                    )
                    found["q"][name], found["methods"][name] = values.tolist(), method
                progress(done, len(workshop.runs))
        return found

    kept = workshop.remember("test images", compute, count=count)
    as_double = {name: torch.tensor(values, dtype=torch.float64) for name, values in kept["q"].items()}
    log_p, posteriors = (torch.tensor(kept[key], dtype=torch.float64) for key in ("p", "posteriors"))
    return OnTest(log_p, posteriors, as_double, kept["methods"])


def samples_for(workshop: Workshop, name: str, model: Model) -> int:
    """Samples of z per image for a bound; a model with an exact value does not use them."""
    return bound_samples(model, min(IMPORTANCE_SAMPLES.get(name, 100), workshop.size(10**6, 5)))


@dataclass(frozen=True)
class OfSamples:
    """Values of the samples of one model.

    Attributes: log_p: log p(x) of each, shape (M,), nats, exact. log_q: log q(x) or its bound; None without a
                likelihood. shares: mean of p(y | x) over the samples, shape (classes,). shown: the first samples,
                shape (8, 1, H, W). quality: measures of sample quality of the same samples.
    """

    log_p: Tensor
    log_q: Tensor | None
    shares: Tensor
    shown: Tensor
    quality: Quality


def draw(run: Run, count: int) -> tuple[Tensor, Tensor]:
    """Samples of a run in the pixel space of its model, and the same as binary images (grey values at one half)."""
    model = run.load()
    with seeded_noise(seed_for("truth", "samples")), torch.no_grad():
        blocks = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
        raw = torch.cat([model.sample(n) for n in blocks])
    return raw, (run.data.space.to_unit(raw.float()) > 0.5).float()


def of_samples(workshop: Workshop) -> dict[str, OfSamples]:
    """The values of samples of every model."""
    count = min(workshop.size(1000, 80), len(first_run(workshop).data.dataset.test))

    def compute() -> dict[str, Any]:
        model = truth(workshop)
        comparison = Comparison(View(first_run(workshop).data), count, "pixels" if workshop.quick else "auto")
        found: dict[str, Any] = {}
        with workshop.progress.counter_for("samples of all models") as progress:
            for done, (name, run) in enumerate(workshop.runs.items(), 1):
                raw, images = draw(run, count)
                joint = true_joint(model, images)
                network, log_q = run.load(), None
                if isinstance(network, ExactModel | LatentModel):
                    log_q = log_probs(network, as_images(raw), samples_for(workshop, name, network))[0].tolist()
                found[name] = {
                    "p": joint.logsumexp(1).tolist(),
                    "q": log_q,
                    "shares": joint.softmax(1).mean(0).tolist(),
                    "shown": images[:SHOWN].int().tolist(),
                    "quality": comparison.of(images).to_json(),
                }
                progress(done, len(workshop.runs))
        return found

    kept = workshop.remember("samples", compute, count=count)
    return {name: _of_samples(values) for name, values in kept.items()}


def _of_samples(values: dict[str, Any]) -> OfSamples:
    log_p, shares = (torch.tensor(values[key], dtype=torch.float64) for key in ("p", "shares"))
    log_q = None if values["q"] is None else torch.tensor(values["q"], dtype=torch.float64)
    return OfSamples(log_p, log_q, shares, torch.tensor(values["shown"]).float(), Quality.from_json(values["quality"]))
