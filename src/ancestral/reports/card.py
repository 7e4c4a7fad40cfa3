"""The card of a run: a Markdown page about the model, with the measurements also as metadata for programs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ancestral.evaluation.score import Score
from ancestral.reports.html import Table
from ancestral.reports.pictures.catalogue import caption_of, drawings_of
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.reports.run_page import repeated
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.thumbnails import SPLITS, thumbnails_of

UNKNOWN = "unknown"
TASKS = {"images": "unconditional-image-generation", "points": "other"}


def card(run: Run, name: str, licence: str | None = None) -> str:
    """The card, with a header of metadata as model hubs read it.

    Args:      run: that the card is stored with, whose pictures it shows. name: of the model. licence: its identifier.
    """
    header = yaml.safe_dump(_metadata(run, name, licence), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{header}---", f"# {_plain(name)}", *_sections(run), _use(run), f"Licence: {licence or UNKNOWN}."]
    return "\n\n".join(parts) + "\n"


def _sections(run: Run) -> Iterator[str]:
    record, versions = run.record["data"], run.record["versions"]
    yield (
        f"{_kind(run)}, trained on {_plain(record['name'])} with ancestral "
        f"{versions['ancestral']} (torch {versions['torch']})."
    )
    yield "## Data\n\n" + _table(Table(["what", "value"], list(_described(run))))
    scores = [("this run", score) for score in run.scores()]
    if scores:
        yield "## Scores\n\n" + _table(score_table(scores, SCORE_CAPTION))
    if quality := QUALITY.of(run):
        yield "## Sample quality\n\n" + _table(quality_table([("this run", one) for one in quality], QUALITY_CAPTION))
    if run.health:
        verdicts = [[v.name, v.severity, v.evidence, v.advice] for v in run.health.verdicts]
        found = Table(["what", "severity", "evidence", "what to do"], verdicts, run.health.summary)
        yield "## Health of the training\n\n" + _table(found)
    pictures = [*_pictures(run)]
    if pictures:
        yield "## Pictures\n\n" + "\n\n".join(pictures)
    yield f"## Training\n\n```{'python' if run.record.get('given') else 'bash'}\n{repeated(run, run.path.parent)}\n```"


def _kind(run: Run) -> str:
    if run.settings.family is None:
        return "A model of its author"
    own = ", with networks of its author" if run.record.get("given") else ""
    return f"A model of the family `{run.settings.family}`{own}"


def _described(run: Run) -> Iterator[list[str]]:
    record, space = run.record["data"], run.data.space
    yield ["name", record["name"]]
    yield ["SHA-256", f"`{record['sha256']}`"]
    yield [space.noun, ", ".join(f"{count:,} {split}" for split, count in record["counts"].items())]
    yield ["shape", " x ".join(map(str, record["event_shape"]))]
    if record.get("levels"):
        yield ["levels of a pixel", str(record["levels"])]
    yield ["space", record["space"]]
    for known in ("classes", "columns"):
        if record.get(known):
            yield [known, ", ".join(record[known])]


def _pictures(run: Run) -> Iterator[str]:
    for split, path in thumbnails_of(run.path).items():
        yield _picture(run, path, f"{SPLITS[split].capitalize()} images.")
    for name in drawings_of(run):
        path = run.figures / f"{name}.png"
        if path.exists():
            yield _picture(run, path, caption_of(run, name))


def _picture(run: Run, path: Path, caption: str) -> str:
    return f"![{path.stem}]({path.relative_to(run.path).as_posix()})\n\n{_plain(caption)}"


def _use(run: Run) -> str:
    if given := run.record.get("given"):
        needed = [name for name, facts in given.items() if facts.get("needed", True)]
        words = ", ".join("into=model" if run.settings.family is None else f"{name}=..." for name in needed)
        classes = ", ".join(f"`{facts.get('class')}`" for facts in given.values())
        return (
            f"## Use\n\nThe folder holds weights, not the code of {classes}. Make these modules, and load the weights "
            f'into them:\n\n```python\nimport ancestral\n\nmodel = ancestral.load("RUN", {words})\n```'
        )
    return (
        "## Use\n\nInstall ancestral, unpack or fetch the folder of this card, and name it as RUN:\n\n```bash\n"
        "ancestral sample RUN --out samples.png\nancestral evaluate RUN --data FILE\n```\n\n"
        '```python\nimport ancestral\n\nmodel = ancestral.load("RUN")\n```'
    )


def _table(table: Table) -> str:
    if not table.rows:
        return _plain(table.caption)
    lines = [table.header, ["---:" if i in table.numeric else "---" for i in range(len(table.header))]]
    rows = [f"| {' | '.join(row)} |" for row in (*lines, *([_plain(cell) for cell in row] for row in table.rows))]
    return "\n".join([*rows, *(["", _plain(table.caption)] if table.caption else [])])


def _plain(text: str) -> str:
    """Text on one line, without marks of Markdown or HTML except those of code."""
    return re.sub(r"([|<>\[\]*_\\])", r"\\\1", " ".join(text.split()))


def _metadata(run: Run, name: str, licence: str | None) -> dict[str, Any]:
    record = run.record["data"]
    task = TASKS[run.data.space.noun]
    found: dict[str, Any] = {
        "license": licence or UNKNOWN,
        "library_name": "ancestral",
        "tags": ["ancestral", "deep-generative-model", *([run.settings.family] if run.settings.family else [])],
    }
    if task != "other":
        found["pipeline_tag"] = task
    results = _results(run.scores(), task, record["name"])
    if results:
        found["model-index"] = [{"name": name, "results": results}]
    return found


def _results(scores: Sequence[Score], task: str, data: str) -> list[dict[str, Any]]:
    """Scores in the form of the metadata of evaluation results, one split after another."""
    kind = re.sub(r"[^\w.-]+", "-", data).strip("-") or "data"
    finite = [score for score in scores if math.isfinite(score.nats)]
    return [
        {
            "task": {"type": task, "name": "density estimation"},
            "dataset": {"type": kind, "name": data, "split": split},
            "metrics": [metric for score in finite if score.split == split for metric in _of(score)],
        }
        for split in dict.fromkeys(score.split for score in finite)
    ]


def _of(score: Score) -> Iterator[dict[str, Any]]:
    """The metrics of one score: nats, and bits per dimension, each labelled with its kind and error."""
    label = f"{score.method}, {score.kind_in_words}"
    said = {"space": score.space, "count": score.count}
    error = {} if not math.isfinite(score.stderr) else {"standard_error_nats": score.stderr}
    yield {"type": "log-likelihood", "name": f"{label}, nats", "value": score.nats, "args": {**said, **error}}
    yield {"type": "bits-per-dimension", "name": f"{label}, bits/dim", "value": score.bits_per_dim, "args": said}
