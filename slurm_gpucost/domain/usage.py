"""What leases and devices used in a time, from windows and holdings of one physical device. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slurm_gpucost.domain.apportion import Holding, Key, Segment, Unobserved, segments, unobserved
from slurm_gpucost.domain.readings import Window

NOTHING_UNOBSERVED = Unobserved(0, 0)


@dataclass(slots=True)
class Used:
    """Sums of what was observed, each with the time that it covers. Divide a sum by its own time."""

    energy_mj: int = 0
    energy_observed_ms: int = 0
    energy_source: str = ""
    """``power`` as soon as some of it is."""
    energy_uncertainty_permille: int = 0
    """The largest of all parts."""
    observed_ms: int = 0
    sm_percent_ms: int = 0
    sm_observed_ms: int = 0
    sm_idle_ms: int = 0
    memctl_percent_ms: int = 0
    memctl_observed_ms: int = 0
    memory_used_mib_ms: int = 0
    memory_used_peak_mib: int = 0
    memory_observed_ms: int = 0
    temperature_c_ms: int = 0
    temperature_peak_c: int = 0
    temperature_observed_ms: int = 0

    def add_energy(self, segment: Segment, energy_mj: int) -> None:
        """Take in a part of the device's energy."""
        window = segment.window
        self.energy_mj += energy_mj
        self.energy_observed_ms += segment.part(window.energy_observed_ms)
        self.energy_source = max(self.energy_source, window.energy_source)
        if window.energy_observed_ms:
            self.energy_uncertainty_permille = max(self.energy_uncertainty_permille, window.energy_uncertainty_permille)

    def add_use(self, segment: Segment, *, suspended: bool = False) -> None:
        """Take in what the whole device did: who shares a device is shown the device's utilization and memory."""
        window, part = segment.window, segment.part
        self.observed_ms += part(window.observed_ms)
        self.sm_percent_ms += part(window.sm_percent_ms)
        self.sm_observed_ms += part(window.sm_observed_ms)
        self.sm_idle_ms += 0 if suspended else part(window.sm_idle_ms)
        self.memctl_percent_ms += part(window.memctl_percent_ms)
        self.memctl_observed_ms += part(window.memctl_observed_ms)
        self.memory_used_mib_ms += part(window.memory_used_mib_ms)
        self.memory_observed_ms += part(window.memory_observed_ms)
        self.temperature_c_ms += part(window.temperature_c_ms)
        self.temperature_observed_ms += part(window.temperature_observed_ms)
        self.memory_used_peak_mib = max(self.memory_used_peak_mib, window.memory_used_peak_mib)
        self.temperature_peak_c = max(self.temperature_peak_c, window.temperature_peak_c)


@dataclass(slots=True)
class DeviceUsage:
    """One physical device: its leases, its idle time, and what nobody observed."""

    device: str
    leases: dict[Key, Used] = field(default_factory=dict)
    idle: Used = field(default_factory=Used)
    """Energy that no share took, and what the device did while nobody held it."""
    unobserved: Unobserved = NOTHING_UNOBSERVED

    @property
    def total_mj(self) -> int:
        """All that is known to have been drawn."""
        return sum(used.energy_mj for used in self.leases.values()) + self.idle.energy_mj + self.unobserved.energy_mj


def usage_of(
    device: str,
    windows: Mapping[str, list[Window]],
    holdings: Mapping[str, list[Holding]],
    instances: Iterable[str],
    start_ms: int,
    end_ms: int,
) -> DeviceUsage:
    """The usage of a physical device in [start_ms, end_ms).

    ``windows`` and ``holdings`` by device; ``instances`` are the MIG instances that the device ever had. Energy is
    the physical device's alone; what an instance did is from its own windows. Windows may reach beyond the time, and
    the last one before it should be among them.
    """
    found = DeviceUsage(device)
    instances = list(instances)
    own = windows.get(device, [])
    all_held = [*holdings.get(device, []), *(held for one in instances for held in holdings.get(one, []))]
    mine = {held.key for held in holdings.get(device, [])}
    for segment in segments(own, all_held, start_ms, end_ms):
        for holding, energy_mj in segment.energy:
            if holding is not None:
                found.leases.setdefault(holding.key, Used()).add_energy(segment, energy_mj)
            elif energy_mj or not segment.held:
                found.idle.add_energy(segment, energy_mj)
        if not segment.held:
            found.idle.add_use(segment)
        for holding in segment.held:
            if holding.key in mine:
                found.leases.setdefault(holding.key, Used()).add_use(segment, suspended=holding.suspended)
    for instance in instances:
        for segment in segments(windows.get(instance, []), holdings.get(instance, []), start_ms, end_ms):
            for holding in segment.held:
                found.leases.setdefault(holding.key, Used()).add_use(segment, suspended=holding.suspended)
    found.unobserved = unobserved(own, start_ms, end_ms)
    return found
