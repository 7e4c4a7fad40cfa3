"""CPU seconds until the program responds, and until it trains.

    python benchmarks/startup.py [--rounds 5] [--json] [--sources SRC ...]

Each case is a new process with one thread. Its time is user plus system time from the start of the interpreter. Import
cases and the first update end the process at once, without the shutdown of the interpreter; other cases end normally.
Cases are measured in turn. A first round is not counted: it writes the bytecode and fills the file cache. The table
shows median, minimum and maximum, and the ratio of the median to that of `import torch`.

    --help, train --help, train vae --help    the command line
    train vae, no such data                   a request that is refused
    import torch                              lower limit of everything that uses torch
    import ancestral; ancestral.fit           start-up time of a script
    fit, first update                         `ancestral.fit`, ended after the first step of the optimiser
    train vae, first update                   `train vae --data digits`, ended after the first step of the optimiser
    train vae, whole                          the same command with one epoch of 128 images, including score and report

`--sources` measures the `src` folders of one or several checkouts in turn, in place of the installed package.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

IMPORT_TORCH = "import torch"
COMMAND = "import sys; sys.argv = ['ancestral', *{words!r}]; from {module} import entry; entry()"
REFUSED = """
try:
    {command}
except SystemExit as stop:
    assert stop.code == 2
"""
END = "; import os; os._exit(0)"
FIRST_UPDATE = """
import os
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *arguments: os._exit(0))
"""
SMALL = "data='digits', train_size=256, epochs=1, device='cpu', report=False"
FIT = f"import ancestral; ancestral.fit('vae', 'run', {SMALL})"
TRAIN = ["train", "vae", "--data", "digits", "--epochs", "1", "--device", "cpu", "--tolerate", "--out", "run"]


def cases(module: str) -> dict[str, str]:
    """The program of each case; `module` has the command line's `entry`."""

    def command(*words: str) -> str:
        return COMMAND.format(words=list(words), module=module)

    return {
        "--help": command("--help"),
        "train --help": command("train", "--help"),
        "train vae --help": command("train", "vae", "--help"),
        "train vae, no such data": REFUSED.format(command=command("train", "vae", "--data", "no/such/path")),
        IMPORT_TORCH: "import torch" + END,
        "import ancestral; ancestral.fit": "import ancestral; ancestral.fit" + END,
        "fit, first update": FIRST_UPDATE + FIT,
        "train vae, first update": FIRST_UPDATE + command(*TRAIN, "--train-size", "256"),
        "train vae, whole": command(*TRAIN, "--train-size", "128"),
    }


def command_module(package: Path) -> str:
    """The module of the command line in a package folder; in old versions `ancestral.cli`."""
    return "ancestral.commands.main" if (package / "commands" / "main.py").exists() else "ancestral.cli"


def cpu_seconds(program: str, source: Path | None) -> float:
    """User and system seconds of a new interpreter that runs a program, including child processes.

    Raises:    RuntimeError: it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "120"}
    if source is not None:
        environment["PYTHONPATH"] = str(source.resolve())
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            errors.seek(0)
            raise RuntimeError(f"exit code {child.returncode}: {errors.read().decode(errors='replace')[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def measure(sources: list[Path | None], rounds: int) -> list[dict[str, object]]:
    """Median, minimum and maximum of each case of each source, measured in turn."""
    programs: list[tuple[str, str, Path | None]] = []
    for source in sources:
        if source is None:
            found = importlib.util.find_spec("ancestral")
            assert found is not None and found.origin is not None
            package = Path(found.origin).parent
        else:
            package = source / "ancestral"
        if not (package / "__init__.py").exists():
            raise SystemExit(f"{source} holds no package `ancestral`")
        programs += [(name, program, source) for name, program in cases(command_module(package)).items()]
    seconds: list[list[float]] = [[] for _ in programs]
    for turn in range(rounds + 1):
        for kept, (_, program, source) in zip(seconds, programs, strict=True):
            spent = cpu_seconds(program, source)
            if turn:
                kept.append(spent)
    torch_alone = {
        source: statistics.median(kept)
        for (name, _, source), kept in zip(programs, seconds, strict=True)
        if name == IMPORT_TORCH
    }
    return [
        {
            "case": name,
            "source": str(source or "installed"),
            "cpu_seconds": round(statistics.median(kept), 3),
            "of_import_torch": round(statistics.median(kept) / torch_alone[source], 2),
            "least": round(min(kept), 3),
            "most": round(max(kept), 3),
            "rounds": rounds,
        }
        for (name, _, source), kept in zip(programs, seconds, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sources", type=Path, nargs="+", default=[None], help="src folders of checkouts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.sources, max(1, arguments.rounds))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("case", "source", "CPU s, median", "least", "most", "import torch = 1", box=None)
    for row in rows:
        numbers = (f"{row[key]:.3f}" for key in ("cpu_seconds", "least", "most"))
        table.add_row(str(row["case"]), str(row["source"]), *numbers, f"{row['of_import_torch']:.2f}")
    Console().print(table)
    Console().print(f"{arguments.rounds} rounds, cases in turn, one thread", highlight=False)


if __name__ == "__main__":
    main()
