"""Functions and classes that tests in several folders use."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy import stats

from ancestral.commands.main import main
from ancestral.core import files, serialization
from ancestral.core.errors import InputError
from ancestral.core.maths import log_mean_exp
from ancestral.evaluation.detection import Auroc, Rate
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.proportions import Proportion
from ancestral.evaluation.quality import MEASURES, Measured, Quality
from ancestral.families import catalogue
from ancestral.models.base import LatentModel
from ancestral.training.reporters import Reporter

ROOT = Path(__file__).parents[1]
Captured = pytest.CaptureFixture[str]


class Stopping(Reporter):
    """Interrupts a training after a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def advance(self, step: int, readings: object) -> None:
        if step >= self.step:
            raise KeyboardInterrupt


def run(*words: object) -> int:
    return main([str(word) for word in words])


def train_without_page(*words: object) -> None:
    """Train by the command and score the run; its pictures and page, which take most of the time, are not made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ancestral.api.training.write_run_page", lambda run, progress: run.page)
        assert run("train", *words) == 0


def forget_families_after(patch: pytest.MonkeyPatch) -> None:
    """Families that are added to the catalogue are gone when the patch ends."""
    for name in ("_LOADED", "_SOURCES", "_MODULES"):
        patch.setattr(catalogue, name, dict(getattr(catalogue, name)))
    for name in ("_CLASSES", "_OWNERS"):
        patch.setattr(serialization, name, dict(getattr(serialization, name)))


def printed(capsys: Captured, *words: object) -> tuple[str, str]:
    """Run a command that must succeed; returns stdout and stderr."""
    capsys.readouterr()
    assert run(*words) == 0
    out, err = capsys.readouterr()
    return out, err


def refused(action: Callable[[], object], *words: str, kind: type[InputError] = InputError) -> None:
    """Check that a call raises a one-line `InputError` that contains the words."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


class Killed(BaseException):
    """Simulates the end of the process."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> bool:
    """Whether an action was ended before the write with that number."""
    write, seen = files._write_atomically, 0

    def counting(path: Path, content: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_atomically", counting)
        try:
            action()
        except Killed:
            return True
    return False


def prior_samples_fit(model: LatentModel, draws: int = 20_000) -> bool:
    """Whether samples of a two-latent prior fit its density, by a chi-square test over the cells of a grid."""
    torch.manual_seed(7)
    edges = torch.linspace(-6, 6, 25, dtype=torch.float64)
    fine = torch.linspace(-6, 6, 24 * 20 + 1, dtype=torch.float64)
    middle = (fine[1:] + fine[:-1]) / 2
    with torch.no_grad():
        z = model.prior().sample(torch.Size((draws,)))
        density = model.prior().log_prob(torch.cartesian_prod(middle, middle)).exp().reshape(480, 480)
    cells = density.reshape(24, 20, 24, 20).sum((1, 3)) * (fine[1] - fine[0]) ** 2
    counts = torch.histogramdd(z, [edges, edges]).hist
    expected = draws * torch.cat([cells.flatten(), (1 - cells.sum()).clamp_min(1e-9)[None]])
    seen = torch.cat([counts.flatten(), (draws - counts.sum())[None]])
    common = expected >= 5
    statistic = ((seen - expected)[common].square() / expected[common]).sum().item()
    return bool(stats.chi2.sf(statistic, int(common.sum()) - 1) > 1e-4)


def assert_bounds_in_order(log_w: torch.Tensor, truth: torch.Tensor, gap: float) -> None:
    """Check E[ELBO] <= E[IWAE_10] <= log p(x), and that IWAE with all samples is within 0.02 nats of log p(x).

    The ELBO must not be tight, because otherwise the order would not be tested.

    Args:      log_w: log-weights, shape (B, K). truth: log p(x), shape (B,). gap: minimum ELBO gap, nats.
    """
    draws = log_w.shape[1]
    elbo, iwae_10, iwae_all = (log_mean_exp(log_w.unflatten(1, (-1, k)), 2) for k in (1, 10, draws))
    slack = 5 * elbo.std(1) / math.sqrt(draws)
    assert (elbo.mean(1) <= iwae_10.mean(1) + slack).all()
    assert (iwae_10.mean(1) <= truth + slack).all()
    assert (iwae_all.mean(1) - truth).mean().abs() <= 0.02
    assert (truth - elbo.mean(1)).mean() > gap


def record_of(powers: dict[int, int], alarms: int = 5, against: str = "noise", alpha: float = 0.05) -> DetectionRecord:
    rates = [Rate(size, Proportion(alarms, 100), Proportion(power, 100)) for size, power in powers.items()]
    return DetectionRecord(
        against, "ELBO", "lower bound", "digits", "these images", alpha, 100, "valid", 0.5, 300, (200, 200),
        (-1.0, -2.0), {"log_prob": Auroc(0.9, 0.01)}, {"log_prob": rates},
    )  # fmt: skip


def quality_of(**values: float) -> Quality:
    """A record with these values and 0.1 for all others; real images have 0.5 in all measures."""
    measured = {name: Measured(values.get(name, 0.1), 0.5) for name in MEASURES}
    return Quality(
        **measured, count=200, seed=0, drawn="draws", space="digits, binary, threshold 0.5", network="a network",
        network_sha256="0" * 64, network_accuracy={"grey": 0.9},
    )  # fmt: skip
