"""A node as the uplink shows it: rows in the order in which they came, and batches made of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from slurm_gpucost.domain.evidence import DeviceReport, HookEvent, SlotReport, digest_of
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.wire import TABLES, Batch, SetAside
from slurm_gpucost.ledger.ingest import set_aside_key
from slurm_gpucost.ledger.tokens import Who
from tests.unit.builders import T0, hook

N1, N2 = Who("c", "n1"), Who("c", "n2")
EVIDENCE = ("hook_event", "usage_window", "device_report", "slot_report", "mig_report", "device_process")
TABLE_OF = {record: table for table, record in TABLES.items()}
KEYS = {HookEvent: 3, Window: 2, DeviceReport: 3, SlotReport: 7, MigInstance: 3, DeviceProcess: 4, SetAside: 1}
"""How many of its first columns tell a row from others."""


def window(device: str = "GPU-n1-0", start_s: int = 0, **other: Any) -> Window:
    at = T0 + start_s * 1000
    return Window(device, at, at + 1000, 1000, 300_000, 1000, 50_000, 1000, 0, 0, 0, 0, 0, "counter", 50)._replace(
        **other
    )


def device(uuid: str = "GPU-n1-0", at_s: int = 0, model: str = "A100", **other: Any) -> DeviceReport:
    said = (uuid, model)
    return DeviceReport(
        uuid, digest_of(*said), T0 + at_s * 1000, "host", model, "1", 0, 0, "0:1", 1 << 36, 0, "570"
    )._replace(**other)


def slot(index: int = 0, uuid: str = "GPU-n1-0", at_s: int = 0, node: str = "n1") -> SlotReport:
    return SlotReport("c", node, "gpu", index, "a100", uuid, T0 + at_s * 1000)


def process(uuid: str = "GPU-n1-0", pid: int = 1, first_s: int = 0, last_s: int = 1) -> DeviceProcess:
    return DeviceProcess(uuid, "b", pid, 5, 1000, "ann", "python", T0 + first_s * 1000, T0 + last_s * 1000, 10)


def instance(parent: str = "GPU-n1-0", uuid: str = "", at_s: int = 0) -> MigInstance:
    return MigInstance(parent, T0 + at_s * 1000, uuid, "1g.10gb", 1, 0, 1, 1, 7, 9728)


def unreadable(content: bytes = b"1\x00") -> SetAside:
    return SetAside(set_aside_key("hook", content), "hook", "prolog.1", None, "cut short", content, T0)


class Node:
    """A journal: entries are numbered from 1; a row that changed has another entry, and is sent as it stands."""

    def __init__(self, who: Who = N1, rows: Iterable[Any] = (), journal: str = "1" * 32) -> None:
        self.who = who
        self.journal = journal
        self.entries: list[Any] = list(rows)

    @property
    def last(self) -> int:
        return len(self.entries)

    def batch(self, first: int, last: int, oldest: int = 1, **other: Any) -> Batch:
        stands = {(type(row), row[: KEYS[type(row)]]): row for row in self.entries}
        keys = dict.fromkeys((type(row), row[: KEYS[type(row)]]) for row in self.entries[first - 1 : last])
        rows: dict[str, list[Any]] = {}
        for key in keys:
            rows.setdefault(TABLE_OF[key[0]], []).append(stands[key])
        values = {"sent_at_ms": T0, "version": "0.1.0", "said": {}, **other}
        return Batch(*self.who, self.journal, first, last, oldest, rows=rows, **values)

    def send(self, first: int = 1, last: int | None = None, **other: Any) -> tuple[Who, Batch]:
        return self.who, self.batch(first, self.last if last is None else last, **other)


def contents(db: sqlite3.Connection, tables: Iterable[str] = EVIDENCE) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables}


def own_hook(node: str = "n1", at_ms: int = 0, **other: Any) -> HookEvent:
    return hook("prolog", at_ms, node=node, **other)
