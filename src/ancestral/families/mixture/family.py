"""The record of the mixture of Bernoullis."""

from ancestral.families.family import Family
from ancestral.families.mixture.settings import MixtureSettings

HERE = "ancestral.families.mixture"
FAMILY = Family(
    name="mixture",
    settings=MixtureSettings,
    build=f"{HERE}.model:build_mixture",
    tiny=f"{HERE}.tiny:TINY",
    step=f"{HERE}.em_step:step_for",
    drawings=f"{HERE}.drawings:DRAWINGS",
    score_parts=f"{HERE}.score_parts:score_parts",
    explorer=f"{HERE}.portable:mixture",
)
