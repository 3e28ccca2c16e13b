"""Rules over a whole ledger, against an oracle that goes through attempts second by second and knows no sums."""

from __future__ import annotations

import dataclasses
from collections import Counter
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.costing.policy import Rule, default_rules
from slurm_gpucost.costing.quantity import ATTEMPT, Rounding
from slurm_gpucost.domain.evidence import AccountingRow, NodeEvent, Poll
from slurm_gpucost.domain.units import OPEN_END_MS
from slurm_gpucost.ledger import asked, ingest
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.reports import add_node_events
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.quantities import Held, held
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.model import Billing, DeclaredOutage
from tests.unit.builders import T0, accounting, config, hook

ZERO, ONE = Fraction(0), Fraction(1)
NO_ROUNDING = Rounding()


def fill(
    site: Settings, rows: list[AccountingRow], events: Any = (), hooks: Any = (), looked_ms: int = T0 + 100_000_000
) -> Settings:
    with open_ledger(site.ledger) as ledger:
        with ledger.transaction() as db:
            ingest.add_accounting(db, rows)
            ingest.add_hooks(db, hooks)
            add_node_events(db, events)
            asked.add_poll(db, Poll("sacct", "c", looked_ms, None, None, len(rows), len(rows), 1, 1, ""))
        project_dirty(ledger, site.shards)
    return site


def with_rules(site: Settings, *rules: Rule, rounding: Rounding = NO_ROUNDING, outages: Any = ()) -> Settings:
    return dataclasses.replace(site, billing=Billing(rules or default_rules(), rounding, tuple(outages)))


def billed(site: Settings, start: int = -1000, end: int = 90_000) -> Any:
    """(Seconds of devices by user and rule as held, all that is billed) in a window of seconds after T0."""
    with open_queries(site) as queries:
        found = held(site, queries, T0 + start * 1000, T0 + end * 1000)
    times: Any = Counter()
    for one in found:
        times[one.row["user"], one.decision.rule.name] += one.device_ms / 1000
    return times, sum((_billed(one) for one in found), ZERO)


def _billed(one: Held) -> Fraction:
    return (one.device_ms * one.decision.factor + one.added_ms) / 1000


@pytest.mark.parametrize(
    ("state", "name", "part"),
    [
        ("COMPLETED", "held time", 1), ("FAILED", "held time", 1), ("TIMEOUT", "held time", 1),
        ("OUT_OF_MEMORY", "held time", 1), ("CANCELLED", "held time", 1), ("PREEMPTED", "held time", 1),
        ("NODE_FAIL", "node failure", 0), ("BOOT_FAIL", "node failure", 0), ("REVOKED", "never ran here", 0),
    ],
)  # fmt: skip
def test_states_are_billed_by_default_as_said(tmp_path: Path, state: str, name: str, part: int) -> None:
    site = fill(config(tmp_path), [accounting(0, 3600, state=state)])
    assert billed(site) == ({("ann", name): 7200}, 7200 * part)


def test_suspension_is_waived_where_it_was(tmp_path: Path) -> None:
    site = fill(config(tmp_path), [accounting(0, 3600, suspended=600)])
    assert billed(site) == ({("ann", "held time"): 6000, ("ann", "suspended"): 1200}, 6000)


def test_a_preempted_attempt_is_free_where_it_was_shorter_than_declared(tmp_path: Path) -> None:
    rows = [
        accounting(0, 599, job_id=1, state="PREEMPTED"),
        accounting(0, 600, job_id=2, state="PREEMPTED", user="bob"),
    ]
    site = fill(config(tmp_path), rows)
    times, total = billed(with_rules(site, *default_rules(600)))
    assert times == {("ann", "preempted early"): 1198, ("bob", "held time"): 1200}
    assert total == 1200


