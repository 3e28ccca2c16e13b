"""The stand-in answers the real nvidia-ml-py as a driver would: what other tests rest on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml

OPEN = """
import json, pynvml as n
n.nvmlInit()
def told(call, *args):
    try:
        return call(*args)
    except n.NVMLError as error:
        return type(error).__name__.removeprefix("NVMLError_")
h = [told(n.nvmlDeviceGetHandleByIndex, i) for i in range(n.nvmlDeviceGetCount())]
"""


def test_a_device_is_what_the_scenario_says(nvml: FakeNvml) -> None:
    nvml.write(
        """
        driver 560.35.03
        devices 2   # the index is not the minor number
        clock_ms 1700000000000
        device 0 uuid GPU-aaaa
        device 0 minor 5
        device 0 name NVIDIA A100-SXM4-80GB
        device 0 serial 1650123456789
        device 0 pci 00000000:3B:00.0
        device 0 memory_total_mib 81920
        device 0 memory_reserved_mib 500
        device 0 memory_used_mib 1024
        device 0 energy 1000 250000 1699999999000
        device 0 power_mw 251000
        device 0 temperature 61
        device 0 util 0 10 3
        device 0 util 1699999999000 80 40
        device 0 util 1700000000001 99 99
        device 0 process 4711 512
        device 1 mig 1
        """
    )
    said = nvml.run(
        OPEN
        + """
p = n.nvmlDeviceGetComputeRunningProcesses(h[0])
m = n.nvmlDeviceGetMemoryInfo(h[0], n.nvmlMemory_v2)
u = n.nvmlDeviceGetUtilizationRates(h[0])
print(json.dumps([
    n.nvmlSystemGetDriverVersion(), n.nvmlDeviceGetUUID(h[0]), n.nvmlDeviceGetMinorNumber(h[0]),
    n.nvmlDeviceGetName(h[0]), n.nvmlDeviceGetSerial(h[0]), n.nvmlDeviceGetPciInfo(h[0]).busId,
    m.total >> 20, m.used >> 20, n.nvmlDeviceGetMemoryInfo(h[0]).used >> 20,
    n.nvmlDeviceGetTotalEnergyConsumption(h[0]), n.nvmlDeviceGetPowerUsage(h[0]),
    n.nvmlDeviceGetTemperature(h[0], 0), n.nvmlDeviceGetTemperatureV(h[0], 0), u.gpu, u.memory,
    n.nvmlDeviceGetMigMode(h[1]), told(n.nvmlDeviceGetUtilizationRates, h[1]),
    [(x.pid, x.usedGpuMemory >> 20) for x in p],
    n.nvmlDeviceGetUUID(n.nvmlDeviceGetHandleByUUID("GPU-aaaa")), n.nvmlDeviceGetMinorNumber(h[1]),
    told(n.nvmlDeviceGetHandleByUUID, "GPU-none"), n.nvmlErrorString(15),
]))
"""
    )
    assert said == [
        *("560.35.03", "GPU-aaaa", 5, "NVIDIA A100-SXM4-80GB", "1650123456789", "00000000:3B:00.0"),
        *(81920, 1024, 1524, 1000 + 250_000, 251_000, 61, 61, 80, 40, [1, 1], "NotSupported", [[4711, 512]]),
        *("GPU-aaaa", 1, "NotFound", "GPU_IS_LOST"),
    ]


def test_samples_come_once_and_no_further_back_than_the_buffer(nvml: FakeNvml) -> None:
    scenario = """
        devices 1
        clock_ms {at}
        device 0 samples 5 100
        device 0 util 0 10 1
        device 0 util 1700000000000 90 2
        """
    nvml.write(scenario.format(at=1_700_000_000_150))
    process = nvml.start(
        OPEN
        + """
