"""The hooks' spool: event files in, nothing lost. The format is docs/event-file.md.

A file is discarded only when the ledger has it; one that cannot be read is kept aside, never deleted. Only regular
files are read, without following links.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from slurm_gpucost.domain.evidence import HookEvent

VERSION = "1"
MOST_BYTES = 4 * 1024 * 1024
"""A hook's environment is bounded by the kernel well below this."""
MOST_FILES = 5000
TEMPORARY = ".tmp."


class BadEvent(ValueError):
    """A file that is no whole event of a known version."""


class SpoolFile(NamedTuple):
    """An event file's content, and its modification time in ms UTC."""

    path: Path
    content: bytes
    at_ms: int


def fields_of(content: bytes) -> dict[str, str]:
    """The named fields of an event file. Raises BadEvent."""
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
        self._stubborn: set[str] = set()

    def scan(self) -> list[Path]:
        """Up to MOST_FILES event files, oldest first. Raises OSError where the directory cannot be read."""
        found: list[tuple[int, Path]] = []
        try:
            entries = os.scandir(self.path)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                self.path.mkdir(mode=0o700, parents=True)
            return []
        with entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in self._stubborn:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found.append((entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry.path)))
        found.sort()
        return [path for _, path in found[:MOST_FILES]]

    def read(self, path: Path) -> SpoolFile | None:
        """A file's content and time; None where it is gone or no regular file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            return SpoolFile(path, file.read(MOST_BYTES), status.st_mtime_ns // 1_000_000)

    def discard(self, path: Path) -> None:
        """Remove a file that the ledger has. One that cannot be removed is not read again by this process."""
        try:
            path.unlink(missing_ok=True)
        except OSError:
            self._stubborn.add(path.name)

    def stale_temporaries(self, older_than_seconds: float = 60) -> int:
        """How many hooks left a temporary file behind: killed in the middle, or the spool was full."""
        count = 0
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    old = entry.name.startswith(TEMPORARY) and time.time() - entry.stat().st_mtime > older_than_seconds
                    count += old
        return count
