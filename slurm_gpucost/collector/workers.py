"""The processes that answer questions: one that crashes or overruns costs only its question."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, send_handle
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slurm_gpucost.collector import worker
from slurm_gpucost.collector.worker import Done, Job
from slurm_gpucost.settings import Settings

GRACE_SECONDS = 2.0
"""How long past its time a process may be before it is killed."""
START_SECONDS = 60.0
log = logging.getLogger("gpucostd")
_CONTEXT = multiprocessing.get_context("spawn")


def _read_only(content: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(content)


ForkingPickler.register(MappingProxyType, lambda proxy: (_read_only, (dict(proxy),)))  # settings have some


class _Late(Exception):
    """A process says nothing."""


class Worker:
    """One process, made anew when it is gone."""

    def __init__(self, settings: Settings, ledger: Path) -> None:
        self._where = (settings, ledger)
        self._guard = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None: none runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Make the process, and wait until it can answer. Raises EOFError or OSError where it cannot."""
        with self._guard:
            if self._process is None or not self._process.is_alive():
                self.end()
                self._make()

    def _make(self) -> None:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=worker.main, args=(theirs, *self._where), name="question", daemon=True)
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        if not ours.poll(START_SECONDS):
            raise EOFError
        ours.recv()

    def ask(self, job: Job, descriptor: int) -> Done:
        """The answer, in the file of that descriptor."""
        try:
            self.start()
            try:
                self._hand_over(job, descriptor)
            except (EOFError, OSError):  # it ended before it took the question: that goes to another one
                self.end()
                self.start()
                self._hand_over(job, descriptor)
            done = self._hear(job)
        except _Late:
            self.end()
            log.warning("question %s did not end in time; its process was killed", job.name)
            return Done(504, f"no answer within {job.seconds:g} s; ask for less time or fewer users")
        except (EOFError, OSError):
            self.end()
            log.warning("question %s: its process ended", job.name)
            return Done(500, "the process that made the answer ended; ask for less, or again")
        if done.retires:
            self.end()
        return done

    def _hand_over(self, job: Job, descriptor: int) -> None:
        """Raises EOFError or OSError where the process took nothing."""
        assert self._pipe is not None and self._process is not None and self._process.pid is not None
        self._pipe.send(job)
        send_handle(self._pipe, descriptor, self._process.pid)
        self._hear(job)

    def _hear(self, job: Job) -> Done:
        assert self._pipe is not None
        if not self._pipe.poll(job.seconds + GRACE_SECONDS):
            raise _Late
        done: Done = self._pipe.recv()
        return done

    def interrupt(self) -> None:
        """Nobody waits for the answer any more."""
        process = self._process
        if process is not None and process.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGALRM)

    def kill(self) -> None:
        """End the process; whoever waits for its answer hears of it."""
        if (process := self._process) is not None:
            process.kill()

    def end(self) -> None:
        """Kill it, and forget it."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


class Workers:
    """As many as may answer at once. Whoever asks has a turn, so one of them is free."""

    def __init__(self, settings: Settings, ledger: Path, number: int) -> None:
        self.all = [Worker(settings, ledger) for _ in range(number)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for one in self.all:
            self._free.put(one)
        self._threads = ThreadPoolExecutor(number, "question")

    def start(self) -> None:
        """Have them ready, in the background."""
        for one in self.all:
            self._threads.submit(self._ready, one)

    async def ask(self, job: Job, descriptor: int) -> Done:
        """What comes of a question. Whoever waits for it may give up: then it ends soon, and that is waited for."""
        one = self._free.get_nowait()
        asked = asyncio.get_running_loop().run_in_executor(self._threads, one.ask, job, descriptor)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            one.interrupt()
            await asyncio.wait([asked])
            raise
        finally:
            self._free.put(one)
            if one.pid is None:  # have another one ready
                with contextlib.suppress(RuntimeError):  # all ends
                    self._threads.submit(self._ready, one)

    def close(self) -> None:
        """End them, whatever they do."""
        for one in self.all:
            one.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for one in self.all:
            one.end()

    @staticmethod
    def _ready(one: Worker) -> None:
        try:
            one.start()
        except Exception as error:
            log.warning("a process for questions could not be started (%s %s)", type(error).__name__, error)
