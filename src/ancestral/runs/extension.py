"""What may differ when a training is resumed: it may last longer, wait longer, and run on another device.

The new values take the place of the old ones in `settings.json`, and its list `extensions` holds each change with its
date, the old value, and the SHA-256 of the weights that the run had until then. A kill between any two writes leaves a
run that resumes: the manifest goes first and comes back last, and settings are replaced when nothing says any more that
the training is over.
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
    """Make a folder ready to train in, see `Run.begin`, and plan what differs where a run goes on.

    Returns:   tensors and facts of its checkpoint, both empty where there is none, and the changes for `keep_changes`.
    Raises:    InputError: the run cannot be continued, or not with these settings.
    """
    begun = run.begun
    known = run.begin(settings, data, resume, origin)
    tensors, facts = run.state() if known else ({}, {})
    return tensors, facts, planned_changes(run, settings, facts, origin.device) if begun else []


def planned_changes(run: Run, settings: Settings, facts: Mapping[str, Any], device: str) -> list[Entry]:
    """What differs from the run's own settings, as entries of its list of extensions. Nothing is written.

    Args:      run: begun before. settings: with which it is resumed. facts: of its checkpoint, empty where there is
               none. device: on which it is continued.
    Raises:    InputError: the training cannot be continued with these settings.
    """
    begun, wanted = run.settings.training, settings.training
    changed: dict[str, Any] = {
        name: getattr(wanted, name) for name in LENGTHS if getattr(begun, name) != getattr(wanted, name)
    }
    where = dataclass_from(Position, facts["position"], "position") if "position" in facts else Position()
    if changed:
        _refuse_stretched(settings, begun.epochs)
        _refuse_fewer(wanted.epochs, where)
        _refuse_less_patience(begun.patience, wanted.patience)
    if where.finished == "patience" and "epochs" in changed and "patience" not in changed:
        raise InputError(
            f"this run ended after {where.epoch} epochs by --patience {begun.patience}, and would end there with "
            f"{wanted.epochs} epochs too: give a larger --patience"
        )
    known = _device_of(run)
    if known != device and (changed or not where.finished) and (known or begun.device != wanted.device):
        changed["device"] = device
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "date": date,
            "setting": name,
            "before": (known or begun.device) if name == "device" else getattr(begun, name),
            "after": after,
            "epoch": where.epoch,
            "step": where.step,
            "weights_sha256": run.weights_sha256,
        }
        for name, after in changed.items()
    ]


def keep_changes(run: Run, settings: Settings, entries: list[Entry]) -> None:
    """Write down what `planned_changes` found, in a folder that is locked by the caller."""
    if not entries:
        return
    for store in STORES:
        store.label(run)  # from now on the run gets other weights
    run.manifest.remove()
    for name in ("training.json", "health.json"):  # the training is not over any more
        (run.path / name).unlink(missing_ok=True)
    begun = run.record["settings"]
    taken = {entry["setting"]: getattr(settings.training, entry["setting"]) for entry in entries}
    record = {
        **run.record,
        "settings": {**begun, "training": {**begun["training"], **taken}},
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
                "the device changes from %s to %s: the result no longer equals that of one device to the bit",
                before,
                after,
            )
        return
    weights = entry["weights_sha256"]
    log.info(
        "%s of this run changes from %s to %s, with %d epochs done%s",
        flag(entry["setting"]),
        *("none" if value is None else value for value in (before, after)),
        entry["epoch"],
        f"; scores so far are kept as those of the weights {weights[:8]}" if weights else "",
    )


def _device_of(run: Run) -> str | None:
    """The device that the run was trained on last; None where an earlier version did not record it."""
    last = [entry["after"] for entry in run.record.get("extensions", ()) if entry["setting"] == "device"]
    return str(last[-1]) if last else run.record.get("machine", {}).get("device")


def _refuse_stretched(settings: Settings, epochs: int) -> None:
    """Raises:    InputError: a schedule depends on the number of epochs."""
    names = (*settings.training.stretched, *getattr(settings.model, "stretched", ()))
    if names:
        raise InputError(
            f"{' and '.join(map(flag, names))} of this run follows a course over its {epochs} epochs, so their number "
            "cannot change: start a new run from its weights with --init-from"
        )


def _refuse_fewer(epochs: int, where: Position) -> None:
    """Raises:    InputError: more epochs than these are done or begun."""
    begun = where.epoch + (where.batch > 0)
    if epochs < begun:
        raise InputError(f"--epochs {epochs}: this run has begun its epoch {begun} already, give at least {begun}")


def _refuse_less_patience(before: int | None, after: int | None) -> None:
    """Raises:    InputError: with this patience the training might have ended earlier than it did."""
    if after is not None and (before is None or after < before):
        started = "without --patience" if before is None else f"with --patience {before}"
        raise InputError(
            f"this run started {started}: with {after} it might have ended before, so patience can only become larger"
        )
