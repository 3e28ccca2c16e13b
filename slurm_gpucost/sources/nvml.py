"""The GPUs of this host as the NVIDIA driver tells of them.

Every call can hang for as long as the driver does: whoever must not wait calls from a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport, digest_of
from slurm_gpucost.domain.levels import SAMPLE_REACH_MS
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import MOST_COUNTER_MJ, MOST_MEMORY_BYTES, Glance, Reading
from slurm_gpucost.sources import nvml_listing
from slurm_gpucost.sources.nvml_call import Driver
from slurm_gpucost.sources.processes import boot_id

DRIVER_MODULE = Path("/sys/module/nvidia")
MOST_POWER_MW = 10**8
_MEMBER_OF_TYPE = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""nvmlValueType_t: which member of a sample's union holds the value."""


def driver_epoch(module: Path = DRIVER_MODULE) -> str:
    """Names this boot and this load of the driver; '' where the kernel does not tell the boot.

    The kernel gives a module's directory a new inode number each time the module is loaded (kernfs numbers its nodes
    in turn), while its times are those of the last look.
    """
    boot = boot_id()
    try:
        load = module.stat().st_ino
    except OSError:
        load = 0
    return digest_of(boot, load).hex() if boot else ""


class _Device:
    """What must be kept of a device between readings."""

    __slots__ = ("glances", "handle", "lacks", "mig", "seen_us")

    def __init__(self, handle: Any, mig: bool) -> None:
        self.handle = handle
        self.mig = mig
        self.lacks: set[object] = set()
        self.glances: list[Glance] = []
        self.seen_us: dict[int, int] = {}


