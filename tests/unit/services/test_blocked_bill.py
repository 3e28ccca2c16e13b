"""Blocked GPUs from config and ledger to invoice and audit, with the inventory and without."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slurm_gpucost.costing.quantity import Rounding
from slurm_gpucost.domain.evidence import AccountingRow, NodeEvent, NodeReport, Poll
from slurm_gpucost.ledger import asked, ingest, projector
from slurm_gpucost.ledger.projector import project_dirty
from slurm_gpucost.ledger.reports import add_node_events, add_nodes
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import recorded
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.blocked import blocked_time
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings, load
from slurm_gpucost.sources.identity import Identity
from tests.unit.builders import T0, accounting, config, hook

MONTH = "2026-09"
NODES = 'blocked_cpus_per_gpu = 12\nblocked_gib_per_gpu = 100\nnodes = "n[1-2]"\ngpus_per_node = 4\n'
LOOKED = 50_000
"""Seconds after T0 when the accounting was last asked."""


def site(tmp_path: Path, keys: str = NODES, more: str = "") -> Settings:
    """One SKU of 8 a100; ``keys`` are what the SKU says of blocking."""
    config(tmp_path)
    path = tmp_path / "gpucost.toml"
    lines = path.read_text().splitlines()
    own = {line.partition(" =")[0] for line in keys.splitlines()}
    kept = [line for line in lines if line.partition(" =")[0] not in own]
    path.write_text("\n".join([*kept, keys, more]))
    return load(path)


def fill(
    site: Settings,
    rows: Iterable[AccountingRow],
    nodes: str = "",
    events: Any = (),
    hooks: Any = (),
    at: int = -900_000,
) -> Settings:
    """A ledger; ``nodes``: what the controller told of n1 and n2, ``at`` seconds after T0."""
    with open_ledger(site.ledger) as ledger:
        with ledger.transaction() as db:
            if nodes:
                add_nodes(db, [NodeReport("c", name, T0 + at * 1000, nodes) for name in ("n1", "n2")])
            ingest.add_accounting(db, [row._replace(observed_at_ms=T0 + LOOKED * 1000) for row in rows])
            ingest.add_hooks(db, hooks)
            add_node_events(db, events)
            asked.add_poll(db, Poll("sacct", "c", T0 + LOOKED * 1000, None, None, 1, 1, 1, 1, ""))
        project_dirty(ledger, site.shards)
        while projector.project_nodes(ledger.connection):
            pass
    return site


def job(start: int, end: int | None, job_id: int, tres: str, **other: Any) -> AccountingRow:
    return accounting(start, end, job_id=job_id, tres=tres, **other)


def times(site: Settings, start: int = 0, end: int = LOOKED) -> dict[tuple[str, str], Fraction]:
    """GPU-seconds that were blocked, by user and rule, in a window of seconds after T0."""
    with open_queries(site) as queries:
        found = blocked_time(site, queries, site.pools[0], T0 + start * 1000, T0 + end * 1000)
    assert {one.sku for one in found} <= {"a100"}
    return {(one.held.row["user"], one.held.decision.rule.name): one.held.device_ms / 1000 for one in found}


def audited(site: Settings, change: Any = None) -> dict[str, Any]:
    with open_queries(site) as queries:
        invoices = json.loads(json.dumps(bill(site, queries, MONTH)))
        if change:
            change(invoices)
        return audit(site, queries, MONTH, T0 + LOOKED * 1000, invoices)


@pytest.mark.parametrize("nodes", ["", "gpu:a100:4"])
def test_a_job_pays_for_the_gpus_that_nobody_can_use_for_its_cpus(tmp_path: Path, nodes: str) -> None:
    keys = NODES if not nodes else "blocked_cpus_per_gpu = 12\nblocked_gib_per_gpu = 100\n"
    rows = [
        job(0, 100, 1, "cpu=24,mem=1G,node=1"),  # 2 of n1
        job(100, 200, 2, "cpu=1,mem=300G,node=1", user="bob"),  # 3 of n1, by memory
        job(0, 100, 3, "cpu=48,mem=8G,node=2", user="cy", node_list="n[1-2]"),  # 2 of each
        job(200, 300, 4, "cpu=30,mem=8G,gres/gpu=1,gres/gpu:a100=1,node=1", user="dee"),  # 1.5 beside its own
        job(0, 300, 5, "cpu=64,mem=1T,node=1", user="eve", node_list="cpu7"),  # no GPUs there
    ]
    made = fill(site(tmp_path, keys), rows, nodes)
    rule = "held time"
    expected = {("ann", rule): 200, ("bob", rule): 300, ("cy", rule): 400, ("dee", rule): 150}
    assert times(made) == expected
    halves = [times(made, 0, 77), times(made, 77, LOOKED)]
    assert {key: sum(half.get(key, 0) for half in halves) for key in expected} == expected, "however it is cut"
    answer = audited(made)
    assert answer["differences"] == []
    with open_queries(made) as queries:
        lines = [line for one in bill(made, queries, MONTH) for line in one["lines"]]
    assert {(line["user"], line["item"]): round(Fraction(line["gpu_hours"]) * 3600) for line in lines} == {
        ("ann", "blocked"): 200, ("bob", "blocked"): 300, ("cy", "blocked"): 400, ("dee", "blocked"): 150,
        ("dee", "usage"): 100,
    }  # fmt: skip
    assert len({line["unit_price"] for line in lines}) == 1, "at the price of a GPU-hour"


@pytest.mark.parametrize("nodes", ["", "gpu:a100:4"])
def test_blocked_time_is_attributed_and_not_idle(tmp_path: Path, nodes: str) -> None:
    rows = [job(0, 36_000, 1, "cpu=24,mem=1G,node=1"), job(0, 10, 2, "cpu=1,gres/gpu:a100=1,gres/gpu=1,node=1")]
    made = fill(site(tmp_path), rows, nodes, at=-1)
    (with_it,) = audited(made)["pools"]
    (without,) = audited(load(bare(tmp_path)))["pools"]
    gained = Fraction(with_it["attributed"]) - Fraction(without["attributed"])
    assert gained > 0
    assert abs(gained + Fraction(with_it["idle"]) - Fraction(without["idle"])) <= Fraction(1, 1_000_000)
    assert with_it["cost"] == without["cost"]
    own = Fraction(without["attributed"]) / 10  # what a GPU-second costs
    assert abs(gained - own * 72_000) < Fraction(1, 10)


def bare(tmp_path: Path) -> Path:
    """The same config without blocking."""
    path = tmp_path / "bare.toml"
    path.write_text(
        "\n".join(
            line for line in (tmp_path / "gpucost.toml").read_text().splitlines() if not line.startswith("blocked_")
        )
    )
    return path


def lose_what_was_blocked(invoices: list[dict[str, Any]]) -> None:
    for one in invoices:
        lost = [line for line in one["lines"] if line["item"] == "blocked"]
        one["lines"] = [line for line in one["lines"] if line not in lost]
        one["total"] = one["net_total"] = str(Decimal(one["total"]) - sum(Decimal(line["amount"]) for line in lost))


def test_a_blocked_line_that_is_gone_is_missed(tmp_path: Path) -> None:
    made = fill(site(tmp_path), [job(0, 36_000, 1, "cpu=24,mem=1G,node=1")], "gpu:a100:4")
    assert audited(made)["differences"] == []
    assert {one["what"] for one in audited(made, lose_what_was_blocked)["differences"]} == {"charge"}


@pytest.mark.parametrize("nodes", ["", "gpu:a100:4"])
def test_what_others_hold_is_not_blocked(tmp_path: Path, nodes: str) -> None:
    whole = "cpu=48,mem=8G,node=1"
    rows = [
        job(0, 100, 1, whole),
        job(50, 100, 2, "cpu=1,mem=1G,gres/gpu=3,gres/gpu:a100=3,node=1", user="bob"),
        job(0, 20, 3, whole, user="cy"),  # ann and cy share n1's four while both want all
    ]
    hooks = [hook("prolog", 80_000, "0", job_id=99, user="ghost")]  # hooks alone know it, and it holds the fourth
    made = fill(site(tmp_path), rows, nodes, hooks=hooks if nodes else ())
    last = 0 if nodes else 20  # 80 to 100 s
    assert times(made) == {("ann", "held time"): 20 * 2 + 30 * 4 + 30 * 1 + last, ("cy", "held time"): 40}
    assert audited(made)["differences"] == []


def test_what_is_out_of_use_is_not_blocked(tmp_path: Path) -> None:
    drained = NodeEvent("c", "n1", "event", T0 + 50_000, T0, T0 + 80_000, "drained", "DRAIN", "disk", "root")
    made = fill(site(tmp_path), [job(0, 100, 1, "cpu=48,mem=1G,node=1")], "gpu:a100:4", [drained])
    assert times(made) == {("ann", "held time"): 70 * 4}
    assert audited(made)["differences"] == []


def test_a_gpu_that_two_take_turns_on_is_one_that_cannot_be_blocked(tmp_path: Path) -> None:
    gpu = "cpu=1,mem=1G,gres/gpu=1,gres/gpu:a100=1,node=1"
    rows = [
        job(0, 200, 1, gpu, suspended=100),
        job(100, 200, 2, gpu, user="bob"),
        job(100, 200, 3, "cpu=48,mem=1G,node=1", user="cy"),
    ]
    hooks = [hook("prolog", 500, "0", job_id=1), hook("prolog", 100_500, "0", job_id=2, user="bob")]
    made = fill(site(tmp_path), rows, "gpu:a100:4", hooks=hooks)
    assert times(made) == {("cy", "held time"): 300}
    assert audited(made)["differences"] == []


def test_what_blocks_is_noted_in_the_log_when_it_changes(tmp_path: Path) -> None:
    made = fill(site(tmp_path), [])
    with open_ledger(made.ledger) as ledger, ledger.transaction() as db:
        who = Identity("ann", 2001, "head", "")
        recorded.record(db, load(bare(tmp_path)), who, "", T0)
        found = recorded.record(db, made, who, "", T0)
    assert {(one["key"], one["now"]) for one in found} == {
        ("pools.main.skus.a100.blocked_cpus_per_gpu", "12"),
        ("pools.main.skus.a100.blocked_gib_per_gpu", "100"),
    }


def test_the_inventory_goes_before_the_config_from_when_on_it_is_known(tmp_path: Path) -> None:
    made = fill(site(tmp_path), [job(0, 100, 1, "cpu=48,mem=1G,node=1")], "gpu:a100:2", at=60)
    assert times(made) == {("ann", "held time"): 60 * 4 + 40 * 2}
    assert audited(made)["differences"] == []


def test_what_runs_blocks_until_the_accounting_was_last_asked(tmp_path: Path) -> None:
    made = fill(site(tmp_path), [job(LOOKED - 10, None, 1, "cpu=48,mem=1G,node=1")], "gpu:a100:4")
    assert times(made, end=2 * LOOKED) == {("ann", "held time"): 40}
    assert audited(made)["differences"] == []


def test_a_suspended_attempt_keeps_its_memory_and_what_that_blocks_is_waived(tmp_path: Path) -> None:
    # 48 CPUs would block 4; suspended for its last 30 s it keeps 100 GiB: 1. With a GPU held, only 0 beside it.
    rows = [
        job(0, 100, 1, "cpu=48,mem=100G,node=1", suspended=30),
        job(0, 100, 2, "cpu=48,mem=100G,gres/gpu=1,gres/gpu:a100=1,node=1", user="bob", node_list="n2", suspended=30),
    ]
    made = fill(site(tmp_path), rows)
    assert times(made) == {("ann", "held time"): 280, ("ann", "suspended"): 30, ("bob", "held time"): 210}
    with open_queries(made) as queries:
        lines = [line for one in bill(made, queries, MONTH) for line in one["lines"] if line["user"] == "ann"]
    assert [(line["item"], round(Fraction(line["gpu_hours"]) * 3600)) for line in lines] == [
        ("blocked", 280), ("waived", 30),
    ]  # fmt: skip
    assert [line["amount"] for line in lines if line["item"] == "waived"] == ["0.00"]
    assert audited(made)["differences"] == []


def test_the_same_rules_decide(tmp_path: Path) -> None:
    rules = (
        '[[rules]]\nname = "out"\nfactor = 0\noutage = "declared"\n'
        '[[rules]]\nname = "short"\nfactor = 0\nshorter_than_seconds = 50\n'
        '[[rules]]\nname = "half"\nfactor = "0.5"\nqos = "scavenge"\n'
        '[[rules]]\nname = "own"\nfactor = 0\ncause = "cancelled_by_user"\n'
        '[[rules]]\nname = "rest"\nfactor = 1\n'
        '[[outages]]\nnodes = "n2"\nfrom = 2026-09-21T14:13:20Z\nuntil = 2026-09-21T14:14:00Z\n'
    )
    assert datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC).timestamp() * 1000 == T0
    cpus = "cpu=12,mem=1G,node=1"
    rows = [
        job(0, 100, 1, cpus, user="ann", node_list="n2"),  # 40 s of it in the outage
        job(0, 49, 2, cpus, user="bob"),
        job(0, 100, 3, cpus, user="cy", qos="scavenge"),
        job(0, 100, 4, cpus, user="dee", state="CANCELLED", cancelled_by=0),
        job(200, 300, 5, cpus, user="root", state="CANCELLED", cancelled_by=0),
    ]
    made = fill(site(tmp_path, more=rules), rows)
    assert times(made) == {
        ("ann", "out"): 40, ("ann", "rest"): 60, ("bob", "short"): 49, ("cy", "half"): 100, ("dee", "rest"): 100,
        ("root", "own"): 100,
    }  # fmt: skip
    assert audited(made)["differences"] == []


def test_rounding_leaves_blocked_time_alone(tmp_path: Path) -> None:
    for per in ("attempt", "line"):
        folder = tmp_path / per
        folder.mkdir()
        made = fill(site(folder), [job(0, 100, 1, "cpu=12,mem=1G,node=1")])
        rounds = dataclasses.replace(made.billing, rounding=Rounding(per, 3_600_000))
        made = dataclasses.replace(made, billing=rounds)
        with open_queries(made) as queries:
            ((line,),) = [one["lines"] for one in bill(made, queries, MONTH)]
        assert (line["item"], line["gpu_hours"]) == ("blocked", "0.027778")
        assert audited(made)["differences"] == []


def test_whole_gpus_parts_of_cpus_and_parts_of_a_gib(tmp_path: Path) -> None:
    whole = site(tmp_path, NODES + "blocked_whole_gpus = true\n")
    fill(whole, [job(0, 100, 1, "cpu=47,mem=1G,node=1"), job(0, 100, 2, "cpu=11,mem=99G,node=1", node_list="n2")])
    assert times(whole) == {("ann", "held time"): 300}
    odd = NODES.replace("= 12", '= "4.5"').replace("= 100", '= "0.7"')
    assert times(site(tmp_path, odd)) == {("ann", "held time"): 800}
    odd = NODES.replace("= 12", '= "14.1"').replace("= 100", "= 0")
    assert times(site(tmp_path, odd)) == {("ann", "held time"): Fraction(4700 + 1100) / Fraction("14.1")}
    odd = NODES.replace("= 12", "= 0").replace("= 100", '= "62.7"')
    assert times(site(tmp_path, odd)) == {("ann", "held time"): Fraction(100 + 9900) / Fraction("62.7")}


def test_a_node_with_two_kinds_of_gpu_and_a_text_that_is_none_block_nothing(tmp_path: Path) -> None:
    rows = [job(0, 100, 1, "cpu=48,mem=1G,node=1"), job(0, 100, 2, "cpu=what,mem=1G,node=1", node_list="n2")]
    more = "[pools.main.skus.h100]\ndevices = 4\npurchase_price = 1\npurchase_date = 2026-01-01\n"
    made = fill(site(tmp_path, more=more), rows, "gpu:a100:2,gpu:h100:2")
    assert times(made) == {}
    assert audited(made)["differences"] == []


def test_where_nothing_blocks_nothing_is_asked(tmp_path: Path) -> None:
    made = site(tmp_path, "")
    assert blocked_time(made, None, made.pools[0], 0, 10**12) == []  # type: ignore[arg-type]


SPANS = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(1, 50), st.sampled_from([0, 3, 12, 30, 48]), st.sampled_from([0, 50, 250]),
        st.integers(0, 2), st.sampled_from(["n1", "n2", "n[1-2]"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(SPANS, st.booleans())
@hypothesis_settings(max_examples=40, deadline=None)
def test_second_by_second_no_more_is_blocked_than_is_left(drawn: Any, known: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for n, (start, length, cpus, gib, held, where) in enumerate(drawn):
            count = 2 if "[" in where else 1
            gres = f",gres/gpu={held * count},gres/gpu:a100={held * count}" if held else ""
            tres = f"cpu={cpus * count},mem={gib * count}G,node={count}{gres}"
            rows.append(job(start, start + length, n + 1, tres, node_list=where, user=f"u{n}", node_count=count))
        made = fill(site(Path(folder)), rows, "gpu:a100:4" if known else "")
        found = times(made)
        answer = audited(made)
    expected = Fraction(0)
    alone: Counter[str] = Counter()
    for second in range(100):
        for node in ("n1", "n2"):
            there = [
                (n, max(Fraction(cpus, 12), Fraction(gib, 100), Fraction(held)) - held, held)
                for n, (start, length, cpus, gib, held, where) in enumerate(drawn)
                if start <= second < start + length and where in (node, "n[1-2]")
            ]
            left = max(4 - sum(held for *_, held in there), 0)
            wanted = [min(wants, 4 - min(held, 4)) for _, wants, held in there]
            expected += min(sum(wanted), left)
            for (n, *_), most in zip(there, wanted, strict=True):
                alone[f"u{n}"] += most
    assert sum(found.values()) == expected
    assert all(time <= alone[user] for (user, _), time in found.items())
    assert answer["differences"] == []
