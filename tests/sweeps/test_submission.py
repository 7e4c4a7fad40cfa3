"""Workers as jobs: what is submitted, what is refused, and that preempted and killed jobs lose and repeat nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import Captured, refused, run

import ancestral
from ancestral.core.errors import Interrupted
from ancestral.runs.fit import fit_settings
from ancestral.runs.run import Run
from ancestral.settings.cluster import ClusterSettings
from ancestral.sweeps import submission
from ancestral.sweeps.claims import Claims, Entry
from ancestral.sweeps.progress_page import progress_table
from ancestral.sweeps.standing import read_board
from ancestral.sweeps.worker import open_queue

NEEDS_SUBMITIT = pytest.mark.skipif(find_spec("submitit") is None, reason="jobs need submitit")
SMALL: dict[str, Any] = {"data": "digits", "train_size": 100, "valid_size": 40, "latents": 2, "hidden": (4,)}
WORDS = shlex.split("--data digits --train-size 100 --valid-size 40 --latents 2 --hidden 4")
RATES = ["--learning-rate", "1e-2,1e-3"]

SBATCH = """#!/bin/bash
# Keeps the batch file, and carries out the elements of the array as a cluster would.
cp "$1" "{folder}/batch.sh"
echo "Submitted batch job 4242"
{carry_out}
"""
RUN = """
for i in {elements}; do
  (export SLURM_JOB_ID=$((5000 + i)) SLURM_ARRAY_JOB_ID=4242 SLURM_ARRAY_TASK_ID=$i SLURM_NTASKS=1
   while :; do
     rm -f "{folder}/requeue-4242_$i"
     bash "$1" >> "{folder}/element-$i.log" 2>&1
     [ -e "{folder}/requeue-4242_$i" ] || break
   done; touch "{folder}/ended-$i") > /dev/null 2>&1 &
done
"""
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do case "$1" in --unbuffered) shift;; *) shift 2;; esac; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
touch "{folder}/$1-$2"
"""


