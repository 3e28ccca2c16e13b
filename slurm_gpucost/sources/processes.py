"""What /proc tells of a process: whose it is and which executable it runs. Its command line is never read."""

from __future__ import annotations

import pwd
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
LONGEST_NAME = 255


class Process(NamedTuple):
    """A process of this host."""

    started_ticks: int
    uid: int
    user: str
    executable: str


def boot_id(proc: Path = PROC) -> str:
    """The kernel's id of this boot; '' where it is not to be had."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def look(pid: int, proc: Path = PROC) -> Process | None:
    """The process with this pid; None where it has gone, or is of another pid namespace.

    The executable is the name of the file in /proc/PID/exe, which only root may read of everyone; else the kernel's
    short name (comm), which a process can set itself. See proc(5).
    """
    folder = proc / str(pid)
    try:
        # The name in brackets may hold spaces and brackets: what follows the last one is plain.
        stat = (folder / "stat").read_bytes()
        ticks = int(stat[stat.rindex(b")") + 1 :].split()[19])
        lines = (folder / "status").read_bytes().splitlines()
        uid = next(int(line.split()[1]) for line in lines if line.startswith(b"Uid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return Process(ticks, uid, user_of(uid), _executable(folder, stat))


def _executable(folder: Path, stat: bytes) -> str:
    try:
        name = (folder / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        name = stat[stat.index(b"(") + 1 : stat.rindex(b")")].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in name)[:LONGEST_NAME]


@lru_cache(maxsize=1024)
def user_of(uid: int) -> str:
    """The login name of a uid on this host; '' without one."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
