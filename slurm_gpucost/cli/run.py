"""How commands end: errors on stderr in one line each, results on stdout, no traceback for a user's mistake."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from slurm_gpucost.domain.errors import ConfigError, GpucostError

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """``command``, with its failures told as the house tells them; GPUCOST_TRACEBACK=1 shows where they came from."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            if os.environ.get("GPUCOST_TRACEBACK"):
                raise
            code = _tell(error)
            raise typer.Exit(code) from error

    return run


def _tell(error: Exception) -> int:
    if isinstance(error, GpucostError):
        for line in error.faults if isinstance(error, ConfigError) else (str(error),):
            note(line)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:
        note(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        note(f"internal error: {type(error).__name__}: {error} (with GPUCOST_TRACEBACK=1 it shows where)")
    return 1


def note(message: str) -> None:
    """A line for the person at the terminal, on stderr."""
    from slurm_gpucost.documents.terminal import safe

    text = "\n         ".join(safe(line) for line in message.splitlines()) if "\n" in message else safe(message)
    print(f"gpucost: {text}", file=sys.stderr)


def emit(text: str) -> None:
    """A result on stdout, at once: a reader that has left is noticed here."""
    sys.stdout.write(text)
    sys.stdout.flush()


def emit_json(value: object) -> None:
    """A result as JSON."""
    from slurm_gpucost.documents.machine import json_text

    emit(json_text(value))
