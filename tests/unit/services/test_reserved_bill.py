"""What reservations keep, from config and ledger to invoice and audit, with the inventory and without."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slurm_gpucost.costing.quantity import Rounding
from slurm_gpucost.domain.evidence import NodeCpus, NodeEvent, Poll, ReservationReport
from slurm_gpucost.ledger import asked
from slurm_gpucost.ledger.reports import add_node_cpus, add_reservations
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import recorded, showback
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.reserved import device_ms, reserved_time
from slurm_gpucost.services.reserving import unbilled
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, hook
from tests.unit.services import test_blocked_bill as blocked_bill
from tests.unit.services.test_blocked_bill import LOOKED, MONTH, audited, fill, job

PLACES = 'nodes = "n[1-2]"\ngpus_per_node = 4\n'
GPU = "cpu=1,mem=1G,gres/gpu=1,gres/gpu:a100=1,node=1"
GPU3 = "cpu=1,mem=1G,gres/gpu=3,gres/gpu:a100=3,node=1"
RULE = "course: held time"


def site(tmp_path: Path, more: str = "", keys: str = PLACES) -> Settings:
    """One SKU of 8 a100 on two nodes; reservations are billed."""
    blocked_bill.site(tmp_path, keys, more)
    path = tmp_path / "gpucost.toml"
    path.write_text(path.read_text().replace("bill_reservations = false", "bill_reservations = true"))
    return load(path)


def booked(start: int, end: int, **other: Any) -> ReservationReport:
    """A reservation of n1 for physics; start, end and seen are seconds after T0."""
    values: dict[str, Any] = {
        "cluster": "c", "id": 1, "start_ms": T0 + start * 1000, "observed_at_ms": T0 + other.pop("seen", LOOKED) * 1000,
        "end_ms": T0 + end * 1000, "name": "course", "accounts": '["physics"]', "associations": "4", "nodes": "n1",
        "tres": "cpu=16", "flags": "SPEC_NODES", "listed": 1, **other,
    }  # fmt: skip
    return ReservationReport(**values)


def reserve(site: Settings, *said: ReservationReport, looked: int = LOOKED, cpus: int | None = 16) -> Settings:
    """Into the ledger; each node has so many CPUs."""
    with open_ledger(site.ledger) as ledger, ledger.transaction() as db:
        add_reservations(db, said)
        if cpus:
            add_node_cpus(db, [NodeCpus("c", node, T0 + LOOKED * 1000, cpus) for node in ("n1", "n2", "cpu1")])
        asked.add_poll(db, Poll("reservations", "c", T0 + looked * 1000, None, None, 1, 1, 1, 1, ""))
    return site


def times(site: Settings, start: int = 0, end: int = LOOKED) -> dict[tuple[str, str], Fraction]:
    """GPU-seconds that were kept, by account and rule, in a window of seconds after T0."""
    with open_queries(site) as queries:
        window = T0 + start * 1000, T0 + end * 1000
        found = reserved_time(site, queries, site.pools[0], *window)
        by_sku = device_ms(site, queries, site.pools[0], *window)
    assert sum(by_sku.values()) == sum(one.held.device_ms for one in found)
    assert {one.held.row["user"] for one in found} <= {""}
    return {(one.held.row["account"], one.held.decision.rule.name): one.held.device_ms / 1000 for one in found}


def lines(site: Settings) -> list[tuple[str, dict[str, Any]]]:
    with open_queries(site) as queries:
        return [(one["account"], line) for one in bill(site, queries, MONTH) for line in one["lines"]]


def why(site: Settings) -> list[tuple[str, str]]:
    with open_queries(site) as queries:
        return [(row["name"], row["why"]) for row in unbilled(site, queries, T0, T0 + LOOKED * 1000)]


@pytest.mark.parametrize("nodes", ["", "gpu:a100:4"])
def test_the_account_pays_for_what_its_reservation_keeps_and_nobody_holds(tmp_path: Path, nodes: str) -> None:
    rows = [
        job(100, 300, 1, GPU3, account="physics", reservation="course"),
        job(200, 400, 2, GPU, account="biology", user="bob"),  # beside it: IGNORE_JOBS or FLEX
        job(100, 300, 3, GPU, account="biology", user="bob", node_list="n2"),  # elsewhere
    ]
    made = reserve(fill(site(tmp_path, keys=PLACES if not nodes else ""), rows, nodes), booked(0, 500))
    expected = {("physics", RULE): Fraction(100 * 4 + 100 * 1 + 100 * 0 + 100 * 3 + 100 * 4)}
    assert times(made) == expected
    halves = [times(made, 0, 177), times(made, 177, 333), times(made, 333, LOOKED)]
    assert sum(half["physics", RULE] for half in halves) == expected["physics", RULE], "however it is cut"
    (kept,) = [(account, line) for account, line in lines(made) if line["item"] == "reserved"]
    assert kept[0] == "physics"
    assert (kept[1]["user"], kept[1]["rule"]) == ("", "course: held time (rule 6)")
    assert round(Fraction(kept[1]["gpu_hours"]) * 3600) == 1200
    assert len({line["unit_price"] for _, line in lines(made)}) == 1, "at the price of a GPU-hour"
    assert audited(made)["differences"] == []
    assert why(made) == []


@pytest.mark.parametrize("nodes", ["", "gpu:a100:4"])
def test_reserved_time_is_attributed_and_not_idle(tmp_path: Path, nodes: str) -> None:
    made = fill(site(tmp_path), [job(0, 10, 1, GPU)], nodes, at=-1)
    (without,) = audited(made)["pools"]
    (with_it,) = audited(reserve(made, booked(0, 36_000)))["pools"]
    gained = Fraction(with_it["attributed"]) - Fraction(without["attributed"])
    assert abs(gained + Fraction(with_it["idle"]) - Fraction(without["idle"])) <= Fraction(1, 1_000_000)
    assert with_it["cost"] == without["cost"]
    own = Fraction(without["attributed"]) / 10  # what a GPU-second costs
    assert abs(gained - own * (36_000 * 4 - 10)) < Fraction(1, 10)


def lose(invoices: list[dict[str, Any]]) -> None:
    for one in invoices:
        lost = [line for line in one["lines"] if line["item"] == "reserved"]
        one["lines"] = [line for line in one["lines"] if line not in lost]
        one["total"] = one["net_total"] = str(Decimal(one["total"]) - sum(Decimal(line["amount"]) for line in lost))


def double(invoices: list[dict[str, Any]]) -> None:
    for one in invoices:
        for line in one["lines"]:
            if line["item"] == "reserved":
                more = Decimal(line["amount"])
                line["amount"] = str(2 * more)
                one["total"] = one["net_total"] = str(Decimal(one["total"]) + more)


def test_a_line_that_is_gone_or_changed_is_missed(tmp_path: Path) -> None:
    made = reserve(fill(site(tmp_path), [], "gpu:a100:4"), booked(0, 36_000))
    assert audited(made)["differences"] == []
    assert {one["what"] for one in audited(made, lose)["differences"]} == {"charge"}
    assert {one["what"] for one in audited(made, double)["differences"]} == {"line"}


def test_what_is_out_of_use_is_not_billed(tmp_path: Path) -> None:
    drained = NodeEvent("c", "n1", "event", T0 + 50_000, T0, T0 + 80_000, "drained", "DRAIN", "disk", "root")
    made = reserve(fill(site(tmp_path), [], "gpu:a100:4", [drained]), booked(0, 100))
    assert times(made) == {("physics", RULE): 70 * 4}
    assert audited(made)["differences"] == []


def test_blocked_gpus_come_before_reserved_ones(tmp_path: Path) -> None:
    keys = PLACES + "blocked_cpus_per_gpu = 12\n"
    rows = [
        job(0, 50, 1, "cpu=24,mem=1G,node=1", reservation="course"),  # blocks two, as its own
        job(50, 100, 2, "cpu=36,mem=1G,node=1", user="bob"),  # blocks three, as another's
        job(1, 50, 3, "cpu=12,mem=1G,node=1", user="bob", node_list="n2"),
    ]
    reports = [booked(0, 100, nodes="n[1-2]", tres="cpu=32,gres/gpu=4")]
    made = reserve(fill(site(tmp_path, keys=keys), rows, "gpu:a100:4"), *reports)
    # Two on each node: its own blocks both of n1; then of n1 one is left, of n2 two always are.
    assert times(made) == {("physics", RULE): 50 * 2 + 50 * (1 + 2)}
    assert sum(round(Fraction(one["gpu_hours"]) * 3600) for _, one in lines(made) if one["item"] == "blocked") == 299
    assert audited(made)["differences"] == []


def test_one_of_no_known_payer_is_billed_to_nobody_and_listed(tmp_path: Path) -> None:
    more = '[[reservations]]\nname = "lab-*"\naccount = "biology"\n'
    reports = [
        booked(0, 100, id=1, name="two", accounts='["biology", "physics"]'),
        booked(0, 100, id=2, name="none", accounts="[]"),
        booked(0, 100, id=3, name="admin", accounts='["root"]'),
        booked(0, 100, id=4, name="left", accounts='[""]'),
        booked(0, 100, id=5, name="", accounts='["physics"]'),
        booked(0, 100, id=6, name="service", flags="MAINT,IGNORE_JOBS", accounts='["physics"]'),
        booked(0, 100, id=7, name="cores", tres="cpu=8"),
        booked(0, 100, id=8, name="no gpus", nodes="cpu1", accounts="[]"),
        booked(0, 100, id=9, name="odd", nodes="n[1-"),
        booked(0, 100, id=11, name="shards", tres="cpu=16,gres/shard=4"),
        booked(0, 100, id=10, name="licences", nodes="", tres="", accounts="[]", flags="ANY_NODES"),
    ]
    made = reserve(fill(site(tmp_path, more), [], "gpu:a100:4"), *reports)
    assert times(made) == {}
    assert lines(made) == []
    told = dict(why(made))
    assert sorted(told) == ["", "admin", "cores", "left", "none", "odd", "shards", "two"]
    assert "several accounts" in told["two"] and "[[reservations]]" in told["two"]
    assert "no account" in told["none"]
    assert "root" in told["admin"]
    assert "cores only; `whole_nodes = true`" in told["cores"]
    both = reserve(made, booked(0, 100, id=20, name="lab-7", accounts="[]"))
    assert times(both) == {("biology", "lab-7: held time"): 400}
    assert audited(both)["differences"] == []


def test_the_config_goes_before_slurm(tmp_path: Path) -> None:
    more = (
        '[[reservations]]\nname = "cores"\naccount = "biology"\nwhole_nodes = true\n'
        '[[reservations]]\nname = "few"\naccount = "biology"\nwhole_nodes = false\n'
        '[[reservations]]\nname = "[ab]*"\naccount = "math"\n'
    )
    reports = [
        booked(0, 10, id=1, name="cores", tres="cpu=2"),
        booked(10, 20, id=2, name="few"),  # whole nodes for Slurm, and no GPU by number
        booked(20, 30, id=3, name="few", tres="cpu=16,gres/gpu:a100=1"),
        booked(30, 40, id=4, name="art", tres="cpu=16,gres/gpu:a100=2,gres/gpu=2"),
        booked(40, 50, id=5, name="course", nodes="n[1-2]", tres="cpu=32"),
        booked(50, 60, id=6, name="course", nodes="n[1-2]", tres="cpu=31"),
    ]
    made = reserve(fill(site(tmp_path, more), [], "gpu:a100:4"), *reports)
    assert times(made) == {
        ("biology", "cores: held time"): 40, ("biology", "few: held time"): 10, ("math", "art: held time"): 20,
        ("physics", RULE): 80,
    }  # fmt: skip
    assert [name for name, _ in why(made)] == ["course"], "31 of 32 CPUs"


def test_a_node_with_gpus_of_two_kinds_is_billed_to_nobody_and_listed(tmp_path: Path) -> None:
    more = "[pools.main.skus.h100]\ndevices = 4\npurchase_price = 1\npurchase_date = 2026-01-01\n"
    reports = booked(0, 100), booked(0, 100, id=2, name="cpus", nodes="cpu1")
    made = reserve(fill(site(tmp_path, more), [], "gpu:a100:2,gpu:h100:2"), *reports)
    assert times(made) == {}
    assert why(made) == [("course", "its nodes have GPUs of several SKUs, or of none")]
    assert audited(made)["differences"] == []


def test_without_a_word_on_cpus_nobody_knows_whether_it_is_whole(tmp_path: Path) -> None:
    made = reserve(fill(site(tmp_path), [], "gpu:a100:4"), booked(0, 100), cpus=None)
    assert times(made) == {}
    assert [text[:29] for _, text in why(made)] == ["nobody says how many CPUs its"]


def test_what_lasts_counts_until_both_were_last_asked(tmp_path: Path) -> None:
    made = fill(site(tmp_path), [], "gpu:a100:4")  # the accounting was asked at LOOKED
    reserve(made, booked(0, 10 * LOOKED, seen=100), looked=100)
    assert times(made, end=2 * LOOKED) == {("physics", RULE): 400}, "no look since"
    reserve(made, looked=1000)
    assert times(made, end=2 * LOOKED) == {("physics", RULE): 4000}
    reserve(made, looked=2 * LOOKED)
    assert times(made, end=2 * LOOKED) == {("physics", RULE): 4 * LOOKED}, "and not beyond the accounting"
    assert audited(made)["differences"] == []
    reserve(made, booked(0, 500, seen=2 * LOOKED), looked=3 * LOOKED)
    assert times(made) == {("physics", RULE): 2000}, "the latest word counts"


def test_the_rules_decide_and_know_the_state(tmp_path: Path) -> None:
    rules = (
        '[[rules]]\nname = "out"\nfactor = 0\noutage = "declared"\n'
        '[[rules]]\nname = "course"\nfactor = 0\nstate = "RESERVED"\nreservation = "free-*"\n'
        '[[rules]]\nname = "free"\nfactor = 0\nstate = "RESERVED"\nreservation = "open"\n'
        '[[rules]]\nname = "half"\nfactor = "0.5"\nstate = "RESERVED"\naccount_class = "industry"\n'
        '[[rules]]\nname = "short"\nfactor = 0\nstate = "RESERVED"\nshorter_than_seconds = 60\n'
        '[[rules]]\nname = "rest"\nfactor = 1\n'
        '[[outages]]\nnodes = "n2"\nfrom = 2026-09-21T14:13:20Z\nuntil = 2026-09-21T14:14:00Z\n'
        '[classes.industry]\n[[accounts]]\nname = "firm"\nclass = "industry"\n'
    )
    reports = [
        booked(0, 100, id=1, nodes="n2"),  # 40 s of it in the outage
        booked(0, 100, id=2, name="open"),
        booked(100, 200, id=3, accounts='["firm"]'),
        booked(200, 259, id=4),
        booked(300, 360, id=5),
    ]
    made = reserve(fill(site(tmp_path, rules), [job(0, 100, 1, GPU)], "gpu:a100:4"), *reports)
    assert times(made) == {
        ("physics", "course: out"): 160, ("physics", "course: rest"): 240 + 240, ("physics", "open: free"): 300,
        ("firm", "course: half"): 400, ("physics", "course: short"): 236,
    }  # fmt: skip
    of_firm = [(line["item"], round(Fraction(line["gpu_hours"]) * 3600)) for who, line in lines(made) if who == "firm"]
    assert of_firm == [("reserved", 200), ("waived", 200)]
    assert audited(made)["differences"] == []


def test_allotments_and_rounding_leave_it_alone(tmp_path: Path) -> None:
    more = '[[free]]\nname = "start-up"\ngpu_hours = 1000\n'
    made = reserve(fill(site(tmp_path, more), [job(0, 3600, 1, GPU, account="physics")], "gpu:a100:4"), booked(0, 100))
    for per in ("attempt", "line"):
        rounds = dataclasses.replace(made.billing, rounding=Rounding(per, 3_600_000))
        found = dataclasses.replace(made, billing=rounds)
        assert [(line["item"], line["gpu_hours"]) for _, line in lines(found)] == [
            ("reserved", "0.083333"), ("usage", "1.000000"), ("free", "-1.000000"),
        ]  # fmt: skip
        assert audited(found)["differences"] == []


def test_showback_gives_the_account_its_part(tmp_path: Path) -> None:
    made = reserve(fill(site(tmp_path), [job(0, 3600, 1, GPU)], ""), booked(0, 3600))
    with open_queries(made) as queries:
        pool = made.pools[0]
        (row,) = showback.showback(made, queries, "2026-08", T0)
        assert row["holders"] == []
        assert device_ms(made, queries, pool, T0, T0 + 3_600_000) == {"a100": Fraction(3 * 3_600_000)}


def test_who_pays_is_noted_in_the_log_when_it_changes(tmp_path: Path) -> None:
    made = fill(site(tmp_path, '[[reservations]]\nname = "lab-*"\naccount = "bio"\nwhole_nodes = true\n'), [])
    off = dataclasses.replace(made, billing=dataclasses.replace(made.billing, bill_reservations=False))
    with open_ledger(made.ledger) as ledger, ledger.transaction() as db:
        who = Identity("ann", 2001, "head", "")
        recorded.record(db, off, who, "", T0)
        found = recorded.record(db, made, who, "", T0)
    assert {(one["key"], one["before"], one["now"]) for one in found} == {
        ("billing.bill_reservations", None, "true"),
        ("reservations.1", None, "lab-*: account bio, whole_nodes true"),
    }


def test_where_reservations_are_not_billed_nothing_is_asked(tmp_path: Path) -> None:
    made = reserve(fill(site(tmp_path), [], "gpu:a100:4"), booked(0, 100))
    off = dataclasses.replace(made, billing=dataclasses.replace(made.billing, bill_reservations=False))
    assert reserved_time(off, None, off.pools[0], 0, 10**15) == []  # type: ignore[arg-type]
    assert device_ms(off, None, off.pools[0], 0, 10**15) == {}  # type: ignore[arg-type]
    assert unbilled(off, None, 0, 10**15) == []  # type: ignore[arg-type]
    assert lines(off) == []
    assert lines(made) != []


SPANS = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(1, 50), st.integers(0, 4), st.sampled_from(["n1", "n2"]),
        st.sampled_from(["", "r0", "r1"]),
    ),
    max_size=5,
)  # fmt: skip
BOOKED = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(1, 50), st.sampled_from(["n1", "n2", "n[1-2]"]),
        st.sampled_from(["whole", "cpu=16,gres/gpu=1", "cpu=16,gres/gpu=6"]),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(SPANS, BOOKED, st.booleans(), st.integers(0, 100))
@hypothesis_settings(max_examples=40, deadline=None)
def test_second_by_second_no_more_is_kept_than_is_left(held: Any, claims: Any, known: bool, cut: int) -> None:
    """Oracle: GPU-seconds of each second by itself, from the lists that were drawn."""
    held = [(2 * start, *rest) for start, *rest in held]
    claims = [(2 * start + 1, *rest) for start, *rest in claims]  # no job starts with a reservation
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            job(start, start + length, n, GPU.replace("=1,node", f"={gpus},node").replace("gpu=1", f"gpu={gpus}"),
                node_list=node, reservation=name, user=f"u{n}")
            for n, (start, length, gpus, node, name) in enumerate(held, 1)
        ]  # fmt: skip
        reports = [
            booked(start, start + length, id=n, name=f"r{n}", nodes=nodes, accounts=f'["a{n}"]',
                   tres=f"cpu={32 if '[' in nodes else 16}" if tres == "whole" else tres)
            for n, (start, length, nodes, tres) in enumerate(claims)
        ]  # fmt: skip
        made = reserve(fill(site(Path(folder)), rows, "gpu:a100:4" if known else ""), *reports)
        found, parts, answer = times(made), [times(made, 0, cut), times(made, cut, LOOKED)], audited(made)
    expected: dict[tuple[str, str], Fraction] = {}
    for second in range(152):
        now = [(gpus, node, name) for start, length, gpus, node, name in held if start <= second < start + length]
        free = {n: 4 - sum(gpus for gpus, node, _ in now if node == n) for n in ("n1", "n2")}
        order = sorted(range(len(claims)), key=lambda n: (claims[n][0], n))
        for n in order:
            start, length, nodes, tres = claims[n]
            if not start <= second < start + length:
                continue
            those = ["n1", "n2"] if "[" in nodes else [nodes]
            number = 4 * len(those) if tres == "whole" else int(tres[-1])
            used = {x: sum(gpus for gpus, node, name in now if (node, name) == (x, f"r{n}")) for x in those}
            still = Fraction(number - sum(used.values())) if tres != "whole" else Fraction(99)
            for x in those:
                keeps = max(Fraction(0), min(Fraction(number, len(those)) - used[x], Fraction(free[x]), still))
                free[x] -= keeps
                still -= keeps
                if keeps:
                    key = (f"a{n}", f"r{n}: held time")
                    expected[key] = expected.get(key, Fraction(0)) + keeps
    assert found == expected
    for key, time in expected.items():
        assert sum(part.get(key, Fraction(0)) for part in parts) == time
    assert answer["differences"] == []


def test_accounts_as_json_and_a_hostlist_in_the_ledger_survive(tmp_path: Path) -> None:
    made = reserve(fill(site(tmp_path), []), booked(0, 100, name="a | b\n'", accounts=json.dumps(["Übung"])))
    assert times(made) == {("Übung", "a | b\n': held time"): 400}


def test_a_job_that_starts_with_its_reservation_is_its_own_though_sacct_does_not_say_so(tmp_path: Path) -> None:
    rows = [job(0, 50, 1, GPU), job(1, 50, 2, GPU, user="bob")]
    made = reserve(fill(site(tmp_path), rows, "gpu:a100:4"), booked(0, 100, tres="cpu=16,gres/gpu=2"))
    assert times(made) == {("physics", RULE): 50 * 1 + 50 * 2}


def test_a_gpu_that_two_take_turns_on_is_one_that_is_used(tmp_path: Path) -> None:
    rows = [job(1, 201, 1, GPU, suspended=100), job(101, 201, 2, GPU, user="bob")]
    hooks = [hook("prolog", 1500, "0", job_id=1), hook("prolog", 101_500, "0", job_id=2, user="bob")]
    made = reserve(fill(site(tmp_path), rows, "gpu:a100:4", hooks=hooks), booked(101, 201))
    assert times(made) == {("physics", RULE): 300}
    assert audited(made)["differences"] == []
