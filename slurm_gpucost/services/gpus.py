"""What the sampler wants of a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import Reading


class Gpus(Protocol):
    """A driver. Each call may raise SourceError, and may hang."""

    def open(self) -> None:
        """Take hold of the driver."""

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The devices that answer."""

    def layout(self, device: str, now_ms: int) -> list[MigInstance]:
        """The MIG instances of a device."""

    def processes(self, device: str, now_ms: int) -> list[DeviceProcess] | None:
        """The processes on a device and its MIG instances; None where it does not answer."""

    def read(self, device: str, clock: Callable[[], int]) -> Reading:
        """What the driver says of the device, or the error."""

    def glance(self, device: str, clock: Callable[[], int]) -> None:
        """Note for the next reading what the device has drawn so far."""

    def close(self) -> None:
        """Let go of the driver."""
