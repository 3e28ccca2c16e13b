"""Whatever the network and backups do, the ledger has each entry once; whatever comes, it stays whole."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import DeviceReport, HookEvent, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.domain.units import HOUR_MS
from slurm_gpucost.domain.wire import BadBatch, decode, encode
from slurm_gpucost.ledger import ingest, measured, reports
from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.ledger.whole import faults
from slurm_gpucost.services.intake import held, take_batches
from tests.unit.builders import T0
from tests.unit.spoiled import spoil
from tests.unit.uplinked import (
    EVIDENCE,
    N1,
    N2,
    Node,
    contents,
    device,
    instance,
    own_hook,
    process,
    slot,
    unreadable,
    window,
)

OTHER = {N1: N2, N2: N1}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with open_ledger(tmp_path_factory.mktemp("intake") / "ledger.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def empty(ledger: Ledger) -> Iterator[sqlite3.Connection]:
    copy = sqlite3.connect(":memory:")
    ledger.connection.backup(copy)
    yield copy
    copy.close()


def row_of(draw: st.DrawFn, who: Who, at_s: int) -> list[Any]:
    """What one moment brings to a node's journal."""
    uuid = f"GPU-{who.node}-{draw(st.integers(0, 1))}"
    kind = draw(st.sampled_from(["hook", "window", "device", "slot", "layout", "process", "foreign", "unreadable"]))
    if kind == "hook":
        return [own_hook(who.node, at_s * 1000, job_id=draw(st.integers(1, 4)))]
    if kind == "window":
        return [window(uuid, at_s)]
    if kind == "device":
        return [device(uuid, at_s, draw(st.sampled_from(["A100", "H100"])))]
    if kind == "slot":
        return [slot(0, uuid, at_s, who.node)]
    if kind == "layout":
        names = draw(st.lists(st.sampled_from("abc"), unique=True, min_size=1))
        return [instance(uuid, f"MIG-{uuid}-{name}", at_s) for name in names]
    if kind == "process":
        return [process(uuid, draw(st.integers(1, 2)), at_s, at_s + 5)]
    if kind == "foreign":
        return [own_hook(OTHER[who].node, at_s * 1000 + 1, job_id=9), slot(7, "GPU-x", at_s, OTHER[who].node)]
    return [unreadable(f"{who.node} {at_s}".encode())]


@st.composite
def nodes(draw: st.DrawFn, who: Who) -> Node:
    """A journal as a node keeps it: of reports and layouts only changes, of a process one row that grows."""
    db = Mirror(who)
    for at_s in range(draw(st.integers(1, 14))):
        for row in row_of(draw, who, at_s):
            db.add(row)
    return Node(who, db.entries, who.node[1] * 32)


class Mirror:
    """Leaves out what a node's journal leaves out."""

    def __init__(self, who: Who) -> None:
        self.entries: list[Any] = []
        self._last: dict[Any, Any] = {}

    def add(self, row: Any) -> None:
        key: Any = None
        if isinstance(row, DeviceReport):
            key, said = row.device, row.model
        elif isinstance(row, SlotReport):
            key, said = (row.node, row.gres_index), row.device
        if key is not None:
            if self._last.get(key) == said:
                return
            self._last[key] = said
        if isinstance(row, DeviceProcess):
            before = self._last.get(row[:4])
            self._last[row[:4]] = row = before.merged(row) if before else row
        self.entries.append(row)


def own(node: Node, table: type) -> list[Any]:
    return [
        row for row in node.entries if isinstance(row, table) and getattr(row, "node", node.who.node) == node.who.node
    ]


def expected(empty: sqlite3.Connection, both: list[Node]) -> dict[str, list[tuple[Any, ...]]]:
    """The tables after taking in all of the nodes' own rows once, in the order of their numbers."""
    db = sqlite3.connect(":memory:")
    empty.backup(db)
    for node in both:
        ingest.add_hooks(db, own(node, HookEvent))
        measured.add_windows(db, own(node, Window))
        reports.add_devices(db, own(node, DeviceReport))
        reports.add_slots(db, own(node, SlotReport))
        measured.add_instances(db, own(node, MigInstance))
        measured.add_processes(db, own(node, DeviceProcess))
        for row in node.entries:
            stands = not hasattr(row, "node") and hasattr(row, "content")
            if stands:
                ingest.set_aside(db, "hook", f"{node.who.node}: {row.source}", None, row.reason, row.content, T0)
    found = contents(db, (*EVIDENCE, "set_aside"))
    db.close()
    return found


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["next", "lost answer", "again", "ahead", "alive", "backup", "restore", "both", "clock"]),
        st.integers(0, 1),
        st.integers(1, 20),
        st.integers(1, 20),
    ),
    max_size=25,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(first=nodes(N1), second=nodes(N2), acts=ACTS)
