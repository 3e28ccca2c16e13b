"""Reads the driver in a thread of its own, so that a driver call that hangs holds up nothing else.

The lock guards only sums in memory and is never held during a driver call. Windows are cut and made final by
whoever drains, so what was observed before a hang comes out while the driver still hangs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.units import MS
from slurm_gpucost.domain.windows import Reading, Window, Windower

T = TypeVar("T")
MOST_CUTS = 10_000
"""Cuts that wait for the next drain; the oldest go first."""
FEWEST_READINGS_A_GAP = 3
"""Two readings may be this many intervals apart before the time between them counts as unobserved."""
SHORTEST_GAP_MS = 10_000


class Gpus(Protocol):
    """A driver. Each call may raise SourceError, and may hang."""

    def open(self) -> None:
        """Take hold of the driver."""

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The devices that answer."""

    def read(self, device: str, clock: Callable[[], int]) -> Reading:
        """What the driver says of the device, or the error."""

    def close(self) -> None:
        """Let go of the driver."""


class Sampler:
    """``start`` it, ``cut`` at hook times, ``drain`` what is final, ``stop`` it. None waits for the driver.

    ``clock`` gives the time in ms UTC; ``offsets_ms`` as in :class:`Windower`.
    """

    def __init__(
        self,
        gpus: Gpus,
        interval_seconds: float,
        clock: Callable[[], int],
        offsets_ms: Iterable[int] = (0,),
        *,
        retry_seconds: float = 60.0,
        relist_seconds: float = 60.0,
        hung_after_seconds: float = 15.0,
    ) -> None:
        self._gpus = gpus
        self._interval = interval_seconds
        self._clock = clock
        self._offsets = tuple(offsets_ms)
        self._retry = retry_seconds
        self._relist = relist_seconds
        self._hung_after_ms = int(hung_after_seconds * MS)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)
        self._cuts: deque[int] = deque(maxlen=MOST_CUTS)
        self._windowers: dict[str, Windower] = {}
        self._finished: list[Window] = []
        self._inventory: list[DeviceReport] | None = None
        self._known: list[tuple[str, bytes]] | None = None
        self._called_at_ms: int | None = None
        self._said = "not started"
        self._closed = False

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def cut(self, at_ms: int) -> None:
        """A hook ran at that moment: no window may reach across it."""
        self._cuts.append(at_ms)

    def drain(self) -> tuple[list[DeviceReport] | None, list[Window]]:
        """(the devices, where they changed since they were last told; the windows that became final)."""
        with self._lock:
            self._apply_cuts()
            now = self._clock()
            for windower in self._windowers.values():
                self._finished += windower.flush(now)
            windows, self._finished = self._finished, []
            inventory, self._inventory = self._inventory, None
            return inventory, windows

    def hung(self, now_ms: int) -> bool:
        """Whether a driver call has been under way for too long."""
        began = self._called_at_ms
        return began is not None and now_ms - began >= self._hung_after_ms

    @property
    def state(self) -> str:
        """``ok``, ``not started``, or in one line what is wrong: no driver, GPUs that cannot be read, a hang."""
        began = self._called_at_ms
        if began is not None and self.hung(self._clock()):
            return f"hung since {datetime.fromtimestamp(began // MS, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return self._said

    def stop(self, timeout_seconds: float = 2.0) -> list[Window]:
        """End within the time, even while the driver hangs; returns every window that is left."""
        deadline = time.monotonic() + timeout_seconds
        self._stopping.set()
        while self._thread.is_alive() and time.monotonic() < deadline and not self.hung(self._clock()):
            self._thread.join(min(0.05, max(0.0, deadline - time.monotonic())))
        with self._lock:
            self._closed = True
            self._apply_cuts()
            for windower in self._windowers.values():
                self._finished += windower.close(self._clock())
            self._windowers.clear()
            windows, self._finished = self._finished, []
            return windows

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._call(self._gpus.open)
                self._read_until_stopped()
            except SourceError as error:
                self._said = f"no driver: {error}"
            except Exception as error:  # whatever a driver's binding throws, reading must go on later
                self._said = f"no driver: {type(error).__name__}: {error}"
            try:
                self._call(self._gpus.close)
            except Exception as error:  # the next open says what is wrong
                self._said = f"no driver: {type(error).__name__}: {error}"
            self._stopping.wait(self._retry)

    def _read_until_stopped(self) -> None:
        devices: list[DeviceReport] = []
        list_at = -float("inf")
        while not self._stopping.is_set():
            began = time.monotonic()
            if began >= list_at:
                devices = self._call(lambda: self._gpus.devices(self._clock()))
                self._list(devices)
                if not devices:
                    raise SourceError("the driver is there, but no GPU answers")
                list_at = began + self._relist
            errors: list[str] = []
            for device in devices:
                reading = self._call(partial(self._gpus.read, device.device, self._clock))
                self._add(reading)
                errors += [reading.error] if reading.error else []
            if errors:
                list_at = -float("inf")
            self._said = self._judge(devices, errors)
            self._stopping.wait(max(0.0, began + self._interval - time.monotonic()))

    def _list(self, devices: list[DeviceReport]) -> None:
        max_gap_ms = max(SHORTEST_GAP_MS, int(FEWEST_READINGS_A_GAP * self._interval * MS))
        known = [(report.device, report.digest) for report in devices]
        with self._lock:
            if known != self._known:
                self._known, self._inventory = known, devices
            for report in devices:
                if report.device not in self._windowers:
                    self._windowers[report.device] = Windower(report.device, self._offsets, max_gap_ms=max_gap_ms)

    def _judge(self, devices: list[DeviceReport], errors: list[str]) -> str:
        gone = len(self._windowers) - len(devices)
        if not errors and gone <= 0:
            return "ok"
        why = errors[0] if errors else "the driver does not list them any more"
        return f"{gone + len(errors)} of {len(self._windowers)} GPUs cannot be read: {why}"

    def _add(self, reading: Reading) -> None:
        with self._lock:
            if not self._closed:
                self._windowers[reading.device].add(reading)

    def _apply_cuts(self) -> None:
        while self._cuts:
            at_ms = self._cuts.popleft()
            for windower in self._windowers.values():
                windower.cut(at_ms)

    def _call(self, call: Callable[[], T]) -> T:
        self._called_at_ms = self._clock()
        try:
            return call()
        finally:
            self._called_at_ms = None
