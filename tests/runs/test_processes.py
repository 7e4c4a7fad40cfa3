"""One run on several processes: the same weights, one writer, one end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers import ROOT
from pretended_processes import of_all
from several_processes import KINDS, SIZES, settings_of, use

from ancestral.core.dividing import Alone, dividing
from ancestral.core.errors import InputError
from ancestral.core.ranks import place
from ancestral.data.pixels import Batch
from ancestral.evaluation.likelihood import importance_weighted
from ancestral.families.catalogue import BUILT_IN
from ancestral.families.run_settings import settings_for
from ancestral.runs.fit import fit_settings
from ancestral.runs.run import Run
from ancestral.training.shards import Part, Shards

DRIVER = Path(__file__).with_name("several_processes.py")
LONG = ("train", "vae", "--data", "digits", "--latents", "2", "--hidden", "16", "--batch-size", "50")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "LOCAL_RANK")}
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths} | more


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def start_all(words: list[str], world: int) -> list[subprocess.Popen[str]]:
    """Start so many processes of one job."""
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "NODE_RANK": "0"}
    return [
        subprocess.Popen(words, env=environment(**shared, LOCAL_RANK=str(rank)), stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]


def train_all(folder: Path, world: int) -> None:
    """Train and use the kinds of `several_processes` in so many processes."""
    started = start_all([sys.executable, str(DRIVER), str(folder)], world)
    ends = [one.communicate(timeout=240)[1] for one in started]
    assert [one.returncode for one in started] == [0] * world, ends
    assert ends[1:] == [""] * (world - 1)  # other processes print nothing


def numbers(folder: Path) -> dict[str, bytes]:
    """The files of a run that must not depend on the number of processes."""
    return {name: (folder / name).read_bytes() for name in ("model/model.safetensors", "log.jsonl", "health.json")}


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    for kind in KINDS:
        fit_settings(settings_of(kind), folder / kind)
    use(folder, 0)
    return folder


def test_all_families_are_in_the_table() -> None:
    assert {family for family, _ in KINDS.values()} == set(BUILT_IN)


@pytest.mark.parametrize("world", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_weights_log_and_use_do_not_depend_on_the_number_of_processes(
    world: int, of_one_process: Path, tmp_path: Path
) -> None:
    train_all(tmp_path, world)
    different = [kind for kind in KINDS if numbers(tmp_path / kind) != numbers(of_one_process / kind)]
    assert different == []
    files = sorted(path.name for path in of_one_process.iterdir() if path.is_file())
    assert len(files) == 3  # two compressed files, and what the functions returned
    for name in files:
        assert (tmp_path / name).read_bytes() == (of_one_process / name).read_bytes(), name
    for rank in range(1, world):
        assert (tmp_path / f"returned-{rank}.json").read_bytes() == (tmp_path / "returned-0.json").read_bytes()
    for name in ("made/quality.json", "vae/scores.json"):
        assert (tmp_path / name).read_bytes() == (of_one_process / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [("refuse", 2, "no sample of rank 1"), ("die", 130, "has ended, so all 2 end; start the command again")],
)
def test_a_failed_process_ends_the_command(fault: str, code: int, told: str, tmp_path: Path) -> None:
    fit_settings(settings_for("mixture", **(SIZES | {"epochs": 1, "shards": None})), tmp_path / "run")
    words = [sys.executable, str(DRIVER), "--fault", fault, "sample", str(tmp_path / "run"), "--n", "4000"]
    started = start_all([*words, "--out", str(tmp_path / "x.npy")], 2)
    ends = [one.communicate(timeout=120)[1] for one in started]
    assert started[0].returncode == code and len(ends[0].strip().splitlines()) == 1 and told in ends[0]
    assert ends[1] == "" and not (tmp_path / "x.npy").exists()


def test_the_weights_depend_on_the_number_of_shards(of_one_process: Path, tmp_path: Path) -> None:
    whole = settings_for("vae", **(SIZES | KINDS["vae"][1] | {"epochs": 1, "shards": None}))
    run = fit_settings(whole, tmp_path / "run")
    assert numbers(run.path) != numbers(of_one_process / "vae")
    assert run.settings.training.shards is None and Run(of_one_process / "vae").settings.training.shards == 4


def contribution(part: Part) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
    x = part.batch.x
    noise = torch.rand(1)
    return {"loss": x[:, 0]}, [x.sum(0) / part.whole, None, noise, part.mean(x[:, 0])[None]]


def exchanged(world: int, batch: Batch) -> list[tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]]:
    """The result of a sum in each of several processes that exchange their contributions."""
    return of_all(world, lambda processes: Shards(5, processes, seed=3).sum(batch, 7, contribution))


@pytest.mark.parametrize("images", [17, 5, 3, 1])
def test_sums_are_in_the_order_of_the_shards(images: int) -> None:
    """The sums of 1, 2, 3 and 5 processes are equal to the bit, and they are the sums over the batch."""
    batch = Batch(torch.randn(images, 3) * 10.0 ** torch.arange(-4, 5).repeat(2)[:images, None])
    terms, sums = Shards(5, seed=3).sum(batch, 7, contribution)
    assert torch.equal(terms["loss"], batch.x[:, 0])
    assert torch.allclose(sums[0], batch.x.mean(0)) and sums[1] is None  # type: ignore[arg-type]
    assert torch.allclose(sums[3], batch.x[:, :1].mean(0))  # type: ignore[arg-type]
    for world in (2, 3, 5):
        for their_terms, their_sums in exchanged(world, batch):
            assert torch.equal(their_terms["loss"], terms["loss"])
            for ours, theirs in zip(sums, their_sums, strict=True):
                assert (ours is None and theirs is None) or torch.equal(ours, theirs)  # type: ignore[arg-type]


def test_each_shard_has_its_own_random_numbers() -> None:
    found = []

    def noise(part: Part) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
        found.append(torch.rand(1).item())
        return {"loss": part.batch.x[:, 0]}, []

    for step in (0, 1):
        Shards(3, seed=1).sum(Batch(torch.zeros(6, 1)), step, noise)
    assert len(set(found)) == 6


def test_rows_cover_the_batch_and_are_even() -> None:
    for count in (1, 2, 3, 7):
        for images in (1, 2, 7, 10, 128):
            rows = Shards(count).rows(images)
            sizes = [last - first for first, last in rows]
            assert rows[0][0] == 0 and rows[-1][1] == images and max(sizes) - min(sizes) <= 1
            assert all(one[1] == next_one[0] for one, next_one in pairwise(rows))


def test_buffers_become_the_means_over_the_images() -> None:
    module = torch.nn.BatchNorm1d(2, momentum=0.5)
    x = torch.randn(10, 2)

    def forward(part: Part) -> tuple[dict[str, torch.Tensor], list[torch.Tensor | None]]:
        return {"loss": module(part.batch.x).sum(1).detach()}, []

    Shards(3).sum(Batch(x), 0, forward, module)
    variances = [part.var(0) * len(part) / 10 for part in x.split([4, 3, 3])]
    assert torch.allclose(module.running_mean, x.mean(0) / 2, atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(module.running_var, (1 + sum(variances)) / 2, atol=1e-6)  # type: ignore[arg-type]
    assert module.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": 2}, "torchrun --nproc-per-node 2"),
        ({"shards": 30}, "a batch has only 25 images"),
        ({"shards": 0}, "--shards 0: give a whole number of at least 1"),
    ],
)
def test_bad_numbers_are_refused_in_one_line(values: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        fit_settings(settings_for("vae", **(SIZES | {"epochs": 1} | values)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_shards(tmp_path: Path) -> None:
    values = SIZES | KINDS["mixture"][1]
    run = fit_settings(settings_for("mixture", **values, epochs=1), tmp_path / "run")
    with pytest.raises(InputError, match="started with --shards 4, not 2"):
        fit_settings(settings_for("mixture", **(values | {"shards": 2}), epochs=2), run.path, resume=True)
    again = fit_settings(settings_for("mixture", **(values | {"shards": None}), epochs=2), run.path, resume=True)
    assert again.settings.training.shards == 4


def test_the_place_of_a_process_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert place() is None
    monkeypatch.setenv("SLURM_PROCID", "0")  # a batch script is one process, whatever its job has reserved
    assert place() is None
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert place() == (1, 2, 2, "Lightning Fabric")  # started by a command in a job of one task
    for name, value in {"STEP_NUM_TASKS": "6", "PROCID": "4", "STEP_NUM_NODES": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert place() == (4, 6, 3, "SLURM")
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert place() == (3, 4, 2, "torchrun")


def begin(folder: Path, epochs: int) -> subprocess.Popen[str]:
    """Start a training on two processes; returns when it has a log."""
    words = [sys.executable, "-m", "ancestral", *LONG, "--epochs", str(epochs), "--out", str(folder), "--devices", "2"]
    started = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 90
    log = folder / "log.jsonl"
    while not (log.exists() and log.stat().st_size > 4000):  # buffered: many steps are done
        assert time.monotonic() < until and started.poll() is None
        time.sleep(0.1)
    return started


def child_of(process: int) -> int:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    others = [int(one) for one in found if b"ancestral" in Path(f"/proc/{one}/cmdline").read_bytes()]
    assert len(others) == 1
    return others[0]


def gone(process: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = Path(f"/proc/{process}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux: finds the processes in /proc")
@pytest.mark.parametrize("end", ["kill first", "kill other", "stop other"])
def test_all_processes_end_together_and_the_run_resumes_on_one(end: str, tmp_path: Path) -> None:
    started = begin(tmp_path / "run", 4000)
    other = child_of(started.pid)
    sent = signal.SIGTERM if end == "stop other" else signal.SIGKILL
    os.kill(started.pid if end == "kill first" else other, sent)
    _, told = started.communicate(timeout=30)
    assert gone(other)
    lines = [line for line in told.splitlines() if line.startswith("ancestral:")]
    assert len(lines) == 1 and "continue with --resume" in lines[0] and "Traceback" not in told
    assert started.returncode == (-signal.SIGKILL if end == "kill first" else 130)
    epochs = str(Run(tmp_path / "run").state()[1]["position"]["epoch"] + 2)
    for folder, more in (("run", ["--resume"]), ("whole", ["--shards", "2"])):
        words = [*LONG, "--epochs", epochs, "--out", str(tmp_path / folder), *more, "--tolerate"]
        subprocess.run([sys.executable, "-m", "ancestral", *words], env=environment(), check=True, capture_output=True)
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


@pytest.mark.slow
def test_torchrun_starts_the_processes(tmp_path: Path) -> None:
    words = [*LONG, "--epochs", "1", "--tolerate", "--out"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", free_port()]
    done = subprocess.run(
        [*torchrun, "-m", "ancestral", *words, str(tmp_path / "two")], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("bits/dim") == 1  # only the first process prints
    one = [sys.executable, "-m", "ancestral", *words, str(tmp_path / "one"), "--shards", "2"]
    subprocess.run(one, env=environment(), check=True, capture_output=True)
    assert numbers(tmp_path / "one") == numbers(tmp_path / "two")


@pytest.mark.slow
def test_an_error_ends_all_processes_with_one_line(tmp_path: Path) -> None:
    """The folder of another run is refused by the first process only; more processes than shards by all."""
    fit_settings(settings_for("mixture", **(SIZES | {"epochs": 1, "shards": None})), tmp_path / "run")
    words = ["train", "mixture", "--data", "digits", "--epochs", "1", "--out", str(tmp_path / "run"), "--devices", "2"]
    for more, expected in (([], "already contains a run"), (["--resume"], "have nothing to do")):
        done = subprocess.run(
            [sys.executable, "-m", "ancestral", *words, *more], env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and expected in done.stderr


def test_scores_of_several_processes_are_those_of_one(tmp_path: Path) -> None:
    """The blocks of images are divided among processes."""
    run = fit_settings(settings_for("vae", **(SIZES | KINDS["vae"][1] | {"epochs": 1})), tmp_path / "run")
    images, model = run.data.held("test", 90), run.load()
    whole = importance_weighted(model, images, 50)  # type: ignore[arg-type]

    def work(processes: Alone) -> torch.Tensor:
        with dividing(processes):
            return importance_weighted(model, images, 50)  # type: ignore[arg-type]

    assert all(torch.equal(found, whole) for found in of_all(2, work))
