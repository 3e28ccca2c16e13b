"""The sockets that the collector listens on."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import stat
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from slurm_gpucost.collector.limits import ACCEPTED, ACCEPTED_OF_ONE
from slurm_gpucost.collector.peers import client_at
from slurm_gpucost.domain.errors import ConfigError, GpucostError

BACKLOG = 1024
_OTHER_FILES = 512
"""What the process opens beside connections: the ledger, answers, pipes."""
_MOST_PATH = 100
"""Bytes; sun_path has 108, and the socket is made under a name of its own."""


def where(listen: str) -> tuple[str, int]:
    """HOST:PORT or [ADDRESS]:PORT. Raises ConfigError."""
    host, colon, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ConfigError(f"collector.listen: '{listen}': write HOST:PORT, like 0.0.0.0:6843 or [::]:6843")
    return host, int(port)


class _Counted(socket.socket):
    """A connection that is counted until it is closed."""

    counts: Counter[str]
    client = ""

    def close(self) -> None:
        """Close, and count no more."""
        if self.client:
            self.counts[self.client] -= 1
            self.counts[""] -= 1
            if not self.counts[self.client]:
                del self.counts[self.client]
            self.client = ""
        super().close()


class Listening(socket.socket):
    """Counts what it accepts: of all ('') and of each client. Beyond the limits connections are closed without a word.

    Connections that never agree on TLS are known nowhere else.
    """

    def __init__(self, made: socket.socket, counts: Counter[str]) -> None:
        super().__init__(made.family, made.type, made.proto, fileno=made.detach())
        self._counts = counts
        self._most = min(ACCEPTED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES)

    def accept(self) -> tuple[socket.socket, Any]:
        """As asyncio asks for it. Raises ConnectionAbortedError for one too many, which asyncio passes over."""
        plain, address = super().accept()
        client = client_at(str(address[0]))
        if self._counts[""] >= self._most or self._counts[client] >= ACCEPTED_OF_ONE:
            plain.close()
            raise ConnectionAbortedError
        one = _Counted(plain.family, plain.type, plain.proto, fileno=plain.detach())
        one.counts, one.client = self._counts, client
        self._counts.update((client, ""))
        return one, address


def tcp(listen: str) -> list[socket.socket]:
    """A listening socket for each address of the host. Raises ConfigError, and GpucostError where it is taken."""
    host, port = where(listen)
    found: list[socket.socket] = []
    counts: Counter[str] = Counter()
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address[:2]) for family, _, _, _, address in told):
            both = address[0] == "::" and socket.has_dualstack_ipv6()
            made = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=both)
            found.append(Listening(made, counts))
    except OSError as error:
        for one in found:
            one.close()
        raise GpucostError(f"collector.listen: {listen}: cannot be listened on ({error.strerror or error})") from None
    return found


class Unix(NamedTuple):
    """A Unix socket and its name."""

    listening: socket.socket
    path: Path
    inode: int

    def remove(self) -> None:
        """Take the name away, if it still is this one's, and close."""
        with contextlib.suppress(OSError):
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()
        self.listening.close()


def unix(path: Path) -> Unix:
    """A listening Unix socket that all may connect to. Raises ConfigError, and GpucostError where it is taken.

    Only a dead socket of ours is replaced, in a directory where nobody else may put anything.
    """
    if len(os.fsencode(path)) > _MOST_PATH:
        raise ConfigError(f"collector.socket: {path}: is longer than {_MOST_PATH} bytes")
    try:
        _check_directory(path.parent)
        _check_place(path)
        return _made(path)
    except OSError as error:
        raise ConfigError(f"collector.socket: {path}: cannot be made ({error.strerror})") from None


def _check_directory(directory: Path) -> None:
    try:
        told = directory.lstat()
    except FileNotFoundError:
        raise ConfigError(f"collector.socket: {directory}: is not there; make it (mode 0755)") from None
    if not stat.S_ISDIR(told.st_mode):
        raise ConfigError(f"collector.socket: {directory}: is no directory")
    others = 0o002 if told.st_gid == os.getegid() else 0o022
    if told.st_uid not in (0, os.geteuid()) or told.st_mode & others:
        raise ConfigError(
            f"collector.socket: {directory}: must be root's or the service's own, and writable by nobody else"
        )


def _check_place(path: Path) -> None:
    try:
        told = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(told.st_mode) or told.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"collector.socket: {path}: is something else than a socket of ours; move it away")
    if _answers(path):
        raise GpucostError(f"collector.socket: {path}: somebody listens there; does another gpucostd collector run?")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        tried.settimeout(1)
        try:
            tried.connect(str(path))
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _made(path: Path) -> Unix:
    """Under another name first, so that it has its mode when it has its name."""
    new = path.with_name(f".{os.getpid()}.sock")
    new.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(str(new))
        new.chmod(0o666)
        made.listen(BACKLOG)
        new.rename(path)
        return Unix(made, path, path.lstat().st_ino)
    except BaseException:
        made.close()
        new.unlink(missing_ok=True)
        raise


def many_files() -> None:
    """Let this process open as many connections as it may have. Raises GpucostError where that is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 16_384 if hard == resource.RLIM_INFINITY else min(hard, 16_384)
    if most < 1024:
        raise GpucostError(f"only {most} files may be open; raise LimitNOFILE of the service to 16384")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most) if soft != resource.RLIM_INFINITY else soft, hard))