import sys, time
def samples(seen, kind=n.NVML_GPU_UTILIZATION_SAMPLES):
    got = told(n.nvmlDeviceGetSamples, h[0], kind, seen)
    return got if isinstance(got, str) else [(s.timeStamp // 1000 - 1700000000000, s.sampleValue.uiVal) for s in got[1]]
first = samples(0)
nothing_new = samples(1700000000100 * 1000)
memory = samples(1700000000000 * 1000, n.NVML_MEMORY_UTILIZATION_SAMPLES)
print("ready", flush=True)
while samples(1700000000100 * 1000) == "NotFound":
    time.sleep(0.01)
print(json.dumps([first, nothing_new, memory, samples(1700000000100 * 1000)]))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write(scenario.format(at=1_700_000_000_399))
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out) == [
        [[-300, 10], [-200, 10], [-100, 10], [0, 90], [100, 90]],
        "NotFound",
        [[100, 2]],
        [[200, 90], [300, 90]],
    ]


def test_the_counter_advances_with_the_clock_and_starts_again_from_zero(nvml: FakeNvml) -> None:
    at = time.time_ns() // 1_000_000
    nvml.write(f"devices 2\ndevice * energy 500 300000 {at}\ndevice 1 energy_reset_ms {at + 1}")
    before, later, restarted = nvml.run(
        OPEN
        + """
import time
a = n.nvmlDeviceGetTotalEnergyConsumption(h[0])
time.sleep(0.2)
print(json.dumps([a, n.nvmlDeviceGetTotalEnergyConsumption(h[0]), n.nvmlDeviceGetTotalEnergyConsumption(h[1])]))
"""
    )
    assert before >= 500
    assert later - before >= 0.2 * 300_000
    assert 0 < restarted <= later - 500


def test_errors_and_what_a_device_does_not_tell(nvml: FakeNvml) -> None:
    nvml.write(
        """
        devices 3
        device 0 lacks energy
        device 0 lacks mig
        device 0 lacks memory_v2
        device 0 samples 0 100
        error nvmlDeviceGetName 1 TIMEOUT
        error * 2 GPU_IS_LOST
        """
    )
    said = nvml.run(
        OPEN
        + """
print(json.dumps([
    told(n.nvmlDeviceGetTotalEnergyConsumption, h[0]), told(n.nvmlDeviceGetMigMode, h[0]),
    told(n.nvmlDeviceGetMemoryInfo, h[0], n.nvmlMemory_v2), told(n.nvmlDeviceGetMemoryInfo, h[0]) == 0,
    told(n.nvmlDeviceGetSamples, h[0], 1, 0), told(n.nvmlDeviceGetName, h[0]), told(n.nvmlDeviceGetName, h[1]),
    told(n.nvmlDeviceGetTotalEnergyConsumption, h[1]), h[2],
]))
"""
    )
    assert said == [
        *("NotSupported", "NotSupported", "ArgumentVersionMismatch", False),
        *("NotFound", "Fake GPU 80GB", "Timeout", 0, "GpuIsLost"),
    ]


def test_a_hang_ends_when_its_time_or_its_line_is_over(nvml: FakeNvml) -> None:
    nvml.write("devices 2\nhang nvmlDeviceGetName 0 0.3\nhang nvmlDeviceGetName 1 forever")
    process = nvml.start(
        OPEN
        + """
import time
began = time.monotonic()
n.nvmlDeviceGetName(h[0])
print(time.monotonic() - began, flush=True)
print(json.dumps(n.nvmlDeviceGetName(h[1])))
"""
    )
    assert process.stdout is not None
    assert 0.25 < float(process.stdout.readline()) < 5
    time.sleep(0.2)
    assert process.poll() is None
    nvml.write("devices 2")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out.strip()) == (0, '"Fake GPU 80GB"'), err


def test_no_scenario_is_a_driver_that_is_not_loaded(nvml: FakeNvml) -> None:
    nvml.scenario.unlink()
    said = nvml.run(
        """
        import pynvml as n
        try:
            n.nvmlInit()
        except n.NVMLError_DriverNotLoaded as error:
            print('"not loaded"')
        """
    )
    assert said == "not loaded"


def test_mig_instances_tell_memory_and_name_and_are_gone_when_the_layout_changes(nvml: FakeNvml) -> None:
    nvml.write(
        """
        devices 2
        device 1 name NVIDIA A100-SXM4-80GB
        device 1 mig 1
        device 1 mig_instance MIG-x 1 0 3 7 40192 100
        device 1 mig_instance MIG-y 5 0 1 7 9728 7
        """
    )
    process = nvml.start(
        OPEN
        + """
import time
m = [n.nvmlDeviceGetMigDeviceHandleByIndex(h[1], k) for k in (0, 1)]
told_of = [[n.nvmlDeviceGetUUID(x), n.nvmlDeviceGetName(x), n.nvmlDeviceGetGpuInstanceId(x),
            n.nvmlDeviceGetAttributes(x).computeInstanceSliceCount, n.nvmlDeviceGetMemoryInfo(x).used >> 20] for x in m]
no = [told(n.nvmlDeviceGetTotalEnergyConsumption, m[0]), told(n.nvmlDeviceGetUtilizationRates, m[0]),
      told(n.nvmlDeviceGetSamples, h[1], 1, 0), told(n.nvmlDeviceGetMigDeviceHandleByIndex, h[1], 2),
      told(n.nvmlDeviceGetMaxMigDeviceCount, h[0]), told(n.nvmlDeviceGetMaxMigDeviceCount, h[1])]
print("ready", flush=True)
while told(n.nvmlDeviceGetHandleByUUID, "MIG-y") != "NotFound":
    time.sleep(0.01)
print(json.dumps([told_of, no, told(n.nvmlDeviceGetMemoryInfo, m[1])]))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write("devices 2\ndevice 1 mig 1\n")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert json.loads(out) == [
        [
            ["MIG-x", "NVIDIA A100-SXM4-80GB MIG 3g.39gb", 1, 3, 100],
            ["MIG-y", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", 5, 1, 7],
        ],
        ["NotSupported", "NotSupported", "NotSupported", "NotFound", 0, 7],
        "InvalidArgument",
    ]


def test_a_line_that_is_not_understood_names_itself(nvml: FakeNvml) -> None:
    nvml.write("devices 1\ndevice 0 utilization 5")
    process = nvml.start(OPEN)
    _, err = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "line 2 of the scenario is not understood" in err


def test_it_is_built_once(nvml_library: Path) -> None:
    library = nvml_library / "libnvidia-ml.so.1"
    made = library.stat().st_mtime_ns
    assert build() == nvml_library
    assert library.stat().st_mtime_ns == made
    printed = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("build.py"))], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == str(nvml_library)
