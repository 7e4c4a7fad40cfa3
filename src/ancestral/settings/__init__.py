"""Settings that every family shares; the flags of the command line are made from these dataclasses.

Nothing here imports torch, so that `--help` answers at once.
"""

from ancestral.settings.data import DataSettings
from ancestral.settings.family import FamilySettings
from ancestral.settings.training import TrainingSettings

__all__ = ["DataSettings", "FamilySettings", "TrainingSettings"]
