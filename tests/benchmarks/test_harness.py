"""The benchmark harness: pairs, medians, turns, results as JSON, children, the replay of products."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import report
from benchmarks.harness.catalogue import workloads
from benchmarks.harness.declarations import Contestant, Workload
from benchmarks.harness.measure import Child, measure, summary
from benchmarks.harness.replay import linear_products, products_of
from benchmarks.harness.statistics import Summary, paired_ratio, relative_spread, turns
from benchmarks.workloads.vae import LAYERS, plain_mlp


def test_ratios_are_of_pairs_and_not_of_medians():
    # a slow phase in one round multiplies both values; the ratio of the medians would be 20 / 3
    ours, other = [1.0, 30.0, 3.0], [2.0, 60.0, 20.0]
    assert paired_ratio(other, ours) == Summary(2.0, 2.0, 20 / 3)
    with pytest.raises(ValueError, match="argument"):
        paired_ratio([1.0], [1.0, 2.0])


def test_summary_and_spread():
    assert Summary.of([5.0, 1.0, 2.0, 9.0]) == Summary(3.5, 1.0, 9.0)
    assert relative_spread([2.0] * 12) == 0
    assert relative_spread([1.0] * 10 + [2.0] * 10) == pytest.approx(1 / 1.5)


def test_every_contestant_is_once_in_each_round_and_first_equally_often():
    order = turns(["a", "b", "c"], 6)
    assert all(sorted(one) == ["a", "b", "c"] for one in order)
    assert [one[0] for one in order] == ["a", "b", "c"] * 2


def results_of(workload: str, values: dict[str, list[float]], roles: dict[str, str], noise: str = "") -> dict:
    quiet = {"load": 0.1, "spread": 0.01, "product_ms": 10.0, "noise": noise}
    machine = {
        "cpu": "a CPU",
        "cores": 2,
        "system": "",
        "python": "3.11",
        "date": "2026-01-01 00:00 UTC",
        "commit": "x",
    }
    return {
        "workload": workload,
        "title": "some work",
        "work": "3 steps",
        "along": "",
        "measure": "seconds",
        "roles": roles,
        "missing": {"zuko": "No module named 'zuko'"},
        "machine": machine,
        "versions": {"torch": "2"},
        "quiet_before": quiet,
        "quiet_after": quiet | {"noise": ""},
        "threads": {"1": {name: {"seconds": kept, "cpu": kept} for name, kept in values.items()}},
    }


def test_results_survive_the_file_and_the_table_has_paired_ratios(tmp_path):
    values = {"ours": [1.0, 30.0, 3.0], "PyTorch": [2.0, 60.0, 20.0], "products": [0.5, 15.0, 1.5]}
    roles = {"ours": "ours", "PyTorch": "plain", "products": "limit", "zuko": "peer"}
    results = results_of("vae-128", values, roles)
    path = report.keep(results, tmp_path)
    assert path.name == "vae-128.json" and report.stored(tmp_path) == [json.loads(path.read_text())] == [results]
    assert summary(results, "1")["products"]["over_ours"] == {"median": 0.5, "least": 0.5, "most": 0.5}
    text = report.table(report.stored(tmp_path))
    assert "| some work: 3 steps | 1 | 3.00 s | 0.50 (0.50 to 0.50) | 2.00 (2.00 to 6.67) | zuko: absent |" in text
    assert "The machine was quiet." in text
    report.picture([results], tmp_path / "speed.png")
    assert 1000 < (tmp_path / "speed.png").stat().st_size < 200_000


def test_a_noisy_machine_is_in_the_table():
    roles = {"ours": "ours"}
    results = [results_of("vae-128", {"ours": [1.0]}, roles, "load 3.0"), results_of("made", {"ours": [1.0]}, roles)]
    assert report.noise(results) == ["vae-128: before: load 3.0"]
    assert "Other processes were busy during 1 of 2 workloads" in report.table(results)


def test_the_recorded_products_of_plain_pytorch_are_those_of_the_stated_layers():
    network, x = plain_mlp(), torch.rand(4, 1, 28, 28).round()
    recorded = products_of(lambda: network.loss(x).backward())
    # outputs, gradients of weights, and gradients of the inputs of all layers but the first
    assert len(recorded.calls) == 3 * len(LAYERS) - 1  # pyright: ignore[reportFunctionMemberAccess]
    recorded()
    flops = []
    for work in (recorded, linear_products(LAYERS, 4, 1)):
        with FlopCounterMode(display=False) as counter:
            work()
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1] > 0


@pytest.mark.slow
def test_children_take_turns():
    known = workloads()["em-20"]
    assert [one.name for one in known.contestants] == ["ours", "PyTorch", "products"]
    results = measure(known, 2, tiny=True, threads=(1,))
    found = results["threads"]["1"]
    assert list(found) == ["ours", "PyTorch", "products"] and all(len(one["seconds"]) == 2 for one in found.values())
    assert all(value > 0 for one in found.values() for value in one["seconds"])
    assert results["missing"] == {} and results["quiet_before"]["product_ms"] > 0


@pytest.mark.slow
def test_a_missing_package_is_named_and_the_others_are_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no environment of the other packages
    results = measure(workloads()["vae-128"], 1, tiny=True, threads=(1,))
    assert results["missing"] == {"pythae": "No module named 'pythae'", "JAX": "No module named 'jax'"}
    assert list(results["threads"]["1"]) == ["ours", "PyTorch", "--compile", "products"]


@pytest.mark.slow
def test_a_contestant_that_fails_ends_the_measurement_with_its_error():
    unknown = Workload("em-20", "", "", (Contestant("nobody", "ours", lambda tiny: lambda: None),))
    child = Child(unknown, unknown.contestants[0], tiny=True)
    with pytest.raises(RuntimeError, match="nobody failed"):
        child.wait()
    child.close()


@pytest.mark.slow
def test_a_contestant_may_have_the_name_of_a_flag():
    child = Child(workloads()["verbs"], workloads()["verbs"].contestant("--help"), tiny=True)
    child.wait()
    assert child.repeat(1)["seconds"] > 0
    child.close()
