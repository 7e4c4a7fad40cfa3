"""The record of the sigmoid belief nets, exact or with a recognition network."""

from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.families.family import Family

HERE = "ancestral.families.belief_net"
FAMILY = Family(
    name="belief-net",
    settings=BeliefNetSettings,
    build=f"{HERE}.helmholtz:build_belief_net",
    tiny=f"{HERE}.tiny:TINY",
    objective=f"{HERE}.objectives:objective_for",
    score_parts=f"{HERE}.score_parts:score_parts",
    explorer=f"{HERE}.portable:belief_net",
)
