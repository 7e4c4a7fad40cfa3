"""Errors of the command-line parser in one line that says what is wrong and what to do."""

from __future__ import annotations

import re

FRAME = re.compile(r"╭.*╮|[╰╯│─]+|-{4,}")  # the first line of a frame has its title
TITLE = re.compile(
    r"^(Value error|Missing argument|Required options|Unrecognized options) (?=[A-Z])"
)  # without a frame
REWORDED = (
    (r"^Error parsing (?:model|data|training|cluster): ", ""),  # the message of this package follows
    (r"^Error parsing (\S+):", r"\1:"),
    (r" Argument helptext:.*", ""),
    (r"^Missing value for argument '([^']+)'\..*", r"\1 needs a value"),
    (r"^Missing from [^:]*: (.*?)(?: \(required\))?$", r"missing argument: \1"),
    (r"^Unrecognized options: ", "unexpected arguments: "),
)
"""(pattern, replacement), applied in this order"""


def parse_error(written: str) -> str:
    """The message of the parser without its frame, its title and the help of the flag.

    Args:      written: what the parser wrote.
    """
    text = " ".join(FRAME.sub(" ", written).split()).split("For full helptext")[0].strip()
    text = TITLE.sub("", text)
    for pattern, replacement in REWORDED:
        text = re.sub(pattern, replacement, text)
    return text
