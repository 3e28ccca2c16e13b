"""The time between two good readings of a device, divided where somebody glanced at it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from slurm_gpucost.domain.levels import Level, levels
from slurm_gpucost.domain.readings import COUNTER, POWER, Glance, Reading
from slurm_gpucost.domain.units import MS

MIB = 1 << 20


class Stretch(NamedTuple):
    """The time between two moments at which the driver was asked."""

    start_ms: int
    end_ms: int
    energy_mj: int | None
    sm: list[Level]
    """Its levels may begin before the start and end after the end, as those of ``memctl``."""
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


def between(
    first: Reading, second: Reading, epoch: str = "", run: int = 0, *, restarted: bool = False
) -> Iterator[Stretch]:
    """What two readings say of the time between them, in the second one's ``epoch`` and ``run`` of the counter.

    Each glance between them ends a stretch; one that contradicts them, in time or in the counter, says nothing. A
    counter that ``restarted`` leaves the energy unknown. Without a counter it is the trapezoid of two readings of
    power, in whole mJ, rounded down. Memory is that of a stretch's end: it speaks for the time since it was asked
    before. Temperature and utilization are the second reading's.
    """
    start, end = first.at_ms, second.at_ms
    sm = levels(start, end, second.sm_samples, second.sm_percent)
    memctl = levels(start, end, second.mem_samples, second.mem_percent)
    power = first.power_mw if first.energy_mj is None else None
    before = Glance(start, None if restarted else first.energy_mj, power)
    moments = [] if restarted else _credible(before, second)
    for after in (*moments, Glance(end, second.energy_mj, second.power_mw, second.memory_used_bytes)):
        energy, source = _drawn(before, after)
        used = after.memory_used_bytes
        yield Stretch(
            before.at_ms,
            after.at_ms,
            energy,
            sm,
            memctl,
            None if used is None else used // MIB,
            second.temperature_c,
            source,
            before.energy_mj,
            after.energy_mj,
            epoch,
            run,
        )
        before = after


def _credible(before: Glance, second: Reading) -> Iterator[Glance]:
    for glance in second.glances:
        counters = [before.energy_mj, glance.energy_mj, second.energy_mj]
        known = [counter for counter in counters if counter is not None]
        told = len(known) in (0, 3) and (glance.power_mw is not None or second.power_mw is None)
        if told and known == sorted(known) and before.at_ms < glance.at_ms < second.at_ms:
            yield glance
            before = glance


def _drawn(before: Glance, after: Glance) -> tuple[int | None, str]:
    """(mJ drawn in between, what it is from)."""
    if before.energy_mj is not None and after.energy_mj is not None:
        return after.energy_mj - before.energy_mj, COUNTER
    if before.energy_mj is after.energy_mj is None and before.power_mw is not None and after.power_mw is not None:
        return (before.power_mw + after.power_mw) * (after.at_ms - before.at_ms) // (2 * MS), POWER
    return None, ""