def cluster_in(folder: Path, monkeypatch: pytest.MonkeyPatch, elements: str = "") -> None:
    """Put the commands of a cluster on the path; elements: of an array that sbatch carries out."""
    folder.mkdir()
    carry_out = RUN.format(folder=folder, elements=elements) if elements else ""
    scripts = {"sbatch": SBATCH.format(folder=folder, carry_out=carry_out), "srun": SRUN}
    for name, text in {**scripts, "scontrol": SCONTROL.format(folder=folder)}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of sweeps, which take most of the time, are not made."""
    monkeypatch.setattr("ancestral.sweeps.worker.write_sweep_page", lambda plan, rows: plan.out / "report.html")


def until(condition: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the other process did not get there"
        time.sleep(0.02)


def training_in(out: Path) -> dict[int, int]:
    """The epoch of each process that trains now."""
    found = {}
    for one in read_board(out).of("running"):
        assert one.taken is not None
        process = re.search(r"process (\d+)", one.taken.worker)
        assert process is not None
        found[int(process[1])] = one.epoch
    return found


# ---- what is submitted


@NEEDS_SUBMITIT
def test_slurm_gets_an_array_with_the_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    cluster_in(tmp_path / "bin", monkeypatch)
    out = tmp_path / "out"
    resources = shlex.split("--workers 3 --timeout-min 30 --partition short --cpus 2 --gpus 1 --mem-gb 6")
    words = ["sweep", "vae", *WORDS, *RATES, "--seeds", "2", "--submit", "slurm", *resources, "--out", out]
    assert run(*words) == 0
    told = capsys.readouterr().err
    assert "submitted 3 workers: job 4242" in told and f"ancestral progress {out}" in told
    batch = (tmp_path / "bin" / "batch.sh").read_text()
    for line in ("array=0-2%3", "time=30", "partition=short", "cpus-per-task=2", "gpus-per-node=1", "mem=6GB"):
        assert f"#SBATCH --{line}\n" in batch, line
    assert "#SBATCH --signal=USR2@90" in batch and "-m submitit.core._submit" in batch
    assert f"{out}/jobs/%A_%a_0_log.out" in batch
    assert len(list((out / "jobs").glob("4242_*_submitted.pkl"))) == 3
    assert not (out / "runs").exists(), "this process trains nothing"
    assert [one.state for one in read_board(out).standings] == ["queued"] * 4


@NEEDS_SUBMITIT
def test_not_more_workers_than_trainings_are_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, no_page: None
) -> None:
    cluster_in(tmp_path / "bin", monkeypatch)
    words = ["sweep", "vae", *WORDS, *RATES, "--epochs", "1", "--out", tmp_path / "out"]
    assert run(*words, "--submit", "slurm", "--workers", "9") == 0
    assert "submitted 2 workers of 9, because only 2 trainings are left" in capsys.readouterr().err
    assert "--array=0-1%2" in (tmp_path / "bin" / "batch.sh").read_text()
    assert run(*words) == 0
    (tmp_path / "bin" / "batch.sh").unlink()
    assert run(*words, "--submit", "slurm", "--workers", "9") == 0
    assert not (tmp_path / "bin" / "batch.sh").exists() and "report:" in capsys.readouterr().err


@NEEDS_SUBMITIT
def test_a_refusal_of_the_cluster_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    cluster_in(tmp_path / "bin", monkeypatch)
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    assert run("sweep", "vae", *WORDS, *RATES, "--submit", "slurm", "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert "cannot be submitted" in told[-1] and "invalid partition" in told[-1]


# ---- what is refused


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({"submit": "local", "workers": 0}, "--workers 0"),
        ({"submit": "slurm", "workers": 10**6}, "--workers 1000000"),
        ({"workers": 2}, "--workers needs --submit"),
        ({"mem_gb": 2}, "--mem-gb needs --submit"),
        ({"submit": "local", "partition": "short"}, "--partition has no effect"),
        ({"submit": "moon"}, "--submit"),
    ],
)
def test_resources_that_make_no_sense_are_refused(given: dict[str, Any], holds: str) -> None:
    refused(lambda: ClusterSettings(**given), holds)


def test_a_missing_submitit_or_cluster_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = ClusterSettings(submit="slurm")
    monkeypatch.setattr(submission, "find_spec", lambda name: None)
    refused(lambda: submission.refuse_submission(slurm, tmp_path), "pip install 'ancestral[cluster]'")
    monkeypatch.setattr(submission, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(lambda: submission.refuse_submission(slurm, tmp_path), "no sbatch", "--submit local")
    refused(lambda: submission.refuse_submission(ClusterSettings(submit="local"), tmp_path / "50%a"), "character %")


def test_a_folder_of_a_sweep_of_other_axes_is_refused(tmp_path: Path, no_page: None) -> None:
    out, small = tmp_path / "out", {**SMALL, "epochs": 1, "progress": False}
    ancestral.sweep("vae", out, {"learning_rate": [1e-2]}, seeds=1, **small)
    before = {path: path.read_bytes() for path in out.rglob("*.json")}
    refused(lambda: ancestral.sweep("vae", out, {"beta": [1.0, 2.0]}, **small), "varies learning rate", "another --out")
    refused(lambda: ancestral.sweep("autoencoder", out, {"learning_rate": [1e-2]}, **small), "a sweep of vae")
    assert before == {path: path.read_bytes() for path in out.rglob("*.json")}


# ---- a job


class Trained:
    """A function of a job that waits like a training: it ends when SIGTERM asks it to."""

    def __init__(self) -> None:
        self.stopped = False

    def __call__(self) -> None:
        before = signal.signal(signal.SIGTERM, self._stop)
        try:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert self.stopped, "the signal of the cluster asks the training to stop"
        finally:
            signal.signal(signal.SIGTERM, before)
        raise Interrupted("the state is saved")

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True


@pytest.fixture
def requeued() -> Iterator[list[int]]:
    """Numbers of the signals that submitit's handler gets."""
    told: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: told.append(number))
    yield told
    signal.signal(signal.SIGUSR2, before)


@NEEDS_SUBMITIT
def test_a_preempted_job_saves_its_state_and_is_then_submitted_again(requeued: list[int]) -> None:
    from submitit.helpers import DelayedSubmission

    work = Trained()
    job = submission.Job(work, {}, threads=1)
    job()
    assert work.stopped and requeued == [signal.SIGUSR2]
    again = job.checkpoint()
    assert isinstance(again, DelayedSubmission) and again.function == job


