"""Objects that a notebook shows as HTML, and whether this process is a notebook.

Records are in low layers and pages in a higher one. A record has the line `_repr_html_ = as_html`; the layer of pages
registers the function that writes its HTML with `shows`. It does so when `ancestral.api.run` is imported, which all
public functions do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")
_WRITERS: dict[type, Callable[[Any], str]] = {}


def shows(kind: type[R]) -> Callable[[Callable[[R], str]], Callable[[R], str]]:
    """Decorator: the function writes the HTML of objects of this class and of its subclasses."""

    def register(writer: Callable[[R], str]) -> Callable[[R], str]:
        _WRITERS[kind] = writer
        return writer

    return register


def as_html(shown: Any) -> str | None:
    """The HTML of an object; None, which makes a notebook show the text, where nothing is registered for its class."""
    writer = next((_WRITERS[kind] for kind in type(shown).__mro__ if kind in _WRITERS), None)
    return None if writer is None else writer(shown)


def in_notebook() -> bool:
    """Whether the output of this process goes to a notebook (Jupyter, Colab, VS Code): not in IPython's terminal."""
    if "IPython" not in sys.modules:  # a kernel has imported it
        return False
    from IPython.core.getipython import get_ipython  # pyright: ignore[reportMissingImports]

    return getattr(get_ipython(), "kernel", None) is not None
