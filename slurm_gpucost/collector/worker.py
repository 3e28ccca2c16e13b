"""A process that answers questions: read-only, niced, bounded in time, memory and size of the answer.

What comes of a question is written into a file that has no name, line by line: the head, then each row.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.domain.errors import GpucostError, LedgerError, NotAllowed, UsageError
from slurm_gpucost.services import named
from slurm_gpucost.settings import Settings

MEMORY_BYTES = 2 * 1024**3
RETIRE_KIB = 512 * 1024
"""A process that has grown so large ends after its answer; another takes its place."""
NICE = 5
_PROGRESS = 20_000
"""SQLite's steps between looks at the clock: some ms."""
_AGAIN_SECONDS = 0.5
log = logging.getLogger("gpucostd")


class Job(NamedTuple):
    """A question that was let in."""

    name: str
    params: Mapping[str, Any]
    viewer: Viewer
    now_ms: int
    seconds: float
    most_bytes: int


class Done(NamedTuple):
    """What came of it; ``status`` and ``said`` as HTTP has them."""

    status: int
    said: str = ""
    rows: int = 0
    retires: bool = False
    """The process ends now."""


TAKEN = Done(102)
"""Said before anything is done about a question."""


class Overrun(BaseException):
    """The time is over. No Exception, so that nobody takes it for something else."""


class TooMuch(GpucostError):
    """The answer is larger than one may be."""


def main(connection: Connection, settings: Settings, ledger: Path) -> None:
    """Answer until the other end closes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the answer under way is finished; the pipe's end is the end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _overrun)
    with contextlib.suppress(OSError):  # a service's filter may forbid it
        os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        connection.send(Done(200))
        while True:
            job, descriptor = connection.recv(), recv_handle(connection)
            connection.send(TAKEN)
            done = _bounded(settings, ledger, job, descriptor)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > RETIRE_KIB
            connection.send(done._replace(retires=done.retires or grown))
            if done.retires or grown:
                return
    except (EOFError, OSError):
        return


class _Alarm:
    """What the alarm finds and leaves."""

    answering = False
    over = False
    """The time is over, or whoever asked went away."""


def _bounded(settings: Settings, ledger: Path, job: Job, descriptor: int) -> Done:
    _Alarm.answering, _Alarm.over = True, False
    signal.setitimer(signal.ITIMER_REAL, job.seconds, _AGAIN_SECONDS)
    try:
        return answered(settings, ledger, job, descriptor, time.monotonic() + job.seconds)
    except Overrun:
        return _too_slow(job)
    finally:
        _Alarm.answering = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def answered(settings: Settings, ledger: Path, job: Job, descriptor: int, until: float) -> Done:
    """Write the answer into the file of that descriptor. Raises Overrun."""
    try:
        with open(descriptor, "wb") as file:
            return Done(200, rows=_write(settings, ledger, job, file, until))
    except UsageError as error:
        return Done(400, str(error))
    except NotAllowed as error:
        return Done(403, str(error))
    except TooMuch as error:
        return Done(413, str(error))
    except MemoryError:
        return Done(413, "the answer needs more memory than a question may have; ask for less", retires=True)
    except LedgerError as error:
        return Done(503, str(error))
    except GpucostError as error:
        return Done(500, str(error))
    except OSError as error:
        return Done(503, f"the answer could not be kept ({error.strerror})")
    except Exception as error:
        if isinstance(error, sqlite3.OperationalError) and (_Alarm.over or time.monotonic() >= until):
            return _too_slow(job)
        log.exception("question %s: internal error", job.name)
        return Done(500, "internal error; the collector's log has more")


def _write(settings: Settings, ledger: Path, job: Job, file: BinaryIO, until: float) -> int:
    def limit(db: sqlite3.Connection) -> None:
        db.set_progress_handler(lambda: time.monotonic() >= until, _PROGRESS)

    rows, size = 0, 0
    with named.answer(settings, ledger, job.name, job.params, job.viewer, job.now_ms, on_open=limit) as answer:
        size += file.write(_line(answer.head))
        for row in answer.rows:
            size += file.write(_line(row))
            rows += 1
            if size > job.most_bytes:
                raise TooMuch(f"the answer is larger than {job.most_bytes >> 20} MiB; ask for less time or fewer users")
    return rows


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _too_slow(job: Job) -> Done:
    return Done(504, f"no answer within {job.seconds:g} s; ask for less time or fewer users")


def _overrun(*_: object) -> None:
    _Alarm.over = True
    if _Alarm.answering:
        raise Overrun
