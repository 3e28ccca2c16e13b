"""Reads the driver in a thread of its own, so that a driver call that hangs holds up nothing else.

The lock guards only sums in memory and is never held during a driver call. Windows are cut and made final by
whoever drains, so what was observed before a hang comes out while the driver still hangs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.sums import IDLE_PERCENT
from slurm_gpucost.domain.units import MS
from slurm_gpucost.domain.windows import Windower
from slurm_gpucost.services.gathering import Drained, Gathering
from slurm_gpucost.services.gpus import Gpus

T = TypeVar("T")
MOST_CUTS = 10_000
"""Cuts that wait for the next drain; the oldest go first."""
FEWEST_READINGS_A_GAP = 3
"""Two readings may be this many intervals apart before the time between them counts as unobserved."""
SHORTEST_GAP_MS = 10_000
SOONEST_SECONDS = 2.0
"""After a hook its devices get a glance, so that what a job drew is not spread over time after it; no more often."""


class Sampler:
    """``start``, ``cut`` at hook times and ``hurry``, ``drain`` what is final, ``hold`` and ``resume``, ``stop``: none
    waits for the driver.

    ``clock`` gives the time in ms UTC; ``offsets_ms`` and ``idle_percent`` as in :class:`Windower`. What changes
    seldom or is slow to ask (devices, MIG layouts, processes) is asked every ``relist_seconds``.
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
        idle_percent: int = IDLE_PERCENT,
    ) -> None:
        self._gpus = gpus
        self._interval = interval_seconds
        self._clock = clock
        self._retry = retry_seconds
        self._relist = relist_seconds
        self._hung_after_ms = int(hung_after_seconds * MS)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._holding = threading.Event()
        self._turned = threading.Event()
        """Set where a thread that waits for long has to look again what it is to do."""
        self._let_go = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)
        self._cuts: deque[tuple[int, Collection[str] | None]] = deque(maxlen=MOST_CUTS)
        self._hooked: deque[Collection[str] | None] = deque(maxlen=MOST_CUTS)
        """Devices whose hooks nobody has glanced after yet; None: any."""
        self._asked = -float("inf")
        """When devices were last read or glanced at (monotonic seconds)."""
        offsets = tuple(offsets_ms)
        gap_ms = max(SHORTEST_GAP_MS, int(FEWEST_READINGS_A_GAP * interval_seconds * MS))
        self._gathering = Gathering(
            lambda device: Windower(device, offsets, max_gap_ms=gap_ms, idle_percent=idle_percent)
        )
        self._called_at_ms: int | None = None
        self._said = "not started"
        self._closed = False

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def cut(self, at_ms: int, devices: Collection[str] | None = None) -> None:
        """A hook ran at that moment: no window of its job's devices may reach across it, and ``hurry`` brings a glance.

        ``devices`` None: nobody knows which; then no window of any.
        """
        self._cuts.append((at_ms, devices))
        self._hooked.append(devices)

    @property
    def hooked(self) -> bool:
        """Whether there are hooks that nobody has glanced after yet: ``hurry`` has to be called."""
        return bool(self._hooked)

    def hurry(self) -> None:
        """Let the thread glance after hooks. Call it every second: to wake it at each hook would cost as much again."""
        if self._hooked and time.monotonic() >= self._asked + SOONEST_SECONDS:
            self._wake.set()

    def drain(self) -> Drained:
        """What there is to store since the last time."""
        with self._lock:
            self._apply_cuts()
            return self._gathering.drain(self._clock())

    def hold(self) -> None:
        """Let go of the driver as soon as it allows, and leave it alone until ``resume``."""
        with self._lock:
            self._holding.set()
        self._turned.set()
        self._wake.set()

    def resume(self) -> None:
        """Read again."""
        with self._lock:
            self._holding.clear()
            self._let_go = False
        self._turned.set()

    @property
    def held(self) -> bool:
        """Whether the driver has been let go of, and stays so until ``resume``. False while it hangs."""
        return self._let_go

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

    def stop(self, timeout_seconds: float = 2.0) -> Drained:
        """End within the time, even while the driver hangs; returns all that is left."""
        deadline = time.monotonic() + timeout_seconds
        self._stopping.set()
        self._turned.set()
        self._wake.set()
        while self._thread.is_alive() and time.monotonic() < deadline and not self.hung(self._clock()):
            self._thread.join(min(0.05, max(0.0, deadline - time.monotonic())))
        with self._lock:
            self._closed = True
            self._apply_cuts()
            return self._gathering.close(self._clock())

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._wait_while_held():
                continue
            try:
                self._call(self._gpus.open)
                self._read_until_stopped()
            except SourceError as error:
                self._said = f"no driver: {error}"
            except Exception as error:  # whatever a driver's binding throws, reading must go on later
                self._said = f"no driver: {type(error).__name__}: {error}"
            if self._close() and self._holding.is_set():
                continue
            self._turned.wait(self._retry)
            self._turned.clear()

    def _close(self) -> bool:
        """Whether the driver has been let go of."""
        try:
            self._call(self._gpus.close)
        except SourceError as error:
            self._said = str(error)
            return False
        except Exception as error:
            self._said = f"the driver cannot be let go of: {type(error).__name__}: {error}"
            return False
        return True

    def _wait_while_held(self) -> bool:
        """Nothing of the driver is open here, or it could not be let go of."""
        if self._holding.is_set() and not self._close():
            self._turned.wait(self._retry)
            self._turned.clear()
            return True
        with self._lock:
            if not self._holding.is_set():
                return False
            self._finish()
            self._let_go = True
        self._said = "held"
        self._turned.wait()
        self._turned.clear()
        return True

    def _finish(self) -> None:
        """What was measured becomes final; a reading after this starts anew."""
        self._apply_cuts()
        self._gathering.pause(self._clock())

    @property
    def _leaving(self) -> bool:
        return self._stopping.is_set() or self._holding.is_set()

    def _read_until_stopped(self) -> None:
        devices: list[DeviceReport] = []
        readable: list[str] = []
        list_at = look_at = -float("inf")
        while not self._leaving:
            began = self._asked = time.monotonic()
            if began >= list_at:
                devices = self._call(lambda: self._gpus.devices(self._clock()))
                readable = self._list(devices)
                if not devices:
                    raise SourceError("the driver is there, but no GPU answers")
                list_at = began + self._relist
            if began >= look_at:
                self._look(devices)
                look_at = began + self._relist
            errors = self._read(readable)
            if errors:
                list_at = -float("inf")
            self._said = self._judge(len(devices), errors)
            self._pause(began + self._interval, readable)
        self._read(readable)  # up to the very end

    def _read(self, readable: list[str]) -> list[str]:
        """Read each of the devices; the errors."""
        errors: list[str] = []
        for device in readable:
            reading = self._call(partial(self._gpus.read, device, self._clock))
            with self._lock:
                if not self._closed:
                    self._gathering.read(reading)
            errors += [reading.error] if reading.error else []
        return errors

    def _pause(self, due: float, readable: list[str]) -> None:
        """Until the next reading is due; meanwhile, a glance at the devices of hooks."""
        while self._wake.wait(max(0.0, due - time.monotonic())) and not self._leaving:
            self._wake.clear()
            self._asked = time.monotonic()
            hooked = [self._hooked.popleft() for _ in range(len(self._hooked))]
            for device in readable:
                if any(devices is None or device in devices for devices in hooked):
                    self._call(partial(self._gpus.glance, device, self._clock))

    def _list(self, devices: list[DeviceReport]) -> list[str]:
        layouts = {
            report.device: self._call(partial(self._gpus.layout, report.device, self._clock()))
            for report in devices
            if report.mig_mode is not None
        }
        with self._lock:
            return [] if self._closed else self._gathering.listed(devices, layouts, self._clock())

    def _look(self, devices: list[DeviceReport]) -> None:
        for report in devices:
            processes = self._call(partial(self._gpus.processes, report.device, self._clock()))
            with self._lock:
                if processes is not None and not self._closed:
                    self._gathering.looked(report.device, processes, self._clock())

    def _judge(self, listed: int, errors: list[str]) -> str:
        known = self._gathering.gpus
        gone = max(0, known - listed)
        if not errors and not gone:
            return "ok"
        why = errors[0] if errors else "the driver does not list them any more"
        return f"{gone + len(errors)} of {max(known, gone + len(errors))} GPUs cannot be read: {why}"

    def _apply_cuts(self) -> None:
        while self._cuts:
            self._gathering.cut(*self._cuts.popleft())

    def _call(self, call: Callable[[], T]) -> T:
        self._called_at_ms = self._clock()
        try:
            return call()
        finally:
            self._called_at_ms = None
