"""What a cluster's devices did, where the inventory is known: each term from its own intervals, and they add up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from slurm_gpucost.domain.evidence import NodeEvent, NodeReport, Poll
from slurm_gpucost.ledger import asked, ingest, projector, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.partition import check
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.utilization import TERMS, utilization
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, controller, gpus, hook

ONE = "gres/gpu:a100=1,gres/gpu=1"


def event(start: int, end: int | None, class_: str, node: str = "n1") -> NodeEvent:
    end_ms = None if end is None else T0 + end * 1000
    return NodeEvent("c", node, "event", T0 + start * 1000, T0 + 900_000, end_ms, class_, class_.upper(), "", "root")


def take(ledger: Ledger, settings: Settings, *said: Any, nodes: str = "gpu:a100:4", looked: int = 1000) -> None:
    with ledger.transaction() as db:
        reports.add_nodes(db, [NodeReport("c", "n1", T0, nodes)])
        ingest.add_accounting(db, [s for s in said if hasattr(s, "alloc_tres")])
        ingest.add_hooks(db, [s for s in said if hasattr(s, "hook")])
        ingest.add_controller(db, [s for s in said if hasattr(s, "ran_ms")])
        reports.add_node_events(db, [s for s in said if isinstance(s, NodeEvent)])
        asked.add_poll(db, Poll("sacct", "c", T0 + looked * 1000, None, None, 0, 0, 1, 1, ""))
    projector.bring_up_to_date(ledger, settings.shards)


def ask(settings: Settings, low: int = 0, high: int = 1000) -> dict[str, Any]:
    with open_queries(settings) as queries:
        (row,) = utilization(settings, queries, T0 + low * 1000, T0 + high * 1000)
    found = {name: Decimal(row[f"{name}_gpu_seconds"]) for name in (*TERMS, "oversubscribed", "reported")}
    assert sum(found[name] for name in TERMS) - found["oversubscribed"] == found["reported"]
    assert row["difference_gpu_seconds"] == "0.000"
    return {name: int(value) for name, value in found.items() if value} | {"kind": row["idle_kind"]}


def test_every_term_comes_from_its_own_intervals(settings: Settings, ledger: Ledger) -> None:
    take(
        ledger, settings,
        accounting(100, 200, tres=ONE, job_id=1), hook("prolog", 100_500, "0", job_id=1),
        hook("epilog", 205_000, "0", job_id=1),
        accounting(300, 500, tres=ONE, job_id=2, suspended=50), hook("prolog", 300_500, "1", job_id=2),
        hook("prolog", 600_000, "2", job_id=3), hook("epilog", 610_000, "2", job_id=3),
        event(700, 800, "drained"), event(900, None, "maintenance"),
        looked=990,
    )  # fmt: skip
    assert ask(settings) == {
        "reported": 4000, "allocated": 100 + 150, "suspended": 50, "held": 10, "completing": 5, "down": 400,
        "planned_down": 4 * 90, "unobserved": 40, "idle": 4000 - 250 - 50 - 10 - 5 - 400 - 360 - 40, "kind": "observed",
    }  # fmt: skip
    assert ask(settings, 150, 350) == {
        "reported": 800, "allocated": 50 + 50, "completing": 5, "idle": 695, "kind": "observed",
    }  # fmt: skip


def test_before_the_inventory_the_configs_devices_are_the_capacity(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, accounting(-300, -200, tres=ONE, job_id=1), accounting(-100, 100, tres=ONE, job_id=2))
    assert ask(settings, -400, 400) == {
        "reported": 8 * 400 + 4 * 400, "allocated": 100 + 200, "idle": 8 * 400 - 200 + 4 * 400 - 100, "kind": "mixed",
    }  # fmt: skip
    assert ask(settings, -400, -50)["kind"] == "derived"


def test_a_job_of_which_only_the_node_is_known_leaves_less_idle_there(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, accounting(0, 100, tres="gres/gpu:a100=3,gres/gpu=3", job_id=1))
    assert ask(settings, 0, 100) == {"reported": 400, "allocated": 300, "idle": 100, "kind": "observed"}


def test_more_than_there_is(settings: Settings, ledger: Ledger) -> None:
    whole = controller(20, [gpus("n1", 0)], -5, 0, job_id=2)
    take(
        ledger, settings, accounting(0, 100, tres=ONE, job_id=1), hook("prolog", 50, "0", job_id=1),
        accounting(0, 100, tres=ONE, job_id=2), whole,
    )  # fmt: skip
    assert ask(settings, 0, 100) == {
        "reported": 400, "allocated": 200, "idle": 300, "oversubscribed": 100, "kind": "observed",
    }  # fmt: skip


def test_the_job_that_is_suspended_takes_no_device_from_the_one_that_runs(settings: Settings, ledger: Ledger) -> None:
    stopped = controller(20, [gpus("n1", 0)], -5, 0, job_id=2, state="SUSPENDED", suspend_ms=T0 + 10_000, ran_ms=10_000)
    resumed = controller(90, [gpus("n1", 0)], -5, 0, job_id=2, suspend_ms=T0 + 80_000, ran_ms=10_000)
    take(
        ledger, settings, accounting(0, 100, tres=ONE, job_id=2, suspended=70), stopped, resumed,
        accounting(10, 80, tres=ONE, job_id=1), hook("prolog", 10_050, "0", job_id=1),
    )  # fmt: skip
    assert ask(settings, 0, 100) == {
        "reported": 400, "allocated": 30 + 70, "suspended": 70, "oversubscribed": 70, "idle": 300, "kind": "observed",
    }  # fmt: skip


def test_of_two_leases_that_are_alike_one_is_found_elsewhere(settings: Settings, ledger: Ledger) -> None:
    def leased() -> int:
        ask = "SELECT sum(end_ms - start_ms) FROM device_time WHERE state = 'leased'"
        (found,) = ledger.connection.execute(ask).fetchone()
        return int(found)

    # A typed and an untyped GPU, both counted to the first node: until a hook tells, nobody knows where they are.
    row = accounting(0, 100, tres="gres/gpu:a100=1,gres/gpu=2", node_list="n[1-2]", node_count=2, job_id=1)
    take(ledger, settings, row)
    assert leased() == 2 * 100_000
    take(ledger, settings, hook("prolog", 500, "0", node="n2", job_id=1))
    assert leased() == 100_000
    assert check(ledger.connection, T0, T0 + 100_000) == []
