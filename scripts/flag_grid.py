"""Try extreme values for every numeric flag of `ancestral train`, and count the outcomes.

    python scripts/flag_grid.py [--family vae] [--seconds 2] [--list]

Each case runs `ancestral train FAMILY ... --FLAG VALUE` in a separate process, on 64 digits; a training that starts is
interrupted after its first step. Correct outcomes: the value is refused (exit code 2, one line), the training starts,
or the training diverges (exit code 3, one line). Faults: a traceback, several lines, a killed process, a refusal that
takes more than `--seconds` of processor time after the imports, and a case that takes two minutes. The exit code is 1
if there is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from ancestral.commands.main import main
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.settings.checks import flag, without_none
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings

VALUES = ("-1", "0", "nan", "inf", "1e308", str(2**31), str(2**63), "", "1e-308", str(2**20), "1000", "1000000")
SMALL: dict[str, tuple[str, ...]] = {
    "vae": ("--hidden", "8", "--latents", "2"),
    "autoencoder": ("--hidden", "8", "--latents", "2"),
    "mixture": ("--components", "3"),
    "made": ("--hidden", "8"),
    "pixelcnn": ("--channels", "4", "--hidden-channels", "2", "--blocks", "1", "--first-kernel", "3"),
    "belief-net": ("--latents", "3"),
    "flow": ("--width", "4", "--couplings", "1"),
    "gan": ("--hidden", "8", "--critic-hidden", "8"),
}
LIMIT = 120.0
MODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "vae": (("--network", "cnn", "--channels", "4", "--strides", "2"), ("--objective", "iwae"), ("--prior", "vamp"),
            ("--pixels", "unit"), ("--pixels", "levels", "--likelihood", "logistic")),
    "autoencoder": (("--network", "cnn", "--channels", "4", "--strides", "2"),),
    "mixture": (("--method", "em"),),
    "made": (("--orderings", "2"), ("--pixels", "levels", "--output", "logistic")),
    "pixelcnn": (("--pixels", "levels", "--output", "logistic"),),
    "belief-net": (("--method", "vimco"), ("--method", "wake-sleep")),
    "flow": (("--data", "moons", "--depth", "1", "--hidden", "4"), ("--data", "moons", "--layers", "maf")),
    "gan": (("--network", "cnn", "--channels", "4", "--critic-channels", "4"), ("--loss", "wasserstein"),
            ("--r1", "1", "--spectral-norm")),
}  # fmt: skip
"""Flags that are needed for other flags of a family to have an effect."""


def numeric_flags(part: type) -> Iterator[str]:
    hints = get_type_hints(part)
    for field in fields(part):
        hint = without_none(hints[field.name])
        kind = get_args(hint)[0] if get_origin(hint) is tuple else hint
        if kind in (int, float):
            yield flag(field.name)


def cases(families: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Name of each flag, and the words of the command."""
    for family in families:
        base = ["train", family, "--epochs", "1", "--train-size", "64", "--valid-size", "16", *SMALL[family]]
        shared = [TrainingSettings, DataSettings] if family == families[0] else []
        for part in (find(family).settings, *shared):
            modes = ((), *MODES[family]) if part is find(family).settings else ((),)
            for name in numeric_flags(part):
                for mode in modes:
                    for value in VALUES:
                        yield f"{family} {name} {value!r} {' '.join(mode)}".strip(), [*base, *mode, name, value]


def work(words: list[str], answer: Path) -> None:
    """Run one case in a child process; returns exit code, seconds and output."""
    from ancestral.commands import console
    from ancestral.training.loop import Loop

    def stop(self: Any, event: Any) -> None:
        raise KeyboardInterrupt

    Loop._pause = stop  # type: ignore[method-assign]
    with answer.with_suffix(".err").open("w") as err:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(err.fileno(), 2)
        sys.stderr = console.screen.file = err
        started = time.process_time()  # the machine may be busy with other work
        try:
            code: int | str = main(words)
        except BaseException as error:
            code = f"traceback: {type(error).__name__}: {error}"
        err.flush()
    answer.write_text(json.dumps({"code": code, "seconds": time.process_time() - started}))


def outcome(words: list[str], folder: Path, seconds: float) -> tuple[str, str, float]:
    """Outcome of a case, its last line of output, and its seconds."""
    answer = folder / "answer.json"
    answer.unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            work([*words, "--out", str(folder / "run")], answer)
        finally:
            os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() - started > LIMIT:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "HANG", "", time.monotonic() - started
        time.sleep(0.005)
    if not answer.exists():
        return "KILLED", "", time.monotonic() - started
    found = json.loads(answer.read_text())
    errors = [line for line in answer.with_suffix(".err").read_text().splitlines() if line.startswith("ancestral: ")]
    last, code = errors[-1] if errors else "", found["code"]
    if isinstance(code, str):
        return "TRACEBACK", code, found["seconds"]
    ends = {0: "trained", 2: "refused", 3: "diverged", 130: "started"}
    kind = ends.get(code, f"CODE {code}") if code == 0 or len(errors) == 1 else "LINES"
    if found["seconds"] > seconds:  # the first step of a large model may be slow; a refusal must not be
        kind = "SLOW" if kind == "refused" else f"{kind} late"
    return kind, last, found["seconds"]


def run() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", choices=list(BUILT_IN), action="append")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--list", action="store_true", help="print each case")
    chosen = parser.parse_args()
    import ancestral.commands.dispatch
    import ancestral.reports.run_page
    import ancestral.runs.fit  # noqa: F401  (before the forks, once)

    for family in BUILT_IN:
        find(family).code("build")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for case, words in cases(chosen.family or list(BUILT_IN)):
            kind, line, seconds = outcome(words, Path(name), chosen.seconds)
            for left in sorted((Path(name) / "run").rglob("*"), reverse=True):
                left.rmdir() if left.is_dir() else left.unlink()
            counts[kind] += 1
            if chosen.list or kind.isupper() or " " in kind:
                print(f"{kind:<16} {seconds:5.1f} s  {case}  {line}", flush=True)
    for kind, count in sorted(counts.items()):
        print(f"{kind:<16} {count}")
    return int(any(kind[0].isupper() for kind in counts))


if __name__ == "__main__":
    raise SystemExit(run())
