"""Settings that all families share. The command line makes its flags from these dataclasses.

Nothing here imports torch, so that `--help` is fast.
"""

from ancestral.settings.data import DataSettings
from ancestral.settings.family import FamilySettings
from ancestral.settings.training import TrainingSettings

__all__ = ["DataSettings", "FamilySettings", "TrainingSettings"]
