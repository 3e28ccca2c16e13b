"""Any jobs under any terms: the money of the month adds up, and every device-second is on one line."""

from __future__ import annotations

import os
from collections import Counter
from fractions import Fraction as F
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import settings as runs
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.settings import Settings, load
from tests.unit.builders import T0, accounting
from tests.unit.services.test_quantities import fill

MONTH, LOOKED = "2026-09", T0 + 20 * 86_400_000
"""Of T0 and all jobs, in Darwin; n2 goes from one pool to the other 1,000 s after T0."""
CONFIG = """
cluster = "c"
currency = "EUR"
timezone = "Australia/Darwin"
[ledger]
path = "{folder}/ledger.db"
{top}
[pools.one]
nodes = [{{ since = 2026-01-01, nodes = "n[1-2]" }}, {{ since = 2026-09-22, nodes = "n1" }}]
{one}
[pools.one.skus.first]
gres_types = ["a100"]
devices = [{{ since = 2026-01-01, devices = 40 }}, {{ since = 2026-09-25, devices = 44 }}]
{blocked}
[[pools.one.assets]]
tag = "A"
sku = "first"
price = 400000
in_service = 2026-01-01
{shares}
[pools.two]
timezone = "Asia/Kolkata"
{two}
[pools.two.skus.second]
gres_types = ["a100"]
devices = 40
purchase_price = 30000
purchase_date = 2026-01-01
"""


MORE = int(os.environ.get("GPUCOST_EXAMPLES", "1"))
"""As many times as usual: tests/soak asks for more."""


class Job(NamedTuple):
    """Minutes after T0; so many GPUs and CPUs on each of its nodes."""

    start: int
    length: int
    gpus: int
    cpus: int
    nodes: tuple[str, ...]
    user: str
    account: str
    state: str
    stopped: int


def rows_of(jobs: list[Job]) -> list[AccountingRow]:
    def tres(job: Job) -> str:
        nodes = len(job.nodes)
        gpus = f",gres/gpu:a100={job.gpus * nodes},gres/gpu={job.gpus * nodes}" if job.gpus else ""
        return f"cpu={job.cpus * nodes},mem={nodes}G,node={nodes}{gpus}"

    return [
        accounting(
            60 * job.start, 60 * (job.start + job.length), job_id=n, tres=tres(job), user=job.user, account=job.account,
            state=job.state, suspended=60 * min(job.stopped, job.length - 1), node_count=len(job.nodes),
            node_list=",".join(job.nodes),
        )
        for n, job in enumerate(jobs, 1)
    ]  # fmt: skip


JOBS = st.lists(
    st.builds(
        Job, st.integers(0, 60), st.integers(1, 90), st.integers(0, 4), st.integers(1, 40),
        st.lists(st.sampled_from(["n1", "n2", "n3"]), min_size=1, max_size=3, unique=True).map(tuple),
        st.sampled_from(["ann", "bob", "cem"]), st.sampled_from(["lab", "bio", "firm"]),
        st.sampled_from(["COMPLETED", "COMPLETED", "FAILED", "NODE_FAIL", "PREEMPTED"]), st.sampled_from([0, 0, 7]),
    ), min_size=1, max_size=6,
)  # fmt: skip
ROUNDING = ["", 'rounding = "attempt"\nrounding_step_seconds = 7200', 'rounding = "line"\nrounding_step_seconds = 3600']
CLASS = '[classes.external]\nsurcharge = 0.35\ntax = 0.19\n[[accounts]]\nname = "firm"\nclass = "external"\n'
FREE = '[[free]]\nname = "start"\ngpu_hours = 2\n'
TWO = "rate_parts = 2\nhost_watts_per_gpu = 50\nemission_grams_per_kwh = [{ since = 2026-01-01, grams = 300 }]"
SHARES = (
    '[[pools.one.shares]]\naccount = "lab"\ndevices = 2.5\nfrom = 2026-09-10\nguests_pay_owner = 0.5\n'
    '[[pools.one.shares]]\naccount = "firm"\ndevices = 30\nfrom = 2026-09-21\nuntil = 2026-09-22\n'
)
BLOCKED = 'blocked_cpus_per_gpu = 8\nnodes = "n[1-2]"\ngpus_per_node = 4\n'
BY_TRES = 'tres = { combine = "max", groups = [{ "gres/gpu" = 0.5, cpu = 0.01 }, { mem = 0.3 }] }'
RULES = (
    '[[rules]]\nname = "failures cost a third"\nfactor = "0.3333"\nstate = "FAILED"\n'
    '[[rules]]\nname = "all"\nfactor = 1\n'
)


