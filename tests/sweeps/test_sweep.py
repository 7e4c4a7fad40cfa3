"""A sweep trains each combination once, whoever works on it and however often it is killed, and ranks by validation."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import refused

import ancestral
from ancestral.commands.main import main
from ancestral.core.errors import NotComputable
from ancestral.families.run_settings import settings_for
from ancestral.runs.fit import fit_settings
from ancestral.runs.run import Run
from ancestral.runs.watching import Progress
from ancestral.sweeps.sweep_axes import Range, axis_from, folder_name, grid, split_axes

NEEDS_OPTUNA = pytest.mark.skipif(find_spec("optuna") is None, reason="drawn trials need Optuna")


def told_to(lines: list[str]) -> Progress:
    """Progress that only keeps the lines."""
    return Progress(say=lines.append)


TINY = {"train_size": 100, "valid_size": 40, "epochs": 2, "latents": 2, "hidden": (4,), "batch_size": 50}
WORDS = shlex.split("--train-size 100 --valid-size 40 --epochs 2 --latents 2 --hidden 4 --batch-size 50")
RATES = (1e-2, 1e-3)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}


def run_of(out: Path, rate: float, seed: int) -> Run:
    return Run(out / "runs" / f"learning-rate={rate:g}_seed={seed}")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of three rates, the last of which must diverge, and two seeds."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    rates = "1e-2,1e-3,1e6"
    words = ["sweep", "vae", *WORDS, "--learning-rate", rates, "--seeds", "2", "--optimizer", "sgd", "--out", str(out)]
    assert main(words) == 0
    return out


# ---- what a person writes


@pytest.mark.parametrize(
    ("words", "axes", "rest"),
    [
        ("--learning-rate 1e-2,1e-3", {"learning_rate": (1e-2, 1e-3)}, "--learning-rate 0.01"),
        ("--learning_rate=1e-2,1e-3", {"learning_rate": (1e-2, 1e-3)}, "--learning-rate 0.01"),
        ("--hidden 512 512", {}, "--hidden 512 512"),
        ("--hidden 256,512x512", {"hidden": ((256,), (512, 512))}, "--hidden 256"),
        ("--latents 2..64 --epochs 3", {"latents": Range(2, 64)}, "--latents 2 --epochs 3"),
        ("--learning-rate 1e-5..1e-2", {"learning_rate": Range(1e-5, 1e-2)}, "--learning-rate 1e-05"),
        ("--prior normal,vamp", {"prior": ("normal", "vamp")}, "--prior normal"),
        ("--glorot false,true", {"glorot": (False, True)}, ""),
        ("--clip-norm none,1", {"clip_norm": (None, 1.0)}, ""),
        ("--latents 2,3 --latents 5", {}, "--latents 2 --latents 5"),
        ("--data ../images.npz --out a,b", {}, "--data ../images.npz --out a,b"),
    ],
)
def test_axes_are_found_among_the_arguments(words: str, axes: dict[str, Any], rest: str) -> None:
    found, kept = split_axes(words.split(), "vae")
    assert found == axes and kept == rest.split()
    for name, axis in found.items():
        kind = [axis.low, axis.high] if isinstance(axis, Range) else axis
        wanted = axes[name]
        assert [*map(type, kind)] == [*map(type, [wanted.low, wanted.high] if isinstance(wanted, Range) else wanted)]


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ("--latents 2,many", "--latents 'many': give a whole number"),
        ("--latents 2,2", "--latents 2,2: give different values, each once"),
        ("--learning-rate 1e-3,0.001", "each once"),
        ("--latents 64..2", "64..2: a range must go from a smaller"),
        ("--hidden 256,512 512", "join the numbers of one value with x"),
        ("--hidden 2..64", "only numbers can have a range"),
        ("--seed 0,1", "--seeds"),
        ("--data digits,moons", "not comparable"),
        ("--pixels unit,binary", "not comparable"),
        ("--watch valid,test", "nothing to compare"),
        ("--glorot yes,no", "true or false"),
    ],
)
def test_an_invalid_axis_is_refused(words: str, holds: str) -> None:
    refused(lambda: split_axes(words.split(), "vae"), holds)


def test_axes_from_python_are_those_of_the_command_line() -> None:
    assert axis_from("vae", "hidden", [[256], [512, 512]]) == axis_from("vae", "hidden", "256,512x512")
    assert axis_from("vae", "learning_rate", "1e-5..1e-2") == Range(1e-5, 1e-2)
    refused(lambda: axis_from("vae", "breadth", [1]), "unknown setting 'breadth'")
    combinations = list(grid({"latents": (2, 3), "glorot": (False, True)}))
    assert len(combinations) == 4 and len({folder_name(one) for one in combinations}) == 4


def test_long_names_stay_distinct_and_fit_the_file_system() -> None:
    names = {folder_name({"hidden": (10,) * 100, "seed": seed}) for seed in range(3)}
    assert len(names) == 3 and all(len(name) < 200 for name in names)


# ---- the grid


def test_every_combination_trains_as_a_single_run_would(swept: Path, tmp_path: Path) -> None:
    assert len(list((swept / "runs").iterdir())) == 6
    for rate in (*RATES, 1e6):
        for seed in (0, 1):
            run = run_of(swept, rate, seed)
            wanted = settings_for("vae", **TINY, learning_rate=rate, seed=seed, optimizer="sgd")
            assert run.finished and run.settings == wanted
    alone = ancestral.fit("vae", tmp_path / "alone", **TINY, learning_rate=1e-3, seed=1, optimizer="sgd")
    assert alone.log_path.read_bytes() == run_of(swept, 1e-3, 1).log_path.read_bytes()


def test_the_ranking_is_that_of_the_validation_values(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "vae", *WORDS, "--learning-rate", "1e-2,1e-3,1e6", "--seeds", "2", "--optimizer", "sgd"]
    before = {path: path.stat().st_mtime_ns for path in swept.glob("runs/*/training.json")}
    assert main([*words, "--out", str(swept), "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("reused") == 0, "all trials are told already, there is nothing to take"
    assert before == {path: path.stat().st_mtime_ns for path in swept.glob("runs/*/training.json")}
    rows = json.loads(printed.out)
    means = []
    for row in rows[:2]:
        rate = row["values"]["learning_rate"]
        lines = [line for seed in (0, 1) for line in [run_of(swept, rate, seed).log()]]
        bests = [min(one.value for one in log if (one.split, one.name) == ("valid", "negative_elbo")) for log in lines]
        assert row["validation"] == pytest.approx(statistics.fmean(bests))
        assert row["standard_deviation"] == pytest.approx(statistics.stdev(bests))
        means.append(row["validation"])
    assert means == sorted(means)
    assert rows[2]["values"] == {"learning_rate": 1e6} and rows[2]["validation"] is None
    assert rows[2]["diverged"] == 2 and "divergence" in rows[2]["verdicts"]


def test_the_page_holds_table_curves_and_commands(swept: Path) -> None:
    page = (swept / "report.html").read_text()
    assert page.count("<img ") == 3, "side by side, one by one, along the rate"
    assert "http:" not in page and "https:" not in page and ">nan<" not in page.lower()
    for word in ("divergence", "mean and standard deviation over 2 seeds", "test set is not used", "1e+06"):
        assert word in page, word
    text = re.sub(r"<[^>]+>", "", page)
    assert f"--learning-rate 0.01,0.001,1e+06 --seeds 2 --out {swept}" in text
    assert f"--out {swept}/best" in text


def test_the_command_on_the_page_repeats_the_sweep(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ancestral.sweeps.page import sweep_command, train_command
    from ancestral.sweeps.plan import Plan
    from ancestral.sweeps.ranking import ranked

    axes = {"learning_rate": (1e-2, 1e-3, 1e6)}
    plan = Plan("vae", swept, {**TINY, "optimizer": "sgd"}, axes, seeds=2)
    assert main(shlex.split(sweep_command(plan))[1:]) == 0
    assert "trained in" not in capsys.readouterr().err
    best, _, worst = ranked(plan, plan.combinations)
    assert best.objective == best.mean and worst.objective == math.inf, "a search keeps away from what diverges"
    _, _, family, *words = shlex.split(train_command(plan, best))
    assert family == "vae" and "0.01" in words and words[-2:] == ["--out", str(swept / "best")]


def test_a_larger_grid_reuses_the_smaller(tmp_path: Path) -> None:
    told: list[str] = []
    first = ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, epochs=1, train_size=50, hidden=(4,))
    again = ancestral.sweep(
        "vae",
        tmp_path / "out",
        {"latents": [2, 3, 4]},
        epochs=1,
        train_size=50,
        hidden=(4,),
        progress=told_to(told),
    )
    assert len(first.combinations) == 2 and len(again.combinations) == 3
    assert told[0] == "2 of 3 are already finished" and sum("trained in" in line for line in told) == 1
    assert re.match(r"3/3 latents 4, seed 0: trained in \d+ s, validation [\d.]+ nats", told[1])


def test_a_gan_is_swept_without_a_ranking(tmp_path: Path) -> None:
    axes = {"critic_steps": [1, 2]}
    small = {"train_size": 100, "epochs": 1, "hidden": (8,), "critic_hidden": (8,)}
    done = ancestral.sweep("gan", tmp_path / "out", axes, **small)
    assert all(row.mean is None and len(row.finished) == 1 for row in done.combinations)
    assert "no validation value" in done.page.read_text()
    refused(lambda: ancestral.sweep("gan", tmp_path / "b", axes, trials=2, **small), "gan", kind=NotComputable)
    assert not (tmp_path / "b").exists()


# ---- refusals come before anything is written


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        ("--learning-rate 1e-2,-1", "--learning-rate -1.0"),
        ("--prior normal,abnormal", "--prior abnormal"),
        ("--network mlp,cnn --channels 4 --strides 2 2", "--channels 4"),
        ("--likelihood auto,categorical", "likelihood categorical"),
        ("--learning-rate 1e-5..1e-2", "--trials"),
        ("--learning-rate 1e-3", "nothing varies"),
        ("--latents 2,3 --seeds 0", "--seeds 0"),
        ("--latents 2,3 --trials 0", "--trials 0"),
        ("--latents 0..3 --trials 2", "--latents 0"),
        ("--latents 2,3 --trials 2 --valid-size 0", "validation images"),
        ("--latents 2,3 --storage nonsense", "--storage needs --trials"),
        ("--latents 2,3 --data nowhere.npz", "nowhere.npz"),
        ("--latents 2,3 --speed 5", "--speed"),
    ],
)
def test_a_wrong_sweep_writes_nothing(
    words: str, holds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["sweep", "vae", *words.split(), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and holds in error, error
    assert not list(out.glob("runs/*")) and not out.exists()


@NEEDS_OPTUNA
def test_numbers_inside_a_range_are_checked_too(tmp_path: Path) -> None:
    axes = {"kernel": Range(3, 7)}
    refused(lambda: ancestral.sweep("pixelcnn", tmp_path / "out", axes, trials=2), "--kernel 4: give an odd number")
    assert not (tmp_path / "out").exists()


def test_other_folders_and_other_runs_are_not_changed(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refused(lambda: ancestral.sweep("vae", tmp_path, {"latents": [2, 3]}), "not a sweep")
    other = {**TINY, "epochs": 3, "optimizer": "sgd"}
    refused(lambda: ancestral.sweep("vae", swept, {"learning_rate": RATES}, **other), "with other settings")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


WITHOUT_OPTUNA = """
import sys
sys.modules["optuna"] = None  # an import of it fails
from importlib import util
known = util.find_spec
util.find_spec = lambda name, *rest: None if name == "optuna" else known(name, *rest)
from ancestral.commands.main import main
raise SystemExit(main(sys.argv[1:]))
"""


def without_optuna(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process that has no Optuna."""
    return subprocess.run([sys.executable, "-c", WITHOUT_OPTUNA, *words], capture_output=True, text=True)


