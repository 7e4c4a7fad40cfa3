"""The errors a person meets; the command line turns each into one line and an exit code."""

from __future__ import annotations


class InputError(ValueError):
    """The request or an input is wrong (exit code 2).

    The message is one line that says what is wrong and what to do about it.
    """


def refusal(subject: object, problem: object, advice: str) -> InputError:
    """The error "subject: problem; advice" on one line, whatever a file name or a parser put into it."""
    line = " ".join(f"{subject}: {problem}; {advice}".split())
    return InputError("".join(letter if letter.isprintable() else "?" for letter in line))


class DataNotHere(InputError):
    """The data that a run was trained on are not where they were (exit code 2)."""


class NotComputable(InputError, TypeError):
    """The mathematics does not allow it: the likelihood of an implicit model, say (exit code 2)."""


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number (exit code 3). The last finite state is kept."""


class TrainingUnhealthy(RuntimeError):
    """The training ended, but its model is of no use (exit code 3). Model and report are kept."""


class Interrupted(RuntimeError):
    """The training was interrupted by the user; its state is saved (exit code 130)."""
