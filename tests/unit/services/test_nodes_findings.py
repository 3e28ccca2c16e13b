"""What is said of nodes: what a person should look at, and no alarm where Slurm explains the silence."""

from __future__ import annotations

from typing import Any

import pytest

from slurm_gpucost.domain.evidence import NodeEvent, NodeReport
from slurm_gpucost.domain.readings import Reading
from slurm_gpucost.domain.windows import Windower
from slurm_gpucost.ledger import ingest, reports, tokens
from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services import findings
from slurm_gpucost.services.intake import take_batches
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.status import status
from slurm_gpucost.services.usage import usage
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, hook
from tests.unit.uplinked import N1, N2, Node, device, own_hook, slot, window

LATER = 3_600
"""An hour after T0, where the tests ask."""


@pytest.fixture(autouse=True)
def enrolled(ledger: Ledger) -> None:
    with ledger.transaction() as db:
        for who in (N1, N2):
            tokens.issue(db, who, who.node, T0, "root")


def alive(ledger: Ledger, who: Who = N1, at_s: int = LATER, journal: str = "", **other: Any) -> None:
    """An empty batch, a sign of life."""
    node = Node(who, [], journal or who.node[1] * 32)
    at_ms = T0 + at_s * 1000
    take_batches(ledger, [node.send(**{"sent_at_ms": at_ms, **other})], at_ms)


def told(settings: Settings, at_s: int = LATER) -> list[str]:
    with open_queries(settings) as queries:
        found: list[str] = status(settings, queries, T0 + at_s * 1000)["findings"]
    return found


def test_nodes_that_are_well_are_no_finding(settings: Settings, ledger: Ledger) -> None:
    for who in (N1, N2):
        alive(ledger, who, said={"driver": "ok", "unsent": 0, "spool": 0, "dropped_windows": 0})
    assert told(settings, LATER + 600) == []
    with open_queries(settings) as queries:
        rows = status(settings, queries, T0)["nodes"]
    assert [(row["node"], row["state"], row["driver"], row["unsent"]) for row in rows] == [
        ("n1", "taken", "ok", 0),
        ("n2", "taken", "ok", 0),
    ]
    assert rows[0]["last_heard"] == T0 // 1000 + LATER


def test_a_node_that_was_never_heard_is_listed_and_no_alarm(settings: Settings, ledger: Ledger) -> None:
    with open_queries(settings) as queries:
        rows = status(settings, queries, T0)["nodes"]
    assert [(row["state"], row["last_heard"], row["journal"]) for row in rows] == [("enrolled", None, None)] * 2
    assert told(settings) == []


def test_a_silent_node_is_an_alarm(settings: Settings, ledger: Ledger) -> None:
    alive(ledger, N1, LATER - 601)
    alive(ledger, N2)
    (finding,) = told(settings)
    assert "silent nodes" in finding and "n1 (since " in finding and "n2" not in finding


def test_where_none_is_heard_the_collector_is_named_once(settings: Settings, ledger: Ledger) -> None:
    for who in (N1, N2):
        alive(ledger, who, 0)
    (finding,) = told(settings)
    assert "no node has been heard since" in finding and "collector" in finding


@pytest.mark.parametrize("state", ["powered_down", "maintenance", "down"])
def test_a_node_that_slurm_knows_to_be_away_is_no_alarm(settings: Settings, ledger: Ledger, state: str) -> None:
    alive(ledger, N1, 0)
    alive(ledger, N2)
    event = NodeEvent("c", "n1", "event", T0 + 5_000, T0 + 6_000, None, state, "X", "", "")
    with ledger.transaction() as db:
        reports.add_node_events(db, [event])
    assert told(settings) == []
    with ledger.transaction() as db:  # slurmdbd says that it is over
        reports.add_node_events(db, [event._replace(observed_at_ms=T0 + 9_000, end_ms=T0 + 8_000)])
    assert len(told(settings)) == 1


def test_a_drained_node_is_to_be_heard_all_the_same(settings: Settings, ledger: Ledger) -> None:
    alive(ledger, N1, 0)
    alive(ledger, N2)
    with ledger.transaction() as db:
        reports.add_node_events(db, [NodeEvent("c", "n1", "event", T0, T0, None, "drained", "DRAIN", "", "")])
    assert len(told(settings)) == 1


def test_a_node_that_was_removed_is_no_alarm(settings: Settings, ledger: Ledger) -> None:
    alive(ledger, N1, 0)
    alive(ledger, N2)
    with ledger.transaction() as db:
        reports.add_nodes(db, [NodeReport("c", "n1", T0, "gpu:a100:8")])
    assert any("silent nodes" in line for line in told(settings))
    with ledger.transaction() as db:
        reports.add_nodes(db, [NodeReport("c", "n1", T0 + 1000, "")])
    assert not any("silent nodes" in line for line in told(settings))


def test_a_node_whose_token_was_taken_back_is_no_alarm(settings: Settings, ledger: Ledger) -> None:
    alive(ledger, N1, 0)
    alive(ledger, N2)
    with ledger.transaction() as db:
        tokens.revoke(db, N1, T0)
    assert told(settings) == []


