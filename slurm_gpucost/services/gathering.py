"""What the driver told, from readings to what the ledger stores. One thread at a time: the sampler holds the lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance, Sightings, layout_of
from slurm_gpucost.domain.windows import Reading, Window, Windower


class Drained(NamedTuple):
    """What there is to store since the last time."""

    devices: list[DeviceReport] | None
    """The devices, where they changed since they were last told."""
    windows: list[Window]
    """The windows that became final."""
    layouts: list[MigInstance]
    """The layouts of the GPUs whose MIG instances changed."""
    processes: list[DeviceProcess]
    """Processes that came, went, or have stayed for long."""


class Gathering:
    """``windower`` makes the windower of a device."""

    def __init__(self, windower: Callable[[str], Windower]) -> None:
        self._make = windower
        self._windowers: dict[str, Windower] = {}
        self._finished: list[Window] = []
        self._inventory: list[DeviceReport] | None = None
        self._known: list[tuple[str, bytes]] | None = None
        self._layouts: dict[str, list[tuple[object, ...]]] = {}
        self._changed: list[MigInstance] = []
        self._sightings = Sightings()
        self._seen: list[DeviceProcess] = []

    @property
    def gpus(self) -> int:
        """The physical GPUs that were ever listed."""
        return sum(1 for device in self._windowers if not _is_mig(device))

    def listed(self, devices: list[DeviceReport], layouts: Mapping[str, list[MigInstance]], now_ms: int) -> list[str]:
        """Take note of devices and of the MIG layouts that were told; the devices and instances to read.

        MIG instances that are gone end; GPUs that do not answer may come back.
        """
        known = [(report.device, report.digest) for report in devices]
        if known != self._known:
            self._known, self._inventory = known, devices
        for parent, layout in layouts.items():
            if layout and self._layouts.get(parent) != layout_of(layout):
                self._layouts[parent] = layout_of(layout)
                self._changed += layout
        readable = [report.device for report in devices]
        readable += [one.device for layout in layouts.values() for one in layout if one.device]
        for device in readable:
            if device not in self._windowers:
                self._windowers[device] = self._make(device)
        for gone in [device for device in self._windowers if _is_mig(device) and device not in readable]:
            self._finished += self._windowers.pop(gone).close(now_ms)
        return readable

    def looked(self, device: str, processes: Iterable[DeviceProcess], now_ms: int) -> None:
        """Take note of all the processes that are on a GPU."""
        self._seen += self._sightings.look(device, processes, now_ms)

    def read(self, reading: Reading) -> None:
        """Take a reading in."""
        self._windowers[reading.device].add(reading)

    def cut(self, at_ms: int, devices: Collection[str] | None = None) -> None:
        """Let no window of these devices, or of any, reach across that moment."""
        for device, windower in self._windowers.items():
            if devices is None or device in devices:
                windower.cut(at_ms)

    def drain(self, now_ms: int) -> Drained:
        """What there is to store since the last time."""
        for windower in self._windowers.values():
            self._finished += windower.flush(now_ms)
        taken = Drained(self._inventory, self._finished, self._changed, self._seen)
        self._inventory, self._finished, self._changed, self._seen = None, [], [], []
        return taken

    def pause(self, now_ms: int) -> None:
        """Let all that is open become final; what comes later starts anew."""
        for windower in self._windowers.values():
            self._finished += windower.close(now_ms)
        self._seen += self._sightings.end()

    def close(self, now_ms: int) -> Drained:
        """All that is left."""
        self.pause(now_ms)
        return self.drain(now_ms)


def _is_mig(device: str) -> bool:
    return device.startswith("MIG-")
