"""Answers that are longer than a page, kept while their pages are fetched: all pages are of one moment."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from slurm_gpucost.collector.limits import MIB
from slurm_gpucost.collector.replies import Refusal
from slurm_gpucost.services.callers import Caller

LIVE_SECONDS = 300.0
"""After the last page that was asked for."""
LONGEST_SECONDS = 3600.0
"""After the first: who has lost a right goes on with an old answer no longer than that."""
MOST_BYTES = 1024 * MIB
"""Of all answers together; the oldest go first."""
BYTES_OF_ONE = 256 * MIB
"""Of one user's, and of one answer."""
NUMBER_OF_ONE = 8
PAGE_BYTES = 4 * MIB
"""A page ends where it is so long, whatever its number of rows."""
ROWS = 1000
MOST_ROWS = 10_000
_DIRECTORY = "/var/tmp"  # not /tmp, which may be memory
_GONE = "cursor: is unknown, unused for 5 minutes, or older than an hour; ask again"


class Answer:
    """A file without a name, in which the head is the first line and each row one more."""

    def __init__(self, caller: Caller, name: str, rows_a_page: int) -> None:
        where = _DIRECTORY if os.access(_DIRECTORY, os.W_OK) else None
        try:
            self.file: BinaryIO = tempfile.TemporaryFile(dir=where)  # noqa: SIM115, close() is its end
        except OSError as error:
            raise Refusal(503, f"the answer could not be kept ({error.strerror})", again=5) from None
        self.caller = caller
        self.name = name
        self.rows_a_page = rows_a_page
        self.used = self.made = time.monotonic()
        self._pages: list[int] = []
        """Where each page begins, as far as it is known."""

    @property
    def size(self) -> int:
        """In bytes."""
        return os.fstat(self.file.fileno()).st_size

    @property
    def pages(self) -> int:
        """How many can be asked for by now."""
        return len(self._pages)

    def page(self, number: int) -> Iterator[bytes]:
        """The page's JSON but its end: ``head`` and ``rows``. It may be read while another one is."""
        with os.fdopen(os.dup(self.file.fileno()), "rb", closefd=True) as own:
            lines = _Lines(own.fileno())
            head = lines.line(0)
            if not self._pages:
                self._pages.append(len(head))
            yield b'{"head":' + head.rstrip(b"\n") + b',"rows":['
            at, rows, size = self._pages[number], 0, 0
            while rows < self.rows_a_page and size < PAGE_BYTES and (line := lines.line(at)):
                yield (b"," if rows else b"") + line.rstrip(b"\n")
                at, rows, size = at + len(line), rows + 1, size + len(line)
            if number + 1 == len(self._pages) and lines.line(at):
                self._pages.append(at)
            yield b"]"

    def close(self) -> None:
        """Let the bytes go."""
        self.file.close()


class _Lines:
    """Lines of a file by where they begin, read in pieces."""

    _PIECE = 1 << 18

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self._piece = b""

    def line(self, at: int) -> bytes:
        begin = at - self._at
        end = self._piece.find(b"\n", begin) if 0 <= begin < len(self._piece) else -1
        if end < 0:
            self._at, begin, self._piece = at, 0, b""
            while (end := self._piece.find(b"\n", max(0, len(self._piece) - self._PIECE))) < 0:
                more = os.pread(self._descriptor, self._PIECE, at + len(self._piece))
                if not more:
                    return self._piece
                self._piece += more
        return self._piece[begin : end + 1]


class Answers:
    """By cursor; each only for who asked, in the same way as he did."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, Answer] = {}

    def keep(self, answer: Answer) -> str:
        """Keep it for more pages; its key."""
        answer.used = answer.made = self._clock()
        key = secrets.token_urlsafe(24)
        self._kept[key] = answer
        self._tidy(answer.caller)
        return key

    def find(self, cursor: str, caller: Caller, name: str) -> tuple[str, Answer, int]:
        """(key, answer, number of the page) of a cursor. Raises Refusal."""
        self.tidy()
        key, _, number = cursor.partition(".")
        answer = self._kept.get(key)
        good = number.isascii() and number.isdigit() and len(number) < 9
        if answer is None or answer.caller != caller or answer.name != name or not good:
            raise Refusal(410, _GONE)
        if not 0 < int(number) < answer.pages:
            raise Refusal(410, _GONE)
        answer.used = self._clock()
        return key, answer, int(number)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(answer.size for answer in self._kept.values())

    def tidy(self) -> None:
        """Forget what nobody asked for in time."""
        now = self._clock()
        over = [
            key for key, one in self._kept.items() if now - one.used > LIVE_SECONDS or now - one.made > LONGEST_SECONDS
        ]
        for key in over:
            self._kept.pop(key).close()

    def close(self) -> None:
        """Forget all."""
        for answer in self._kept.values():
            answer.close()
        self._kept.clear()

    def _tidy(self, caller: Caller) -> None:
        self.tidy()
        mine = [key for key, one in self._kept.items() if one.caller.user == caller.user]
        self._shorten(mine, BYTES_OF_ONE, NUMBER_OF_ONE)
        self._shorten(list(self._kept), MOST_BYTES, len(self._kept))

    def _shorten(self, keys: list[str], most_bytes: int, most: int) -> None:
        """The oldest go until the rest fits; the newest stays."""
        sizes = {key: self._kept[key].size for key in keys}
        while len(sizes) > 1 and (len(sizes) > most or sum(sizes.values()) > most_bytes):
            oldest = next(iter(sizes))
            del sizes[oldest]
            self._kept.pop(oldest).close()
