"""Asks a collector: a question by name and parameters, its answer a head and rows, page by page."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from slurm_gpucost.domain.errors import GpucostError, NotAllowed, SourceError, TooSlow, UsageError
from slurm_gpucost.sources.collector_endpoint import Endpoint, connect

PAGE_ROWS = 1000
MOST_BYTES = 64 * 1024 * 1024
"""Of one page."""
PAGE_SECONDS = 330
"""Until a page must be there whole; the collector gives up earlier, by its own limit."""
MOST_WAIT_SECONDS = 30
"""How long a busy collector may have us wait, once."""
_PIECE = 1 << 16

Credentials = Callable[[str, str, bytes], Mapping[str, str]]
"""(method, path with query, body) -> headers that say who asks."""
Row = dict[str, Any]


class Reply(NamedTuple):
    """An answer; further pages are asked for as the rows are read."""

    head: Row
    rows: Iterator[Row]


def ask(
    at: Endpoint, name: str, params: Mapping[str, Any], credentials: Credentials, ca_file: Path | None = None
) -> Reply:
    """The answer to a question. Raises UsageError and NotAllowed as the collector says, else SourceError."""
    page = _post(at, name, {"params": params, "limit": PAGE_ROWS}, credentials, ca_file)
    head = page.get("head")
    if not isinstance(head, dict):
        raise SourceError(f"{at.url}: is no collector of gpucost: its answer has no head")

    def rows() -> Iterator[Row]:
        here, seen = page, set[str]()
        while True:
            yield from here["rows"]
            cursor = here.get("next")
            if cursor is None:
                return
            if not isinstance(cursor, str) or cursor in seen:
                raise SourceError(f"{at.url}: its pages have no end")
            seen.add(cursor)
            here = _post(at, name, {"cursor": cursor}, credentials, ca_file)

    return Reply(head, rows())


class _Page(NamedTuple):
    status: int
    retry_after: str
    body: bytes


def _post(
    at: Endpoint, name: str, content: Mapping[str, Any], credentials: Credentials, ca_file: Path | None
) -> dict[str, Any]:
    body = json.dumps(content).encode("ascii")
    path = f"{at.path if at.host else ''}/v1/queries/{name}"
    page = _send(at, path, body, credentials, ca_file)
    if page.status in (429, 503):
        time.sleep(_wait(page.retry_after))
        page = _send(at, path, body, credentials, ca_file)
    if page.status != 200:
        raise _error(at, page)
    try:
        said = json.loads(page.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("rows"), list):
        raise SourceError(f"{at.url}: is no collector of gpucost: it answers with something else")
    return said


def _send(at: Endpoint, path: str, body: bytes, credentials: Credentials, ca_file: Path | None) -> _Page:
    connection = connect(at, ca_file)
    until = time.monotonic() + PAGE_SECONDS
    headers = {"Content-Type": "application/json", "Accept": "application/json", **credentials("POST", path, body)}
    try:
        connection.connect()
        assert connection.sock is not None
        connection.sock.settimeout(PAGE_SECONDS)
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        pieces, size = [], 0
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise SourceError(f"{at.url}: a page of its answer is larger than {MOST_BYTES} bytes")
            if time.monotonic() > until:
                raise TooSlow(f"{at.url}: its answer was not there within {PAGE_SECONDS} s")
        if response.length:
            raise SourceError(f"{at.url}: its answer was cut off")
        return _Page(response.status, response.getheader("Retry-After", ""), b"".join(pieces))
    except TimeoutError:
        raise TooSlow(f"{at.url}: gave no answer in time") from None
    except ssl.SSLCertVerificationError as error:
        what = f"{at.url}: its certificate is not trusted ({error.verify_message})"
        raise SourceError(f"{what}; name its CA as ca_file under [collector]") from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{at.url}: the collector cannot be asked ({why})") from None
    finally:
        connection.close()


def _wait(retry_after: str) -> float:
    """Seconds; what is no number is a second."""
    return min(int(retry_after), MOST_WAIT_SECONDS) if retry_after.isascii() and retry_after.isdigit() else 1


def _error(at: Endpoint, page: _Page) -> GpucostError:
    try:
        said = json.loads(page.body)["error"]
    except (ValueError, RecursionError, KeyError, TypeError):
        said = None
    why = said if isinstance(said, str) and said else f"HTTP {page.status}"
    if page.status == 400:
        return UsageError(why)
    if page.status in (401, 403):
        return NotAllowed(why)
    if page.status in (408, 504):
        return TooSlow(f"{at.url}: {why}; ask for less")
    if page.status in (429, 503):
        return SourceError(f"{at.url}: is busy ({why}); try again later")
    return SourceError(f"{at.url}: {why}")
