"""Where witnesses differ: what is found, what a rule closes, what a person must decide."""

from __future__ import annotations

import json
from typing import Any

from slurm_gpucost.documents.reconcile import page
from slurm_gpucost.domain.evidence import NodeReport
from slurm_gpucost.ledger import asked, ingest, projector, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.categories import CATEGORIES
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.reconcile import by_itself, open_decisions, reconcile
from slurm_gpucost.services.status import status
from slurm_gpucost.settings import Settings
from tests.unit.builders import T0, accounting, controller, gpus, hook
from tests.unit.services.test_utilization import event, take

ONE = "gres/gpu:a100=1,gres/gpu=1"
NOW = T0 + 10_000_000


def ask(settings: Settings, low: int = 0, high: int = 1000) -> dict[str, Any]:
    with open_queries(settings) as queries:
        answer = reconcile(settings, queries, T0 + low * 1000, T0 + high * 1000, NOW)
    assert json.loads(json.dumps(answer)) == answer
    assert "None" not in page(answer, settings.timezone)
    return answer


def found(answer: dict[str, Any]) -> dict[str, tuple[int, str]]:
    return {c["category"]: (c["count"], c["gpu_seconds"]) for c in answer["categories"]}


def test_where_all_agree_there_is_nothing_to_decide(settings: Settings, ledger: Ledger) -> None:
    take(
        ledger, settings, accounting(10, 100, tres=ONE), hook("prolog", 10_400, "0"), hook("epilog", 100_200, "0"),
        controller(50, [gpus("n1", 0)], 5, 10), nodes="gpu:a100:8",
    )  # fmt: skip
    answer = ask(settings)
    assert (answer["categories"], open_decisions(answer)) == ([], [])
    assert answer["accuracy"] == {
        "allocated_gpu_seconds": "90.000", "attributed_gpu_seconds": "90.000", "named_gpu_seconds": "90.000",
        "before_prolog_gpu_seconds": "0.400", "difference_percent": "0.000", "named_percent": "100.00",
    }  # fmt: skip


def test_each_kind_is_found_with_its_rule_or_its_task(settings: Settings, ledger: Ledger) -> None:
    take(
        ledger, settings,
        accounting(10, 100, tres=ONE, job_id=1), hook("prolog", 10_400, "0", job_id=1),  # no epilog
        accounting(10, 110, tres=ONE, job_id=2),  # nobody saw the device, no hooks although there are some
        hook("prolog", 200_000, "1", job_id=3), hook("epilog", 230_000, "1", job_id=3),
        controller(250, [gpus("n1", 2)], 235, 240, job_id=4),
        accounting(300, 900, tres=ONE, job_id=5), hook("prolog", 400_000, "3", job_id=5),
        hook("epilog", 900_500, "3", job_id=5), controller(450, [gpus("n1", 1)], 295, 300, job_id=5),
        accounting(300, None, tres=ONE, job_id=6, observed_at_ms=T0 + 400_000), event(500, None, "down"),
        accounting(300, 400, tres=ONE, job_id=7, suspended=30), hook("prolog", 300_100, "9", job_id=7),
        hook("epilog", 400_100, "9", job_id=7),
    )  # fmt: skip
    answer = ask(settings)
    kinds = found(answer)
    assert kinds.pop("epilog missing") == (2, "190.000")
    assert kinds.pop("prolog missing") == (1, "700.000")
    assert kinds.pop("no device named") == (2, "800.000")
    assert kinds.pop("hooks alone") == (1, "30.000")
    assert kinds.pop("controller alone") == (1, "760.000")
    assert kinds.pop("prolog far from start") == (1, "100.000")
    assert kinds.pop("devices disagree") == (1, "0.000")
    assert kinds.pop("runs on a node that is down") == (1, "500.000")
    assert kinds.pop("suspension inferred") == (1, "30.000")
    assert kinds.pop("slot not in the inventory") == (2, "100.000")
    assert kinds.pop("capacity differs from the config") == (1, "0.000")
    assert kinds == {}
    assert {c["category"] for c in open_decisions(answer)} == {
        "hooks alone", "controller alone", "runs on a node that is down", "slot not in the inventory",
    }  # fmt: skip
    (disagree,) = [c for c in answer["categories"] if c["category"] == "devices disagree"]
    assert disagree["examples"][0]["detail"] == "prolog [3], controller [1]"
    order = [c.name for c in CATEGORIES]
    assert [order.index(c["category"]) for c in answer["categories"]] == sorted(
        order.index(c["category"]) for c in answer["categories"]
    )


