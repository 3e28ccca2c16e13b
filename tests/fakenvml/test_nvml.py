"""NvmlGpus and the sampler with the real nvidia-ml-py over the stand-in, each in a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.fakenvml.harness import FakeNvml

PRELUDE = """
import json, time
from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.sources.nvml import NvmlGpus
wall = lambda: time.time_ns() // 1_000_000
gpus = NvmlGpus()
"""
OPEN = PRELUDE + "gpus.open()\ndevices = gpus.devices(wall())\n"


def test_the_devices_as_the_driver_lists_them(nvml: FakeNvml) -> None:
    nvml.write(
        """
        driver 550.54.15
        devices 3
        device 0 uuid GPU-a
        device 0 minor 2
        device 0 name NVIDIA A100-SXM4-80GB
        device 0 serial 1650
        device 0 pci 00000000:3B:00.0
        device 0 mig 1
        device 1 uuid GPU-b
        device 1 lacks serial
        device 1 lacks mig
        device 1 lacks minor
        device 1 lacks memory
        error nvmlDeviceGetHandleByIndex_v2 2 GPU_IS_LOST
        """
    )
    a, b = nvml.run(OPEN + "print(json.dumps([[*d[:1], *d[4:]] for d in devices]))")
    assert a == ["GPU-a", "NVIDIA A100-SXM4-80GB", "1650", 2, 0, "00000000:3B:00.0", 81920 << 20, 1, "550.54.15"]
    assert b == ["GPU-b", "Fake GPU 80GB", "", None, 1, "00000000:02:00.0", None, None, "550.54.15"]


def test_a_reading_has_the_counter_and_every_sample_once(nvml: FakeNvml) -> None:
    scenario = """
        devices 1
        clock_ms {at}
        device 0 uuid GPU-a
        device 0 energy 5000 1000 1700000000000
        device 0 memory_used_mib 100
        device 0 samples 20 100
        device 0 util 0 10 1
        device 0 util 1700000000000 60 6
        """
    nvml.write(scenario.format(at=1_700_000_000_050))
    process = nvml.start(
        OPEN
        + """
import pynvml as nvml
first = gpus.read("GPU-a", wall)
again = gpus.read("GPU-a", wall)
print("ready", flush=True)
while nvml.nvmlDeviceGetTotalEnergyConsumption(nvml.nvmlDeviceGetHandleByIndex(0)) == first.energy_mj:
    time.sleep(0.01)
print(json.dumps([first, again, gpus.read("GPU-a", wall)]))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write(scenario.format(at=1_700_000_000_290))
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    first, again, later = json.loads(out)
    zero = 1_700_000_000_000
    now = time.time_ns() // 1_000_000
    assert now - 60_000 < first[1] <= again[1] <= later[1] <= now, "the time is the caller's clock"
    assert first[0] == "GPU-a"
    assert first[2] == 5_050
    assert first[3] == [[zero + k * 100, 10] for k in range(-19, 0)] + [[zero, 60]]
    assert first[4][-1] == [zero, 6]
    assert first[5:11] == [60, 6, 100 << 20, None, None, 40]
    assert first[11] == again[11] == later[11] != "", "the boot and the load of the driver"
    assert (again[2], again[3], again[4], again[5:7]) == (5_050, [], [], [60, 6])
    assert (later[2], later[3]) == (5_290, [[zero + 100, 60], [zero + 200, 60]])
    assert later[4] == [[zero + 100, 6], [zero + 200, 6]]