class Site(NamedTuple):
    rounding: str
    rules: str
    free: str
    shares: str
    blocked: str
    one: str
    two: str

    def settings(self, folder: Path) -> Settings:
        folder.mkdir()
        billing = f"[billing]\n{self.rounding}\npreempted_free_seconds = {0 if self.rules else 600}\n"
        top = billing + CLASS + self.free + self.rules
        text = CONFIG.format(
            folder=folder, top=top, one=self.one, two=self.two, blocked=self.blocked, shares=self.shares
        )
        (folder / "gpucost.toml").write_text(text)
        return load(folder / "gpucost.toml")


def either(*texts: str) -> Any:
    return st.sampled_from(texts)


SITES = st.builds(
    Site, either(*ROUNDING), either("", RULES), either("", FREE), either("", SHARES), either("", BLOCKED),
    either("", TWO), either("", TWO),
) | st.builds(
    Site, st.just(""), either("", RULES), either("", FREE), st.just(""), either("", BLOCKED), st.just(BY_TRES),
    either("", TWO, BY_TRES),
).filter(lambda site: not (site.free and site.two == BY_TRES))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bills")


def billed(folder: Path, site: Site, rows: list[AccountingRow]) -> tuple[list[dict[str, Any]], list[Any]]:
    settings = fill(site.settings(folder / str(len(list(folder.iterdir())))), rows, looked_ms=LOOKED)
    with open_queries(settings) as queries:
        return bill(settings, queries, MONTH), audit(settings, queries, MONTH, LOOKED)["differences"]


def held(invoices: list[dict[str, Any]]) -> Any:
    """GPU-hours by account and user, but for blocked ones and what waives these, which stand beside what was held."""
    hours: Any = Counter()
    for invoice in invoices:
        for line in invoice["lines"]:
            hours[invoice["account"], line["user"]] += F(line["held_gpu_hours"])
    return hours


@runs(max_examples=60 * MORE)
@given(SITES, JOBS)
def test_it_adds_up_and_every_second_is_on_one_line(folder: Path, site: Site, jobs: list[Job]) -> None:
    invoices, differences = billed(folder, site._replace(blocked=""), rows_of(jobs))
    assert differences == []
    expected: Any = Counter()
    for job in jobs:
        expected[job.account, job.user] += F(job.gpus * len(job.nodes) * job.length, 60)
    found = held(invoices)
    for owner in found.keys() | expected.keys():
        assert abs(found[owner] - expected[owner]) < F(1, 10_000), owner
    _, differences = billed(folder, site, rows_of(jobs))
    assert differences == [], "with what CPUs block, too"


@runs(max_examples=25 * MORE)
@given(SITES, JOBS, st.data())
def test_the_order_in_which_evidence_comes_counts_for_nothing(
    folder: Path, site: Site, jobs: list[Job], data: st.DataObject
) -> None:
    rows = rows_of(jobs)
    assert billed(folder, site, rows)[0] == billed(folder, site, data.draw(st.permutations([*rows, rows[0]])))[0]


@runs(max_examples=25 * MORE)
@given(SITES, JOBS)
def test_a_waived_job_changes_no_other_accounts_invoice(folder: Path, site: Site, jobs: list[Job]) -> None:
    """But that owners get a part of what guests pay."""
    site = site._replace(shares="", rules="")
    waived = [jobs[0]._replace(state="NODE_FAIL"), *jobs[1:]]
    mine, others = jobs[0].account, []
    for those in (jobs, waived):
        made, _ = billed(folder, site, rows_of(those))
        others.append([invoice for invoice in made if invoice["account"] != mine])
    assert others[0] == others[1]


@runs(max_examples=25 * MORE)
@given(SITES, JOBS, st.integers(1, 89))
def test_without_rounding_a_job_in_two_parts_costs_what_it_cost(
    folder: Path, site: Site, jobs: list[Job], at: int
) -> None:
    site = site._replace(rounding="", rules="")
    first = jobs[0]._replace(stopped=0, state="COMPLETED")
    assume(at < first.length)
    parts = [first._replace(length=at), first._replace(start=first.start + at, length=first.length - at)]
    totals = []
    for those in ([first, *jobs[1:]], [*parts, *jobs[1:]]):
        made, _ = billed(folder, site, rows_of(those))
        totals.append({invoice["account"]: invoice["net_total"] for invoice in made})
    assert totals[0] == totals[1]
