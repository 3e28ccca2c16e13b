"""Slow questions in threads of their own; what comes of them waits for the one thread that writes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from slurm_gpucost.sources import command

Take = Callable[[], object]
"""Takes an answer in."""


class Background:
    """``failed`` is called with the name and the error of what failed, among the answers.

    ``environment``: variables that the commands run in its threads have beside this process's own.
    """

    def __init__(self, failed: Callable[[str, Exception], None], environment: Mapping[str, str] | None = None) -> None:
        self._failed = failed
        self._environment = environment or {}
        self._done: queue.SimpleQueue[Take] = queue.SimpleQueue()
        self._busy: set[str] = set()

    def busy(self, name: str) -> bool:
        """Whether the question of that name is still under way, or its answer not taken in."""
        return name in self._busy

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and all answers are taken in."""
        return not self._busy and self._done.empty()

    def run(self, name: str, work: Callable[[], None]) -> None:
        """Do the work in a thread, which may :meth:`hand_over` answers."""

        def run() -> None:
            try:
                with command.environment(self._environment):
                    work()
            except Exception as error:  # whatever it is, the daemon goes on and says it
                self.hand_over(partial(self._failed, name, error))
            self.hand_over(partial(self._busy.discard, name))

        self._busy.add(name)
        threading.Thread(target=run, name=name, daemon=True).start()

    def hand_over(self, take: Take) -> None:
        """Leave an answer for the thread that writes."""
        self._done.put(take)

    def answers(self) -> Iterator[Take]:
        """Those that wait. Where taking one fails, the others still wait."""
        while True:
            try:
                yield self._done.get_nowait()
            except queue.Empty:
                return
