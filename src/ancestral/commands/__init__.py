"""What each command does. Heavy imports stand inside the functions, so that help answers at once."""

from ancestral.commands.explaining import explain, infer
from ancestral.commands.judging import bracket, compare, evaluate, quality, verify
from ancestral.commands.sources import data
from ancestral.commands.sweeping import sweep
from ancestral.commands.training import study, train
from ancestral.commands.using import complete, detect, draw, sample

__all__ = [
    "bracket",
    "compare",
    "complete",
    "data",
    "detect",
    "draw",
    "evaluate",
    "explain",
    "infer",
    "quality",
    "sample",
    "study",
    "sweep",
    "train",
    "verify",
]
