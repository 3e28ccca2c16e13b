"""Reads the driver in a thread of its own, so that a call which hangs holds up nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.windows import Window, Windower
from slurm_gpucost.sources.nvml import Gpus

_T = TypeVar("_T")
RETRY_SECONDS = 60.0
INVENTORY_SECONDS = 60.0
HUNG_SECONDS = 30.0


class Sampler:
    """``start`` it, ``cut`` at hook times, ``drain`` what is final. None of them ever waits for the driver."""

    def __init__(
        self, gpus: Gpus, interval_seconds: float, clock: Callable[[], int], offsets_ms: Sequence[int] = (0,)
    ) -> None:
        self._gpus = gpus
        self._interval = interval_seconds
        self._clock = clock
        self._offsets = tuple(offsets_ms)
        self._lock = threading.Lock()  # never held across a driver call
        self._windowers: dict[str, Windower] = {}
        self._inventory: list[DeviceReport] | None = None
        self._stop = threading.Event()
        self._called_at: float | None = None
        self._state = "not started"
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cut(self, at_ms: int) -> None:
        """A hook ran at this moment: end windows there."""
        with self._lock:
            for windower in self._windowers.values():
                windower.cut(at_ms)

    def drain(self) -> tuple[list[DeviceReport] | None, list[Window]]:
        """(the inventory where it was read anew, windows that became final)."""
        now = self._clock()
        with self._lock:
            inventory, self._inventory = self._inventory, None
            return inventory, [w for windower in self._windowers.values() for w in windower.flush(now)]

    def stop(self, timeout_seconds: float = 2.0) -> list[Window]:
        """End; returns the last windows, even while the driver hangs."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        with self._lock:
            return [w for windower in self._windowers.values() for w in windower.close()]

    @property
    def state(self) -> str:
        """``ok``, why there is no driver, or that a call hangs."""
        called_at = self._called_at
        if called_at is not None and time.monotonic() - called_at > HUNG_SECONDS:
            return f"a driver call has hung for {time.monotonic() - called_at:.0f} s"
        return self._state

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._call(self._gpus.open)
                self._sample()
            except SourceError as error:
                self._state = str(error)
            self._call(self._gpus.close)
            self._stop.wait(RETRY_SECONDS)

    def _sample(self) -> None:
        listed_at = None
        while not self._stop.is_set():
            began = time.monotonic()
            if listed_at is None or began - listed_at >= INVENTORY_SECONDS:
                self._list()
                listed_at = began
            readings = self._call(lambda: self._gpus.read(self._clock))
            with self._lock:
                for reading in readings:
                    windower = self._windowers.get(reading.device)
                    if windower is not None:
                        windower.add(reading)
            self._state = "ok"
            self._stop.wait(max(0.0, self._interval - (time.monotonic() - began)))

    def _list(self) -> None:
        inventory = self._call(lambda: self._gpus.devices(self._clock()))
        with self._lock:
            self._inventory = inventory
            for report in inventory:
                self._windowers.setdefault(report.device, Windower(report.device, self._offsets))

    def _call(self, call: Callable[[], _T]) -> _T:
        self._called_at = time.monotonic()
        try:
            return call()
        finally:
            self._called_at = None
