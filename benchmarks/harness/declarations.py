"""What a workload file declares: contestants, each of which sets up once and then repeats a stated amount of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["ours", "option", "plain", "peer", "limit"]
Repetition = Callable[[], Any]
"""Does the stated amount of work once. What it returns is not used by the harness; tests look at it."""


class Missing(Exception):
    """What a contestant needs is not on this machine, such as a data set."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work of a workload.

    Args:      name: shown in tables. role: ours; option (ours
               with another setting); plain (PyTorch as a user writes it); peer (another package); limit
               (only the matrix products and convolutions). setup: prepares data and model, and returns the repetition.
               With True it uses tiny sizes, for tests. needs: packages that it imports besides those of the project.
               most_threads: it cannot use more threads, so it is not measured with more.
    """

    name: str
    role: Role
    setup: Callable[[bool], Repetition]
    needs: tuple[str, ...] = ()
    most_threads: int = 1024


@dataclass(frozen=True)
class Workload:
    """Contestants that do the same work, measured in turn.

    Args:      name: on the command line, and of the file of results. title: in tables. work: what one repetition does.
               contestants: ours first. along: if the contestants are sizes of one curve or different commands: what
               they are. measure: seconds of a repetition, or the memory that it adds to the process. threads: numbers
               of threads to measure. most_rounds: fewer rounds, for work that takes long.
    """

    name: str
    title: str
    work: str
    contestants: tuple[Contestant, ...]
    along: str = ""
    measure: Literal["seconds", "megabytes"] = "seconds"
    threads: tuple[int, ...] = (1, 2)
    most_rounds: int = 1024

    def contestant(self, name: str) -> Contestant:
        return next(one for one in self.contestants if one.name == name)


def usual(
    ours: Callable[[bool], Repetition],
    plain: Callable[[bool], Repetition] | None,
    limit: Callable[[bool], Repetition],
    *others: Contestant,
) -> tuple[Contestant, ...]:
    """The contestants of most workloads: ours, plain PyTorch if it does this, others, and the products alone."""
    of_plain = () if plain is None else (Contestant("PyTorch", "plain", plain),)
    return (Contestant("ours", "ours", ours), *of_plain, *others, Contestant("products", "limit", limit))


def curve(
    name: str,
    title: str,
    along: str,
    work: str,
    sizes: tuple[int, ...],
    setup: Callable[[int], Repetition],
    measure: Literal["seconds", "megabytes"] = "seconds",
) -> Workload:
    """A workload whose contestants are the sizes of one curve; tests use the smallest size.

    Args:      sizes: increasing. setup: prepares the work of a size.
    """

    def of(size: int) -> Contestant:
        return Contestant(str(size), "ours", lambda tiny: setup(sizes[0] if tiny else size))

    return Workload(name, title, work, tuple(map(of, sizes)), along, measure, (1,), most_rounds=3)
