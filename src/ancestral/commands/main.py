"""The command line: `ancestral COMMAND ...`.

Exit codes: 0 done, 2 wrong request or input, 3 training diverged or unhealthy, 130 interrupted.

This module imports little, so that an interruption during the other imports is reported in one line.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from ancestral.core.errors import InputError, Interrupted, TrainingDiverged, TrainingUnhealthy
from ancestral.core.ranks import allow_launch, silence_others

INTERRUPTED = 130
REPEATS = 1.0  # seconds in which further interrupts count as the same one: a key that is held down sends many
NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED"),
    *("Storage size calculation overflowed", "integer multiplication overflow"),
)
"""Parts of the messages with which torch reports a lack of memory; on the CPU it has no exception class for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. Errors that the user can correct are one line on stderr.

    Any other exception is a bug in the program and keeps its traceback.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from ancestral.commands.dispatch import dispatch

        dispatch(words)
    except SystemExit:  # help was asked for, and printed
        return 0
    except InputError as error:
        return _complain(error, 2)
    except TrainingDiverged as error:
        return _complain(f"training diverged: {error}; the last finite weights are kept", 3)
    except TrainingUnhealthy as error:
        return _complain(f"training failed: {error}; the model and its report are kept (--tolerate accepts it)", 3)
    except Interrupted as error:
        return _complain(error, INTERRUPTED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has left
        return 0
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except Exception as error:
        if not _is_lack_of_memory(error):
            return _complain(_fault_of_plug_in(error), 2)
        asked = re.search(r"allocate (\d+) bytes", str(error))
        size = f" ({int(asked[1]) / 1e9:,.1f} GB more were requested)" if asked else ""
        return _complain(f"not enough memory{size}: reduce --batch-size, the counts, or the size of the model", 2)
    return 0


def _fault_of_plug_in(error: Exception) -> str:
    """One line about an exception in the code of a plug-in; any other exception is a bug here and is raised again."""
    from ancestral.families.hooks import fault_of_plug_in

    line = fault_of_plug_in(error)
    if not line:
        raise error
    return line


def _is_lack_of_memory(error: BaseException) -> bool:
    told = isinstance(error, RuntimeError) and any(part in str(error) for part in NO_MEMORY)
    return told or isinstance(error, MemoryError)


def _complain(error: object, code: int) -> int:
    line = " ".join(str(error).split())
    with suppress(OSError):  # the terminal may be gone
        print(f"ancestral: {line}", file=sys.stderr)
    return code


def answer_interrupts() -> None:
    """Turn the first Ctrl-C into an exception, ignore repeats within a second, and exit at once on a later one.

    A second exception while the first is handled would end in a traceback. If Ctrl-C is ignored, as in a background
    job, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    first: float | None = None

    def answer(number: int, frame: object) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - first > REPEATS:
            os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, answer)


def entry() -> None:
    """Entry point of the installed command."""
    answer_interrupts()
    allow_launch(sys.argv[1:])
    silence_others()
    try:
        # Waiting threads spin, which is very slow when the cores have other work. A short spin doubles the speed on
        # two busy cores and costs nothing on idle ones; without any spin, idle cores lose a third of their speed. The
        # variable must be set before torch loads its thread library.
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
        code = main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done; only the interpreter has to end
    except KeyboardInterrupt:
        code = _complain("interrupted", INTERRUPTED)
    gc.freeze()  # a last search for cycles among the objects of torch takes 0.3 s; the memory is freed in any case
    raise SystemExit(code)
