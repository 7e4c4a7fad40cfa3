"""The runs that a study needs, and what a user may ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ancestral.families.run_settings import Settings, renamed, setting_names, settings_for

Budget = Literal["quick", "default", "full"]


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
        known = setting_names(self.family)
        values = renamed(self.settings, known)
        if budget == "full":
            values.update(renamed(self.full, known))
        if budget == "quick":
            epochs = min(quick["epochs"], values.get("epochs", quick["epochs"]))
            values.update({**renamed(quick, known), "epochs": epochs, **renamed(self.quick, known)})
        return settings_for(self.family, **values)

    def minutes_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """About how long the run trains on two cores under a budget."""
        return self.minutes * self.share_under(budget, quick)

    def share_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """How many images the training sees under a budget, as a share of those by default."""
        asked, usual = (self.settings_under(b, quick) for b in (budget, "default"))
        seen = [one.training.epochs * (one.data.train_size or 50_000) for one in (asked, usual)]
        return seen[0] / seen[1]
