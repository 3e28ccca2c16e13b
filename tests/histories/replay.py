"""Testimony into a ledger, in any order and any batches, more than once, projected now and then in between."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, NodeEvent, NodeReport, SlotReport
from slurm_gpucost.domain.records import Lease
from slurm_gpucost.ledger import asked, ingest, migrations, projector, reports
from slurm_gpucost.ledger.store import Ledger
from tests.histories.witnesses import CLUSTER, Testimony

TABLES = {
    "attempt": "cluster, job_id, submit_ms",
    "lease": "cluster, job_id, submit_ms, n",
    "capacity": "cluster, node, gres_index, start_ms",
    "device_time": "cluster, node, gres_index, start_ms, state, class",
}
projector.YIELD_SECONDS = 0.0


@lru_cache(maxsize=1)
def _empty() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrations.apply(made)
    return made


@contextmanager
def memory_ledger() -> Iterator[Ledger]:
    """A ledger of the newest schema, in memory: fast, and else the real thing."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        _empty().backup(connection)
        with Ledger(Path(folder) / "ledger.db", connection) as ledger:
            yield ledger


def in_order(said: Testimony) -> list[Any]:
    """All of it as it would come to a daemon: by the time of looking, hooks by theirs."""
    return sorted(
        [*said.accounting, *said.controller, *said.hooks, *said.nodes, *said.vanished],
        key=lambda one: (_moment(one), str(one)),
    )


def in_any_order(said: Testimony, rng: Random) -> list[Any]:
    """Shuffled, some of it twice; of nodes and slots in the order in which one daemon hears it."""
    rest: list[Any] = [*said.accounting, *said.controller, *said.hooks, *said.vanished]
    rest += rng.sample(rest, len(rest) // 5)
    rng.shuffle(rest)
    places = sorted(rng.randrange(len(rest) + 1) for _ in said.nodes)
    for place, one in reversed(list(zip(places, said.nodes, strict=True))):
        rest.insert(place, one)
    return rest


def _moment(one: Any) -> int:
    if isinstance(one, HookEvent):
        return one.at_ms
    return int(one[3]) if isinstance(one, tuple) and not hasattr(one, "_fields") else int(one.observed_at_ms)


def feed(ledger: Ledger, said: list[Any], rng: Random, project: float) -> None:
    """Take it all in; after each batch project with this probability, and everything at the end."""
    at = 0
    while at < len(said):
        size = rng.choice([1, 3, 10, 40])
        _take(ledger, said[at : at + size])
        at += size
        if rng.random() < project:
            projector.project_dirty(ledger, {})
    projector.project_dirty(ledger, {})
    assert projector.pending(ledger.connection) == 0


def _take(ledger: Ledger, batch: list[Any]) -> None:
    with ledger.transaction() as db:
        ingest.add_accounting(db, [one for one in batch if isinstance(one, AccountingRow)])
        ingest.add_controller(db, [one for one in batch if isinstance(one, ControllerRow)])
        ingest.add_hooks(db, [one for one in batch if isinstance(one, HookEvent)])
        for one in batch:
            if isinstance(one, NodeReport):
                reports.add_nodes(db, [one])
            elif isinstance(one, SlotReport):
                reports.add_slots(db, [one])
            elif isinstance(one, NodeEvent):
                reports.add_node_events(db, [one])
            elif not hasattr(one, "_fields"):
                job, submit, named, missed = one
                ingest.add_vanished(db, CLUSTER, [(asked.Open(job, submit, 0), named)], missed)


def tables(db: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """What the projection made."""
    columns = dict.fromkeys(TABLES, "*") | {"lease": ", ".join(Lease._fields)}
    return {
        name: db.execute(f"SELECT {columns[name]} FROM {name} ORDER BY {key}").fetchall()  # names are ours
        for name, key in TABLES.items()
    }


def differences(one: dict[str, list[tuple[Any, ...]]], other: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    """The rows that only one of two has."""
    return [
        f"{sign} {name} {row}"
        for name in TABLES
        for sign, left, right in (("-", one, other), ("+", other, one))
        for row in left[name]
        if row not in right[name]
    ]
