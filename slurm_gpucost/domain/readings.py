"""What the driver says of a device, and the sums that a window keeps of it.

Units: ms UTC, mJ, percent x ms, MiB x ms; all integers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What the driver said of a device at one moment; None where it does not measure that."""

    device: str
    """UUID."""
    at_ms: int
    energy_mj: int | None = None
    """The counter since the driver loaded; it can start again from zero."""
    sm_samples: tuple[tuple[int, int], ...] = ()
    """(ms UTC, percent) since the reading before: the share of time in which a kernel ran."""
    mem_samples: tuple[tuple[int, int], ...] = ()
    """(ms UTC, percent) since the reading before: the share of time in which memory was read or written."""
    sm_percent: int | None = None
    """The driver's last short average: it stands in where no sample speaks."""
    mem_percent: int | None = None
    memory_used_bytes: int | None = None
    error: str | None = None
    """Why nothing was measured."""


@dataclass(frozen=True, slots=True)
class Window:
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