@NEEDS_SUBMITIT
def test_a_job_between_two_trainings_is_submitted_again_at_once(requeued: list[int]) -> None:
    submission.Job(lambda: os.kill(os.getpid(), signal.SIGUSR2), {}, threads=1)()
    assert requeued == [signal.SIGUSR2]


@NEEDS_SUBMITIT
def test_a_cancelled_job_is_not_submitted_again(requeued: list[int]) -> None:
    def cancelled() -> None:
        raise Interrupted("the state is saved")

    submission.Job(cancelled, {}, threads=1)()
    assert requeued == []


# ---- claims and progress


def entry(name: str) -> Entry:
    return Entry(name, name, (f"runs/{name}",), 2)


def test_a_failed_trial_is_recorded_once_and_is_not_taken_again(tmp_path: Path) -> None:
    claims, told = Claims(tmp_path), []
    lock = claims.take(entry("a"))
    assert lock is not None and claims.held(["a", "b"]) == {"a"} and claims.take(entry("a")) is None
    with claims.recording_failure(entry("a"), told.append):
        raise MemoryError("3 GB more\nwere requested")
    lock.release()
    assert told == ["a: failed: MemoryError: 3 GB more were requested"] and not claims.held(["a"])
    assert [one.failure for one in claims.failed()] == ["MemoryError: 3 GB more were requested"]
    assert Claims(tmp_path).take(entry("a")) is None
    with pytest.raises(Interrupted), claims.recording_failure(entry("b"), told.append):
        raise Interrupted("stop")
    claims.retry_failed()
    again = claims.take(entry("a"))
    assert again is not None
    again.release()


def test_a_worker_goes_on_after_a_failure_and_a_repeated_command_trains_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_page: None
) -> None:
    from ancestral.commands.sweeping import work_on_sweep
    from ancestral.runs import fit

    keep = fit.fit_settings

    def failing(settings: Any, *rest: Any, **options: Any) -> Run:
        if settings.training.learning_rate == 1e-2:
            raise RuntimeError("no memory is left")
        return keep(settings, *rest, **options)

    monkeypatch.setattr(fit, "fit_settings", failing)
    given: dict[str, Any] = {**SMALL, "epochs": 1}
    work_on_sweep(family="vae", out=tmp_path, axes={"learning_rate": (1e-2, 1e-3)}, **given)
    board = read_board(tmp_path)
    assert [one.state for one in board.standings] == ["failed", "finished"] and board.ended
    assert board.standings[0].taken and "no memory is left" in board.standings[0].taken.failure
    assert "Repeat the command to train the failed ones again" in progress_table(board).caption
    monkeypatch.setattr(fit, "fit_settings", keep)
    ancestral.sweep("vae", tmp_path, {"learning_rate": [1e-2, 1e-3]}, progress=False, **given)
    assert [one.state for one in read_board(tmp_path).standings] == ["finished"] * 2
    assert "Repeat the command to write the report" in progress_table(read_board(tmp_path)).caption
    with Claims(tmp_path).page(wait=False) as mine, Claims(tmp_path).page(wait=False) as other:
        assert mine and not other
        assert "A worker writes the report" in progress_table(read_board(tmp_path)).caption


