"""The settings of a run: those of its family, its data and its training."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches
from ancestral.families.catalogue import find
from ancestral.settings.checks import flag
from ancestral.settings.data import IMAGE_SETS, POINT_SETS, DataSettings
from ancestral.settings.family import FamilySettings
from ancestral.settings.names import renamed
from ancestral.settings.training import TrainingSettings

OF_GRADIENTS = (
    *("optimizer", "learning_rate", "beta1", "weight_decay", "momentum", "schedule", "warmup_steps", "clip_norm"),
    *("average_weights", "compile", "cuda_graph"),
)
FEW_LEVELS = 32  # up to this number, a categorical distribution per pixel has few parameters


@dataclass(frozen=True)
class Settings:
    """All settings of a run. Together with the versions of the software they determine its result."""

    family: str | None  # None for a user's own model
    model: Any  # an instance of the settings class of the family
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    @property
    def parts(self) -> tuple[Any, DataSettings, TrainingSettings]:
        """The three dataclasses."""
        return self.model, self.data, self.training

    def in_use(self, points: bool) -> frozenset[str]:
        """Names of the settings that have an effect, given the others. points: whether the data are points."""
        names = {field.name for part in self.parts for field in fields(part)}
        return frozenset(names - _unused(self.model, self.training, points).keys())

    def __post_init__(self) -> None:
        if self.data.pixels is None and self.data.data in IMAGE_SETS:
            chosen = replace(self.data, pixels=default_of(self.model, "pixels"))
            object.__setattr__(self, "data", chosen)
        for name in ("learning_rate", "beta1"):
            if getattr(self.training, name) is None:
                chosen = replace(self.training, **{name: default_of(self.model, name)})
                object.__setattr__(self, "training", chosen)


def suited(settings: Settings, channels: int, levels: int) -> tuple[Settings, str]:
    """The settings with a pixel space that fits the user's own images, and a sentence that states the choice or "".

    A named data set has the default pixels of the family. The user's own images with colour, or with more than 32
    levels, keep their levels if the family can model them; the output `auto` is then the discretised logistic
    distribution.

    Args:      channels, levels: of the images; 0 levels for points, which have no pixel space to choose.
    """
    if settings.data.data in IMAGE_SETS or levels == 0:
        return settings, ""
    rich = channels > 1 or levels > FEW_LEVELS
    pixels, said = settings.data.pixels, ""
    if pixels is None:
        of_rich = getattr(settings.model, "rich_pixels", None)
        pixels = of_rich if rich and of_rich is not None else default_of(settings.model, "pixels")
        if pixels in ("binary", "static", "threshold") and levels > 2:
            said = f"pixels of {levels} levels become binary: 1 above one half, else 0 (--pixels changes this)"
    model = settings.model
    if rich and pixels == "levels" and isinstance(model, FamilySettings):
        model = model.with_smooth_output()
    return replace(settings, model=model, data=replace(settings.data, pixels=pixels)), said


def default_of(model: Any, name: str) -> Any:
    """A family-dependent default: the class attribute `default_NAME` of the settings, or of `FamilySettings`."""
    return getattr(model, f"default_{name}", getattr(FamilySettings, f"default_{name}"))


def setting_names(family: str | None) -> dict[str, type]:
    """The name of every setting of a run of a family, with the dataclass that it belongs to."""
    parts = (find(family).settings, DataSettings, TrainingSettings)
    return {field.name: part for part in parts for field in fields(part)}


def settings_for(family: str | None, **values: Any) -> Settings:
    """The settings of a run from values by name; all others have their defaults.

    Raises:    InputError: unknown family or setting.
    Example:
        >>> settings_for("vae", latents=2, epochs=3).training.epochs
        3
    """
    return Settings(family, *parts_for(family, **values))


def parts_for(family: str | None, **values: Any) -> tuple[Any, DataSettings, TrainingSettings]:
    """The three parts of `settings_for`, before family-dependent defaults are filled in.

    Raises:    InputError: unknown family or setting.
    """
    known = setting_names(family)
    values, choices = renamed(values, known), [*known, *find(family).networks]
    for name in values:
        if name not in known:
            raise InputError(f"unknown setting {name!r} for {find(family).title}: {close_matches(name, choices)}")
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    def made(part: Any) -> Any:
        return part(**{name: value for name, value in chosen.items() if known[name] is part})

    return made(find(family).settings), made(DataSettings), made(TrainingSettings)


def without_effect(model: Any, data: DataSettings, training: TrainingSettings) -> dict[str, str]:
    """Settings that the user changed but that have no effect, by name, each with the reason.

    Args:      model, data, training: as the user gives them, before family-dependent defaults are filled in.
    """
    points = True if data.data in POINT_SETS else False if data.data in IMAGE_SETS else None
    reasons = _unused(model, training, points)
    given = {name for part in (model, training) for name in changed(part)}
    return {name: reason for name, reason in reasons.items() if name in given}


def _unused(model: Any, training: TrainingSettings, points: bool | None) -> dict[str, str]:
    """All settings that have no effect given the others, by name, each with the reason."""
    reasons = dict(training.unused)
    if isinstance(model, FamilySettings):
        reasons |= model.unused(points)
        if not model.has_learning_rate:
            reasons |= dict.fromkeys(OF_GRADIENTS, "this training does not use gradients")
    return reasons


def changed(part: Any) -> dict[str, Any]:
    """The settings of a dataclass that differ from their defaults, by name."""
    defaults = type(part)()
    return {name: value for name, value in vars(part).items() if value != getattr(defaults, name)}


def flags_of(settings: Settings) -> dict[str, list[str]]:
    """Every setting that differs from its default, as its flag followed by its values."""
    flags = {}
    for name, value in not_default(settings).items():
        first = "--no-" + flag(name)[2:] if value is False else flag(name)
        values = value if isinstance(value, tuple) else [] if isinstance(value, bool) else [value]
        flags[name] = [first, *map(str, values)]
    return flags


def not_default(settings: Settings) -> dict[str, Any]:
    """Every setting that differs from its default, by name."""
    return {name: value for part in settings.parts for name, value in changed(part).items()}
