"""The explorers of a study: a page for images, a page for points, each written again only after a change."""

from __future__ import annotations

import json
import re
from pathlib import Path

from small_runs import SmallRuns

from ancestral.runs.run import Run
from ancestral.runs.watching import Progress
from ancestral.studies.explorer import IMAGES, POINTS, write_explorers
from ancestral.studies.plan import Options
from ancestral.studies.workshop import Workshop


def test_pages_are_written_once_and_again_after_a_change(small_runs: SmallRuns, tmp_path: Path) -> None:
    small_runs.copied(["mixture", "made", "moons"], tmp_path)
    bench = Workshop({}, tmp_path, Options("quick"), Progress(say=lambda line: None))
    bench.runs = {name: Run(tmp_path / name) for name in ("mixture", "moons")}
    pages = [tmp_path / IMAGES, tmp_path / POINTS]

    def names(page: Path) -> list[str]:
        (held,) = re.findall(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)
        return [model["name"] for model in json.loads(held)["models"]]

    assert write_explorers(bench) == pages
    assert [names(page) for page in pages] == [["mixture"], ["moons"]]
    written = [page.stat().st_mtime_ns for page in pages]
    assert write_explorers(bench) == pages and [page.stat().st_mtime_ns for page in pages] == written
    pages[1].unlink()
    assert write_explorers(bench) == pages and pages[0].stat().st_mtime_ns == written[0]
    bench.runs["made"] = Run(tmp_path / "made")
    write_explorers(bench)
    assert names(pages[0]) == ["mixture", "made"]
