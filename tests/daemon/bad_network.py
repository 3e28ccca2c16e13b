"""A TCP proxy that does to connections what bad networks do: seeded, one fate a connection.

A request may be cut in its middle, an answer be lost after the request arrived whole, both may be slow; or nobody
answers. ``down`` refuses all.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter

_FATES = ("pass", "cut", "lost answer", "slow", "refused")
_WEIGHTS = (5, 2, 2, 1, 1)


class BadNetwork:
    """``port`` leads to ``target``; use it as a context."""

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        self.down = False
        self.good = False
        """Everything passes."""
        self.fates: Counter[str] = Counter()
        self._target = target
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> BadNetwork:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                fate = "pass" if self.good else self._random.choices(_FATES, _WEIGHTS)[0]
                fate = "refused" if self.down else fate
                after = self._random.randrange(1, 4000)
                self.fates[fate] += 1
                threading.Thread(target=self._serve, args=(client, fate, after), daemon=True).start()

    def _serve(self, client: socket.socket, fate: str, after: int) -> None:
        with client:
            if fate == "refused":
                return
            with contextlib.suppress(OSError), socket.create_connection(self._target, timeout=5) as server:
                if fate == "slow":
                    time.sleep(2)
                ends = threading.Thread(target=_pump, args=(server, client, 0 if fate == "lost answer" else None))
                ends.start()
                _pump(client, server, after if fate == "cut" else None)
                ends.join()


def _pump(source: socket.socket, sink: socket.socket, most: int | None) -> None:
    """Bytes from one to the other, at most so many; then both are cut."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if most is not None and len(data) > most:
                sink.sendall(data[:most])
                break
            sink.sendall(data)
            most = most if most is None else most - len(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
