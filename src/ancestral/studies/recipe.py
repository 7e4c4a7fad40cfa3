"""The parts of a study: its runs, and the chapters of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ancestral.reports.html import Figure, Table
from ancestral.studies.plan import Budget, Options, PlannedRun

if TYPE_CHECKING:
    from ancestral.studies.workshop import Workshop

__all__ = [
    "AN_IDENTITY",
    "COURSEWORK",
    "OURS",
    "QUICK",
    "QUICK_MNIST",
    "Budget",
    "Chapter",
    "ChapterContent",
    "Options",
    "PlannedRun",
    "ReferenceCheck",
    "Study",
]

COURSEWORK, AN_IDENTITY, OURS = "the coursework", "an identity", "ours"
QUICK: Mapping[str, Any] = {"epochs": 2}
QUICK_MNIST: Mapping[str, Any] = {"epochs": 1, "protocol": None, "train_size": 1000, "valid_size": 300}


@dataclass(frozen=True)
class ReferenceCheck:
    """A measured number and its reference.

    Args:      what: the quantity. reference, ours: the two values as text, with units. met: whether ours meets the
               reference. why: the likely reason of a miss. source: where the reference comes from: `COURSEWORK`, a
               tutorial or paper, `AN_IDENTITY` of mathematics, or `OURS`, a target of this project.
    """

    what: str
    reference: str
    ours: str
    met: bool
    why: str = ""
    source: str = COURSEWORK


@dataclass
class ChapterContent:
    """Content of a chapter: paragraphs, tables and figures, in this order, and the checks against references."""

    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    checks: list[ReferenceCheck] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chapter:
    """A chapter of a study's page.

    Args:      title: its heading. tell: returns its content, given the workshop with the runs. asked: the task that
               the source sets, in our words. minutes: approximate time by default, without the drawing of figures.
    """

    title: str
    tell: Callable[[Workshop], ChapterContent]
    asked: str = ""
    minutes: float = 0.2


@dataclass(frozen=True)
class Study:
    """A recipe: runs that are trained once, and the chapters of a page about them.

    Args:      title, subtitle: of the page. plan: returns the runs, given the options. chapters: of the page, in
               order. lead: returns the main result in a few sentences. facts: returns the key numbers.
               quick: settings of every run under `--quick`. learning_rates: the rates that are compared, if any.
               sources: the sets of images that the study can use, if it can use several.
    Example:
        >>> study = Study("Mine", "a mixture", lambda options: [PlannedRun("m", "mixture", "mixture", {})], [])
        >>> study.plan(Options())[0].settings_under("quick", study.quick).training.epochs
        2
    """

    title: str
    subtitle: str
    plan: Callable[[Options], Sequence[PlannedRun]]
    chapters: Sequence[Chapter]
    lead: Callable[[Workshop], str] = lambda workshop: ""
    facts: Callable[[Workshop], list[tuple[str, str]]] = lambda workshop: []
    quick: Mapping[str, Any] = field(default_factory=lambda: dict(QUICK))
    learning_rates: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()
