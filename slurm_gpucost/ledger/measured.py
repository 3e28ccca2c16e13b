"""What the driver measured and listed, into the ledger. Safe to repeat, in any order; call inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import groupby

from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance, layout_of
from slurm_gpucost.domain.windows import Window


def _marks(columns: int) -> str:
    return ",".join("?" * columns)


_WINDOW = f"INSERT OR IGNORE INTO usage_window VALUES ({_marks(len(Window._fields))})"
_LAYOUT = f"INSERT OR IGNORE INTO mig_report VALUES ({_marks(len(MigInstance._fields))})"
_PROCESS = (
    f"INSERT INTO device_process VALUES ({_marks(len(DeviceProcess._fields))}) "
    "ON CONFLICT (device, boot_id, pid, started_ticks) DO UPDATE SET "
    + ", ".join(
        f"{column} = CASE WHEN excluded.{column} {sign} {column} THEN excluded.{column} ELSE {column} END"
        for column, sign in (("first_seen_ms", "<"), ("last_seen_ms", ">"), ("memory_peak_mib", ">"))
    )
)


def add_windows(db: sqlite3.Connection, windows: Iterable[Window]) -> None:
    """Take in usage windows; one that starts where another of its device starts is the same one."""
    db.executemany(_WINDOW, windows)


def add_layouts(db: sqlite3.Connection, instances: Iterable[MigInstance]) -> None:
    """Take in whole MIG layouts; one that only repeats the layout before it is left out."""
    rows = sorted(instances, key=lambda one: (one.parent, one.observed_at_ms, one.device))
    for (parent, at_ms), group in groupby(rows, key=lambda one: (one.parent, one.observed_at_ms)):
        layout = list(group)
        if layout_of(layout) != layout_of(layout_at(db, parent, at_ms)):
            db.executemany(_LAYOUT, layout)


def add_instances(db: sqlite3.Connection, instances: Iterable[MigInstance]) -> None:
    """Take in rows of layouts as they are: those of a journal, which left out repeats and may come in parts."""
    db.executemany(_LAYOUT, instances)


def layout_at(db: sqlite3.Connection, parent: str, at_ms: int) -> list[MigInstance]:
    """The layout of a GPU that was last told up to ``at_ms``; nothing where none was."""
    rows = db.execute(
        "SELECT * FROM mig_report WHERE parent = ? AND observed_at_ms = "
        "(SELECT max(observed_at_ms) FROM mig_report WHERE parent = ? AND observed_at_ms <= ?)",
        (parent, parent, at_ms),
    )
    return [MigInstance(*row) for row in rows]


def add_processes(db: sqlite3.Connection, processes: Iterable[DeviceProcess]) -> None:
    """Take in sightings of processes; those of one process add up to one stay."""
    db.executemany(_PROCESS, processes)
