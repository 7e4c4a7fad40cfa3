"""Schedules of beta and free bits: what is trained at each step, and that nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import refused
from torch import Tensor

from ancestral import fit
from ancestral.data.pixels import Batch, Moment
from ancestral.families.family import DataSpec, Family
from ancestral.families.vae.objectives import objective_for
from ancestral.families.vae.schedules import beta_at, free_bits_at
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.tiny import tiny_vae
from ancestral.families.vae.vae import build_vae
from ancestral.health.curves import Facts
from ancestral.health.examine import examine
from ancestral.runs.evaluate import score_run
from ancestral.runs.run import Run
from ancestral.settings.family import FamilySettings
from ancestral.training.log import LogLine
from ancestral.training.loop import Reporter
from ancestral.training.objectives import elbo

BRIEF: dict[str, Any] = {
    "train_size": 120,
    "valid_size": 20,
    "batch_size": 40,
    "log_every": 1,
    "latents": 3,
    "hidden": (8,),
}
MODEL = tiny_vae()
X = (torch.arange(36).reshape(4, 1, 3, 3) % 3 == 0).float()


@dataclass(frozen=True)
class OwnSettings(FamilySettings):
    """A family outside the package."""


def moment(step: int, epochs: int = 10) -> Moment:
    return Moment(step, 5, 5 * epochs)


def terms_at(settings: VAESettings, at: Moment | None) -> dict[str, Tensor]:
    objective = objective_for(settings, MODEL)
    torch.manual_seed(0)
    return dict(objective(MODEL, Batch(X, moment=at)))


@pytest.mark.parametrize("step", [0, 3, 5, 10, 49])
def test_the_weight_rises_linearly_over_the_warm_up(step: int) -> None:
    settings = VAESettings(beta=4.0, beta_warmup=2)
    assert beta_at(settings, moment(step)) == pytest.approx(4.0 * min(1.0, step / 10))
    assert beta_at(settings, moment(step, epochs=99)) == beta_at(settings, moment(step)), "whatever comes after"


def test_cycles_are_those_of_the_paper() -> None:
    """Fu et al., eqs. 6 and 7, for t from 1: tau = mod(t - 1, ceil(T / M)) / (T / M), f(tau) = tau / R up to R."""
    total, cycles = 60, 4
    settings = VAESettings(beta=2.0, beta_cycles=cycles)
    for t in range(1, total + 1):
        tau = ((t - 1) % -(-total // cycles)) / (total / cycles)
        expected = 2.0 * (tau / 0.5 if tau <= 0.5 else 1.0)
        assert beta_at(settings, Moment(t - 1, 10, total)) == pytest.approx(expected)


def test_cycles_that_do_not_divide_the_steps_still_end_at_beta() -> None:
    values = [beta_at(VAESettings(beta_cycles=3), Moment(step, 10, 50)) for step in range(50)]
    assert [step for step, value in enumerate(values) if value == 0] == [0, 17, 34]
    assert values[-1] == 1.0 and max(values) == 1.0


def test_free_bits_decay_to_zero() -> None:
    settings = VAESettings(free_bits=0.5, free_bits_decay=3)
    assert [free_bits_at(settings, moment(step)) for step in (0, 6, 15, 40)] == pytest.approx([0.5, 0.3, 0.0, 0.0])


@pytest.mark.parametrize("step", [0, 4, 10])
def test_the_objective_is_that_of_the_step(step: int) -> None:
    settings = VAESettings(beta=3.0, beta_warmup=2, free_bits=0.4, free_bits_decay=4)
    terms = terms_at(settings, moment(step))
    torch.manual_seed(0)
    expected = elbo(MODEL, Batch(X), beta=0.3 * step, free_bits=0.4 * (1 - step / 20))
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    assert terms["scheduled_beta"].tolist() == pytest.approx([0.3 * step] * 4)
    assert terms["scheduled_free_bits"].tolist() == pytest.approx([0.4 * (1 - step / 20)] * 4)
    torch.testing.assert_close(terms["negative_elbo"], terms["kl"] + terms["reconstruction"])


def test_without_a_moment_a_schedule_is_refused() -> None:
    refused(lambda: terms_at(VAESettings(beta_warmup=1), None), "schedule", "moment")
    terms_at(VAESettings(beta=2.0, free_bits=0.1), None)


def test_conflicting_schedules_are_refused_and_unused_ones_named() -> None:
    refused(lambda: VAESettings(beta_warmup=1, beta_cycles=1), "--beta-warmup", "--beta-cycles")
    refused(lambda: VAESettings(beta_cycles=-1), "--beta-cycles")
    assert "free_bits_decay" in VAESettings(free_bits_decay=2).unused(False)
    assert "beta_warmup" in VAESettings(beta=0.0, beta_warmup=2).unused(False)
    assert {"beta_warmup", "free_bits_decay"} <= VAESettings(objective="iwae", beta_warmup=2).unused(False).keys()
    assert VAESettings(objective="iwae", beta_cycles=2).full_length_schedules == ()


def test_a_training_shorter_than_its_schedule_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit("vae", tmp_path / "run", epochs=2, beta_warmup=3, **BRIEF)
    assert "--beta-warmup 3 is longer than the training (2 epochs)" in caplog.text


def test_the_log_holds_the_weight_of_each_step(tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", epochs=4, beta=2.0, beta_cycles=2, **BRIEF)
    logged = [line.value for line in run.log() if (line.split, line.name) == ("train", "scheduled_beta")]
    assert logged == pytest.approx([0, 2 / 3, 4 / 3, 2, 2, 2] * 2)  # 12 steps, cycles of 6


def schedule_of(values: list[float], losses: list[float]) -> list[LogLine]:
    """A log of ten steps an epoch, with a reading of the weight, of the loss and of a held-out one in each."""
    return [
        LogLine(10 * (epoch + 1), epoch + 1, split, name, value)
        for epoch, (weight, loss) in enumerate(zip(values, losses, strict=True))
        for split, name, value in (
            ("train", "loss", loss),
            ("train", "scheduled_beta", weight),
            ("valid", "negative_elbo", 2 * loss),
        )
    ]


def test_health_checks_use_readings_after_the_last_change_of_the_weight() -> None:
    """Losses rise with the weight, and jump when a cycle begins: neither is a divergence, nor over-fitting."""
    rising = [0.1 * epoch for epoch in range(10)] + [1.0] * 20
    losses = [500.0] + [100.0 + 20 * epoch for epoch in range(9)] + [100.0 - epoch for epoch in range(20)]
    facts = Facts(train_images=100, steps_per_epoch=10, total_steps=300)
    assert examine(schedule_of(rising, losses), facts).verdicts == ()
    climbing = losses[:10] + [100.0 + epoch**2 for epoch in range(20)]
    assert "divergence" in {verdict.name for verdict in examine(schedule_of(rising, climbing), facts).verdicts}
    early = examine(schedule_of(rising[:10], losses[:10]), facts)
    assert early.verdicts == () and "divergence" in early.unjudged
    assert examine(schedule_of([1.0] * 10, losses[:10]), facts).verdicts != ()


def test_scores_are_not_changed_by_a_schedule(tmp_path: Path) -> None:
    """Steps of length zero: the weights are the first ones, and so is the score."""
    still = {**BRIEF, "epochs": 1, "learning_rate": 1e-38, "optimizer": "sgd"}
    plain = score_run(fit("vae", tmp_path / "plain", **still))
    for name, own in (("warm", {"beta_warmup": 1}), ("bits", {"free_bits": 9.0, "free_bits_decay": 9})):
        run = fit("vae", tmp_path / name, **still, **own)
        assert score_run(run).nats == plain.nats
        readings = [line for line in run.log() if line.split == "valid"]
        assert readings == [line for line in Run(tmp_path / "plain").log() if line.split == "valid"]


class Stop(Reporter):
    def advance(self, step: int, readings: object) -> None:
        if step >= 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("own", [{"beta_warmup": 3}, {"beta_cycles": 2}, {"free_bits": 1.0, "free_bits_decay": 3}])
def test_an_interrupted_schedule_resumes_bit_identically(tmp_path: Path, own: dict[str, Any]) -> None:
    settings = {**BRIEF, **own, "epochs": 4}
    whole = fit("vae", tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        fit("vae", tmp_path / "parts", reporter=Stop(), checkpoint_seconds=0.0, **settings)
    parts = fit("vae", tmp_path / "parts", resume=True)
    for name in ("model/model.safetensors", "log.jsonl"):
        assert (parts.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_an_objective_of_a_plug_in_sees_the_moment(tmp_path: Path) -> None:
    seen: list[Moment | None] = []

    def objective_of(settings: Any, model: Any) -> Any:
        def objective(model: Any, batch: Batch) -> dict[str, Tensor]:
            seen.append(batch.moment)
            return {"loss": -model.elbo(batch.x)}

        return objective

    def build(settings: Any, spec: DataSpec) -> Any:
        return build_vae(VAESettings(latents=2, hidden=(4,)), spec)

    family = Family("with-moments", OwnSettings, build, tiny={}, objective=objective_of)
    sizes = {name: BRIEF[name] for name in ("train_size", "valid_size", "batch_size")}
    fit(family, tmp_path / "run", epochs=2, **sizes)
    trained = seen[-6:]  # before them the first batch is tried
    assert trained == [Moment(step, 3, 6) for step in range(6)]
    assert all(each is not None for each in seen)


def test_a_batch_outside_of_a_training_has_no_moment() -> None:
    assert Batch(X).moment is None and Moment(7, 2, 20).epoch == 3.5
