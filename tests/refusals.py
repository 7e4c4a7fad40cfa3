"""What a refusal must look like."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ancestral.core.errors import InputError


def refused(action: Callable[[], object], *words: str, kind: type[InputError] = InputError) -> None:
    """An `InputError` of one line that holds the words."""
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