class NvmlGpus:
    """The physical GPUs of this host and their MIG instances."""

    def __init__(self, module: Path = DRIVER_MODULE) -> None:
        self._host = socket.gethostname()
        self._module = module
        self._held: list[Driver] = []
        """What was opened and not let go of; the last one is asked, any other could not be."""
        self._epoch = ""
        self._devices: dict[str, _Device] = {}
        self._layouts: dict[str, list[MigInstance]] = {}

    def open(self) -> None:
        """Take hold of the driver. Raises SourceError with the reason in one line."""
        with contextlib.suppress(SourceError):
            self.close()
        self._held.append(Driver())
        # While it is held the module cannot be unloaded.
        self._epoch = driver_epoch(self._module)

    def close(self) -> None:
        """Let go of the driver. Raises SourceError where it is still held."""
        self._devices.clear()
        while self._held:
            self._held[-1].close()
            self._held.pop()

    @property
    def _open(self) -> Driver:
        if not self._held:
            raise SourceError("the NVIDIA driver is not open")
        return self._held[-1]

    def devices(self, now_ms: int) -> list[DeviceReport]:
        """The devices that answer, in the driver's order; a lost one is left out. Raises SourceError."""
        driver = self._open
        found: list[DeviceReport] = []
        try:
            version = str(driver.nvml.nvmlSystemGetDriverVersion())
            count = int(driver.nvml.nvmlDeviceGetCount())
        except driver.error as error:
            raise SourceError(f"the NVIDIA driver does not list its devices: {error}") from None
        for kept in self._devices.values():
            kept.lacks.clear()
        for index in range(count):
            with contextlib.suppress(driver.error):
                handle = driver.nvml.nvmlDeviceGetHandleByIndex(index)
                found.append(nvml_listing.describe(driver, handle, index, self._host, version, now_ms))
        return found

    def layout(self, device: str, now_ms: int) -> list[MigInstance]:
        """The MIG instances of a GPU that can have some. Where it does not answer, those known. Raises SourceError."""
        driver = self._open
        with contextlib.suppress(driver.error):
            self._layouts[device] = nvml_listing.layout(driver, self._kept(device).handle, device, now_ms)
        return self._layouts.get(device, [])

    def processes(self, device: str, now_ms: int) -> list[DeviceProcess] | None:
        """The processes on a GPU and its MIG instances; None where it does not answer. Raises SourceError."""
        driver = self._open
        try:
            handle = self._kept(device).handle
            return nvml_listing.running(driver, handle, device, self._layouts.get(device, []), now_ms)
        except driver.error:
            return None

    def read(self, device: str, clock: Callable[[], int]) -> Reading:
        """A reading of the device with this UUID; where it cannot be read, only the error. Raises SourceError."""
        driver = self._open
        try:
            kept = self._kept(device)
            made = self._read_mig(kept, device, clock) if kept.mig else self._read_gpu(kept, device, clock)
            glances, kept.glances = tuple(kept.glances), []
            return made._replace(glances=glances)
        except driver.error as error:
            self._devices.pop(device, None)
            return Reading(device, clock(), error=str(error))

    def glance(self, device: str, clock: Callable[[], int]) -> None:
        """Note for the next reading what changes at a hook. What fails, that reading will tell. Raises SourceError."""
        driver = self._open
        with contextlib.suppress(driver.error):
            kept = self._kept(device)
            used = self._memory_used(kept)
            at_ms = clock()
            energy, power = (None, None) if kept.mig else self._drawn(kept)
            kept.glances.append(Glance(at_ms, energy, power, used))

    def _read_mig(self, kept: _Device, device: str, clock: Callable[[], int]) -> Reading:
        """Of a MIG instance the driver tells the memory; energy is the parent's, utilization nobody's (A100)."""
        used = self._memory_used(kept)
        return Reading(device, clock(), memory_used_bytes=used)

    def _read_gpu(self, kept: _Device, device: str, clock: Callable[[], int]) -> Reading:
        driver, nvml, handle, lacks = self._open, self._open.nvml, kept.handle, kept.lacks
        sm = self._samples(kept, nvml.NVML_GPU_UTILIZATION_SAMPLES, "sm")
        memctl = self._samples(kept, nvml.NVML_MEMORY_UTILIZATION_SAMPLES, "memctl")
        used = self._memory_used(kept)
        temperature = driver.ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU, lacks=lacks)
        rates, recently = None, clock() - SAMPLE_REACH_MS
        if not (sm and memctl and min(sm[-1][0], memctl[-1][0]) > recently):  # else samples speak up to now
            rates = driver.ask(nvml.nvmlDeviceGetUtilizationRates, handle, lacks=lacks)
        # The time belongs to the counter, and is later than every sample.
        at_ms = clock()
        energy, power = self._drawn(kept)
        return Reading(
            device,
            at_ms,
            energy_mj=energy,
            sm_samples=sm,
            mem_samples=memctl,
            sm_percent=None if rates is None else _percent(rates.gpu),
            mem_percent=None if rates is None else _percent(rates.memory),
            memory_used_bytes=used,
            power_mw=power,
            temperature_c=None if temperature is None else max(0, int(temperature)),
            epoch=self._epoch,
        )

    def _memory_used(self, kept: _Device) -> int | None:
        memory = self._open.memory(kept.handle, kept.lacks)
        return None if memory is None else _within(int(memory.used), MOST_MEMORY_BYTES)

    def _drawn(self, kept: _Device) -> tuple[int | None, int | None]:
        """(the counter in mJ, power in mW where there is no counter)."""
        driver, nvml = self._open, self._open.nvml
        energy = driver.ask(nvml.nvmlDeviceGetTotalEnergyConsumption, kept.handle, lacks=kept.lacks)
        if energy is not None:
            return _within(int(energy), MOST_COUNTER_MJ), None
        power = driver.ask(nvml.nvmlDeviceGetPowerUsage, kept.handle, lacks=kept.lacks)
        return None, None if power is None else _within(int(power), MOST_POWER_MW)

    def _kept(self, device: str) -> _Device:
        kept = self._devices.get(device)
        if kept is None:
            handle = self._open.nvml.nvmlDeviceGetHandleByUUID(device)
            kept = self._devices[device] = _Device(handle, device.startswith("MIG-"))
        return kept

    def _samples(self, kept: _Device, kind: int, name: str) -> tuple[tuple[int, int], ...] | None:
        """(ms UTC, percent) that the driver buffered since the last call, in order; None where it has no buffer."""
        if name in kept.lacks:
            return None
        lacks: set[object] = set()
        seen = newest = kept.seen_us.get(kind, 0)
        reply = self._open.ask(self._open.nvml.nvmlDeviceGetSamples, kept.handle, kind, seen, lacks=lacks)
        if reply is None:
            if lacks:
                kept.lacks.add(name)
            return None if lacks else ()
        value_type, samples = reply
        member = _MEMBER_OF_TYPE[value_type] if 0 <= value_type < len(_MEMBER_OF_TYPE) else "uiVal"
        found: list[tuple[int, int]] = []
        for sample in samples:
            at_us = sample.timeStamp
            if at_us > seen:
                newest = at_us if at_us > newest else newest
                percent = _percent(getattr(sample.sampleValue, member))
                if percent is not None:
                    found.append((at_us // 1000, percent))
        kept.seen_us[kind] = newest
        found.sort()
        return tuple(found)


def _within(value: int, most: int) -> int | None:
    """None for what no device can show."""
    return value if 0 <= value <= most else None


def _percent(value: float) -> int | None:
    """The value if it is one: drivers have been seen to buffer nonsense."""
    return int(value) if 0 <= value <= 100 else None