def test_a_declared_outage_is_waived_on_its_nodes_alone_and_in_its_time(tmp_path: Path) -> None:
    rows = [accounting(0, 3600, job_id=1), accounting(0, 3600, job_id=2, node_list="n2", user="bob")]
    site = fill(config(tmp_path), rows)
    out = DeclaredOutage(("n1", "n9"), T0 + 600_000, T0 + 900_000, "cooling")
    lasts = DeclaredOutage(("n1",), T0 + 3_000_000, OPEN_END_MS, "cooling")
    times, total = billed(with_rules(site, outages=(out, lasts)))
    assert times == {("ann", "held time"): 5400, ("ann", "declared outage"): 1800, ("bob", "held time"): 7200}
    assert total == 12_600
    assert billed(with_rules(site, outages=(out, lasts)), 700, 800)[0] == {
        ("ann", "declared outage"): 200,
        ("bob", "held time"): 200,
    }


def test_what_slurm_tells_of_a_node_counts_where_a_rule_asks_for_it(tmp_path: Path) -> None:
    event = NodeEvent("c", "n1", "event", T0 + 60_000, T0, T0 + 120_000, "drained", "DRAIN", "disk", "root")
    site = fill(config(tmp_path), [accounting(0, 3600)], [event])
    drained = Rule("drained", Fraction(1, 2), {"outage": ("drained",)})
    assert billed(with_rules(site, drained, Rule("rest", ONE))) == (
        {("ann", "drained"): 120, ("ann", "rest"): 7080},
        7140,
    )
    assert billed(site)[0] == {("ann", "held time"): 7200}


def test_runs_reservation_qos_partition_and_who_cancelled(tmp_path: Path) -> None:
    rows = [
        accounting(0, 100, job_id=1, state="NODE_FAIL"),
        accounting(110, 200, submit=100, job_id=1, state="REQUEUED"),
        accounting(210, 300, submit=200, job_id=1),
        accounting(0, 10, job_id=2, reservation="course"),
        accounting(0, 10, job_id=3, qos="scavenge"),
        accounting(0, 10, job_id=4, partition="debug"),
        accounting(0, 10, job_id=5, state="CANCELLED", cancelled_by=2001),
        accounting(0, 10, job_id=6, state="CANCELLED", cancelled_by=0),
        accounting(0, 10, job_id=7, state="CANCELLED", cancelled_by=0, user="a-user-nobody-knows"),
        accounting(0, 10, job_id=8),
        accounting(5_000, 5_010, submit=4_990, job_id=8),  # the same id again, long after: another job
    ]
    site = fill(config(tmp_path), rows, hooks=[hook("prolog", 10, job_id=9)])
    rules = [
        Rule("first", ONE, {"attempt": ("1",), "state": ("NODE_FAIL",)}),
        Rule("second", ONE, {"attempt": ("2",)}),
        Rule("later", ONE, {"attempt": ("3+",)}),
        Rule("reserved", ZERO, {"reservation": ("*",)}),
        Rule("scavenge", Fraction(1, 4), {"qos": ("scavenge",)}),
        Rule("debug", ONE, {"partition": ("debug",)}),
        Rule("own", ONE, {"cause": ("cancelled_by_user",)}),
        Rule("not own", ZERO, {"cause": ("cancelled_by_other",)}),
        Rule("rest", ONE),
    ]
    times, total = billed(with_rules(site, *rules))
    expected = {"first": 200, "second": 180, "later": 180, "reserved": 20, "scavenge": 20, "debug": 20, "own": 20}
    expected |= {"not own": 20, "rest": 40}
    assert times == {
        **{("ann", name): n for name, n in expected.items()},
        ("a-user-nobody-knows", "rest"): 20,
    }
    assert total == 200 + 180 + 180 + 5 + 20 + 20 + 40 + 20


ATTEMPTS = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 300), st.integers(0, 60), st.integers(1, 3),
        st.sampled_from(["COMPLETED", "PREEMPTED", "NODE_FAIL"]), st.sampled_from(["n1", "n2"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
OUTAGES = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200), st.sampled_from(["n1", "n2"])), max_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sites")


