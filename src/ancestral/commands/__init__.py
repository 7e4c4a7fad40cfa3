"""What each command does. Heavy imports stand inside the functions, so that help answers at once."""

from ancestral.commands.judging import compare, evaluate, quality, verify
from ancestral.commands.sources import data
from ancestral.commands.training import study, train
from ancestral.commands.using import complete, detect, draw, sample

__all__ = ["compare", "complete", "data", "detect", "draw", "evaluate", "quality", "sample", "study", "train", "verify"]