def test_a_row_that_vanished_counts_to_when_it_was_last_named_and_is_to_be_decided(
    settings: Settings, ledger: Ledger
) -> None:
    take(ledger, settings, accounting(0, None, tres=ONE, observed_at_ms=T0 + 50_000), looked=100)
    with ledger.transaction() as db:
        (one,) = asked.open_attempts(db, "c")
        ingest.add_vanished(db, "c", [(one, T0 + 100_000)], T0 + 160_000)
    take(ledger, settings, looked=1000)
    (category,) = open_decisions(ask(settings))
    assert category["category"] == "vanished from accounting"
    assert (category["count"], category["gpu_seconds"]) == (1, "100.000")
    with ledger.transaction() as db:
        ingest.forget_vanished(db, [accounting(0, None, tres=ONE)])
    projector.bring_up_to_date(ledger, settings.shards)
    assert open_decisions(ask(settings)) == []


def test_an_over_subscribed_device_is_a_finding(settings: Settings, ledger: Ledger) -> None:
    take(
        ledger, settings, accounting(0, 100, tres=ONE, job_id=1), hook("prolog", 50, "0", job_id=1),
        accounting(50, 100, tres=ONE, job_id=2), hook("prolog", 50_050, "0", job_id=2),
    )  # fmt: skip
    assert found(ask(settings))["oversubscribed"] == (1, "50.000")


def test_a_ledger_that_lost_a_row_does_not_add_up(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, accounting(0, 100, tres=ONE), hook("prolog", 50, "0"), hook("epilog", 100_050, "0"))
    assert "partition" not in found(ask(settings))
    with ledger.transaction() as db:
        db.execute("DELETE FROM lease_row")
    answer = ask(settings)
    assert found(answer)["partition"] == (1, "100.000")
    assert "partition" in {c["category"] for c in open_decisions(answer)}
    assert answer["accuracy"]["difference_percent"] == "100.000"


def test_a_node_report_may_come_twice(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings)
    with ledger.transaction() as db:
        assert reports.add_nodes(db, [NodeReport("c", "n1", T0 + 5_000, "gpu:a100:4")]) == 0
        assert reports.add_nodes(db, [NodeReport("c", "n1", T0 + 9_000, "gpu:a100:3")]) == 1


def test_the_daemon_does_it_by_itself_and_status_says_what_there_is_to_decide(
    settings: Settings, ledger: Ledger
) -> None:
    take(ledger, settings, hook("prolog", 200_000, "1"), hook("epilog", 230_000, "1"), nodes="gpu:a100:8")
    to_decide = by_itself(settings, settings.ledger, NOW)
    assert to_decide == {"hooks alone": 1}
    with ledger.transaction() as db:
        asked.set_reconciled(db, "c", NOW, to_decide)
    with open_queries(settings) as queries:
        findings = status(settings, queries, NOW)["findings"]
    assert any("to decide: hooks alone 1; see `gpucost reconcile`" in finding for finding in findings)


def test_another_number_of_devices_in_the_config_is_a_finding(settings: Settings, ledger: Ledger) -> None:
    take(ledger, settings, nodes="gpu:a100:6")
    with open_queries(settings) as queries:
        findings = status(settings, queries, NOW)["findings"]
    assert any("a100 has 8 devices in the config and 6 in the inventory" in finding for finding in findings)


def test_a_suspension_since_1970_is_to_be_decided(settings: Settings, ledger: Ledger) -> None:
    # slurmdbd books "now less what is booked" for a suspension that it missed (seen on 22.05): Elapsed is then 0.
    take(ledger, settings, accounting(0, 100, tres=ONE, suspended=1_795_566_000, elapsed=0))
    (category,) = open_decisions(ask(settings))
    assert (category["category"], category["gpu_seconds"]) == ("suspended for longer than it ran", "100.000")
