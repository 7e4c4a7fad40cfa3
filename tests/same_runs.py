"""Checks that two runs are exactly equal, and the progress of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors


def position(run: Path) -> dict[str, Any]:
    """The step of a run's checkpoint, from a single read of the file, because it may be replaced at any time."""
    content = (run / "checkpoint" / "state.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["facts"])["position"]


def assert_same(run: Path, reference: Path) -> None:
    """Check that log, weights, training state and outcome are equal; times and dates may differ."""
    for name in ("log.jsonl", "model/model.safetensors", "model/config.json"):
        assert (run / name).read_bytes() == (reference / name).read_bytes(), name
    # the checkpoint holds the optimiser, the best and the last weights; the order of entries in safetensors may differ
    states = [read_state(folder / "checkpoint" / "state.safetensors") for folder in (run, reference)]
    assert states[0] == states[1]
    outcomes = [json.loads((folder / "training.json").read_text()) for folder in (run, reference)]
    for outcome in outcomes:
        del outcome["seconds"], outcome["total_seconds"], outcome["images_per_second"]
    assert outcomes[0] == outcomes[1]
    records = [json.loads((folder / "settings.json").read_text()) for folder in (run, reference)]
    for record in records:
        del record["started"], record["command"], record["git_commit"]  # of whatever is committed in the meantime
    assert records[0] == records[1]
    assert not list(run.rglob(".*.tmp")), "temporary files of a killed writer are removed"


def read_state(path: Path) -> tuple[dict[str, bytes], Any]:
    with safetensors.safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["facts"])
        del facts["clock"]
        return tensors, facts