def test_the_page_of_the_progress_shows_every_state(tmp_path: Path, capsys: Captured) -> None:
    rates = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5]
    queue = open_queue("vae", tmp_path, {"learning_rate": rates}, **SMALL, epochs=2)
    entries = queue.entries()
    names, runs = [one.name for one in entries], [tmp_path / one.runs[0] for one in entries]
    for rate, run_folder in zip(rates[:3], runs, strict=False):
        fit_settings(queue.plan.settings({"learning_rate": rate}, 0), run_folder)
    for run_folder in runs[1:3]:  # as if its worker had been killed in the second epoch
        (run_folder / "training.json").unlink()
    claims = Claims(tmp_path)
    lock = claims.take(entries[2])
    claims.fail(entries[3], "MemoryError: no memory")
    board = read_board(tmp_path)
    states = ["finished", "interrupted", "running", "failed", "queued"]
    assert [one.state for one in board.standings] == states and not board.ended
    assert lock is not None
    page = tmp_path / "progress.html"
    assert run("progress", tmp_path, "--json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [one["state"] for one in records] == states and records[2]["epoch"] == 2
    assert f"process {os.getpid()}" in records[2]["worker"]
    text = page.read_text()
    assert '<meta http-equiv="refresh" content="10">' in text and "no memory" in text and "2 of 2" in text
    assert all(state.capitalize() in text for state in states)
    assert run("progress", tmp_path) == 0
    assert "1 of 5 trainings are finished; 1 running, 1 interrupted, 1 failed, 1 queued." in capsys.readouterr().out
    assert claims.held(names) == {names[2]}, "reading takes no claim"
    lock.release()


def test_progress_of_another_folder_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert run("progress", tmp_path) == 2
    assert "no sweep and no study" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert run("progress", tmp_path, "--watch", "0") == 2


# ---- jobs on this machine, which import torch again


@NEEDS_SUBMITIT
@pytest.mark.slow
def test_killed_and_preempted_local_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """One worker is killed in a training, another is preempted and submitted again; the bits are those of one run."""
    out, epochs = tmp_path / "out", 60
    words = ["sweep", "vae", *WORDS, *RATES, "--seeds", "2", "--epochs", epochs, "--batch-size", "4", "--out", out]
    assert run(*words, "--submit", "local", "--workers", "2") == 0
    for number in (signal.SIGKILL, signal.SIGUSR2):
        until(lambda: any(epoch > 3 for epoch in training_in(out).values()))
        worker, _ = max(training_in(out).items(), key=lambda one: one[1])
        os.kill(worker, number)
        until(lambda gone=worker: gone not in training_in(out))
    until(lambda: read_board(out).ended)
    logs = "".join(path.read_text() for path in (out / "jobs").glob("*_log.*"))
    assert "Requeued job" in logs and "this job is preempted" in logs
    ends = re.findall(r"learning rate (\S+), seed (\d): trained", logs)
    assert sorted(ends) == sorted((rate, seed) for rate in ("0.01", "0.001") for seed in "01"), "each once"
    for one in read_board(out).standings:
        found = Run(out / one.entry.runs[0])
        settings = {**SMALL, "epochs": epochs, "batch_size": 4, "seed": found.settings.training.seed}
        alone = ancestral.fit("vae", tmp_path / one.entry.name, learning_rate=found.settings.training.rate, **settings)
        assert alone.log_path.read_bytes() == found.log_path.read_bytes()
        assert alone.weights_sha256 == found.weights_sha256


@NEEDS_SUBMITIT
@pytest.mark.slow
def test_an_array_of_a_cluster_trains_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page that two elements of an array make is that of one process."""
    study = tmp_path / "mine.py"
    study.write_text(STUDY)
    cluster_in(tmp_path / "bin", monkeypatch, "0 1")
    assert run("study", study, "--out", tmp_path / "out", "--submit", "slurm", "--workers", "2") == 0
    until(lambda: (tmp_path / "bin" / "ended-0").exists() and (tmp_path / "bin" / "ended-1").exists())
    assert run("study", study, "--out", tmp_path / "alone") == 0
    assert read_board(tmp_path / "out").ended
    for name in ("a", "b", "c"):
        runs = [Run(tmp_path / place / "runs" / name) for place in ("out", "alone")]
        assert runs[0].weights_sha256 == runs[1].weights_sha256
        assert [one.nats for one in runs[0].scores()] == [one.nats for one in runs[1].scores()]
    pages = [re.sub(r"\d+ s\b", "", (tmp_path / place / "report.html").read_text()) for place in ("out", "alone")]
    assert pages[0] == pages[1]
    logs = "".join(path.read_text() for path in (tmp_path / "bin").glob("element-*.log"))
    assert sorted(re.findall(r"/3 (\w): trained", logs)) == ["a", "b", "c"]


STUDY = """
from ancestral.studies.recipe import Chapter, ChapterContent, PlannedRun, Study


def planned(name, components):
    settings = {"data": "digits", "components": components, "method": "em", "epochs": 3}
    return PlannedRun(name, name, "mixture", settings)


def scores(workshop):
    return ChapterContent(" ".join(f"{name}: {workshop.score(name).nats:.3f}" for name in workshop.runs))


PLAN = [planned("a", 2), planned("b", 3), planned("c", 4)]
STUDY = Study("Mine", "mixtures", lambda options: PLAN, [Chapter("Scores", scores)])
"""
