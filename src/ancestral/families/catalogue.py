"""The families by name, and all that determines a run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ancestral.core.errors import InputError
from ancestral.families.autoregressive.settings import MADESettings, PixelCNNSettings
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.gan.settings import GANSettings
from ancestral.families.mixture.settings import MixtureSettings
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
from ancestral.settings.data import POINT_SETS, DataSettings
from ancestral.settings.training import TrainingSettings


@dataclass(frozen=True)
class Settings:
    """All that determines a run, besides the versions of the software."""

    family: str
    model: Any  # of one of the classes in FAMILIES, each a FamilySettings
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if self.data.pixels is None and self.data.data not in POINT_SETS:
            suited = replace(self.data, pixels=self.model.default_pixels)
            object.__setattr__(self, "data", suited)
        for name in ("learning_rate", "beta1"):
            if getattr(self.training, name) is None:
                suited = replace(self.training, **{name: getattr(self.model, f"default_{name}")})
                object.__setattr__(self, "training", suited)


FAMILIES: dict[str, type] = {
    "mixture": MixtureSettings,
    "belief-net": BeliefNetSettings,
    "made": MADESettings,
    "pixelcnn": PixelCNNSettings,
    "vae": VAESettings,
    "autoencoder": AutoencoderSettings,
    "flow": FlowSettings,
    "gan": GANSettings,
}


def settings_for(family: str, **values: Any) -> Settings:
    """Settings of a family from flags by name, with defaults for the rest.

    Raises:    InputError: unknown family or setting.
    Example:
        >>> settings_for("vae", latents=2, epochs=3).training.epochs
        3
    """
    if family not in FAMILIES:
        raise InputError(f"unknown family {family!r}: choose {', '.join(FAMILIES)}")
    rooms = [FAMILIES[family], DataSettings, TrainingSettings]
    names = [{field.name for field in fields(room)} for room in rooms]
    for name in values:
        if not any(name in known for known in names):
            raise InputError(f"unknown setting {name!r} for {family}: see `ancestral train {family} --help`")
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    parts = [room(**{n: v for n, v in chosen.items() if n in known}) for room, known in zip(rooms, names, strict=True)]
    return Settings(family, *parts)


def flags_of(settings: Settings) -> dict[str, list[str]]:
    """Every setting that is not the default, as the words of its flag."""
    flags = {}
    for room in (settings.model, settings.data, settings.training):
        for name, value in vars(room).items():
            if value != getattr(type(room)(), name):
                first = ("--no-" if value is False else "--") + name.replace("_", "-")
                values = value if isinstance(value, tuple) else [] if isinstance(value, bool) else [value]
                flags[name] = [first, *map(str, values)]
    return flags
