"""What the NVIDIA driver lists: devices, MIG instances, processes. Asked every minute or so, not with every reading."""

from __future__ import annotations

import contextlib
from typing import Any

from slurm_gpucost.domain.evidence import DeviceReport, digest_of
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.sources import processes
from slurm_gpucost.sources.nvml_call import Driver

_MIB = 1 << 20
_NO_INSTANCE = 0xFFFFFFFF


def describe(driver: Driver, handle: Any, index: int, host: str, version: str, now_ms: int) -> DeviceReport:
    """What the driver says of a physical GPU. Raises NVMLError where the GPU does not answer."""
    nvml, ask = driver.nvml, driver.ask
    minor = ask(nvml.nvmlDeviceGetMinorNumber, handle)
    pci = ask(nvml.nvmlDeviceGetPciInfo, handle)
    memory = driver.memory(handle)
    mig = ask(nvml.nvmlDeviceGetMigMode, handle)
    said = (
        host,
        str(nvml.nvmlDeviceGetName(handle)),
        str(ask(nvml.nvmlDeviceGetSerial, handle) or ""),
        None if minor is None else int(minor),
        index,
        _text(pci.busId) if pci is not None else "",
        None if memory is None else int(memory.total),
        None if mig is None else int(mig[0]),
        version,
    )
    return DeviceReport(str(nvml.nvmlDeviceGetUUID(handle)), digest_of(*said), now_ms, *said)


def layout(driver: Driver, handle: Any, parent: str, now_ms: int) -> list[MigInstance]:
    """The MIG devices of a GPU that can have some; one row with device '' where it has none now.

    An instance that goes while it is looked at is left out. Raises NVMLError where the GPU itself does not answer.
    """
    nvml, ask = driver.nvml, driver.ask
    most = int(ask(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0)
    found: list[MigInstance] = []
    for number in range(most):
        with contextlib.suppress(driver.error):
            instance = ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            if instance is not None:
                found.append(_instance(driver, instance, parent, most, now_ms))
    return found or [MigInstance(parent, now_ms, "", "", None, None, 0, 0, most, 0)]


def _instance(driver: Driver, handle: Any, parent: str, most: int, now_ms: int) -> MigInstance:
    nvml = driver.nvml
    attributes = nvml.nvmlDeviceGetAttributes(handle)
    return MigInstance(
        parent,
        now_ms,
        str(nvml.nvmlDeviceGetUUID(handle)),
        str(nvml.nvmlDeviceGetName(handle)).rpartition(" MIG ")[2],
        int(nvml.nvmlDeviceGetGpuInstanceId(handle)),
        int(nvml.nvmlDeviceGetComputeInstanceId(handle)),
        int(attributes.gpuInstanceSliceCount),
        int(attributes.computeInstanceSliceCount),
        most,
        int(attributes.memorySizeMB),
    )


def running(driver: Driver, handle: Any, device: str, instances: list[MigInstance], now_ms: int) -> list[DeviceProcess]:
    """The compute processes on a GPU, each on its MIG device where it has one; those that have gone are left out.

    The driver needs milliseconds for this. Raises NVMLError where the GPU does not answer.
    """
    mig = {(one.gpu_instance, one.compute_instance): one.device for one in instances if one.device}
    boot = processes.boot_id()
    found: list[DeviceProcess] = []
    for listed in driver.ask(driver.nvml.nvmlDeviceGetComputeRunningProcesses, handle) or []:
        process = processes.look(int(listed.pid))
        if process is None:
            continue
        place = (getattr(listed, "gpuInstanceId", _NO_INSTANCE), getattr(listed, "computeInstanceId", _NO_INSTANCE))
        used = int(listed.usedGpuMemory or 0) // _MIB
        at = mig.get(place, device)
        found.append(
            DeviceProcess(
                at,
                boot,
                int(listed.pid),
                process.started_ticks,
                process.uid,
                process.user,
                process.executable,
                now_ms,
                now_ms,
                used,
            )
        )
    return found


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value
