"""What a study is made of: the runs it needs, and the chapters that tell what they show."""

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
    """A number of ours beside the one it is held against.

    Args:      what: is measured. reference, ours: in words, with units. met: whether ours is as good.
               why: what explains a miss. source: who set the reference: `COURSEWORK`, a tutorial or paper,
               `AN_IDENTITY` of mathematics, or `OURS`, an aim or a comparison of our own.
    """

    what: str
    reference: str
    ours: str
    met: bool
    why: str = ""
    source: str = COURSEWORK


@dataclass
class ChapterContent:
    """What a chapter says: paragraphs, tables, figures, in this order, and the numbers held against references."""

    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    checks: list[ReferenceCheck] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chapter:
    """One deliverable.

    Args:      title: its heading. tell: makes it from the workshop's runs. asked: what the source asks for, in our
               words. minutes: about how long it takes by default, beyond drawing.
    """

    title: str
    tell: Callable[[Workshop], ChapterContent]
    asked: str = ""
    minutes: float = 0.2


@dataclass(frozen=True)
class Study:
    """A recipe: a page of chapters about runs that are trained once.

    Args:      title, subtitle: of the page. plan: the runs under some options. chapters: of the page, in order.
               lead: the result in a few sentences, from the scores. facts: the numbers to remember.
               quick: settings of every run under `--quick`. learning_rates: those compared, where some are.
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
