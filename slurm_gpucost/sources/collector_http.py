"""The collector as a node reaches it, by the standard library, a question at a time. Its form is in docs/uplink.md."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import stat
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from slurm_gpucost.domain.errors import ConfigError, SourceError

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
MOST_BYTES = 65_536
"""Of an answer; more is not read."""


class Answer(NamedTuple):
    """What the collector said."""

    status: int
    held: int | None = None
    """It has all entries up to this number."""
    waiting: bool = False
    """Another journal of this node is alive."""
    error: str = ""
    retry_after: float | None = None
    """Seconds."""
    tail: str = ""
    """``N:DIGEST`` of an entry of the journal as it came from here; '' where it does not say."""


def read_token(path: Path) -> str:
    """The node's token. Raises ConfigError where there is none, or where others may read it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: is no file; put the node's token there ([node] token_file)")
            if mode & 0o077:
                raise ConfigError(f"{path}: others than its owner may read or write it; `chmod 600 {path}`")
            token = file.read(4096).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(
            f"{path}: the node's token cannot be read ({error.strerror}); put it there ([node] token_file)"
        ) from None
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise ConfigError(f"{path}: holds no token; it is one line, as the node was enrolled")
    return token


class CollectorHttp:
    """One connection, made anew after each failure. Raises ConfigError for a CA or a token that cannot be used."""

    def __init__(self, url: str, token_file: Path, ca_file: Path | None) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._token_file = token_file
        self._token = read_token(token_file)
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=ca_file)
            except OSError as error:
                raise ConfigError(f"{ca_file}: is no CA in PEM ({error.strerror or error}); [node] ca_file") from None
        self._connection: http.client.HTTPConnection | None = None

    def held(self, journal: str) -> Answer:
        """How much of a journal the collector holds. The token is read anew. Raises SourceError, ConfigError."""
        self._token = read_token(self._token_file)
        return self._ask("GET", f"/v1/batches?journal={journal}", None)

    def send(self, body: bytes) -> Answer:
        """Give it a batch. Raises SourceError."""
        return self._ask("POST", "/v1/batches", body)

    def close(self) -> None:
        """Close the connection; the next question makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, method: str, target: str, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        kept = self._connection is not None
        try:
            try:
                return self._exchange(method, target, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept:  # a kept connection may have been closed since: that is no failure
                    raise
                self.close()
                return self._exchange(method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceError(f"the collector at {self._host} cannot be reached: {why}") from None

    def _exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self._path + target, body, headers)
        response = self._connection.getresponse()
        text = response.read(MOST_BYTES)
        if not response.isclosed():  # there is more than an answer has
            self.close()
        elif response.length:
            raise http.client.IncompleteRead(text, response.length)
        return _answer(response, text)

    def _connect(self) -> http.client.HTTPConnection:
        made: http.client.HTTPConnection
        if self._tls is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        else:
            made = http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)
        made.connect()
        made.sock.settimeout(READ_SECONDS)
        return made


def _answer(response: http.client.HTTPResponse, text: bytes) -> Answer:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    held = said.get("held")
    error = said.get("error")
    after = response.getheader("Retry-After", "")
    return Answer(
        response.status,
        held if isinstance(held, int) and not isinstance(held, bool) and held >= 0 else None,
        said.get("waiting") is True,
        "".join(c if c.isprintable() else "?" for c in error[:500]) if isinstance(error, str) else "",
        float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None,
        tail if isinstance(tail := said.get("tail"), str) else "",
    )