def test_each_entry_is_in_once_whatever_happens(
    ledger: Ledger, empty: sqlite3.Connection, first: Node, second: Node, acts: list[tuple[str, int, int, int]]
) -> None:
    both = [first, second]
    empty.backup(ledger.connection)
    backup = sqlite3.connect(":memory:")
    empty.backup(backup)
    known = [0, 0]  # what each node believes that the collector holds
    now_ms = T0

    def send(which: int, low: int, high: int) -> int:
        node = both[which]
        before = held(ledger.connection, node.who, node.journal)
        who, batch = node.send(min(low, node.last + 1), min(high, node.last))
        (outcome,) = take_batches(ledger, [(who, decode(encode(batch)))], now_ms)
        after = held(ledger.connection, node.who, node.journal)
        assert outcome.held == after
        if batch.first <= before + 1:
            assert (outcome.status, after) == (200, max(before, batch.last))
        else:
            assert (outcome.status, after) == (409, before), "nothing is skipped"
        return outcome.held

    for act, which, a, b in acts:
        if act == "next":
            known[which] = send(which, known[which] + 1, known[which] + a)
        elif act == "lost answer":
            send(which, known[which] + 1, known[which] + a)
        elif act in ("again", "ahead"):
            send(which, min(a, b), max(a, b))
        elif act == "alive":
            known[which] = send(which, both[which].last + 1, both[which].last)
        elif act == "backup":
            ledger.connection.backup(backup)
        elif act == "restore":
            backup.backup(ledger.connection)
        elif act == "clock":  # the collector's steps by an hour, forth or back
            now_ms = T0 + (-HOUR_MS, 0, HOUR_MS)[a % 3]
        else:
            sent = [node.send(known[i] + 1, min(known[i] + a, node.last)) for i, node in enumerate(both)]
            if all(batch.last >= batch.first - 1 for _, batch in sent):
                known = [outcome.held for outcome in take_batches(ledger, sent, now_ms)]
    for which, node in enumerate(both):
        number = held(ledger.connection, node.who, node.journal)
        while number < node.last:
            number = send(which, number + 1, number + 3)
    backup.close()
    assert contents(ledger.connection, EVIDENCE) == {t: r for t, r in expected(empty, both).items() if t in EVIDENCE}
    kept = ledger.connection.execute("SELECT * FROM set_aside WHERE witness = 'hook'").fetchall()
    assert sorted(kept, key=repr) == expected(empty, both)["set_aside"]
    foreign = ledger.connection.execute("SELECT count(*) FROM set_aside WHERE witness = 'uplink'").fetchone()[0]
    assert foreign == sum(getattr(row, "node", node.who.node) != node.who.node for node in both for row in node.entries)


def test_a_thousand_spoiled_batches_leave_the_ledger_whole(ledger: Ledger, empty: sqlite3.Connection) -> None:
    empty.backup(ledger.connection)
    chance = random.Random(6)
    rows = [own_hook(), device(), slot(), instance(uuid="MIG-1"), process(), window(), window("MIG-1"), unreadable()]
    body = encode(Node(rows=rows).batch(1, 8, said={"driver": "ok", "spool": 1}))
    take_batches(ledger, [(N2, decode(encode(Node(N2, [own_hook("n2"), window("GPU-2")], "2" * 32).batch(1, 2))))], T0)
    of_n2 = len(ledger.connection.execute("SELECT * FROM hook_event WHERE node = 'n2'").fetchall())
    refused = statuses = 0
    for _ in range(1_000):
        try:
            batch = decode(spoil(body, chance))
        except BadBatch as error:
            refused += 1
            assert len(str(error)) < 400
            continue
        (outcome,) = take_batches(ledger, [(N1, batch)], T0)
        assert outcome.status in (200, 403, 409)
        statuses += outcome.status == 200
    assert refused > 300 and statuses > 100, "both ways were tried"
    assert faults(ledger.connection) == []
    assert ledger.connection.execute("SELECT DISTINCT node FROM slot_report").fetchall() == [("n1",)]
    assert len(ledger.connection.execute("SELECT * FROM hook_event WHERE node <> 'n1'").fetchall()) == of_n2
    bring_up_to_date(ledger, {})
    assert ledger.connection.execute("SELECT count(*) FROM dirty_job").fetchone() == (0,)
    assert take_batches(ledger, [(N1, decode(body))], T0)[0].status in (200, 403)
