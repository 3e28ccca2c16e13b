"""The NVIDIA driver of this host through nvidia-ml-py: the only importer of ``pynvml``, and that late.

Every call can hang for as long as the driver does: whoever must not wait calls from a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport, digest_of
from slurm_gpucost.domain.readings import Reading

_UNKNOWN_HERE = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_NOT_FOUND",
    "NVML_ERROR_NO_DATA",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
    "NVML_ERROR_DEPRECATED",
)
"""Answers that mean: this device or driver does not tell that. Any other error: the device cannot be read now."""

_NO_DRIVER = {
    "NVML_ERROR_LIBRARY_NOT_FOUND": "no NVIDIA driver: libnvidia-ml.so.1 is not on this host",
    "NVML_ERROR_DRIVER_NOT_LOADED": "the NVIDIA driver is not loaded (`lsmod | grep nvidia` shows whether it is)",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": (
        "the NVIDIA driver's library and kernel module differ in version: reload the module or reboot"
    ),
    "NVML_ERROR_NO_PERMISSION": "this user may not open the NVIDIA driver's device files",
}

_MEMBER_OF_TYPE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""nvmlValueType_t: which member of a sample's union holds the value."""


class NvmlGpus:
    """The physical GPUs of this host."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._nvml: Any = None
        self._unknown_here: frozenset[int] = frozenset()
        self._seen_us: dict[tuple[str, int], int] = {}

    def open(self) -> None:
        """Take hold of the driver. Raises SourceError with the reason in one line."""
        try:
            import pynvml
        except ImportError:
            raise SourceError("nvidia-ml-py is not installed: `pip install nvidia-ml-py`") from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            told = {getattr(pynvml, name): text for name, text in _NO_DRIVER.items()}
            raise SourceError(told.get(error.value, f"the NVIDIA driver cannot be opened: {error}")) from None
        self._nvml = pynvml
        self._unknown_here = frozenset(getattr(pynvml, name) for name in _UNKNOWN_HERE)

    def close(self) -> None:
        """Let go of the driver."""
        nvml, self._nvml = self._nvml, None
        self._seen_us.clear()
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):  # a driver that is gone cannot be let go of
                nvml.nvmlShutdown()

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The devices that answer, in the driver's order; a lost one is left out. Raises SourceError."""
        nvml = self._nvml
        if nvml is None:
            raise SourceError("the NVIDIA driver is not open")
        found: list[DeviceReport] = []
        try:
            version = str(nvml.nvmlSystemGetDriverVersion())
            count = int(nvml.nvmlDeviceGetCount())
        except nvml.NVMLError as error:
            raise SourceError(f"the NVIDIA driver does not list its devices: {error}") from None
        for index in range(count):
            with contextlib.suppress(nvml.NVMLError):
                found.append(self._describe(nvml.nvmlDeviceGetHandleByIndex(index), index, version, now_ms))
        return found

    def read(self, device: str, clock: Callable[[], int]) -> Reading:
        """A reading of the device with this UUID; where it cannot be read, only the error. Raises SourceError."""
        nvml = self._nvml
        if nvml is None:
            raise SourceError("the NVIDIA driver is not open")
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(device)
            sm = self._samples(handle, device, nvml.NVML_GPU_UTILIZATION_SAMPLES)
            memctl = self._samples(handle, device, nvml.NVML_MEMORY_UTILIZATION_SAMPLES)
            rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
            memory = self._memory(handle)
            # The time belongs to the counter, and is later than every sample.
            at_ms = clock()
            energy = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        except nvml.NVMLError as error:
            return Reading(device, clock(), error=str(error))
        return Reading(
            device,
            at_ms,
            energy_mj=None if energy is None else int(energy),
            sm_samples=sm,
            mem_samples=memctl,
            sm_percent=None if rates is None else _percent(rates.gpu),
            mem_percent=None if rates is None else _percent(rates.memory),
            memory_used_bytes=None if memory is None else int(memory.used),
        )

    def _describe(self, handle: Any, index: int, version: str, now_ms: int) -> DeviceReport:
        nvml = self._nvml
        minor = self._ask(nvml.nvmlDeviceGetMinorNumber, handle)
        pci = self._ask(nvml.nvmlDeviceGetPciInfo, handle)
        memory = self._memory(handle)
        mig = self._ask(nvml.nvmlDeviceGetMigMode, handle)
        said = (
            self._host,
            str(nvml.nvmlDeviceGetName(handle)),
            str(self._ask(nvml.nvmlDeviceGetSerial, handle) or ""),
            None if minor is None else int(minor),
            index,
            _text(pci.busId) if pci is not None else "",
            None if memory is None else int(memory.total),
            None if mig is None else int(mig[0]),
            version,
        )
        return DeviceReport(str(nvml.nvmlDeviceGetUUID(handle)), digest_of(*said), now_ms, *said)

    def _samples(self, handle: Any, device: str, kind: int) -> tuple[tuple[int, int], ...]:
        """(ms UTC, percent) that the driver buffered since the last call."""
        key = (device, kind)
        reply = self._ask(self._nvml.nvmlDeviceGetSamples, handle, kind, self._seen_us.get(key, 0))
        if reply is None:
            return ()
        value_type, samples = reply
        member = _MEMBER_OF_TYPE[value_type] if 0 <= value_type < len(_MEMBER_OF_TYPE) else "uiVal"
        found: list[tuple[int, int]] = []
        for sample in samples:
            at_us = int(sample.timeStamp)
            percent = _percent(getattr(sample.sampleValue, member))
            if percent is not None and at_us > self._seen_us.get(key, 0):
                found.append((at_us // 1000, percent))
        newest = max((int(sample.timeStamp) for sample in samples), default=0)
        self._seen_us[key] = max(newest, self._seen_us.get(key, 0))
        return tuple(found)

    def _memory(self, handle: Any) -> Any:
        """Version 2 counts the driver's own share apart; before driver 510 there is only version 1."""
        nvml = self._nvml
        newer = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2)
        return newer if newer is not None else self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the driver answers; None where it does not tell that of this device."""
        try:
            return call(*arguments)
        except self._nvml.NVMLError as error:
            if error.value in self._unknown_here:
                return None
            raise


def _percent(value: float) -> int | None:
    """The value if it is one: drivers have been seen to buffer nonsense."""
    return int(value) if 0 <= value <= 100 else None


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
