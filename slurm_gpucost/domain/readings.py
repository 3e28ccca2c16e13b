"""What the driver says of a device, and the sums that a window keeps of it.

Units: ms UTC, mJ, mW, percent x ms, MiB x ms, degrees Celsius x ms; all integers.
"""

from __future__ import annotations

from typing import NamedTuple

MOST_MEMORY_BYTES, MOST_COUNTER_MJ = 1 << 50, 10**16
"""What a device can show: a counter that wrapped below 0 is far beyond it, and would spoil every sum that it is in."""
COUNTER = "counter"
"""Energy from NVML's TotalEnergyConsumption (Volta and later): the difference of two readings."""
POWER = "power"
"""Energy from NVML's PowerUsage, where there is no counter: the trapezoid between two readings."""

UNCERTAINTY_PERMILLE = {COUNTER: 50, POWER: 350, "": 0}
"""How far off the energy of a source can be, in thousandths.

50: NVIDIA states 5 % for the board's sensor (nvmlDeviceGetPowerUsage, NVML API reference, for Fermi and Kepler; nothing
for newer ones), and the counter adds up the same sensor. 350: a power reading of an A100 or H100 looks at a quarter of
the time; correcting for that changed energies by 35 % on average and by 65 % at most (Yang, Adamek, Armour: Part-time
Power Measurements, arXiv 2312.02741; SC24).
"""


class Glance(NamedTuple):
    """What the driver said between two readings, soon after a hook: what changes there and is quickly asked."""

    at_ms: int
    energy_mj: int | None = None
    power_mw: int | None = None
    """Asked only where there is no counter."""
    memory_used_bytes: int | None = None


class Reading(NamedTuple):
    """What the driver said of a device at one moment; None where it does not measure that."""

    device: str
    """UUID."""
    at_ms: int
    energy_mj: int | None = None
    """The counter since the driver loaded; it can start again from zero."""
    sm_samples: tuple[tuple[int, int], ...] | None = ()
    """(ms UTC, percent) since the reading before: the share of time in which a kernel ran. None: no buffer here."""
    mem_samples: tuple[tuple[int, int], ...] | None = ()
    """(ms UTC, percent) since the reading before: the share of time in which memory was read or written."""
    sm_percent: int | None = None
    """The driver's last short average: it stands in where no sample speaks."""
    mem_percent: int | None = None
    memory_used_bytes: int | None = None
    error: str | None = None
    """Why nothing was measured."""
    power_mw: int | None = None
    """Asked only where there is no counter."""
    temperature_c: int | None = None
    epoch: str = ""
    """Names the boot and the load of the driver that the counter belongs to; '' where that cannot be told."""
    glances: tuple[Glance, ...] = ()
    """Those since the reading before."""


class Window(NamedTuple):
    """Sums over [start_ms, end_ms). Divide a sum by its own observed time, never by the window's length."""

    device: str
    start_ms: int
    end_ms: int
    observed_ms: int
    energy_mj: int
    energy_observed_ms: int
    sm_percent_ms: int
    sm_observed_ms: int
    memctl_percent_ms: int
    memctl_observed_ms: int
    memory_used_mib_ms: int
    memory_used_peak_mib: int
    memory_observed_ms: int
    energy_source: str = ""
    """COUNTER, POWER, or '' where no energy was observed."""
    energy_uncertainty_permille: int = 0
    energy_counter_start_mj: int | None = None
    """The counter where it was first known inside the window, between readings spread evenly and rounded down."""
    energy_counter_end_mj: int | None = None
    """The counter where it was last known inside; what it grew beyond ``energy_mj`` is unobserved energy."""
    energy_epoch: str = ""
    """Counters can be compared only within an epoch: one boot, one load of the driver, no step of the clock."""
    energy_restarted: int = 0
    """1: the counter was seen to begin anew since the last window that knew it."""
    sm_idle_ms: int = 0
    """The part of ``sm_observed_ms`` in clock minutes whose mean utilization was below the idle threshold."""
    temperature_c_ms: int = 0
    temperature_peak_c: int = 0
    temperature_observed_ms: int = 0

    @property
    def unobserved_mj(self) -> int:
        """What the counter grew by inside the window while nobody looked."""
        if self.energy_counter_start_mj is None or self.energy_counter_end_mj is None:
            return 0
        return self.energy_counter_end_mj - self.energy_counter_start_mj - self.energy_mj
