"""A training killed at any moment and resumed is the training that was never interrupted, bit for bit.

The killed process is always a real one and dies of SIGKILL. To spare the import of torch (two seconds) each
time, one server process imports everything once and forks; each training runs in a child of its own.
Moments are numbers of calls: a profile hook counts every Python and C call of the training and kills the
process at the given one. So the moments are spread over all that a training does (data, forward pass,
backward pass, optimiser, log, the writing of a checkpoint), are fixed in advance, and can be repeated.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same, position

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "COLUMNS": "200"}
MOMENTS = 10

SERVER = r"""
import json, os, signal, sys, time
from ancestral.commands import dispatch  # before the forks: once
from ancestral.commands.main import main
from ancestral.core import files
from ancestral.reports import run_page
from ancestral.reports.pictures import catalogue as drawings
from ancestral.api import models as public, training as trained
from ancestral.runs import evaluate as scoring, fit as fitting

calls = 0

def count_calls(limit):
    # from the first touch of the run folder on: reading the data before it is most of a short run
    def hook(frame, event, argument):
        global calls
        calls += 1
        if calls == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    begin = fitting.Run.begin
    fitting.Run.begin = lambda *arguments: (sys.setprofile(hook), begin(*arguments))[1]

def die_writing(part, number):
    # die in the `number`-th write of a checkpoint: half of the bytes written, or before or after the rename
    real_open, real_replace, seen = os.fdopen, os.replace, 0
    def die():
        os.kill(os.getpid(), signal.SIGKILL)
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *e): self.file.close()
        def write(self, content):
            self.file.write(content[: len(content) // 2]); self.file.flush(); die()
    def fdopen(handle, *a, **k):
        file = real_open(handle, *a, **k)
        if part != "half" or "state" not in os.readlink(f"/proc/self/fd/{handle}"):
            return file
        nonlocal seen
        seen += 1
        return Half(file) if seen == number else file
    def replace(old, new):
        nonlocal seen
        mine = str(new).endswith("state.safetensors")
        seen += mine
        if part == "before" and mine and seen == number: die()
        real_replace(old, new)
        if part == "after" and mine and seen == number: die()
    if part == "half":
        os.fdopen = fdopen
    else:
        os.replace = replace

def work(job):
    if "slow" in job:
        from ancestral.training.loop import Loop
        pause = Loop._pause
        Loop._pause = lambda self, stop: (time.sleep(job["slow"]), pause(self, stop))[1]
    if "writing" in job:
        die_writing(*job["writing"])
    if "argv" in job:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # our own stdout carries the server's answers
        trained.write_run_page = lambda run, progress: run.page  # its pictures take longer than the training
        code = main(job["argv"])
    else:
        if "calls" in job:
            count_calls(job["calls"])
        how = dict(resume=job["resume"], report=False, checkpoint_seconds=0.0)
        public.fit(job["family"], job["out"], **how, **job["settings"])
        sys.setprofile(None)
        code = 0
    with open(job["answer"], "w") as file:
        json.dump({"code": code, "calls": calls}, file)
    os._exit(0)

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            work(job)
        finally:
            sys.stderr.flush()
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

VAE: dict[str, Any] = {
    "pixels": "binary",  # drawn afresh in each epoch
    "train_size": 330,
    "valid_size": 100,
    "epochs": 4,
    "batch_size": 64,  # 5 full batches and one of 10
    "latents": 3,
    "hidden": (16,),
    "prior": "mixture",  # its divergence is estimated by drawing
    "components": 4,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "warmup_steps": 3,
    "clip_norm": 100.0,
    "validate_every": 4,
    "log_every": 5,
    "watch": ("valid", "test"),
    "watch_size": 50,
}
EM: dict[str, Any] = {
    "pixels": "binary",
    "train_size": 330,
    "valid_size": 100,
    "epochs": 4,
    "batch_size": 32,
    "components": 7,
    "method": "em",
    "log_every": 3,
}
MOMENTUM: dict[str, Any] = {
    "pixels": "static",
    "train_size": 330,
    "valid_size": 0,  # no validation: the last weights are kept
    "epochs": 4,
    "batch_size": 64,
    "latents": 2,
    "hidden": (16,),
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 1e-3,
    "log_every": 4,
}
# the rate is far too large for the weights to go on improving: patience runs out within a few epochs
PATIENT: dict[str, Any] = {**VAE, "learning_rate": 0.3, "epochs": 30, "patience": 5}
SHORT: dict[str, Any] = {"train_size": 200, "valid_size": 50, "epochs": 2, "batch_size": 64, "log_every": 2}
# what each has of its own: standardising layers set by the first batch, a baseline that learns beside the model,
# an ordering drawn for each batch, a critic, and a generator beside its own moving average
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "flow": ("flow", {**SHORT, "width": 4, "couplings": 2, "scales": 1, "dequantisation": "variational"}),
    "score function": ("belief-net", {**SHORT, "latents": (6, 4), "method": "score"}),
    "orderings": ("made", {**SHORT, "hidden": (12,), "orderings": 5}),
    "gan": ("gan", {**SHORT, "hidden": (8,), "critic_hidden": (8,), "average": 0.9, "critic_steps": 2, "classes": 10}),
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", VAE),
    "em": ("mixture", EM),
    "momentum": ("vae", MOMENTUM),
    "patience": ("vae", PATIENT),
    **OWN,
}


class Trainings:
    """Runs trainings in child processes of one server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        self.references: dict[str, tuple[Path, int]] = {}

    def start(self, **job: Any) -> int:
        """Begin a job; returns the process id of its child."""
        assert self.server.stdin and self.server.stdout
        self.answer = self.folder / "answer.json"
        self.answer.unlink(missing_ok=True)
        self.server.stdin.write(json.dumps({**job, "answer": str(self.answer)}) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def wait(self) -> int:
        """The exit code of the job begun last, negative for a signal."""
        assert self.server.stdout
        return int(self.server.stdout.readline())

    def fit(self, case: str, out: Path, resume: bool = False, **how: Any) -> int:
        family, settings = CASES[case]
        self.start(family=family, settings=settings, out=str(out), resume=resume, **how)
        return self.wait()

    def reference(self, case: str) -> tuple[Path, int]:
        """The folder of the uninterrupted training of a case, and how many calls it took."""
        if case not in self.references:
            out = self.folder / f"reference-{case}"
            assert self.fit(case, out, calls=-1) == 0
            self.references[case] = out, json.loads(self.answer.read_text())["calls"]
        return self.references[case]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    started = Trainings(tmp_path_factory.mktemp("trainings"))
    yield started
    started.server.kill()
    started.server.communicate()


def moments(case: str, count: int) -> list[Any]:
    """Shares of the training, one drawn from each of `count` equal stretches, so that all parts are hit.

    Every third is tried quickly, the others with the slow tests.
    """
    chance = random.Random(f"moments of {case}")
    shares = [(i + chance.random()) / count for i in range(count)]
    return [pytest.param(s, marks=[pytest.mark.slow] if i % 3 != 1 else []) for i, s in enumerate(shares)]


def kill_and_resume(trainings: Trainings, case: str, share: float, out: Path) -> None:
    reference, calls = trainings.reference(case)
    assert trainings.fit(case, out, calls=max(1, int(share * calls))) == -signal.SIGKILL
    assert not (out / "training.json").exists(), "it was killed while it trained"
    assert trainings.fit(case, out, resume=True) == 0
    assert_same(out, reference)


@pytest.mark.parametrize("share", moments("vae", MOMENTS))
def test_a_killed_vae_resumes_bit_identically(trainings: Trainings, tmp_path: Path, share: float) -> None:
    """Dynamic pixels, latent draws, Adam's moments, a cosine, pending log means, best weights."""
    kill_and_resume(trainings, "vae", share, tmp_path / "run")


@pytest.mark.parametrize("share", moments("em", 3))
def test_a_killed_em_resumes_bit_identically(trainings: Trainings, tmp_path: Path, share: float) -> None:
    """Expectation-maximisation has gathered half of an epoch's counts when it is killed."""
    kill_and_resume(trainings, "em", share, tmp_path / "run")


@pytest.mark.parametrize("share", moments("patience", 3))
def test_a_killed_early_stopping_resumes_bit_identically(trainings: Trainings, tmp_path: Path, share: float) -> None:
    """The best value, the best weights and the waiting so far are part of the state."""
    kill_and_resume(trainings, "patience", share, tmp_path / "run")
    outcome = json.loads((tmp_path / "run" / "training.json").read_text())
    assert outcome["reason"] == "patience" and outcome["steps"] < PATIENT["epochs"] * 6


@pytest.mark.parametrize("share", moments("momentum", 2))
def test_a_killed_sgd_resumes_bit_identically(trainings: Trainings, tmp_path: Path, share: float) -> None:
    kill_and_resume(trainings, "momentum", share, tmp_path / "run")


@pytest.mark.parametrize("case", OWN)
def test_state_of_a_family_s_own_step_survives_a_kill(trainings: Trainings, tmp_path: Path, case: str) -> None:
    kill_and_resume(trainings, case, 0.5, tmp_path / "run")


@pytest.mark.parametrize("part", ["half", "before", "after"])
def test_a_kill_in_the_middle_of_writing_a_checkpoint(trainings: Trainings, tmp_path: Path, part: str) -> None:
    """Half of the bytes written; all of them, but under the temporary name; the name just taken."""
    out = tmp_path / "run"
    reference, _ = trainings.reference("vae")
    assert trainings.fit("vae", out, writing=[part, 10]) == -signal.SIGKILL
    assert len(list(out.rglob(".state*.tmp"))) == (part != "after")
    assert position(out)["step"] == 9 - (part != "after")  # the first write is of step 0
    assert position(out)["batch"] > 0, "in the middle of an epoch"
    assert trainings.fit("vae", out, resume=True) == 0
    assert_same(out, reference)


def test_a_training_killed_again_and_again(trainings: Trainings, tmp_path: Path) -> None:
    """Three times, each resumption being killed in its turn."""
    out = tmp_path / "run"
    reference, calls = trainings.reference("vae")
    steps = [0]
    for number in range(3):
        assert trainings.fit("vae", out, resume=number > 0, calls=int(0.25 * calls)) == -signal.SIGKILL
        steps.append(position(out)["step"])
    assert steps == sorted(set(steps)), "each time it got further"
    assert trainings.fit("vae", out, resume=True) == 0
    assert_same(out, reference)
    assert trainings.fit("vae", out, resume=True) == 0, "resuming what is over changes nothing"
    assert_same(out, reference)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the other process did not get there"
        time.sleep(0.001)


def reached(run: Path, step: int) -> Callable[[], bool]:
    path = run / "checkpoint" / "state.safetensors"
    return lambda: path.exists() and position(run)["step"] >= step


@pytest.mark.parametrize("step", [5, 14])
def test_a_kill_from_outside(trainings: Trainings, tmp_path: Path, step: int) -> None:
    """As a person or the out-of-memory killer does it: at whatever the process is doing then."""
    out = tmp_path / "run"
    reference, _ = trainings.reference("vae")
    child = trainings.start(
        family="vae", settings=VAE, out=str(out), resume=False, slow=0.01
    )  # slow: so that a busy machine, too, hits it before the end
    until(reached(out, step))
    os.kill(child, signal.SIGKILL)
    assert trainings.wait() == -signal.SIGKILL
    assert step <= position(out)["step"] < 24
    assert trainings.fit("vae", out, resume=True) == 0
    assert_same(out, reference)


COMMAND = ["train", "vae", "--pixels", "binary", "--epochs", "2", "--batch-size", "2", "--train-size", "600"]
COMMAND += ["--latents", "2", "--hidden", "16", "--prior", "mixture", "--components", "3", "--log-every", "2"]


def logged(run: Path, step: int) -> Callable[[], bool]:
    """Whether the log, which is written through when its buffer is full, has come to a step."""
    path = run / "log.jsonl"

    def there() -> bool:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        return bool(whole) and json.loads(whole[-1])["step"] >= step

    return there


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)], ids=["ctrl-c", "sigterm"]
)
def test_an_interrupted_command_saves_and_resumes(trainings: Trainings, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C: exit code 130, one line, the state saved; --resume ends as if nothing had been."""
    out, reference = tmp_path / "run", trainings.folder / "reference-command"
    command = [sys.executable, "-c", "from ancestral.commands.main import entry; entry()", *COMMAND, "--out", str(out)]
    if not reference.exists():  # before the process starts, which would else be past its training when it is stopped
        trainings.start(argv=[*COMMAND, "--out", str(reference)])
        assert trainings.wait() == 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    until(logged(out, 30))
    process.send_signal(number)
    printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == ""
    assert complaint == "ancestral: interrupted; the state is saved: continue with --resume\n"
    stopped = position(out)
    assert 0 < stopped["batch"] < 300, "in the middle of an epoch"
    assert not (out / "model").exists()
    trainings.start(argv=[*COMMAND, "--out", str(out), "--resume"])
    assert trainings.wait() == 0
    assert json.loads(trainings.answer.read_text())["code"] == 0
    assert_same(out, reference)
    assert (out / "scores.json").read_bytes() == (reference / "scores.json").read_bytes()
