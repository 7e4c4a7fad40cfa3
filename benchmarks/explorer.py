"""The explorer's page in Chromium: its size, when it is ready, and how long each model takes, against the targets.

    python benchmarks/explorer.py RUN [RUN ...] [--out page.html] [--chromium /usr/bin/chromium]

Builds the page of the runs, opens it from its file without a network, and asks each model in its thread, as the tabs
do: the score and the reconstruction of a test image (as after a movement of the pen), the completion of its lower
half, and a sample. Prints a table of medians in milliseconds, and as last line JSON. Needs playwright and Chromium.
Other work on the machine makes every number worse: stop it first.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from ancestral.explorer.make import explore
from ancestral.runs.run import Run

READY_S, MEMORY_MB = 1.0, 300.0
PEN_MS = {"mlp": 16.0, "conv": 60.0}
COMPLETE_MS = {"masked": 20.0, "causal": 2000.0}
PAGE_MB = {2: 5.0, 6: 10.0}  # two models, six models
WATCH = """
const seen = new MutationObserver(() => {
  const { ready, selftest } = document.documentElement.dataset;
  if (ready !== undefined) window.readyAt ??= performance.now();
  if (selftest !== "running") window.testedAt ??= performance.now();
});
document.addEventListener("readystatechange", () =>
  seen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-ready", "data-selftest"] }));
"""
TIME = """async ([index, asks, repeats]) => {
  const thread = window.explorer.threads[index];
  const possible = asks.filter(([call]) => thread.can(call));
  if (!possible.length) return null;
  const taken = [];
  for (let n = 0; n <= repeats; n++) {
    const started = performance.now();
    await Promise.all(possible.map(([call, args]) =>
      thread.ask(call, args.map((v) => (Array.isArray(v) ? Float32Array.from(v) : v)), n)));
    if (n) taken.push(performance.now() - started); // the first call warms up
  }
  return taken;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    chosen = parser.parse_args()
    runs = [Run(path) for path in chosen.runs]
    with tempfile.TemporaryDirectory() as folder:
        made = explore(runs, chosen.out or Path(folder) / "explorer.html", max_mb=100)
        found = measured(made.path.resolve(), runs, chosen.chromium)
    found["megabytes"] = round(made.megabytes, 2)
    show(found)
    print(json.dumps(found))


def measured(page: Path, runs: list[Run], chromium: str | None) -> dict[str, Any]:
    """Times of the page, and of each of its models."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        context = browser.new_context()
        context.set_offline(True)
        opened = context.new_page()
        opened.add_init_script(WATCH)
        opened.goto(page.as_uri())
        opened.wait_for_selector("html[data-selftest=ok], html[data-selftest=failed]", state="attached")
        outcome = opened.evaluate("document.documentElement.dataset.selftest")
        tests = opened.evaluate("window.explorer.selfTest()")
        models = [_model(opened, index, run) for index, run in enumerate(runs)]
        ready, tested = (opened.evaluate(f"window.{name} / 1000") for name in ("readyAt", "testedAt"))
        memory = _memory(browser)
        browser.close()
    passed = [test for part in tests for test in part]
    return {
        "self_test": outcome,
        "calculations": len(passed),
        "largest_difference_nats": max((t["difference"] for t in passed if t["limit"] == 0.01), default=0.0),
        "ready_s": round(ready, 2),
        "tested_s": round(tested, 2),
        "memory_mb": round(memory, 1),
        "models": models,
    }


def _model(page: Any, index: int, run: Run) -> dict[str, Any]:
    spec = page.evaluate("(i) => { const s = window.explorer.threads[i].description.spec; return s ?? null; }", index)
    if spec is None:
        return {"name": run.path.name, "kind": "not in the page"}
    x = run.data.held("test").first(1).flatten().tolist()
    channels = spec["event"][0]
    pixels = len(x) // channels
    known = ([1.0] * (pixels // 2) + [0.0] * (pixels - pixels // 2)) * channels
    asks = {
        "pen": ([["score", [x, "random"]], ["reconstruct", [x]]], 20),
        "complete": ([["complete", [x, known, "random"]]], 5),
        "sample": ([["sample", ["random"]]], 5),
    }
    times = {name: page.evaluate(TIME, [index, *ask]) for name, ask in asks.items()}
    medians = {name: None if taken is None else round(statistics.median(taken), 2) for name, taken in times.items()}
    network = spec.get("network", {}).get("type", "conv" if '"conv"' in json.dumps(spec) else "mlp")
    return {"name": run.path.name, "kind": spec["kind"], "network": network, **medians}


def _memory(browser: Any) -> float:
    """Proportional memory of the tab's process, MB; 0 where the system does not tell."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    sizes = []
    for process in processes:
        rollup = Path(f"/proc/{process['id']}/smaps_rollup")
        if process["type"] == "renderer" and rollup.exists():
            fields = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
            sizes.append(int(fields["Pss"].split()[0]) / 1000)
    return max(sizes, default=0.0)


def show(found: dict[str, Any]) -> None:
    """The table."""

    def line(what: str, value: float | None, target: float | None, unit: str) -> None:
        shown = "-" if value is None else f"{value:,.2f} {unit}"
        judged = (
            ""
            if target is None or value is None
            else f"target {target:g} {unit}: " + ("met" if value <= target else "MISSED")
        )
        print(f"{what:44} {shown:>14}  {judged}")

    models = found["models"]
    print(f"self-test {found['self_test']}, {found['calculations']} calculations, largest difference "
          f"{found['largest_difference_nats']:.1e} nat")  # fmt: skip
    line(f"page of {len(models)} models", found["megabytes"], PAGE_MB.get(len(models)), "MB")
    line("ready to draw", found["ready_s"], READY_S, "s")
    line("self-test finished", found["tested_s"], None, "s")
    line("memory of the tab", found["memory_mb"] or None, MEMORY_MB, "MB")
    for model in models:
        if "network" not in model:
            print(f"{model['name']}: not in the page")
            continue
        network, label = model["network"], f"{model['name']} ({model['kind']}, {model['network']})"
        line(f"{label}: pen", model["pen"], PEN_MS.get("mlp" if network in ("mlp", "masked") else "conv"), "ms")
        line(f"{label}: half completed", model["complete"], COMPLETE_MS.get(network), "ms")
        line(f"{label}: sample", model["sample"], None, "ms")


if __name__ == "__main__":
    main()