@pytest.mark.slow
def test_a_grid_needs_no_optuna(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "vae", *WORDS, "--latents", "2,3", "--out", str(tmp_path / "out")]
    done = without_optuna(*words)
    assert done.returncode == 0, done.stderr
    assert all(Run(run).finished for run in sorted((tmp_path / "out" / "runs").iterdir()))
    assert not (tmp_path / "out" / "optuna-journal.log").exists() and (tmp_path / "out" / "report.html").exists()
    assert main(words) == 0 and "trained" not in capsys.readouterr().err


def test_without_optuna_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = without_optuna("sweep", "vae", *WORDS, "--latents", "2..8", "--trials", "3", "--out", str(tmp_path / "out"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--trials needs Optuna: pip install 'ancestral[scale]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_the_command_and_its_families(capsys: pytest.CaptureFixture[str]) -> None:
    for words, holds in (
        (["--help"], "sweep "),
        (["sweep", "--help"], "belief-net"),
        (["sweep", "vae", "--help"], "--trials"),
    ):
        assert main(words) == 0
        assert holds in capsys.readouterr().out


# ---- trials that are drawn


@NEEDS_OPTUNA
@pytest.mark.slow
def test_trials_are_sampled_from_ranges_and_continue(tmp_path: Path) -> None:
    axes = {"learning_rate": "1e-4..1e-1", "latents": "2..8", "activation": "relu,tanh"}
    small = {"train_size": 50, "valid_size": 20, "epochs": 1, "hidden": (4,)}
    told: list[str] = []
    done = ancestral.sweep("vae", tmp_path / "out", axes, seeds=2, trials=3, **small)
    assert len(done.combinations) == 3 and all(len(row.finished) == 2 for row in done.combinations)
    for row in done.combinations:
        assert 1e-4 <= row.values["learning_rate"] <= 1e-1 and row.values["latents"] in range(2, 9)
        assert isinstance(row.values["latents"], int) and row.values["activation"] in ("relu", "tanh")
        assert row.runs[0].settings.training.learning_rate == row.values["learning_rate"]
    more = ancestral.sweep("vae", tmp_path / "out", axes, seeds=2, trials=4, progress=told_to(told), **small)
    assert sum("trained in" in line for line in told) == 2, "one trial of two seeds; the first three stay"
    firsts = [row.values for row in done.combinations]
    assert len(more.combinations) == 4 and all(row in [one.values for one in more.combinations] for row in firsts)
    same = ancestral.sweep("vae", tmp_path / "same", axes, seeds=2, trials=3, **small)
    assert [row.values for row in same.combinations] == firsts, "drawn from the seed"


@NEEDS_OPTUNA
def test_a_wide_range_is_sampled_on_a_log_scale_and_a_divergence_ranks_last(tmp_path: Path) -> None:
    import optuna

    from ancestral.sweeps.plan import Plan
    from ancestral.sweeps.trials import Trials

    assert Range(1e-5, 1e-2).log and not Range(0.0, 1.0).log and not Range(1.0, 9.0).log
    queue = Trials(Plan("vae", tmp_path / "out", {}, {"learning_rate": Range(1e-6, 1.0)}, trials=30))
    drawn = []
    while claim := queue.take():
        rate = claim.values["learning_rate"]
        drawn.append(rate)
        with queue.working(claim):
            queue.tell(claim, math.inf if rate > 1e-2 else abs(math.log10(rate) + 4))
    assert len(drawn) == 30
    assert statistics.median(drawn[:10]) < 0.1, "uniform draws would have a median near one half"
    near = [abs(math.log10(rate) + 4) < 1 for rate in drawn]
    assert sum(near[10:]) / 20 > 2 * (2 / 6), "after ten random ones the search stays near the best, 1e-4"
    assert {trial.state for trial in queue._study.trials} == {optuna.trial.TrialState.COMPLETE}


# ---- several workers, and workers that die

SERVER = r"""
import json, os, sys, time
from ancestral.commands import dispatch
from ancestral.commands.main import main
from ancestral.sweeps import worker  # torch and all, before the forks: once
from ancestral.training.loop import Loop

def work(job):
    sys.stderr = open(job["told"], "w", buffering=1)
    from ancestral.commands import console
    console.screen.file = sys.stderr
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    pause = Loop._pause
    Loop._pause = lambda self, stop: (time.sleep(job["pause"]), pause(self, stop))[1]
    code = main(job["words"])
    sys.stderr.write(f"exit {code}\n")

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            work(json.loads(line))
        finally:
            os._exit(0)
    print(child, flush=True)
"""


class Workers:
    """Processes that sweep: children of one server, which spares each the import of torch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def start(self, words: list[str], pause: float) -> tuple[int, Path]:
        """(process id, file of what it tells) of a worker that rests so many seconds after each step."""
        assert self.server.stdin and self.server.stdout
        self.count += 1
        told = self.folder / f"told-{self.count}"
        self.server.stdin.write(json.dumps({"words": words, "told": str(told), "pause": pause}) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline()), told


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    started = Workers(tmp_path_factory.mktemp("workers"))
    yield started
    started.server.kill()
    started.server.communicate()


def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the other process did not get there"
        time.sleep(0.005)


def ended(told: Path) -> bool:
    return told.exists() and "\nexit 0\n" in told.read_text()


def trained(told: Path) -> list[str]:
    return re.findall(r"(learning rate \S+, seed \d): trained", told.read_text())


GRID = ["sweep", "vae", *WORDS, "--learning-rate", "1e-2,1e-3", "--seeds", "2"]
NAMES = [f"learning rate {rate}, seed {seed}" for rate in RATES for seed in (0, 1)]


def test_two_workers_train_each_run_once(workers: Workers, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = [workers.start([*GRID, "--out", str(out)], pause=0.05)[1] for _ in range(2)]
    until(lambda: all(map(ended, told)))
    assert sorted(trained(told[0]) + trained(told[1])) == sorted(NAMES)
    assert trained(told[0]) and trained(told[1]), "both had a share"
    assert not any("reused" in one.read_text() for one in told)


def test_another_worker_resumes_the_run_of_a_killed_worker(workers: Workers, tmp_path: Path) -> None:
    """One worker is killed in the middle of a training; a second resumes it and gets the same bits."""
    out = tmp_path / "out"
    words = [*GRID, "--out", str(out)]
    victim, first = workers.start(words, pause=0.1)
    until(lambda: len(list(out.glob("runs/*/checkpoint/state.safetensors"))) == 2)
    os.kill(victim, signal.SIGKILL)
    assert len(list(out.glob("runs/*/training.json"))) == 1 and not ended(first)
    _, second = workers.start(words, pause=0.0)
    until(lambda: ended(second))
    assert sorted(trained(first) + trained(second)) == sorted(NAMES)
    for rate in RATES:
        for seed in (0, 1):
            alone = ancestral.fit("vae", tmp_path / f"{rate}-{seed}", **TINY, learning_rate=rate, seed=seed)
            assert alone.log_path.read_bytes() == run_of(out, rate, seed).log_path.read_bytes()


@NEEDS_OPTUNA
def test_a_trial_that_another_worker_trains_is_not_touched(tmp_path: Path) -> None:
    from ancestral.sweeps.plan import Plan
    from ancestral.sweeps.trials import Trials

    plan = Plan("vae", tmp_path / "out", {}, {"latents": Range(2, 40)}, trials=2)
    mine, other = Trials(plan), Trials(plan)
    first, second = mine.take(), other.take()
    assert first and second and first.number != second.number
    assert mine.take() is None, "one is mine, the other is claimed"
    with other.working(second):
        pass  # it dies: the system lets go of its claim
    again = mine.take()
    assert again and (again.number, again.values) == (second.number, second.values)
    mine.tell(again, 1.0)
    mine.tell(first, 2.0)
    assert mine.take() is None and other.take() is None and other.finished == other.total == 2


def test_a_grid_run_that_another_worker_trains_is_not_touched(tmp_path: Path) -> None:
    from ancestral.sweeps.plan import Plan
    from ancestral.sweeps.queue import Grid

    plan = Plan("vae", tmp_path / "out", TINY, {"latents": (2, 3)})
    mine, other = Grid(plan), Grid(plan)
    first, second = mine.take(), other.take()
    assert first and second and (first.values, second.values) == ({"latents": 2}, {"latents": 3})
    assert mine.take() is None and mine.finished == 0, "one is mine, the other is claimed"
    with other.working(second):
        pass  # it dies: the system lets go of its claim
    again = mine.take()
    assert again and again.values == second.values
    with mine.working(again):
        fit_settings(plan.settings(again.values, 0), plan.run(again.values, 0).path)
    assert mine.take() is None, "a run that has ended is not taken again, whoever trained it"
    assert (mine.finished, other.finished, other.total) == (1, 1, 2)


def test_a_run_that_ends_before_the_claim_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ancestral.sweeps.plan import Plan
    from ancestral.sweeps.queue import Grid

    plan = Plan("vae", tmp_path / "out", TINY, {"latents": (2, 3)})
    mine, claim = Grid(plan), Grid.claim

    def late(self: Grid, number: int, values: dict[str, Any], seeds: tuple[int, ...]) -> Any:
        if values == {"latents": 2}:  # another worker ends it between the look and the claim
            fit_settings(plan.settings(values, 0), plan.run(values, 0).path)
        return claim(self, number, values, seeds)

    monkeypatch.setattr(Grid, "claim", late)
    taken = mine.take()
    assert taken and taken.values == {"latents": 3}


def test_an_interrupted_sweep_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ancestral.core.errors import Interrupted
    from ancestral.training.loop import Loop

    calls = 0
    pause = Loop._pause

    def interrupting(self: Loop, stop: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:  # in the second run
            stop.set()
        pause(self, stop)

    monkeypatch.setattr(Loop, "_pause", interrupting)
    arguments: dict[str, Any] = {"seeds": 1, **TINY}
    with pytest.raises(Interrupted, match="repeat the same command"):
        ancestral.sweep("vae", tmp_path / "out", {"learning_rate": RATES}, **arguments)
    assert run_of(tmp_path / "out", 1e-2, 0).finished and not run_of(tmp_path / "out", 1e-3, 0).finished
    told: list[str] = []
    done = ancestral.sweep("vae", tmp_path / "out", {"learning_rate": RATES}, progress=told_to(told), **arguments)
    trained = [line for line in told if "trained" in line]
    assert len(trained) == 1 and "learning rate 0.001" in trained[0] and all(row.finished for row in done.combinations)


@NEEDS_OPTUNA
@pytest.mark.slow
def test_a_user_s_storage_is_used(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    small = {"train_size": 50, "epochs": 1, "hidden": (4,)}
    for _ in range(2):
        done = ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, trials=2, storage=url, **small)
    assert all(row.finished for row in done.combinations) and (tmp_path / "trials.db").exists()
    assert not (tmp_path / "out" / "optuna-journal.log").exists()
    assert url not in done.page.read_text()


@NEEDS_OPTUNA
@pytest.mark.slow
def test_a_damaged_journal_is_named(tmp_path: Path) -> None:
    small = {"train_size": 50, "epochs": 1, "hidden": (4,)}
    ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, trials=2, **small)
    journal = tmp_path / "out" / "optuna-journal.log"
    journal.write_text("not a journal\n" + journal.read_text())
    refused(lambda: ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, trials=2, **small), "remove it")
    journal.unlink()
    told: list[str] = []
    ancestral.sweep("vae", tmp_path / "out", {"latents": [2, 3]}, progress=told_to(told), **small)
    # two trials may draw the same value, so one run or two are there to be used again
    assert told[0] in ("1 of 2 are already finished", "2 of 2 are already finished") or "reused" in told[0]
