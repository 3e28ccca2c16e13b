"""What the driver lists on a device: MIG instances and processes. Field order is column order in the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

TELL_AGAIN_MS = 600_000
"""How long a process may stay before it is told again: after a crash of the daemon no more of its stay is unknown."""


class MigInstance(NamedTuple):
    """A MIG device (a compute instance) of a GPU. All of one parent and moment are its whole layout from then on."""

    parent: str
    observed_at_ms: int
    device: str
    """UUID; '' in the only row of a GPU without instances."""
    profile: str
    """As in the driver's name of it, like ``1g.10gb``."""
    gpu_instance: int | None
    compute_instance: int | None
    gpu_slices: int
    compute_slices: int
    slices_of: int
    """How many slices the whole GPU has: the most MIG devices that it can hold."""
    memory_mib: int


class DeviceProcess(NamedTuple):
    """A process that the driver listed on a device, from the first sight of it to the last."""

    device: str
    boot_id: str
    pid: int
    started_ticks: int
    """Clock ticks from boot to its start: with the boot it tells a reused pid."""
    uid: int
    user: str
    """Login name on that host, '' where the uid has none."""
    executable: str
    """The file's name without directories; nothing of the command line."""
    first_seen_ms: int
    last_seen_ms: int
    memory_peak_mib: int

    def merged(self, later: DeviceProcess) -> DeviceProcess:
        """Both sightings of one process."""
        return self._replace(
            first_seen_ms=min(self.first_seen_ms, later.first_seen_ms),
            last_seen_ms=max(self.last_seen_ms, later.last_seen_ms),
            memory_peak_mib=max(self.memory_peak_mib, later.memory_peak_mib),
        )


class Sightings:
    """Makes stays of single looks: a process is told when new, when gone, and now and then while it stays."""

    def __init__(self) -> None:
        self._here: dict[tuple[object, ...], DeviceProcess] = {}
        self._told_ms: dict[tuple[object, ...], int] = {}

    def look(self, device: str, seen: Iterable[DeviceProcess], now_ms: int) -> list[DeviceProcess]:
        """Take in all processes of one device as of now; what the ledger should learn."""
        told: list[DeviceProcess] = []
        fresh: dict[tuple[object, ...], DeviceProcess] = {process[:4]: process for process in seen}
        for key, process in fresh.items():
            before = self._here.get(key)
            self._here[key] = process = before.merged(process) if before else process
            if before is None or now_ms - self._told_ms[key] >= TELL_AGAIN_MS:
                self._told_ms[key] = now_ms
                told.append(process)
        gone = [key for key in self._here if key[0] == device and key not in fresh]
        return told + [self._forget(key) for key in gone]

    def end(self) -> list[DeviceProcess]:
        """All that are still there, as last seen."""
        return [self._forget(key) for key in list(self._here)]

    def _forget(self, key: tuple[object, ...]) -> DeviceProcess:
        self._told_ms.pop(key)
        return self._here.pop(key)


def layout_of(instances: Iterable[MigInstance]) -> list[tuple[object, ...]]:
    """A layout without its moment: equal for equal layouts, in any order."""
    return sorted((one.parent, *one[2:]) for one in instances)
