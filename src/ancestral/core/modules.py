"""Python files of the user, for example a study or a family of models."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from ancestral.core.errors import InputError

LIBRARIES = {"ancestral", "torch", "numpy", "lightning_fabric", *sys.stdlib_module_names}
"""Packages whose code is not the user's. Their code may call the user's code or be called by it."""


def load_module(path: Path | str, name: str) -> ModuleType:
    """Run a Python file as a module.

    The module stays in `sys.modules` under a unique name, because dataclasses and type hints look for it there. A file
    that is loaded again is run again.

    Args:      name: kind of file, used as the start of the module's name: `family`, for example.
    Returns:   the module.
    Raises:    InputError: no such file, a syntax error, or an exception while it runs. The module is then removed.
    """
    path = Path(path).resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    called = f"{name}_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(called, path, loader=SourceFileLoader(called, str(path)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    code = _compiled(path)
    before = sys.modules.get(called)
    sys.modules[called] = module
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        if before is None:
            del sys.modules[called]
        else:
            sys.modules[called] = before
        if isinstance(error, (Exception, SystemExit)):  # the user's file may raise anything
            raise InputError(_in_a_line(path, error)) from error
        raise
    return module


def _compiled(path: Path) -> CodeType:
    """The code of a file, compiled from its text. Cached code may be out of date, so it is not used.

    Raises:    InputError: no such file, or not valid Python.
    """
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise InputError(_in_a_line(path, error)) from error


def failure(error: BaseException) -> str:
    """Type and message of an exception, and the line of the user's code that caused it, on one line.

    The user's code is the first package in the traceback that is not this package, torch, NumPy or the standard
    library.
    """
    frames = [at for at in traceback.walk_tb(error.__traceback__) if at[0].f_code.co_filename != "<string>"]
    roots = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames]
    own = next((root for root in roots if root not in LIBRARIES), None)
    if own is None or isinstance(error, InputError):  # the message of an InputError is complete
        return _said(error)
    frame, line = [place for place, root in zip(frames, roots, strict=True) if root == own][-1]
    return f"{_said(error)} ({frame.f_code.co_filename}, line {line})"


def _said(error: BaseException) -> str:
    """Type and message of an exception on one line; no type for errors of this package."""
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
    return " ".join((f"{kind}{error}" if str(error) else type(error).__name__).split())


def _in_a_line(path: Path, error: BaseException) -> str:
    """An error of a file, with the line of the file that caused it."""
    if isinstance(error, SyntaxError):
        place, what = f"{error.filename or path}, line {error.lineno}", f"syntax error: {error.msg}"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f"{path}, line {frames[-1].lineno}" if frames else str(path)
        what = _said(error)
    return f"{place}: {' '.join(what.split())}"
