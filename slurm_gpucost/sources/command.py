"""Runs a Slurm command and keeps what it said when it fails."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from slurm_gpucost.domain.errors import SourceError, TooLarge, TooSlow

_TOO_LARGE = ("too large", "too wide")
"""What sacct says of a reply above slurmdbd's bound, and of a window above MaxQueryTimeRange (22.05, 24.11)."""
_CLUSTER: ContextVar[Mapping[str, str]] = ContextVar("of the cluster that is asked", default={})  # noqa: B039, never written to


@contextmanager
def environment(of_cluster: Mapping[str, str]) -> Iterator[None]:
    """Commands of this thread have these variables, too, as long as the block lasts."""
    token = _CLUSTER.set(of_cluster)
    try:
        yield
    finally:
        _CLUSTER.reset(token)


def run(command: Sequence[str], timeout_seconds: float, env: Mapping[str, str] | None = None) -> str:
    """The command's stdout as text. Raises SourceError (missing, failed), TooLarge or TooSlow."""
    line = shlex.join(command)
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            env={**os.environ, **_CLUSTER.get(), **(env or {})},
            check=False,
        )
    except FileNotFoundError:
        raise SourceError(
            f"`{command[0]}` was not found; install Slurm's client commands here, or name its path in the config"
        ) from None
    except PermissionError:
        raise SourceError(f"`{command[0]}` may not be run by this user") from None
    except subprocess.TimeoutExpired:
        raise TooSlow(f"`{line}` gave no answer within {timeout_seconds:g} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
        kind = TooLarge if any(words in said.lower() for words in _TOO_LARGE) else SourceError
        raise kind(f"`{line}` failed (exit {done.returncode}): {said[-2000:] or 'it said nothing'}")
    return done.stdout.decode("utf-8", "replace")
