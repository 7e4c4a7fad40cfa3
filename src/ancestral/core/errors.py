"""Errors for users. The command line prints each as one line and returns an exit code."""

from __future__ import annotations


class InputError(ValueError):
    """A setting, an argument or an input file is wrong (exit code 2).

    The message is one line that says what is wrong and what to do about it.
    """


def refusal(subject: object, problem: object, advice: str) -> InputError:
    """The error "subject: problem; advice", on one line and with printable characters only."""
    line = " ".join(f"{subject}: {problem}; {advice}".split())
    return InputError("".join(letter if letter.isprintable() else "?" for letter in line))


class DataNotHere(InputError):
    """The data that a run was trained on cannot be found at their old path (exit code 2)."""


class NotComputable(InputError, TypeError):
    """The quantity cannot be computed, for example the likelihood of an implicit model (exit code 2)."""


class TrainingDiverged(RuntimeError):
    """The loss became infinite or NaN (exit code 3). The last finite state is kept."""


class TrainingUnhealthy(RuntimeError):
    """The training ended, but it fails the health checks (exit code 3). Model and report are kept."""


class Interrupted(RuntimeError):
    """The training was interrupted by the user; its state is saved (exit code 130)."""
