"""Who runs this command, and from where: for the log of changes; and who users are on this system."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = (1 << 32) - 1
"""The kernel's loginuid of what nobody logged in for: services, containers (audit(8): unset)."""


class Identity(NamedTuple):
    """A person at a terminal, or a service."""

    login: str
    """Who logged in: the kernel's audit login, which sudo does not change; else sudo's caller, else the user."""
    uid: int
    """The effective user id."""
    host: str
    terminal: str
    """The terminal and, over ssh, the client's address; '' where there is neither."""


def identity(environment: Mapping[str, str] | None = None, login_uid: Path = LOGIN_UID) -> Identity:
    """Of this process."""
    env = os.environ if environment is None else environment
    uid = os.geteuid()
    login = ""
    with contextlib.suppress(OSError, ValueError):
        audit = int(login_uid.read_text(encoding="ascii"))
        login = "" if audit == _UNSET else _name(audit)
    if not login and uid == 0:
        login = env.get("SUDO_USER", "")
    where = []
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            where = [os.ttyname(stream.fileno())]
            break
    if client := env.get("SSH_CONNECTION", "").split(" ")[0]:
        where.append(client)
    return Identity(login or _name(uid), uid, socket.gethostname(), " ".join(where))


def uid_of(user: str) -> int | None:
    """The uid that this system knows a user by."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
