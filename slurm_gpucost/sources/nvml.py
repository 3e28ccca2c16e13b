"""The NVIDIA driver through nvidia-ml-py; the only importer of ``pynvml``, and that late."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport, digest_of
from slurm_gpucost.domain.windows import Reading

_MIB = 1024 * 1024


class Gpus(Protocol):
    """What the sampler needs of a driver."""

    def open(self) -> None:
        """Get hold of the driver. Raises SourceError."""

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The physical devices. Raises SourceError."""

    def read(self, clock: Callable[[], int]) -> list[Reading]:
        """One reading of each device; one that fails has its error in it. Raises SourceError where all fail."""

    def close(self) -> None:
        """Let go of the driver."""


class NvmlGpus:
    """The driver of this host."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[tuple[str, Any]] = []
        self._host = socket.gethostname()

    def open(self) -> None:
        """Get hold of the driver. Raises SourceError with NVML's reason."""
        try:
            import pynvml
        except ImportError:
            raise SourceError("nvidia-ml-py is not installed") from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise SourceError(f"no NVIDIA driver: {error}") from None
        self._nvml = pynvml

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The physical devices, and their handles for :meth:`read`."""
        nvml = self._nvml
        try:
            version = str(nvml.nvmlSystemGetDriverVersion())
            handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
            reports = [self._report(i, handle, version, now_ms) for i, handle in enumerate(handles)]
        except nvml.NVMLError as error:
            raise SourceError(f"NVML cannot list the devices: {error}") from None
        self._handles = [(report.device, handle) for report, handle in zip(reports, handles, strict=True)]
        return reports

    def _report(self, index: int, handle: Any, version: str, now_ms: int) -> DeviceReport:
        nvml = self._nvml
        memory = self._maybe(nvml.nvmlDeviceGetMemoryInfo, handle)
        mig = self._maybe(nvml.nvmlDeviceGetMigMode, handle)
        said = (
            self._host,
            str(nvml.nvmlDeviceGetName(handle)),
            str(self._maybe(nvml.nvmlDeviceGetSerial, handle) or ""),
            self._maybe(nvml.nvmlDeviceGetMinorNumber, handle),
            index,
            str(nvml.nvmlDeviceGetPciInfo(handle).busId),
            int(memory.total) if memory else None,
            int(mig[0]) if mig else None,
            version,
        )
        return DeviceReport(str(nvml.nvmlDeviceGetUUID(handle)), digest_of(*said), now_ms, *said)

    def read(self, clock: Callable[[], int]) -> list[Reading]:
        """One reading of each device: counter, utilization, memory; the time is taken just before the counter."""
        nvml, readings = self._nvml, []
        for device, handle in self._handles:
            at_ms = clock()
            try:
                energy = self._maybe(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
                rates = self._maybe(nvml.nvmlDeviceGetUtilizationRates, handle)
                memory = self._maybe(nvml.nvmlDeviceGetMemoryInfo, handle)
            except nvml.NVMLError as error:
                readings.append(Reading(device, at_ms, error=str(error)))
                continue
            readings.append(
                Reading(
                    device,
                    at_ms,
                    int(energy) if energy is not None else None,
                    int(rates.gpu) if rates else None,
                    int(rates.memory) if rates else None,
                    int(memory.used) // _MIB if memory else None,
                )
            )
        if readings and all(reading.error for reading in readings):
            raise SourceError(f"NVML cannot read any device: {readings[0].error}")
        return readings

    def _maybe(self, call: Callable[[Any], Any], handle: Any) -> Any:
        """What ``call`` says, or None where this device does not tell it."""
        try:
            return call(handle)
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_FunctionNotFound):
            return None

    def close(self) -> None:
        """Let go of the driver."""
        self._handles = []
        if self._nvml is not None:
            # a driver that is going away cannot be let go of twice
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
            self._nvml = None
