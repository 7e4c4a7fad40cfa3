"""Scores that are stored: each method can be computed again from its name, and a run's check does so."""

from __future__ import annotations

import pytest
import torch
import zoo
from helpers import refused

from ancestral import fit
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.likelihood import Request, log_probs_with_errors
from ancestral.evaluation.score import Score
from ancestral.evaluation.scoring import request_of
from ancestral.runs.evaluate import score_run
from ancestral.runs.records import SCORES
from ancestral.runs.run import Run
from ancestral.runs.verify import verify_run


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit("vae", tmp_path_factory.mktemp("likelihood") / "vae", epochs=1, latents=2, hidden=(16,), watch_size=50)


@pytest.mark.parametrize("request_", [Request(), Request(1), Request(7), Request(1, True), Request(7, True)])
def test_a_method_can_be_requested_by_its_name(vae: Run, request_: Request) -> None:
    found = score_run(vae, count=20, samples=request_.samples, from_prior=request_.from_prior)
    assert request_of(found.method) == request_


def test_a_method_that_is_not_known_is_refused() -> None:
    for method in ("AIS_300", "IWAE_0", "IWAE_", "IWAE_5 times", ""):
        refused(lambda method=method: request_of(method), "cannot be computed again", method)


def test_a_run_is_verified_by_the_methods_of_its_scores(vae: Run) -> None:
    """One draw from the encoder, one from the prior: neither is the ELBO's, and both can be repeated."""
    for request in (Request(), Request(1), Request(1, True)):
        score_run(vae, count=50, samples=request.samples, from_prior=request.from_prior)
    checks = [check for check in verify_run(vae.path) if "can be repeated" in check.name]
    repeated = {check.name.partition(": ")[2] for check in checks}
    assert {"ELBO on test", "IWAE_1 on test", "prior MC_1 on test"} <= repeated
    assert all(check.passed for check in checks)
    (stored,) = (score for score in SCORES.of(vae) if score.method == "prior MC_1" and score.count == 50)
    SCORES.add(vae, Score(**{**vars(stored), "nats": stored.nats + 0.01}))
    failed = [check.name for check in verify_run(vae.path) if not check.passed]
    assert failed == ["its score can be repeated: prior MC_1 on test"]


def test_the_error_of_an_estimate_is_the_spread_of_repeated_estimates() -> None:
    """The delta method against the standard deviation of independent estimates of the same image."""
    model = zoo.seeded(lambda: zoo.tiny_vae("threshold"))
    with seeded_noise(5), torch.no_grad():
        x = model.sample(1)
    images = PixelBatches(x.expand(400, *x.shape[1:]).to(torch.uint8), PixelSpace("levels", 2))
    for from_prior in (False, True):
        values, errors, _ = log_probs_with_errors(model, images, Request(200, from_prior))
        assert errors is not None
        # 400 repetitions know a standard deviation to 3.5 percent
        assert errors.mean().item() == pytest.approx(values.std().item(), rel=0.2)
    assert log_probs_with_errors(model, images, Request(1))[1] is None
