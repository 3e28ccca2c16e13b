"""What the driver measured and listed is taken in once, in any order."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.ledger import measured
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger, open_ledger
from tests.unit.builders import T0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path / "ledger.db")


def instance(at: int, device: str, slices: int = 1) -> MigInstance:
    return MigInstance("GPU-a", T0 + at, device, f"{slices}g.10gb", 1, 0, slices, slices, 7, 9728)


def test_a_layout_that_only_repeats_the_one_before_is_no_new_row(ledger: Ledger) -> None:
    none = MigInstance("GPU-a", T0 + 9, "", "", None, None, 0, 0, 7, 0)
    told = [[instance(0, "MIG-1"), instance(0, "MIG-2")], [instance(5, "MIG-2"), instance(5, "MIG-1")], [none]]
    with ledger.transaction() as db:
        for layout in [*told, *told]:
            measured.add_layouts(db, layout)
    rows = ask(ledger.connection, "mig_layouts")
    assert [(row["observed_at_ms"] - T0, row["device"]) for row in rows] == [(0, "MIG-1"), (0, "MIG-2"), (9, "")]
    at = [[one.device for one in measured.layout_at(ledger.connection, "GPU-a", T0 + t)] for t in (-1, 0, 8, 9)]
    assert at == [[], ["MIG-1", "MIG-2"], ["MIG-1", "MIG-2"], [""]]


SIGHTS = [
    DeviceProcess("GPU-a", "boot", 9, 77, 1000, "ann", "python", T0 + first, T0 + last, peak)
    for first, last, peak in [(0, 0, 5), (0, 600, 9), (0, 660, 7)]
]


@pytest.mark.parametrize("order", list(permutations(SIGHTS)))
def test_sightings_of_a_process_add_up_in_any_order(tmp_path: Path, order: list[DeviceProcess]) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        with ledger.transaction() as db:
            for sight in [*order, *order]:
                measured.add_processes(db, [sight])
        rows = ledger.connection.execute("SELECT first_seen_ms, last_seen_ms, memory_peak_mib FROM device_process")
        assert rows.fetchall() == [(T0, T0 + 660, 9)]


def test_a_pid_used_again_is_another_process(ledger: Ledger) -> None:
    with ledger.transaction() as db:
        measured.add_processes(db, [SIGHTS[0], SIGHTS[0]._replace(started_ticks=78), SIGHTS[0]._replace(boot_id="b")])
    assert ledger.connection.execute("SELECT count(*) FROM device_process").fetchone() == (3,)


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("usage_window", Window._fields),
        ("mig_report", MigInstance._fields),
        ("device_process", DeviceProcess._fields),
    ],
)
def test_columns_stand_in_the_order_of_fields(ledger: Ledger, table: str, columns: tuple[str, ...]) -> None:
    assert tuple(row[1] for row in ledger.connection.execute(f"PRAGMA table_info({table})")) == columns
