"""What a study is made of: the runs it needs, and the chapters that tell what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ancestral.families.run_settings import Settings, settings_for
from ancestral.reports.html import Figure, Table

if TYPE_CHECKING:
    from ancestral.studies.workshop import Workshop

Budget = Literal["quick", "default", "full"]
COURSEWORK, AN_IDENTITY, OURS = "the coursework", "an identity", "ours"
QUICK: Mapping[str, Any] = {"epochs": 2}
QUICK_MNIST: Mapping[str, Any] = {"epochs": 1, "split": None, "train_size": 1000, "valid_size": 300}


@dataclass(frozen=True)
class Options:
    """What a user may ask of a study.

    Args:      budget: quick trains everything too briefly to judge by, full as long as the source did.
               learning_rates: of a study that compares some; none: its own.
    """

    budget: Budget = "default"
    learning_rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class PlannedRun:
    """A run that a study needs: trained once, then reused.

    Args:      name: its folder. title: its name for a reader. family, settings: as for `fit`.
               importance_samples: draws for the tighter bound, besides the ELBO or exact value; 0 for none.
               scored: False for a model that has no likelihood. minutes: about how long it trains on two cores.
               full, quick: settings that differ under those budgets.
    """

    name: str
    title: str
    family: str
    settings: Mapping[str, Any]
    importance_samples: int = 0
    scored: bool = True
    minutes: float = 1.0
    full: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)

    def settings_under(self, budget: Budget, quick: Mapping[str, Any]) -> Settings:
        """All settings of the run; `quick` are the study's for all of its runs, of which `epochs` is the most."""
        values = dict(self.settings)
        if budget == "full":
            values.update(self.full)
        if budget == "quick":
            epochs = min(quick["epochs"], values.get("epochs", quick["epochs"]))
            values.update({**quick, "epochs": epochs, **self.quick})
        return settings_for(self.family, **values)

    def minutes_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """About how long the run trains on two cores under a budget."""
        return self.minutes * self.share_under(budget, quick)

    def share_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """How many images the training sees under a budget, as a share of those by default."""
        asked, usual = (self.settings_under(b, quick) for b in (budget, "default"))
        seen = [one.training.epochs * (one.data.train_size or 50_000) for one in (asked, usual)]
        return seen[0] / seen[1]


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
