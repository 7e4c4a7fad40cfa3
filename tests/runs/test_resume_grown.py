"""Extensions and runs from trained weights killed by SIGKILL at random moments: they resume to the same bits.

The moments are drawn from a fixed seed; how the processes are started and killed is described in `test_resume`.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from test_resume import Trainings, assert_same, trainings  # noqa: F401  (the fixture)

KILLS = 4
VAE: dict[str, Any] = {
    "train_size": 200,
    "valid_size": 50,
    "batch_size": 64,
    "epochs": 3,
    "log_every": 2,
    "latents": 3,
    "hidden": (8,),
    "prior": "mixture",
    "components": 3,
}
GAN: dict[str, Any] = {
    "train_size": 200,
    "valid_size": 50,
    "batch_size": 64,
    "epochs": 3,
    "log_every": 2,
    "hidden": (8,),
    "critic_hidden": (8,),
    "average": 0.9,
    "critic_steps": 2,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {**VAE, "beta_warmup": 2}),
    "gan": ("gan", GAN),
}


def fitted(started: Trainings, family: str, settings: dict[str, Any], out: Path, **how: Any) -> int:
    started.start(family=family, settings=settings, out=str(out), resume=how.pop("resume", False), **how)
    return started.wait()


def calls_of(started: Trainings) -> int:
    return int(json.loads(started.answer.read_text())["calls"])


def without_extensions(path: Path) -> None:
    """Take out of `settings.json` what a run in two parts has beyond the run at once."""
    record = json.loads((path / "settings.json").read_text())
    record.pop("extensions", None)
    (path / "settings.json").write_text(json.dumps(record))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_killed_extension_resumes_bit_identically(trainings: Trainings, tmp_path: Path, case: str) -> None:  # noqa: F811
    family, settings = CASES[case]
    longer = {**settings, "epochs": 6}
    assert fitted(trainings, family, longer, tmp_path / "whole") == 0
    assert fitted(trainings, family, settings, tmp_path / "half") == 0
    shutil.copytree(tmp_path / "half", tmp_path / "measured")
    assert fitted(trainings, family, longer, tmp_path / "measured", resume=True, calls=-1) == 0
    calls, chance = calls_of(trainings), random.Random(f"extension of {case}")
    for number in range(KILLS):
        out = Path(shutil.copytree(tmp_path / "half", tmp_path / f"run-{number}"))
        moment = chance.randrange(1, int(0.95 * calls))
        assert fitted(trainings, family, longer, out, resume=True, calls=moment) == -signal.SIGKILL
        moment = chance.randrange(1, calls // 2)  # and once more
        fitted(trainings, family, longer, out, resume=True, calls=moment)
        assert fitted(trainings, family, longer, out, resume=True) == 0
        entries = json.loads((out / "settings.json").read_text())["extensions"]
        assert [(entry["before"], entry["after"], entry["epoch"]) for entry in entries] == [(3, 6, 3)]
        without_extensions(out)
        assert_same(out, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_from_trained_weights_resumes_bit_identically(
    trainings: Trainings,  # noqa: F811
    tmp_path: Path,
    case: str,
) -> None:
    family, settings = CASES[case]
    assert fitted(trainings, family, settings, tmp_path / "parent") == 0
    weights = safetensors.torch.load_file(tmp_path / "parent/model/model.safetensors")
    part = "encoder" if family == "vae" else "generator.layers.0"
    child = {"init_from": str(tmp_path / "parent"), "freeze": [part], "epochs": 4, "learning_rate": 0.003}
    assert fitted(trainings, family, child, tmp_path / "whole", calls=-1) == 0
    calls, chance = calls_of(trainings), random.Random(f"child of {case}")
    for number in range(KILLS):
        out = tmp_path / f"run-{number}"
        moment = chance.randrange(1, int(0.95 * calls))
        assert fitted(trainings, family, child, out, calls=moment) == -signal.SIGKILL
        assert fitted(trainings, family, child, out, resume=(out / "settings.json").exists()) == 0
        assert_same(out, tmp_path / "whole")
        after = safetensors.torch.load_file(out / "model/model.safetensors")
        assert all(after[name].equal(weights[name]) for name in weights if name.startswith(f"{part}."))
