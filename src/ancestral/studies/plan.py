"""The runs of a study, and the options that a user can set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ancestral.families.run_settings import Settings, renamed, setting_names, settings_for

Budget = Literal["quick", "default", "full"]


@dataclass(frozen=True)
class Options:
    """Options of a study.

    Args:      budget: quick trains every model for a short time only; full trains as long as the source did.
               learning_rates: rates to compare, in a study that compares rates; empty for the study's own.
               source: set of images, in a study that can use several; None: the study's first.
    """

    budget: Budget = "default"
    learning_rates: tuple[float, ...] = ()
    source: str | None = None


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study: trained once, then reused.

    Args:      name: its folder. title: its name on the page. family, settings: as for `fit`.
               importance_samples: samples of z for the importance-weighted bound, in addition to the ELBO or exact
               value; 0 for none. scored: False for a model without a likelihood.
               minutes: approximate training time on two cores. full, quick: settings that replace others under
               that budget.
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
        """All settings of the run.

        Args:      quick: settings that the study gives all its runs under `--quick`; its `epochs` is a maximum.
        """
        known = setting_names(self.family)
        values = renamed(self.settings, known)
        if budget == "full":
            values.update(renamed(self.full, known))
        if budget == "quick":
            epochs = min(quick["epochs"], values.get("epochs", quick["epochs"]))
            values.update({**renamed(quick, known), "epochs": epochs, **renamed(self.quick, known)})
        return settings_for(self.family, **values)

    def minutes_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """Approximate training time on two cores under a budget."""
        return self.minutes * self.share_under(budget, quick)

    def share_under(self, budget: Budget, quick: Mapping[str, Any]) -> float:
        """Number of images that the training sees under a budget, relative to the default budget."""
        asked, usual = (self.settings_under(b, quick) for b in (budget, "default"))
        seen = [one.training.epochs * (one.data.train_size or 50_000) for one in (asked, usual)]
        return seen[0] / seen[1]
