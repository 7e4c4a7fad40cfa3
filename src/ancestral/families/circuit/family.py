"""The record of the probabilistic circuits."""

from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.family import Family

HERE = "ancestral.families.circuit"
FAMILY = Family(
    name="circuit",
    settings=CircuitSettings,
    build=f"{HERE}.model:build_circuit",
    tiny=f"{HERE}.tiny:TINY",
    initialise=f"{HERE}.initialise:initialise",
    step=f"{HERE}.em_step:step_for",
    drawings=f"{HERE}.drawings:DRAWINGS",
    score_parts=f"{HERE}.score_parts:score_parts",
    explorer=f"{HERE}.portable:circuit",
)
