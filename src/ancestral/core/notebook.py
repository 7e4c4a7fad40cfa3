"""HTML of objects in a notebook, and whether this process is a notebook.

Records are defined in low layers, pages in a higher layer. A record has the line `_repr_html_ = as_html`. The layer of
pages registers a function that writes the HTML of the record with `shows`; this happens when `ancestral.api.run` is
imported. All public functions import it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
_WRITERS: dict[type, Callable[[Any], str]] = {}


def shows(kind: type[R]) -> Callable[[Callable[[R], str]], Callable[[R], str]]:
    """Decorator for the function that writes the HTML of objects of this class and of its subclasses."""

    def register(writer: Callable[[R], str]) -> Callable[[R], str]:
        _WRITERS[kind] = writer
        return writer

    return register


def as_html(shown: Any) -> str | None:
    """The HTML of an object; None if no function is registered for its class. A notebook then shows the text."""
    writer = next((_WRITERS[kind] for kind in type(shown).__mro__ if kind in _WRITERS), None)
    return None if writer is None else writer(shown)


def in_notebook() -> bool:
    """Whether this process runs in a notebook (Jupyter, Colab, VS Code). IPython in a terminal is not a notebook."""
    if "IPython" not in sys.modules:  # a kernel has imported it
        return False
    from IPython.core.getipython import get_ipython  # pyright: ignore[reportMissingImports]

    return getattr(get_ipython(), "kernel", None) is not None
