"""The time between two good readings of a device."""

from __future__ import annotations

from dataclasses import dataclass

from slurm_gpucost.domain.levels import Level, levels
from slurm_gpucost.domain.readings import COUNTER, POWER, Reading
from slurm_gpucost.domain.units import MS

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time between two good readings."""

    start_ms: int
    end_ms: int
    energy_mj: int | None
    sm: list[Level]
    memctl: list[Level]
    memory_mib: int | None
    temperature_c: int | None = None
    source: str = ""
    """What ``energy_mj`` is from: COUNTER or POWER."""
    counter_mj: int | None = None
    """The counter at the start, where it is known and did not begin anew since."""
    counter_end_mj: int | None = None
    """The counter at the end, where it is known."""
    epoch: str = ""
    run: int = 0
    """Which run of the counter."""

    def energy_until(self, at_ms: int) -> int:
        """Energy from the start to ``at_ms``, spread evenly and rounded down, so that parts add up exactly."""
        return (self.energy_mj or 0) * (at_ms - self.start_ms) // (self.end_ms - self.start_ms)


def between(first: Reading, second: Reading, epoch: str = "", run: int = 0, *, restarted: bool = False) -> Stretch:
    """What two readings say of the time between them, in the second one's ``epoch`` and ``run`` of the counter.

    A counter that ``restarted`` in between leaves the energy unknown. Without a counter it is the trapezoid of the two
    power readings, in whole mJ, rounded down. Memory, temperature and utilization are the second reading's: each
    reading speaks for the time since the one before it.
    """
    energy: int | None = None
    source = ""
    if not restarted and first.energy_mj is not None and second.energy_mj is not None:
        energy, source = second.energy_mj - first.energy_mj, COUNTER
    elif first.energy_mj is second.energy_mj is None and first.power_mw is not None and second.power_mw is not None:
        energy = (first.power_mw + second.power_mw) * (second.at_ms - first.at_ms) // (2 * MS)
        source = POWER
    start, end, used = first.at_ms, second.at_ms, second.memory_used_bytes
    return Stretch(
        start,
        end,
        energy,
        levels(start, end, second.sm_samples, second.sm_percent),
        levels(start, end, second.mem_samples, second.mem_percent),
        None if used is None else used // MIB,
        second.temperature_c,
        source,
        None if restarted else first.energy_mj,
        second.energy_mj,
        epoch,
        run,
    )
