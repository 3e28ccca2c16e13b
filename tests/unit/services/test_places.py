"""Pools of one kind of GPU, told apart by their nodes: a device-second is of the pool that names its node then."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill, unpriced
from slurm_gpucost.services.quantities import held, pieces, place_of
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.report import account_utilization_by_user
from slurm_gpucost.services.utilization import of_skus
from slurm_gpucost.settings import Settings, load
from tests.unit.builders import T0, accounting
from tests.unit.services.test_quantities import fill

MOVED = 1000
"""Seconds after T0 of the midnight at which n2 goes from the pool ``old`` to ``new``."""
MONTH = "2026-09"
CONFIG = """
cluster = "c"
currency = "EUR"
timezone = "Australia/Darwin"
[ledger]
path = "{folder}/ledger.db"
{more}
[pools.old]
nodes = [{{ since = 2026-01-01, nodes = "n[1-2]" }}, {{ since = 2026-09-22, nodes = "n1" }}]
[pools.old.skus.old_a100]
gres_types = ["a100"]
devices = 40
purchase_price = 10000
purchase_date = 2026-01-01
[pools.new]
nodes = [{{ since = 2026-09-01, nodes = "n3" }}, {{ since = 2026-09-22, nodes = "n[2-3]" }}]
[pools.new.skus.new_a100]
gres_types = ["a100"]
devices = 40
purchase_price = 30000
purchase_date = 2026-01-01
[pools.others]
[pools.others.skus.rest]
gres_types = ["a100"]
devices = 40
purchase_price = 20000
purchase_date = 2026-01-01
"""


def site_of(folder: Path, rows: list[AccountingRow], more: str = "") -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "gpucost.toml").write_text(CONFIG.format(folder=folder, more=more))
    return fill(load(folder / "gpucost.toml"), rows)


def oracle(node: str, second: int) -> str:
    if node == "n1" or (node == "n2" and second < MOVED):
        return "old_a100"
    return "new_a100" if node in ("n2", "n3") else "rest"


drawn = st.lists(
    st.tuples(
        st.integers(0, 1990),
        st.integers(1, 400),
        st.integers(1, 3),
        st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), min_size=1, max_size=4, unique=True),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["COMPLETED", "PREEMPTED"]),
    ),
    max_size=8,
)


def rows_of(jobs: Any) -> list[AccountingRow]:
    """Each job has so many GPUs on each of its nodes."""
    return [
        accounting(
            start, start + length, job_id=n, user=user, state=state, node_count=len(nodes), node_list=",".join(nodes),
            tres=f"cpu=1,gres/gpu:a100={each * len(nodes)},gres/gpu={each * len(nodes)},node={len(nodes)}",
        )
        for n, (start, length, each, nodes, user, state) in enumerate(jobs, 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


@runs(max_examples=25, deadline=None)
@given(drawn, st.integers(0, 1200), st.integers(1, 1500))
def test_every_second_is_of_the_pool_that_has_the_node_then(folder: Path, jobs: Any, low: int, length: int) -> None:
    site = site_of(folder / str(len(list(folder.iterdir()))), rows_of(jobs), "[billing]\npreempted_free_seconds = 60")
    expected: Any = Counter()
    for start, ran, each, nodes, user, state in jobs:
        free = state == "PREEMPTED" and ran < 60
        for second in range(max(low, start), min(low + length, start + ran)):
            for node in nodes:
                expected[user, oracle(node, second), free] += each
    window = (T0 + low * 1000, T0 + (low + length) * 1000)
    with open_queries(site) as queries:
        found: Any = Counter()
        for one in held(site, queries, *window):
            place = place_of(site, one.row)
            assert place
            found[one.row["user"], place[1], not one.decision.factor] += one.device_ms / 1000
        assert found == expected
        single: Any = Counter()
        for piece in pieces(site, queries, *window):
            place = place_of(site, piece.row)
            assert place
            seconds = piece.devices * (piece.end_ms - piece.start_ms) / 1000
            single[piece.row["user"], place[1], not piece.decision.factor] += seconds
        assert single == expected, "one by one"
        reported = {
            (row["user"], row["sku"]): Fraction(row["gpu_seconds"])
            for row in account_utilization_by_user(site, queries, *window)
            if row["user"]
        }
        both: Any = Counter()
        for (user, sku, _), seconds in expected.items():
            both[user, sku] += seconds
        assert reported == both
        did = of_skus(site, queries, *window)
        assert {sku: did[sku]["allocated"] / 1000 for sku in did if did[sku]["allocated"]} == {
            sku: total
            for sku in ("old_a100", "new_a100", "rest")
            if (total := sum(n for (_, of, _), n in expected.items() if of == sku))
        }


@pytest.mark.parametrize(
    "more", ["", '[billing]\nrounding = "attempt"\nrounding_step_seconds = 60\npreempted_free_seconds = 100']
)
def test_invoices_of_pools_that_share_a_kind_add_up(tmp_path: Path, more: str) -> None:
    jobs = [(900, 250, 2, ["n1", "n2", "n3", "n4"], "ann", "COMPLETED"), (0, 61, 1, ["n2", "n3"], "bob", "PREEMPTED")]
    site = site_of(tmp_path / "site", rows_of(jobs), more)
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, MONTH)
        answer = audit(site, queries, MONTH, T0 + 100_000_000)
    assert answer["differences"] == []
    hours: Any = Counter()
    for line in invoice["lines"]:
        hours[line["user"], line["sku"]] += Fraction(line["held_gpu_hours"]) * 3600
    told = {key: round(seconds) for key, seconds in hours.items() if key[0] == "ann"}
    assert told == {("ann", "old_a100"): 700, ("ann", "new_a100"): 800, ("ann", "rest"): 500}, "n2: 100 s old, 150 new"
    billed = sum(Fraction(line["gpu_hours"]) * 3600 for line in invoice["lines"] if line["user"] == "ann")
    assert round(billed) == (2000 if not more else 8 * 300), "rounded once, as a whole"


TRES = "[pools.old.tres]\ngroups = [{ cpu = 0.5 }]\n[pools.new.tres]\ngroups = [{ cpu = 0.1 }]"


def test_a_job_that_is_billed_by_tres_goes_with_its_node(tmp_path: Path) -> None:
    """One GPU on n2, which goes from old to new: 100 s of one CPU there and 250 s here."""
    site = site_of(tmp_path / "site", rows_of([(900, 350, 1, ["n2"], "ann", "COMPLETED")]), TRES)
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, MONTH)
        answer = audit(site, queries, MONTH, T0 + 100_000_000)
    assert answer["differences"] == []
    lines = [line for line in invoice["lines"] if line["item"] == "tres"]
    seconds = {(line["pool"], line["unit_price"]): round(Fraction(line["unit_hours"]) * 3600) for line in lines}
    assert seconds == {("old", "0.5"): 100, ("new", "0.1"): 250}
    held = {line["sku"]: round(Fraction(line["held_gpu_hours"]) * 3600) for line in invoice["lines"]}
    assert held == {"cpu": 0, "old_a100": 100, "new_a100": 250}
    assert {line["unit_price"] for line in invoice["lines"] if line["item"] == "usage"} == {"0"}


def test_a_node_that_nobody_knows_is_shown_and_not_guessed(tmp_path: Path) -> None:
    rows = [accounting(0, 36, job_id=1, node_list="", node_count=2)]
    site = site_of(tmp_path / "site", rows)
    with open_queries(site) as queries:
        assert bill(site, queries, MONTH) == []
        (row,) = unpriced(site, queries, T0 - 1000, T0 + 1_000_000)
    assert row["unit_hours"] == "0.020000" and "the accounting does not say the nodes" in row["todo"]
