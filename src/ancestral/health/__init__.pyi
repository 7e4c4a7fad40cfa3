"""Public names of `ancestral.health`."""

from ancestral.health.curves import Facts as Facts
from ancestral.health.examine import diagnose as diagnose