def test_what_a_device_does_not_tell_is_none_and_a_lost_one_is_an_error(nvml: FakeNvml) -> None:
    nvml.write(
        """
        devices 4
        device 0 lacks energy
        device 0 lacks util
        device 0 lacks samples
        device 0 lacks memory
        device 0 lacks temperature
        device 0 power_mw 61000
        device 1 samples 0 100
        device 1 lacks memory_v2
        device 1 memory_used_mib 7
        error nvmlDeviceGetTotalEnergyConsumption 2 GPU_IS_LOST
        error nvmlDeviceGetTotalEnergyConsumption 3 UNKNOWN
        """
    )
    told = nvml.run(OPEN + "print(json.dumps([gpus.read(d.device, wall)[2:11] for d in devices]))")
    assert told == [
        [None, None, None, None, None, None, None, 61_000, None],
        [0, [], [], 0, 0, (512 + 7) << 20, None, None, 40],
        [None, [], [], None, None, None, "GPU is lost", None, None],
        [None, [], [], None, None, None, "Unknown Error", None, None],
    ]


def test_what_no_device_can_show_is_not_known(nvml: FakeNvml) -> None:
    """A counter below 0, as some drivers' arithmetic has it, is a number of 64 bits that would spoil every sum."""
    nvml.write(
        """
        devices 2
        device 0 uuid GPU-a
        device 0 energy 9000000000000000000 0 0
        device 0 memory_used_mib 17592186044415
        device 1 uuid GPU-b
        device 1 lacks energy
        device 1 power_mw 4294967295
        """
    )
    readings = "(gpus.read(d.device, wall) for d in devices)"
    ask = f"[[x.energy_mj, x.memory_used_bytes, x.power_mw, x.error] for x in {readings}]"
    told = nvml.run(OPEN + f"print(json.dumps({ask}))")
    assert told[0] == [None, None, None, told[0][3]] and not told[0][3]
    assert told[1][0] is None and told[1][2] is None


def test_glances_come_with_the_next_reading_and_no_later(nvml: FakeNvml) -> None:
    nvml.write(
        MIG.replace("devices 1", "devices 3")
        + """
    device 1 uuid GPU-b
    device 1 lacks energy
    device 1 power_mw 61000
    device 1 memory_used_mib 9
    device 2 uuid GPU-c
    error nvmlDeviceGetTotalEnergyConsumption 2 GPU_IS_LOST
"""
    )
    told = nvml.run(
        OPEN
        + """
gpus.layout("GPU-a", 5)
names = ["GPU-a", "GPU-b", "GPU-c", "MIG-y"]
for name in names + names[:1]:
    gpus.glance(name, wall)
first, again = ([gpus.read(name, wall) for name in names] for _ in range(2))
assert first[0].glances[0].at_ms <= first[0].glances[1].at_ms <= first[0].at_ms
print(json.dumps([[[g[1:] for g in r.glances] for r in readings] for readings in (first, again)]))
"""
    )
    first, again = told
    assert [len(glances) for glances in first] == [2, 1, 0, 1], "a lost GPU's error is the reading's to tell"
    assert first[0][0][:2] == [7_000, None]
    assert first[1][0][:2] == [None, 61_000]
    assert first[3][0] == [None, None, 7 << 20]
    assert again == [[], [], [], []]


SAY_WHY = """
try:
    gpus.open()
except SourceError as error:
    print(json.dumps(str(error)))
"""


def test_why_there_is_no_driver_in_one_line(nvml: FakeNvml) -> None:
    nvml.write("devices 1\nerror nvmlInitWithFlags * LIB_RM_VERSION_MISMATCH")
    assert "differ in version: reload the module or reboot" in nvml.run(PRELUDE + SAY_WHY)
    nvml.write("devices 1\nerror nvmlInitWithFlags * UNKNOWN")
    assert nvml.run(PRELUDE + SAY_WHY) == "the NVIDIA driver cannot be opened: Unknown Error"
    nvml.scenario.unlink()
    assert nvml.run(PRELUDE + SAY_WHY).startswith("the NVIDIA driver is not loaded")


def test_a_host_without_the_library(nvml: FakeNvml) -> None:
    nvml.library = nvml.scenario.parent
    assert nvml.run(PRELUDE + SAY_WHY) == "no NVIDIA driver: libnvidia-ml.so.1 is not on this host"


