"""Asks the accounting: sacct, in slices that are halved when a reply is refused or does not come in time."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from slurm_gpucost.domain.errors import TooLarge, TooSlow
from slurm_gpucost.sources import command
from slurm_gpucost.sources.accounting_text import FIELDS, FREE_TEXT, UNIT_SEPARATOR

ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "TZ": "UTC", "LC_ALL": "C"}
"""Epoch seconds out, UTC in: no hour is ambiguous. (Not together with --json: 22.05 fails on that.)"""
STATES = "RUNNING,SUSPENDED,PENDING"
"""With times, sacct's --state asks who was in a state meanwhile, by Start and End: all that ran, however it ended.

Without --state it asks who was eligible, and whoever puts their own running job on hold (``scontrol hold``) takes
that time away: the row vanishes from the reply for good (seen on 22.05, 24.11 and 26.05).
"""
SMALLEST_SLICE_MS = 60_000
SMALLEST_SLOW_SLICE_MS = 3_600_000
"""Who does not answer for an hour's jobs in time is not slow, but hangs."""


class Slice(NamedTuple):
    """One reply, with the separator that it was asked for with."""

    start_ms: int
    end_ms: int
    separator: str
    text: str


Runner = Callable[[list[str]], str]


def new_separator() -> str:
    """A separator for one reply, that no user can have put into a job's name."""
    return f"{UNIT_SEPARATOR}{secrets.token_hex(8)}{UNIT_SEPARATOR}"


def arguments(
    sacct: str, cluster: str, start_ms: int, end_ms: int, separator: str, fields: Sequence[str] = FIELDS
) -> list[str]:
    """The command line for one slice: all users, requeued runs too (-D), no steps, nothing cut short."""
    return [
        sacct,
        "--allusers",
        "--duplicates",
        "--allocations",
        "--parsable2",
        f"--delimiter={separator}",
        "--noconvert",
        f"--state={STATES}",
        f"--clusters={cluster}",
        f"--starttime={_utc(start_ms)}",
        f"--endtime={_utc(end_ms)}",
        f"--format={','.join(fields)}",
    ]


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def shell_command(sacct: str, cluster: str, start_ms: int, end_ms: int) -> str:
    """The same as a line for a shell, which writes a file that ``backfill --from-file`` reads safely.

    Without job names and wckeys: in a file whose separator is known, those could forge rows.
    """
    fields = [name for name in FIELDS if name not in FREE_TEXT]
    words = [shlex.quote(word) for word in arguments(sacct, cluster, start_ms, end_ms, "0x1f", fields)]
    line = " ".join(words).replace("--delimiter=0x1f", "--delimiter=\"$(printf '\\037')\"")
    return " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items()) + " " + line


def runner(timeout_seconds: float) -> Runner:
    """Runs sacct for real."""
    return lambda words: command.run(words, timeout_seconds, ENVIRONMENT)


def slices(start_ms: int, end_ms: int, length_ms: int) -> Iterator[tuple[int, int]]:
    """[start, end) in pieces of at most ``length_ms``."""
    while start_ms < end_ms:
        stop = min(end_ms, start_ms + length_ms)
        yield start_ms, stop
        start_ms = stop


def fetch(run: Runner, sacct: str, cluster: str, start_ms: int, end_ms: int) -> Iterator[Slice]:
    """One slice, or its halves where the whole was refused or timed out.

    Raises the SourceError of a slice that fails for another reason, or that cannot be halved any more.
    """
    separator = new_separator()
    try:
        text = run(arguments(sacct, cluster, start_ms, end_ms, separator))
    except TooLarge as error:
        smallest = SMALLEST_SLOW_SLICE_MS if isinstance(error, TooSlow) else SMALLEST_SLICE_MS
        if end_ms - start_ms <= smallest:
            raise
        middle = (start_ms + end_ms) // 2000 * 1000
        yield from fetch(run, sacct, cluster, start_ms, middle)
        yield from fetch(run, sacct, cluster, middle, end_ms)
        return
    yield Slice(start_ms, end_ms, separator, text)