def test_two_nodes_with_one_name(settings: Settings, ledger: Ledger) -> None:
    alive(ledger)
    alive(ledger, journal="a" * 32)
    (finding,) = told(settings)
    assert "a" * 32 in finding and "1" * 32 in finding and f"--accept {'a' * 32}" in finding


def test_a_retired_journal_is_silent_by_right(settings: Settings, ledger: Ledger) -> None:
    alive(ledger, at_s=0)
    alive(ledger, at_s=LATER, journal="a" * 32)
    assert told(settings) == []


def test_entries_that_were_lost(settings: Settings, ledger: Ledger) -> None:
    node = Node(N1, [own_hook(at_ms=n) for n in range(9)])
    take_batches(ledger, [node.send(5, 9, oldest=5)], T0 + LATER * 1000)
    assert any("lost on nodes" in line and "n1 (4)" in line for line in told(settings))


@pytest.mark.parametrize(
    ("off_ms", "said"), [(2_500, "2.5 s ahead"), (-3_600_000, "3600.0 s behind"), (2_000, ""), (-9_000, "")]
)
def test_clocks_that_are_off(settings: Settings, ledger: Ledger, off_ms: int, said: str) -> None:
    alive(ledger, sent_at_ms=T0 + LATER * 1000 + off_ms)
    assert [line.count(said) for line in told(settings)] == ([1] if said else [])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"driver": "hung since 2026-11-28T10:00:00Z"}, "n1: driver: hung since"),
        ({"driver": "no driver: x", "paused": True}, ""),
        ({"driver": "ok", "dropped_windows": 7}, "n1 (7)"),
        ({"driver": 5, "dropped_windows": "many", "unsent": -1, "spool": [], "paused": "no"}, ""),
    ],
)
def test_what_nodes_say_of_themselves(settings: Settings, ledger: Ledger, said: dict[str, Any], found: str) -> None:
    alive(ledger, said=said)
    assert [line.count(found) for line in told(settings)] == ([1] if found else [])
    alive(ledger, N2, 2 * LATER)
    later = [line for line in told(settings, 2 * LATER) if "silent nodes" not in line]
    assert later == [], "what it said long ago is none of now"


def test_a_device_that_two_nodes_tell_of(settings: Settings, ledger: Ledger) -> None:
    for who in (N1, N2):
        take_batches(
            ledger, [Node(who, [window(start_s=LATER)], who.node[1] * 32).send(sent_at_ms=T0 + LATER * 1000)],
            T0 + (LATER + 2) * 1000,
        )  # fmt: skip
    lines = told(settings, LATER + 2)
    assert any("GPU-n1-0 is told of by n1 of c and n2 of c" in line for line in lines)
    alive(ledger, at_s=LATER * 3)
    alive(ledger, N2, at_s=LATER * 3)
    assert not any("is told of by" in line for line in told(settings, LATER * 3)), "it was moved"


def test_many_nodes_make_one_line(settings: Settings, ledger: Ledger) -> None:
    for number in range(30):
        who = Who("c", f"m{number:02}")
        with ledger.transaction() as db:
            tokens.issue(db, who, f"m{number}", T0, "root")
        alive(ledger, who, 0, journal=f"{number:032x}")
    alive(ledger)
    (finding,) = told(settings)
    assert "m00" in finding and "and 22 more" in finding and len(finding) < 500


def test_the_time_of_a_silent_node_is_unobserved_and_never_idle(settings: Settings, ledger: Ledger) -> None:
    """A job of three hours on a device that was seen idle for 50 minutes, and then its node fell silent."""
    windower = Windower("GPU-n1-0")
    for second in range(0, 3_001, 10):
        samples = tuple((T0 + second * 1000 - ms, 0) for ms in range(9_000, -1, -1_000))
        windower.add(Reading("GPU-n1-0", T0 + second * 1000, second * 100_000, samples, samples, epoch="boot"))
    seen = windower.close(T0 + 3_000_000)
    rows = [device(), slot(), hook("prolog", 300, "0"), *seen]
    take_batches(ledger, [Node(N1, rows).send(sent_at_ms=T0 + 3_000_000)], T0 + 3_000_000)
    with ledger.transaction() as db:
        ingest.add_accounting(db, [accounting(0, 10_800, tres="gres/gpu:a100=1,gres/gpu=1")])
    bring_up_to_date(ledger, settings.shards)
    with open_queries(settings) as queries:
        (found,) = findings.idle(settings, queries, T0, T0 + 10_800_000)
        used = next(iter(usage(queries, T0, T0 + 10_800_000).devices["GPU-n1-0"].leases.values()))
    assert found["idle_seconds"] <= found["observed_seconds"] <= 3_000
    assert used.observed_ms <= 3_000_000 and used.sm_idle_ms <= used.sm_observed_ms
    (silent,) = [line for line in told(settings, 10_800) if "heard" in line]
    assert "idle" not in silent