def test_it_can_be_closed_and_opened_again(nvml: FakeNvml) -> None:
    said = nvml.run(
        OPEN
        + """
gpus.close()
gpus.close()
try:
    gpus.devices(0)
except SourceError as error:
    said = str(error)
gpus.open()
print(json.dumps([said, len(gpus.devices(0))]))
"""
    )
    assert said == ["the NVIDIA driver is not open", 2]


def test_the_sampler_outlives_a_driver_that_hangs(nvml: FakeNvml) -> None:
    """Energy and utilization before the hang come out, and the process ends with the call still hanging."""
    at = time.time_ns() // 1_000_000
    plain = f"devices 2\ndevice * energy 0 1000000 {at}\ndevice * util 0 50 20\n"
    nvml.write(plain)
    process = nvml.start(
        PRELUDE
        + """
from slurm_gpucost.services.sampler import Sampler
sampler = Sampler(gpus, 0.05, wall, hung_after_seconds=0.3)
sampler.start()
while sampler.state != "ok":
    time.sleep(0.01)
time.sleep(0.6)
print("ready", flush=True)
while not sampler.hung(wall()):
    time.sleep(0.01)
began = time.monotonic()
state = sampler.state
sampler.cut(wall() - 1000)
inventory, windows, *_ = sampler.drain()
windows += sampler.stop(20).windows
print(json.dumps([state, time.monotonic() - began, len(inventory), windows]))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write(plain + "hang nvmlDeviceGetTotalEnergyConsumption 1 forever\n")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    state, took, devices, windows = json.loads(out)
    assert state.startswith("hung since 20")
    assert took < 1
    assert devices == 2
    assert {window[0][-1] for window in windows} == {"0", "1"}
    for window in windows:
        _, start, end, observed, energy, energy_observed, sm, sm_observed, memctl, memctl_observed, *_ = window
        assert end - start == observed == energy_observed == sm_observed == memctl_observed
        assert (sm, memctl) == (50 * observed, 20 * observed)
        # a counter and a clock that are read one after the other are never quite of one moment
        assert abs(energy - 1_000 * observed) <= 50_000
    assert sum(window[3] for window in windows) >= 2 * 400


def test_the_sampler_sees_a_counter_start_again(nvml: FakeNvml) -> None:
    plain = f"devices 1\ndevice 0 energy 900000000 1000000 {time.time_ns() // 1_000_000}\n"
    nvml.write(plain)
    process = nvml.start(
        PRELUDE
        + """
from slurm_gpucost.services.sampler import Sampler
sampler = Sampler(gpus, 0.05, wall)
sampler.start()
while sampler.state != "ok":
    time.sleep(0.01)
time.sleep(0.6)
print("ready", flush=True)
time.sleep(1.2)
print(json.dumps(sampler.stop(20).windows))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write(plain + f"device 0 energy_reset_ms {time.time_ns() // 1_000_000 + 200}\n")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    windows = json.loads(out)
    observed = sum(window[3] for window in windows)
    energy, energy_observed = sum(window[4] for window in windows), sum(window[5] for window in windows)
    assert 0 < observed - energy_observed < observed / 2, "the interval of the reset, and no other, is unknown"
    assert 0 < energy <= 1_000 * energy_observed + 50_000
    assert sum(window[18] for window in windows) == 1, "the new beginning is marked, once"
    assert sum(window[16] - window[15] for window in windows) == energy, "and nothing unobserved inside them"


def test_the_epoch_is_of_the_boot_and_of_the_load_of_the_driver(nvml: FakeNvml) -> None:
    """The kernel numbers the module's directory anew with each load; a new directory here stands for that."""
    module = nvml.scenario.with_name("nvidia")
    keep = nvml.scenario.with_name("keep")
    module.mkdir()
    before, again, later = nvml.run(
        f"""
        import json, pathlib
        from slurm_gpucost.sources.nvml import driver_epoch
        module, keep = pathlib.Path({str(module)!r}), pathlib.Path({str(keep)!r})
        before, again = driver_epoch(module), driver_epoch(module)
        module.rename(keep)
        module.mkdir()
        print(json.dumps([before, again, driver_epoch(module)]))
        """
    )
    assert before == again != later
    assert len(before) == 16


MIG = """
    devices 1
    device 0 uuid GPU-a
    device 0 name NVIDIA A100-SXM4-80GB
    device 0 mig 1
    device 0 energy 7000 0 1700000000000
    device 0 mig_instance MIG-x 1 0 3 7 40192 100
    device 0 mig_instance MIG-y 5 0 1 7 9728 7
"""


def test_mig_the_parent_has_the_energy_and_each_instance_its_memory(nvml: FakeNvml) -> None:
    nvml.write(MIG)
    layout, parent, instance = nvml.run(
        OPEN
        + """
layout = gpus.layout("GPU-a", 5)
gpus.read("GPU-a", wall)
print(json.dumps([layout, gpus.read("GPU-a", wall)[2:9], gpus.read("MIG-y", wall)[2:9]]))
"""
    )
    assert layout == [
        ["GPU-a", 5, "MIG-x", "3g.39gb", 1, 0, 3, 3, 7, 40192],
        ["GPU-a", 5, "MIG-y", "1g.10gb", 5, 0, 1, 1, 7, 9728],
    ]
    assert parent == [7_000, None, None, None, None, 0, None]
    assert instance == [None, [], [], None, None, 7 << 20, None]


def test_mig_changed_between_two_reads_is_an_error_and_then_another_layout(nvml: FakeNvml) -> None:
    nvml.write(MIG)
    process = nvml.start(
        OPEN
        + """
gpus.layout("GPU-a", 5)
gpus.read("MIG-y", wall)
print("ready", flush=True)
while not (error := gpus.read("MIG-y", wall).error):
    time.sleep(0.01)
print(json.dumps([error, gpus.read("MIG-y", wall).error, gpus.layout("GPU-a", 6), gpus.read("GPU-a", wall).energy_mj]))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    nvml.write("devices 1\ndevice 0 uuid GPU-a\ndevice 0 mig 1\ndevice 0 energy 8000 0 1700000000000")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    invalid, missing, layout, energy = json.loads(out)
    assert (invalid, missing) == ("Invalid Argument", "Not Found")
    assert layout == [["GPU-a", 6, "", "", None, None, 0, 0, 7, 0]]
    assert energy == 8_000


def test_processes_have_an_owner_and_an_executable_and_no_command_line(nvml: FakeNvml) -> None:
    with subprocess.Popen(
        ["sleep", "SECRET", "60"], executable=shutil.which("sleep"), stderr=subprocess.DEVNULL
    ) as gone:
        gone.wait()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)  # SECRET"]) as process:
        try:
            nvml.write(
                MIG
                + f"""\
    device 0 process {process.pid} 512 5 0
    device 0 process {process.pid} 100
    device 0 process {gone.pid} 9
"""
            )
            first, again = nvml.run(
                OPEN
                + """
gpus.layout("GPU-a", 5)
print(json.dumps([gpus.processes("GPU-a", 6), gpus.processes("GPU-a", 7)]))
"""
            )
        finally:
            process.kill()
    assert [row[0] for row in first] == ["MIG-y", "GPU-a"], "a process that has gone is left out"
    assert [row[:-3] for row in first] == [row[:-3] for row in again], "the same process is told to be the same"
    for row in first:
        assert (row[2], row[4], row[5]) == (process.pid, os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
        assert row[6] == Path(sys.executable).resolve().name
    assert first[0][7:] == [6, 6, 512]
    assert "SECRET" not in json.dumps(first)


def test_processes_of_a_gpu_that_does_not_answer_are_not_known(nvml: FakeNvml) -> None:
    nvml.write("devices 1\ndevice 0 uuid GPU-a\nerror nvmlDeviceGetComputeRunningProcesses_v3 0 GPU_IS_LOST")
    assert nvml.run(OPEN + 'print(json.dumps(gpus.processes("GPU-a", 6)))') is None