@settings(max_examples=100, deadline=None)
@given(
    ATTEMPTS, OUTAGES, st.integers(-10, 700), st.sampled_from([0, 50, 150]),
    st.sampled_from([None, (60, 0), (7, 30), (1, 100)]),
)  # fmt: skip
def test_any_attempts_outages_and_rounding_against_seconds(
    folder: Path, drawn: Any, out: Any, middle: int, free: int, step: tuple[int, int] | None
) -> None:
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    rows = [
        accounting(
            start, start + length, job_id=n, suspended=min(stopped, length), state=state, node_list=node,
            tres=f"gres/gpu:a100={gpus}", user=f"u{n}",
        )
        for n, (start, length, stopped, gpus, state, node) in enumerate(drawn, 1)
    ]  # fmt: skip
    rounding = Rounding(ATTEMPT, step[0] * 1000, step[1] * 1000) if step else NO_ROUNDING
    site = with_rules(
        fill(config(place), rows), *default_rules(free), rounding=rounding,
        outages=[DeclaredOutage((node,), T0 + at * 1000, T0 + (at + n) * 1000, "") for at, n, node in out],
    )  # fmt: skip
    wanted_time: Counter[tuple[str, str]] = Counter()
    wanted = 0
    for n, (start, length, stopped, gpus, state, node) in enumerate(drawn, 1):
        stopped = min(stopped, length)
        ran = length - stopped
        name = "node failure" if state == "NODE_FAIL" else "held time"
        name = "preempted early" if state == "PREEMPTED" and ran < free else name
        names = dict.fromkeys(range(start, start + length), name)
        for at, long, where in out if state != "NODE_FAIL" else ():
            names |= {s: "declared outage" for s in names if where == node and at <= s < at + long}
        names |= dict.fromkeys(range(start + ran, start + length), "suspended")  # what nobody saw lies at the end
        for one in names.values():
            wanted_time[f"u{n}", one] += gpus
        paid = sum(one == "held time" for one in names.values())
        wanted += gpus * paid
        if paid and step:
            wanted += gpus * (ceil(max(paid, step[1]) / step[0]) * step[0] - paid)
    times, total = billed(site)
    assert {key: time for key, time in times.items() if time} == wanted_time
    assert total == wanted
    before, first = billed(site, -1000, middle)
    after, second = billed(site, middle, 90_000)
    assert first + second == total, "a window cut in two bills the same"
    assert {key: time for key, time in (before + after).items() if time} == wanted_time


def test_an_invoice_shows_what_was_waived_at_nothing(tmp_path: Path) -> None:
    rows = [accounting(0, 3600, job_id=1), accounting(0, 1800, job_id=2, state="NODE_FAIL")]
    site = fill(config(tmp_path), rows)
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, _month(site))
    shown = [(x["item"], x["rule"], x["gpu_hours"], x["unit_price"] == "0", x["amount"]) for x in invoice["lines"]]
    assert [line[:4] for line in shown] == [
        ("usage", "held time (rule 6)", "2.000000", False),
        ("waived", "node failure (rule 4)", "1.000000", True),
    ]
    assert shown[1][4] == "0.00"
    assert invoice["total"] == shown[0][4]


def test_lines_are_rounded_where_the_site_says_so(tmp_path: Path) -> None:
    """NERC: 199.2 h in a month are billed as 200 h; the month's sum is rounded, not each job."""
    rows = [accounting(n * 4000, n * 4000 + 3600, job_id=n + 1, tres="gres/gpu:a100=8") for n in range(24)]
    rows.append(accounting(-20_000, -18_000, job_id=99, tres="gres/gpu:a100=13", elapsed=1994))  # 7.2005.. h
    site = with_rules(fill(config(tmp_path), rows), rounding=Rounding("line", 3_600_000))
    with open_queries(site) as queries:
        lines = [line for one in bill(site, queries, _month(site)) for line in one["lines"] if line["item"] == "usage"]
    assert [(line["gpu_hours"], line["held_gpu_hours"]) for line in lines] == [("200.000000", "199.200556")]


def _month(site: Settings) -> str:
    from slurm_gpucost.costing.periods import month_at

    return month_at(T0, site.timezone)
