"""Trainings in fresh processes, killed by SIGKILL at random moments and resumed, end with the bits of one that was not.

`test_resume.py` chooses moments by the calls that a training makes, in processes that share their imports. Here each
process is its own, as a person starts it, and is killed from outside at whatever it does then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same, position

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PROGRAM = """
import json, sys
import ancestral
family, out, resume, settings = json.loads(sys.argv[1])
ancestral.fit(family, out, resume=resume, checkpoint_seconds=0.0, **settings)
"""
BRIEF: dict[str, Any] = {"train_size": 300, "valid_size": 50, "epochs": 6, "batch_size": 20, "log_every": 3}
STEPS = 6 * 15
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {**BRIEF, "pixels": "binary", "latents": 3, "hidden": (16,), "schedule": "cosine"}),
    "gan": ("gan", {**BRIEF, "hidden": (16,), "critic_hidden": (16,), "average": 0.9, "critic_steps": 2}),
    "mixture": ("mixture", {**BRIEF, "components": 5, "method": "em"}),
    "circuit": ("circuit", {**BRIEF, "states": 3, "by_class": True}),
}
MOST_KILLS, PATIENCE = 3, 120.0


def start(case: str, out: Path, resume: bool = False) -> subprocess.Popen[bytes]:
    family, settings = CASES[case]
    job = json.dumps([family, str(out), resume, settings])
    return subprocess.Popen([sys.executable, "-c", PROGRAM, job], env=ENVIRONMENT)


def killed(case: str, out: Path, resume: bool, chance: random.Random) -> bool:
    """Start or resume a training and kill it; returns whether it was killed before its end."""
    process = start(case, out, resume)
    step, pause, end = chance.randrange(STEPS), chance.uniform(0, 0.01), time.monotonic() + PATIENCE
    checkpoint = out / "checkpoint" / "state.safetensors"
    while process.poll() is None and not (checkpoint.exists() and position(out)["step"] >= step):
        assert time.monotonic() < end
        time.sleep(0.001)
    time.sleep(pause)
    process.kill()
    code = process.wait()
    assert code in (0, -signal.SIGKILL)
    return code != 0


def kill_and_compare(case: str, reference: Path, out: Path, seed: int) -> int:
    """Kill a training up to three times at moments drawn from a seed, resume it to its end and compare.

    Returns: how often it was killed.
    """
    chance, kills = random.Random(f"{case} {seed}"), 0
    while kills < MOST_KILLS and killed(case, out, kills > 0, chance):
        kills += 1
    if kills:
        assert start(case, out, resume=True).wait(PATIENCE) == 0
    assert_same(out, reference)
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_training_killed_at_random_moments_is_the_same_to_the_bit(case: str, tmp_path: Path) -> None:
    assert start(case, tmp_path / "reference").wait(PATIENCE) == 0
    assert kill_and_compare(case, tmp_path / "reference", tmp_path / "run", seed=0) > 0
