"""The hooks' spool: event files in, nothing lost. The format is docs/event-file.md.

Only regular files are read, without following links. A file that cannot be opened, or is larger than any hook can
write, stays where it is: it is said in the log, tried again after LEAVE_SECONDS and never discarded.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from slurm_gpucost.domain.evidence import HookEvent

VERSION = "1"
MOST_BYTES = 8 * 1024 * 1024
"""Linux gives a process at most 6 MiB of environment (with no stack limit), so no event is larger."""
MOST_EVENT_BYTES = 1024 * 1024
"""Of an event: the fields that hooks name are far smaller, and what is larger could be no part of a batch."""
MOST_FILES = 5000
LEAVE_SECONDS = 60.0
TEMPORARY = ".tmp."
log = logging.getLogger("gpucostd")


class BadEvent(ValueError):
    """A file that is no whole event of a known version."""


class SpoolFile(NamedTuple):
    """An event file's content, and its modification time in ms UTC."""

    path: Path
    content: bytes
    at_ms: int


def fields_of(content: bytes) -> dict[str, str]:
    """The named fields of an event file. Raises BadEvent."""
    if len(content) > MOST_EVENT_BYTES:
        raise BadEvent(f"is larger than {MOST_EVENT_BYTES} bytes")
    words = content.split(b"\x00")
    if words[0] != VERSION.encode():
        raise BadEvent(f"format version {words[0][:20]!r} is not known here")
    if len(words) < 3 or words[-2:] != [b"END", b""]:
        raise BadEvent("is cut short: its last field is not END")
    fields: dict[str, str] = {}
    for word in words[1:-2]:
        name, equals, value = word.partition(b"=")
        if not equals:
            raise BadEvent(f"field {word[:40]!r} has no '='")
        fields[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return fields


def to_event(content: bytes, at_ms: int, cluster: str) -> HookEvent:
    """The evidence in an event file. Raises BadEvent."""
    fields = fields_of(content)
    job = fields.get("SLURM_JOB_ID", "")
    if not job.isascii() or not job.isdigit() or len(job) > 18:
        raise BadEvent(f"SLURM_JOB_ID {job[:40]!r} is no job id")
    if fields.get("HOOK") not in ("prolog", "epilog"):
        raise BadEvent(f"HOOK {fields.get('HOOK', '')[:40]!r} is neither prolog nor epilog")
    start = _number(fields.get("SLURM_JOB_START_TIME"))
    return HookEvent(
        cluster=fields.get("SLURM_CLUSTER_NAME") or cluster,
        job_id=int(job),
        digest=blake2b(content, digest_size=16).digest(),
        hook=fields["HOOK"],
        node=fields.get("NODE", ""),
        at_ms=at_ms,
        boot_id=fields.get("BOOT_ID", ""),
        uptime=fields.get("UPTIME", ""),
        pid=_number(fields.get("PID")) or 0,
        uid=_number(fields.get("SLURM_JOB_UID")),
        user=fields.get("SLURM_JOB_USER", ""),
        account=fields.get("SLURM_JOB_ACCOUNT", ""),
        partition=fields.get("SLURM_JOB_PARTITION", ""),
        restart_count=_number(fields.get("SLURM_JOB_RESTART_COUNT")),
        job_start_ms=start * 1000 if start else None,
        job_gpus=fields.get("SLURM_JOB_GPUS"),
        visible_devices=fields.get("CUDA_VISIBLE_DEVICES"),
        exit_code=fields.get("SLURM_JOB_EXIT_CODE2"),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


class Spool:
    """A spool directory; a missing one is made, for jobs can start before the daemon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left: dict[str, float] = {}
        """Names of files that could not be read or removed, and when to try again (monotonic seconds)."""
        self._said: set[str] = set()

    def scan(self) -> list[Path]:
        """Up to MOST_FILES event files, oldest first. Raises OSError where the directory cannot be made or read."""
        if self.path.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "Is a symbolic link, which the hooks refuse", str(self.path))
        try:
            entries = os.scandir(self.path)
        except FileNotFoundError:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return []
        found: list[tuple[int, Path]] = []
        now = time.monotonic()
        with entries:
            for entry in entries:
                if entry.name.startswith(".") or self._left.get(entry.name, now) > now:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path)))
        found.sort()
        return [path for _, path in found[:MOST_FILES]]

    def read(self, path: Path) -> SpoolFile | None:
        """A file's content and time; None where it is gone, or cannot be read and is left."""
        try:
            content, status = _read_regular(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._leave(path, error.strerror or str(error))
            return None
        if content is None:
            self._leave(path, f"larger than {MOST_BYTES} bytes, so not written by a hook")
            return None
        self._left.pop(path.name, None)
        return SpoolFile(path, content, status.st_mtime_ns // 1_000_000)

    def discard(self, path: Path) -> None:
        """Remove a file that the ledger has. One that was left unread stays; one that resists is left too."""
        if path.name in self._left:
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._leave(path, f"taken in, but cannot be removed: {error.strerror}")

    def stale_temporaries(self, older_than_seconds: float = 60) -> int:
        """How many hooks left a temporary file behind: killed in the middle, or the spool was full."""
        count = 0
        latest = time.time() - older_than_seconds
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    count += entry.name.startswith(TEMPORARY) and entry.stat(follow_symlinks=False).st_mtime < latest
        return count

    def _leave(self, path: Path, why: str) -> None:
        if why not in self._said:
            self._said.add(why)
            log.warning("%s: left in the spool: %s (said once, whatever the number of files)", path, why)
        self._left[path.name] = time.monotonic() + LEAVE_SECONDS


def _read_regular(path: Path) -> tuple[bytes | None, os.stat_result]:
    """The content, None where it is larger than MOST_BYTES, and what fstat says of the file."""
    # O_NONBLOCK: opening a FIFO would wait for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        if status.st_size > MOST_BYTES:
            return None, status
        content = b""
        while more := os.read(fd, status.st_size + 1):
            content += more
        return content, status
    finally:
        os.close(fd)
