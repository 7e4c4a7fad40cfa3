"""Settings that may change when a training is resumed: more epochs, more patience, and another device.

The new values replace the old ones in `settings.json`. Its list `extensions` has each change with its date, the old
value, and the SHA-256 of the weights before the change. If the process is killed between any two writes, the run can
still be resumed: the manifest is removed first and written last, and the settings are replaced after the files that
mark the training as finished are removed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ancestral.core.errors import InputError
from ancestral.core.files import write_json
from ancestral.families.run_settings import Settings
from ancestral.runs.provenance import Origin
from ancestral.runs.records import STORES
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.settings.checks import flag
from ancestral.settings.stored import dataclass_from
from ancestral.training.loop import Position

if TYPE_CHECKING:
    from torch import Tensor

Entry = dict[str, Any]
LENGTHS = ("epochs", "patience")
log = logging.getLogger("ancestral")


def open_run(
    run: Run, settings: Settings, data: RunData, resume: bool, origin: Origin
) -> tuple[dict[str, Tensor], dict[str, Any], list[Entry]]:
    """Prepare a folder for training, see `Run.begin`, and plan the changes of a run that is resumed.

    Returns:   tensors and facts of the checkpoint, both empty without one, and the changes for `keep_changes`.
    Raises:    InputError: the run cannot be resumed, or not with these settings.
    """
    started = run.started
    known = run.begin(settings, data, resume, origin)
    tensors, facts = run.state() if known else ({}, {})
    return tensors, facts, planned_changes(run, settings, facts, origin.device) if started else []


def planned_changes(run: Run, settings: Settings, facts: Mapping[str, Any], device: str) -> list[Entry]:
    """The changes of settings as entries of the list of extensions. Nothing is written.

    Args:      run: the run that is resumed. settings: the new ones. facts: of its checkpoint, empty without one.
               device: the new one.
    Raises:    InputError: the training cannot be resumed with these settings.
    """
    stored, wanted = run.settings.training, settings.training
    changed: dict[str, Any] = {
        name: getattr(wanted, name) for name in LENGTHS if getattr(stored, name) != getattr(wanted, name)
    }
    where = dataclass_from(Position, facts["position"], "position") if "position" in facts else Position()
    if changed:
        _refuse_full_length_schedules(settings, stored.epochs)
        _refuse_fewer(wanted.epochs, where)
        _refuse_less_patience(stored.patience, wanted.patience)
    if where.finished == "patience" and "epochs" in changed and "patience" not in changed:
        raise InputError(
            f"--patience {stored.patience} stopped this run after {where.epoch} epochs, and would stop it there with "
            f"--epochs {wanted.epochs} too: give a larger --patience"
        )
    known = _device_of(run)
    if known != device and (changed or not where.finished) and (known or stored.device != wanted.device):
        changed["device"] = device
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "date": date,
            "setting": name,
            "before": (known or stored.device) if name == "device" else getattr(stored, name),
            "after": after,
            "epoch": where.epoch,
            "step": where.step,
            "weights_sha256": run.weights_sha256,
        }
        for name, after in changed.items()
    ]


def keep_changes(run: Run, settings: Settings, entries: list[Entry]) -> None:
    """Write the changes of `planned_changes`; the caller must hold the lock of the folder."""
    if not entries:
        return
    for store in STORES:
        store.label(run)  # later scores are of other weights
    run.manifest.remove()
    for name in ("training.json", "health.json"):  # the training is no longer finished
        (run.path / name).unlink(missing_ok=True)
    stored = run.record["settings"]
    taken = {entry["setting"]: getattr(settings.training, entry["setting"]) for entry in entries}
    record = {
        **run.record,
        "settings": {**stored, "training": {**stored["training"], **taken}},
        "extensions": [*run.record.get("extensions", ()), *entries],
    }
    write_json(run.path / "settings.json", record)
    run.forget()
    for entry in entries:
        _say(entry)


def _say(entry: Entry) -> None:
    before, after = entry["before"], entry["after"]
    if entry["setting"] == "device":
        if entry["step"]:
            log.warning(
                "the device changes from %s to %s: the result is not bit-identical to that of a single device",
                before,
                after,
            )
        return
    weights = entry["weights_sha256"]
    log.info(
        "%s of this run changes from %s to %s after %d epochs%s",
        flag(entry["setting"]),
        *("none" if value is None else value for value in (before, after)),
        entry["epoch"],
        f"; earlier scores are kept and marked with the weights {weights[:8]}" if weights else "",
    )


def _device_of(run: Run) -> str | None:
    """The last device of the run; None if an earlier version did not record it."""
    last = [entry["after"] for entry in run.record.get("extensions", ()) if entry["setting"] == "device"]
    return str(last[-1]) if last else run.record.get("machine", {}).get("device")


def _refuse_full_length_schedules(settings: Settings, epochs: int) -> None:
    """Raises:    InputError: a schedule depends on the number of epochs."""
    names = (*settings.training.full_length_schedules, *getattr(settings.model, "full_length_schedules", ()))
    if names:
        raise InputError(
            f"{' and '.join(map(flag, names))} of this run depends on the number of epochs ({epochs}), so --epochs "
            "cannot change: start a new run from its weights with --init-from"
        )


def _refuse_fewer(epochs: int, where: Position) -> None:
    """Raises:    InputError: the run has already started a later epoch."""
    current = where.epoch + (where.batch > 0)
    if epochs < current:
        raise InputError(f"--epochs {epochs}: this run has already started epoch {current}: give at least {current}")


def _refuse_less_patience(before: int | None, after: int | None) -> None:
    """Raises:    InputError: with this patience the training might have stopped earlier."""
    if after is not None and (before is None or after < before):
        started = "without --patience" if before is None else f"with --patience {before}"
        raise InputError(
            f"this run started {started}; with {after} it might have stopped earlier: give a larger --patience"
        )
