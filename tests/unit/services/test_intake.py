"""Batches of nodes: each entry in once, of the node that sent it, whatever is repeated, cut or lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

import pytest

from slurm_gpucost.domain.errors import LedgerError
from slurm_gpucost.domain.units import HOUR_MS
from slurm_gpucost.domain.wire import Batch
from slurm_gpucost.ledger import journals, refusals, tokens
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import intake
from slurm_gpucost.services.intake import Outcome, authenticate, held, take_batches
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0
from tests.unit.uplinked import (
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

OTHER = "2" * 32


def take(ledger: Ledger, *sent: tuple[tokens.Who, Batch], at_s: int = 0, up_s: int = -100_000) -> list[Outcome]:
    return take_batches(ledger, sent, T0 + at_s * 1000, up_since_ms=T0 + up_s * 1000)


def states(ledger: Ledger) -> dict[str, tuple[str, int]]:
    rows = ledger.connection.execute("SELECT journal, state, held FROM node_journal")
    return {journal[0]: (state, number) for journal, state, number in rows}


def aside(ledger: Ledger) -> list[tuple[str, str, str]]:
    return ledger.connection.execute("SELECT witness, source, reason FROM set_aside ORDER BY reason").fetchall()


@pytest.fixture
def whole() -> Node:
    return Node(
        rows=[own_hook(), device(), slot(), instance(uuid="MIG-1"), process(), window(), window("MIG-1"), unreadable()]
    )


def test_all_that_a_node_tells_is_in(ledger: Ledger, whole: Node) -> None:
    (outcome,) = take(ledger, whole.send(said={"driver": "ok", "new": [1]}, sent_at_ms=T0 + 1500, version="0.9"))
    assert outcome == Outcome(200, 8, rows=8)
    assert {table: len(rows) for table, rows in contents(ledger.connection).items()} == {
        "hook_event": 1, "usage_window": 2, "device_report": 1, "slot_report": 1, "mig_report": 1, "device_process": 1,
    }  # fmt: skip
    assert aside(ledger) == [("hook", "n1: prolog.1", "cut short")]
    row = ledger.connection.execute("SELECT clock_ahead_ms, version, said, missing FROM node_journal").fetchone()
    assert row == (1500, "0.9", '{"driver": "ok", "new": [1]}', 0)
    assert ledger.connection.execute("SELECT count(*) FROM dirty_job").fetchone() == (1,), "it is to be projected"


def test_many_batches_are_one_transaction(ledger: Ledger, whole: Node) -> None:
    statements: list[str] = []
    ledger.connection.set_trace_callback(statements.append)
    found = take(ledger, *(whole.send(number, number) for number in range(1, 9)))
    assert [outcome.held for outcome in found] == list(range(1, 9))
    assert statements.count("COMMIT") == 1


def test_a_token_is_good_until_it_is_revoked(ledger: Ledger) -> None:
    with ledger.transaction() as db:
        tokens.issue(db, N1, "secret", T0, "root")
        tokens.issue(db, N2, "other", T0, "root")
    assert authenticate(ledger.connection, "secret") == N1
    assert authenticate(ledger.connection, "Secret") is None
    assert authenticate(ledger.connection, "\udcff") is None
    with ledger.transaction() as db:
        assert tokens.revoke(db, N1, T0) == 1
    assert authenticate(ledger.connection, "secret") is None
    assert authenticate(ledger.connection, "other") == N2
    assert b"secret" not in b"".join(row[0] for row in ledger.connection.execute("SELECT digest FROM node_token"))


def test_a_batch_under_another_name_than_the_tokens_is_refused(ledger: Ledger, whole: Node) -> None:
    _, batch = whole.send()
    (outcome,) = take(ledger, (N2, batch))
    assert (outcome.status, outcome.waiting) == (403, False) and "n2" in outcome.error
    assert states(ledger) == {} and not any(contents(ledger.connection).values())


def test_a_journal_belongs_to_one_node(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send())
    (outcome,) = take(ledger, Node(N2, [own_hook("n2")]).send())
    assert (outcome.status, outcome.waiting) == (403, False) and "journal" in outcome.error
    assert held(ledger.connection, N1, "1" * 32) == 8
    assert held(ledger.connection, N2, "1" * 32) == 0
    assert held(ledger.connection, N1, OTHER) == 0


def test_a_gap_is_refused_and_told(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send(1, 2))
    (outcome,) = take(ledger, whole.send(4, 8))
    assert (outcome.status, outcome.held) == (409, 2)
    assert contents(ledger.connection)["usage_window"] == []
    first, repeated, early = take(ledger, whole.send(3, 5), whole.send(2, 4), whole.send(8, 8))
    assert (first[:2], repeated[:2], early[:2]) == ((200, 5), (200, 5), (409, 5))


def test_entries_that_the_node_has_no_more_are_passed_over_and_counted(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send(1, 2))
    (still_there,) = take(ledger, whole.send(7, 8, oldest=5))
    assert (still_there.status, still_there.held) == (409, 2), "5 and 6 can be sent"
    (outcome,) = take(ledger, whole.send(5, 8, oldest=5))
    assert outcome[:2] == (200, 8)
    assert ledger.connection.execute("SELECT missing FROM node_journal").fetchone() == (2,)


def test_an_empty_batch_is_a_sign_of_life(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send())
    (outcome,) = take(ledger, whole.send(9, 8), at_s=60)
    assert outcome[:2] == (200, 8)
    assert ledger.connection.execute("SELECT last_heard_ms FROM node_journal").fetchone() == (T0 + 60_000,)


def test_an_empty_batch_tells_a_restored_collector_what_it_lacks(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send(1, 3))
    (outcome,) = take(ledger, whole.send(9, 8))
    assert outcome[:2] == (409, 3)
    (pruned,) = take(ledger, whole.send(9, 8, oldest=9))
    assert pruned[:2] == (200, 8)
    assert ledger.connection.execute("SELECT missing FROM node_journal").fetchone() == (5,)


def test_a_second_journal_waits_while_the_first_is_alive(ledger: Ledger, whole: Node) -> None:
    again = Node(rows=[own_hook(at_ms=5)], journal=OTHER)
    take(ledger, whole.send())
    (outcome,) = take(ledger, again.send(), at_s=599)
    assert (outcome.status, outcome.held, outcome.waiting) == (403, 0, True) and "--accept" in outcome.error
    assert states(ledger) == {"1": ("taken", 8), "2": ("waiting", 0)}
    take(ledger, whole.send(9, 8), at_s=600)
    assert take(ledger, again.send(), at_s=1199)[0].waiting
    (outcome,) = take(ledger, again.send(), at_s=1200)
    assert outcome[:2] == (200, 1), "the first one has been silent for 600 s"
    assert states(ledger) == {"1": ("retired", 8), "2": ("taken", 1)}


def test_a_retired_journal_that_comes_back_waits_and_loses_nothing(ledger: Ledger, whole: Node) -> None:
    again = Node(rows=[own_hook(at_ms=5)], journal=OTHER)
    take(ledger, whole.send(1, 4))
    take(ledger, again.send(), at_s=700)
    (outcome,) = take(ledger, whole.send(5, 8), at_s=800)
    assert (outcome.status, outcome.held, outcome.waiting) == (403, 4, True)
    (outcome,) = take(ledger, whole.send(5, 8), at_s=1300)
    assert outcome[:2] == (200, 8), "now the other one is silent"
    assert len(contents(ledger.connection)["hook_event"]) == 2


def test_nobody_is_silent_while_the_collector_was_away(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send())
    again = Node(rows=[own_hook(at_ms=5)], journal=OTHER).send()
    (outcome,) = take(ledger, again, at_s=5000, up_s=4990)
    assert outcome.waiting
    assert take(ledger, again, at_s=5590, up_s=4990)[0].status == 200


@pytest.mark.parametrize(
    "row",
    [own_hook("n2"), own_hook(cluster="d"), slot(node="n2"), slot()._replace(cluster="d")],
    ids=["hook of n2", "hook of d", "slot of n2", "slot of d"],
)
def test_what_is_of_another_node_is_set_aside_and_stops_nothing(ledger: Ledger, row: object) -> None:
    (outcome,) = take(ledger, Node(rows=[row, own_hook()]).send())
    assert outcome == Outcome(200, 2, rows=1, refused=1)
    ((witness, source, reason),) = aside(ledger)
    assert (witness, source.partition(":")[0]) == ("uplink", "n1") and "not of its own" in reason
    (content,) = ledger.connection.execute("SELECT content FROM set_aside").fetchone()
    kept = json.loads(content)
    assert kept["node"] == "n1" and kept["row"]["cluster"] == row.cluster  # type: ignore[attr-defined]
    take(ledger, Node(rows=[row, own_hook()]).send())
    assert len(aside(ledger)) == 1, "sent again, kept once"


@pytest.mark.parametrize(
    "row",
    [
        window(start_s=5),
        device(model="T4", at_s=9),
        process(),
        instance(uuid="MIG-9"),
        instance("GPU-n2-0", "GPU-n1-0"),
    ],
    ids=["window", "report", "process", "layout", "instance"],
)
def test_a_device_of_a_node_that_is_alive_is_nobody_elses(ledger: Ledger, row: object) -> None:
    take(ledger, Node(rows=[device(), window()]).send())
    before = contents(ledger.connection)
    (outcome,) = take(ledger, Node(N2, [row], OTHER).send())
    assert outcome == Outcome(200, 1, rows=0, refused=1)
    assert contents(ledger.connection) == before
    assert "GPU-n1-0 is told of by node n1" in aside(ledger)[0][2]


def test_a_card_that_was_moved_counts_in_its_new_machine(ledger: Ledger) -> None:
    take(ledger, Node(rows=[device(), window()]).send())
    moved = Node(N2, [device(at_s=700), window(start_s=700), window(start_s=3)], OTHER)
    (outcome,) = take(ledger, moved.send(), at_s=800)
    assert (outcome.rows, outcome.refused) == (2, 1), "but not for the time when the first one told of it"
    (late,) = take(ledger, Node(rows=[window(start_s=2)], journal="3" * 32).send(), at_s=800)
    assert late.refused == 0, "a backlog of the first one is its own"


def test_a_claim_cannot_be_made_for_the_future(ledger: Ledger) -> None:
    take(ledger, Node(N2, [window(start_s=80_000)], OTHER).send())
    (outcome,) = take(ledger, Node(rows=[window(start_s=700)]).send(), at_s=700)
    assert outcome.refused == 0


def test_the_first_window_of_a_moment_stands(ledger: Ledger) -> None:
    take(ledger, Node(rows=[window(), window(energy_mj=1, start_s=1)]).send())
    take(ledger, Node(rows=[window(energy_mj=9)]).send())
    assert [row[4] for row in contents(ledger.connection)["usage_window"]] == [300_000, 1]


def test_a_layout_that_comes_in_two_batches_is_whole(ledger: Ledger) -> None:
    old = [instance(uuid="MIG-a"), instance(uuid="MIG-b")]
    new = [instance(uuid=uuid, at_s=60) for uuid in ("MIG-a", "MIG-b", "MIG-c")]
    node = Node(rows=[device(), *old, *new])
    take(ledger, node.send(1, 5))
    take(ledger, node.send(6, 6))
    layouts = [(row[1], row[2]) for row in contents(ledger.connection)["mig_report"] if row[1] > T0]
    assert [uuid for _, uuid in layouts] == ["MIG-a", "MIG-b", "MIG-c"]


@pytest.mark.parametrize(
    "row",
    [
        own_hook(at_ms=-T0),
        own_hook(at_ms=86_400_001),
        own_hook(job_id=-1),
        own_hook(gpus="0-4096,0-4096"),
        own_hook(gpus=",".join("0" * 2000)),
        own_hook(user="x" * 9000),
        own_hook()._replace(hook="other"),
        own_hook()._replace(digest=b""),
        window(end_ms=T0 + HOUR_MS + 1),
        window(end_ms=T0),
        window(energy_mj=1 << 60),
        window(energy_mj=-1),
        window(energy_source="guess"),
        window(device=""),
        device(memory_bytes=1 << 60),
        device(model="x" * 9000),
        instance()._replace(observed_at_ms=5),
        slot(index=1 << 40),
        process(first_s=5, last_s=4),
    ],
)
def test_what_no_hook_or_driver_writes_is_set_aside(ledger: Ledger, row: object) -> None:
    (outcome,) = take(ledger, Node(rows=[row]).send())
    assert outcome == Outcome(200, 1, rows=0, refused=1)
    assert not any(contents(ledger.connection).values())
    assert len(aside(ledger)) == 1


@pytest.mark.parametrize("at_ms", [5, T0 + 40 * 24 * HOUR_MS])
def test_what_stands_is_taken_as_of_now_where_the_clock_cannot_be_right(ledger: Ledger, at_ms: int) -> None:
    """A node says it once, when it starts, which can be before NTP has set its clock."""
    node = Node(rows=[device(observed_at_ms=at_ms), slot()._replace(observed_at_ms=at_ms)])
    for now in (T0, T0 + 1000):
        (outcome,) = take_batches(ledger, [node.send()], now)
        assert (outcome.status, outcome.refused) == (200, 0)
    assert ledger.connection.execute("SELECT observed_at_ms FROM device_report").fetchall() == [(T0,)]
    assert ledger.connection.execute("SELECT device, observed_at_ms FROM slot_report").fetchall() == [("GPU-n1-0", T0)]


def test_a_journal_s_tail_is_told_to_its_own_node_alone(ledger: Ledger) -> None:
    node = Node(rows=[own_hook()])
    take(ledger, node.send(said={"tail": "1:ab"}))
    assert (intake.tail(ledger.connection, N1, node.journal), intake.tail(ledger.connection, N2, node.journal)) == (
        "1:ab",
        "",
    )
    take(ledger, node.send(said={"tail": ["x"]}))
    assert intake.tail(ledger.connection, N1, node.journal) == ""


def test_no_node_can_fill_the_disk_with_what_nobody_can_use(ledger: Ledger) -> None:
    rows = [own_hook("n2", at_ms=number) for number in range(refusals.MOST_ROWS + 7)]
    (outcome,) = take(ledger, Node(rows=rows).send())
    assert (outcome.status, outcome.refused) == (200, 1007)
    assert len(aside(ledger)) == refusals.MOST_ROWS
    take(ledger, Node(N2, [own_hook("n1")], OTHER).send())
    assert len(aside(ledger)) == refusals.MOST_ROWS + 1, "others are not affected"
    counts = "SELECT kept, beyond FROM node_refusal ORDER BY node"
    assert ledger.connection.execute(counts).fetchall() == [(1000, 7), (1, 0)]


def test_no_node_can_keep_the_projection_busy_with_one_job(ledger: Ledger) -> None:
    node = Node(rows=[own_hook(at_ms=number) for number in range(250)])
    assert take(ledger, node.send(1, 150), node.send(151, 250))[1].refused == 50
    assert take(ledger, node.send())[0].refused == 50, "those that are in stay no matter how often they come"
    assert len(contents(ledger.connection)["hook_event"]) == 200
    other = Node(N2, [own_hook("n2", at_ms=number) for number in range(100)], OTHER)
    assert take(ledger, other.send())[0].refused == 0


def test_of_what_is_too_long_the_beginning_is_kept(ledger: Ledger) -> None:
    take(ledger, Node(rows=[unreadable(b"x" * 200_000)]).send())
    ((size, reason),) = ledger.connection.execute("SELECT length(content), reason FROM set_aside").fetchall()
    assert size == refusals.LONGEST and "200000 bytes" in reason


def test_what_a_node_says_of_itself_is_bounded(ledger: Ledger) -> None:
    said = {"driver": "d" * 9000, "unsent": 3, "more": "x" * 100_000, "spool": 1 << 80}
    take(ledger, Node(rows=[own_hook()]).send(said=said))
    (kept,) = ledger.connection.execute("SELECT said FROM node_journal").fetchone()
    assert json.loads(kept) == {"driver": "d" * 255, "unsent": 3}
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    take(ledger, Node(rows=[own_hook()]).send(said={"spool": 4, "deep": deep}))
    (kept,) = ledger.connection.execute("SELECT said FROM node_journal").fetchone()
    assert json.loads(kept) == {"spool": 4}, "whoever reads it later may be deeper in its own calls"


def test_nothing_is_in_where_the_disk_is_full(ledger: Ledger, whole: Node) -> None:
    take(ledger, whole.send(1, 2))
    pages = ledger.connection.execute("PRAGMA page_count").fetchone()[0]
    ledger.connection.execute(f"PRAGMA max_page_count = {pages}")
    many = Node(N2, [own_hook("n2", at_ms=number) for number in range(2000)], OTHER)
    with pytest.raises(LedgerError, match="nothing of this batch was kept"):
        take(ledger, whole.send(3, 8), many.send(), at_s=700)
    assert states(ledger) == {"1": ("taken", 2)}
    ledger.connection.execute("PRAGMA max_page_count = 100000")
    assert [outcome.status for outcome in take(ledger, whole.send(3, 8), many.send(), at_s=700)] == [200, 200]


@pytest.fixture
def snapshot(ledger: Ledger) -> Iterator[sqlite3.Connection]:
    copy = sqlite3.connect(":memory:")
    yield copy
    copy.close()


def test_a_collector_from_an_older_backup_gets_all_again(
    ledger: Ledger, whole: Node, snapshot: sqlite3.Connection
) -> None:
    take(ledger, whole.send(1, 3))
    ledger.connection.backup(snapshot)
    take(ledger, whole.send(4, 8))
    after = contents(ledger.connection)
    snapshot.backup(ledger.connection)
    start = held(ledger.connection, N1, whole.journal) + 1
    assert start == 4
    assert take(ledger, whole.send(start, 8))[0].held == 8
    assert contents(ledger.connection) == after


def test_the_default_of_silence_is_that_of_the_config(settings: Settings) -> None:
    assert settings.collector.silent_seconds == intake.SILENT_SECONDS


def test_journals_of_a_node_are_few_however_many_ids_it_makes_up(ledger: Ledger) -> None:
    """The one that is taken in goes on; what is forgotten of the others costs a node no more than sending again."""
    good = Node(N1, [own_hook()], "a" * 32)
    assert [one.status for one in take_batches(ledger, [good.send()], T0)] == [200]
    made_up = [Node(N1, [own_hook()], f"{number:032x}").send() for number in range(100)]
    assert {one.status for batch in made_up for one in take_batches(ledger, [batch], T0 + 1)} == {403}
    states = ledger.connection.execute("SELECT state, count(*) FROM node_journal GROUP BY 1 ORDER BY 1").fetchall()
    assert states == [("taken", 1), ("waiting", journals.MOST)]
    assert take_batches(ledger, [good.send()], T0 + 2)[0].status == 200
    assert take_batches(ledger, [Node(N2, [own_hook("n2")], "b" * 32).send()], T0 + 2)[0].status == 200
