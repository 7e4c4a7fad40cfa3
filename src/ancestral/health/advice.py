"""Advice of the health checks: it names only settings that have an effect on the training."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ancestral.health.curves import Facts

_FLAG = re.compile(r"--([a-z0-9-]+)")
Choices = Sequence[str]

CALMER: tuple[Choices, ...] = (
    ("lower --learning-rate", "warm it up (--warmup-steps)", "clip the gradient (--clip-norm)"),
    ("lower --last-step", "raise --smoothing"),
    ("raise --smoothing",),
    ("train for fewer --epochs",),
)
"""against divergence and spikes"""
STEADIER: tuple[Choices, ...] = (
    ("lower --learning-rate", "use --schedule cosine", "raise --batch-size"),
    ("lower --last-step", "raise --batch-size"),
    ("raise --smoothing",),
    ("train for fewer --epochs",),
)
"""against oscillation"""
SETTLED: tuple[Choices, ...] = (("lower --learning-rate", "use --schedule cosine"), *STEADIER[1:])
"""against a late rise"""


def advice(facts: Facts, *groups: Choices) -> str:
    """The phrases as a sentence without a full stop; arguments as for `phrases`."""
    text = phrases(facts, *groups)
    return text[0].upper() + text[1:]


def phrases(facts: Facts, *groups: Choices) -> str:
    """What a person can change.

    Args:      facts: of the training. groups: phrases of what to change, with their flags. The first group whose first
               phrase has only flags in use is taken, without its phrases that have others. The last group is taken if
               no other can be.
    """
    taken = next((group for group in groups if _in_use(facts, group[0])), groups[-1])
    *others, last = [phrase for phrase in taken if _in_use(facts, phrase)] or taken
    return f"{', '.join(others)} or {last}" if others else last


def _in_use(facts: Facts, phrase: str) -> bool:
    """Whether all settings that a phrase names have an effect on the training."""
    names = {name.replace("-", "_") for name in _FLAG.findall(phrase)}
    return facts.in_use is None or names <= facts.in_use
