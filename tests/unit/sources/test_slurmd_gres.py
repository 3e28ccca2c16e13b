"""The texts are what real slurmd of 22.05.8 and 24.11.5 printed, shortened only where "..." stands in the name."""

from __future__ import annotations

import pytest

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.sources.slurmd_gres import GresSlot, parse, resolve, slots

N2_OF_22_05 = """\
slurmd: Gres Name=shard Type=a100 Count=4 Index=4 ID=1918986455 File=/dev/fakegpu4 (null)
slurmd: Gres Name=gpu Type=a100 Count=1 Index=4 ID=7696487 File=/dev/fakegpu4 (null)
slurmd: Gres Name=shard Type=a100 Count=4 Index=5 ID=1918986455 File=/dev/fakegpu5 (null)
slurmd: Gres Name=gpu Type=a100 Count=1 Index=5 ID=7696487 File=/dev/fakegpu5 (null)
"""
TWO_TYPES_OF_22_05 = """\
slurmd: Gres Name=gpu Type=v100 Count=2 Index=0 ID=7696487 File=/dev/fakegpu[10-11] (null)
slurmd: Gres Name=gpu Type=a100 Count=6 Index=0 ID=7696487 File=/dev/fakegpu[0-2,4-6] (null)
"""
FLAGS = "Flags=HAS_FILE,HAS_TYPE,ENV_NVML,ENV_RSMI,ENV_ONEAPI,ENV_OPENCL,ENV_DEFAULT"
N2_OF_24_11 = f"""\
slurmd: error: Domain socket directory /var/spool/slurmd/n2: No such file or directory
slurmd: Node configuration differs from hardware: CPUs=16:2(hw) Boards=1:1(hw) SocketsPerBoard=16:1(hw) ...
slurmd: Gres Name=shard Type=a100 Count=4 Index=4 ID=1918986455 File=/dev/fakegpu4 Links=(null) {FLAGS},SHARED
slurmd: Gres Name=gpu Type=a100 Count=1 Index=4 ID=7696487 File=/dev/fakegpu4 Links=(null) {FLAGS}
slurmd: Gres Name=shard Type=a100 Count=4 Index=5 ID=1918986455 File=/dev/fakegpu5 Links=(null) {FLAGS},SHARED
slurmd: Gres Name=gpu Type=a100 Count=1 Index=5 ID=7696487 File=/dev/fakegpu5 Links=(null) {FLAGS}
"""
TWO_TYPES_OF_24_11 = f"""\
slurmd: Gres Name=gpu Type=v100 Count=2 Index=0 ID=7696487 File=/dev/fakegpu[10-11] Links=(null) {FLAGS}
slurmd: Gres Name=gpu Type=a100 Count=6 Index=0 ID=7696487 File=/dev/fakegpu[0-2,4-6] Links=(null) {FLAGS}
"""
SEVERAL_FILES_A_UNIT = f"""\
slurmd: Gres Name=gpu Type=a100 Count=1 Index=5 ID=7696487 File=/dev/fakegpu4,/dev/fakegpu5 Links=(null) {FLAGS}
slurmd: Gres Name=gpu Type=a100 Count=1 Index=7 ID=7696487 File=/dev/fakegpu6,/dev/fakegpu7 Links=(null) {FLAGS}
"""


def device(minor: int | None) -> DeviceReport:
    return DeviceReport(f"GPU-{minor}", b"", 0, "h", "A100", "", minor, 0, "", None, None, "550")


@pytest.mark.parametrize("text", [N2_OF_22_05, N2_OF_24_11])
def test_a_node_counts_its_devices_from_0_whatever_their_numbers(text: str) -> None:
    assert parse(text) == [
        GresSlot("shard", "a100", 0, 4, "/dev/fakegpu4", 4),
        GresSlot("gpu", "a100", 0, 1, "/dev/fakegpu4", 4),
        GresSlot("shard", "a100", 1, 4, "/dev/fakegpu5", 5),
        GresSlot("gpu", "a100", 1, 1, "/dev/fakegpu5", 5),
    ]


@pytest.mark.parametrize("text", [TWO_TYPES_OF_22_05, TWO_TYPES_OF_24_11])
def test_a_record_stands_for_all_its_files_in_the_order_printed(text: str) -> None:
    assert [(s.index, s.type, s.minor, s.count) for s in parse(text)] == [
        (0, "v100", 10, 1),
        (1, "v100", 11, 1),
        (2, "a100", 0, 1),
        (3, "a100", 1, 1),
        (4, "a100", 2, 1),
        (5, "a100", 4, 1),
        (6, "a100", 5, 1),
        (7, "a100", 6, 1),
    ]


def test_several_files_that_are_one_unit_are_one_index_without_a_number() -> None:
    assert [(s.index, s.count, s.file, s.minor) for s in parse(SEVERAL_FILES_A_UNIT)] == [
        (0, 1, "/dev/fakegpu4,/dev/fakegpu5", None),
        (1, 1, "/dev/fakegpu6,/dev/fakegpu7", None),
    ]


def test_an_index_is_the_device_with_its_files_number() -> None:
    devices = [device(n) for n in (0, 1, 2, 3, 4, 10, 11)]
    assert resolve(parse(TWO_TYPES_OF_24_11), devices) == {
        0: "GPU-10",
        1: "GPU-11",
        2: "GPU-0",
        3: "GPU-1",
        4: "GPU-2",
        5: "GPU-4",
    }
    assert resolve(parse(N2_OF_24_11), devices) == {0: "GPU-4"}


def test_what_does_not_fit_is_left_out() -> None:
    assert resolve(parse(SEVERAL_FILES_A_UNIT), [device(4), device(5)]) == {}
    twice = [GresSlot("gpu", "", 0, 1, "/dev/a1", 1), GresSlot("gpu", "", 1, 1, "/dev/b1", 1)]
    assert resolve(twice, [device(1)]) == {}
    assert resolve(parse(N2_OF_24_11), [device(None)]) == {}
    assert resolve([GresSlot("nic", "", 0, 1, "/dev/mlx0", 0)], [device(0)]) == {}


def test_with_no_slots_at_all_the_number_is_the_index() -> None:
    assert resolve([], [device(0), device(3), device(None)]) == {0: "GPU-0", 3: "GPU-3"}


def test_evidence_names_every_gpu_and_the_device_where_it_is_certain() -> None:
    assert slots("alpha", "n2", parse(N2_OF_24_11), [device(5)], 17) == [
        ("alpha", "n2", "gpu", 0, "a100", "", 17),
        ("alpha", "n2", "gpu", 1, "a100", "GPU-5", 17),
    ]
    assert slots("alpha", "n2", [], [device(0)], 17) == [], "a node that was not told of has no evidence"


def test_no_type_and_no_file() -> None:
    (slot,) = parse("slurmd: Gres Name=craynetwork Type=(null) Count=4 ID=1 Links=(null) Flags=CountOnly\n")
    assert slot == GresSlot("craynetwork", "", 0, 4, None, None)
    assert parse("slurmd: error: no gres\n\n") == []
