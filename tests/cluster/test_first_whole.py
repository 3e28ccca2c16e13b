"""From prolog to invoice on a real Slurm: what gpucost says against what sacct says and what the jobs saw."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from slurm_gpucost.domain.records import Lease
from slurm_gpucost.sources import associations, command
from tests.cluster.cluster import HERE
from tests.cluster.compare import (
    LONG_ENOUGH,
    assert_no_device_is_let_twice,
    by_key,
    from_ledger,
    from_sacct,
    held_devices,
    key,
    ran,
    rows_by_key,
    saw,
)
from tests.cluster.scenario import BACKFILL, CONTROLLER, LEDGER, MAIN, Scenario, gpus, started

pytestmark = pytest.mark.cluster


def test_the_workload_was_what_it_says(scenario: Scenario) -> None:
    """The story itself, so that the other tests compare something."""
    states = {(row["JobIDRaw"], row["State"].split()[0]) for row in scenario.rows}
    jobs = {name: str(job) for name, job in scenario.ran.jobs.items()}
    for name, state in [
        ("requeued", "REQUEUED"),
        ("requeued", "COMPLETED"),
        ("cancelled", "CANCELLED"),
        ("cancelled pending", "CANCELLED"),
        ("failed", "FAILED"),
        ("hostile", "COMPLETED"),
    ]:
        assert (jobs[name], state) in states
    # One never ran; an array of three; one of two components; one ran twice.
    assert len(rows_by_key(scenario.rows)) == len(jobs) - 1 + 2 + 1 + 1
    assert not scenario.cluster.path("/scratch/x").exists()
    everything = rows_by_key(scenario.all_rows)
    assert len(everything) == 2 * len(rows_by_key(scenario.rows))
    turn = scenario.months[1][1]
    assert any(int(row["Start"]) < turn < int(row["End"]) for row in everything.values())


def test_the_ledger_equals_sacct_to_the_second(scenario: Scenario) -> None:
    ledger = by_key([attempt for attempt in scenario.jobs() if attempt["start"] is not None and ran(attempt)])
    accounting = rows_by_key(scenario.rows)
    assert {k: from_ledger(a) for k, a in ledger.items()} == {k: from_sacct(r) for k, r in accounting.items()}
    assert {attempt["cluster"] for attempt in ledger.values()} == {"alpha"}


def test_jobs_that_never_ran_hold_nothing(scenario: Scenario) -> None:
    never = {(row["JobIDRaw"], row["Submit"]) for row in scenario.rows if not started(row)}
    assert never
    for attempt in scenario.jobs():
        if key(attempt) in never:
            assert not attempt["leases"]
            assert Fraction(attempt["gpu_seconds"]) == 0


def test_devices_are_those_that_the_jobs_saw(scenario: Scenario) -> None:
    ledger = by_key(scenario.jobs())
    witnessed = {k: {node: i for node, i in held.items() if i} for k, held in saw(scenario).items()}
    assert {k: held_devices(ledger[k]) for k in witnessed} == witnessed


def test_the_prolog_named_the_devices(scenario: Scenario) -> None:
    evidence = {k: {lease["device_evidence"] for lease in a["leases"]} for k, a in by_key(scenario.jobs()).items()}
    again = str(scenario.ran.jobs["requeued"])
    second = max((k for k in evidence if k[0] == again), key=lambda k: int(k[1]))
    # 22.05 may skip the prolog of a requeued job's next run when another job starts beside it.
    expected = {"prolog"} if scenario.cluster.suite != "bookworm" else {"prolog", "epilog", "scontrol"}
    assert evidence.pop(second) <= expected
    with_gpus = {k for k, row in rows_by_key(scenario.rows).items() if gpus(row) and k != second}
    assert {k: evidence[k] for k in with_gpus} == {k: {"prolog"} for k in with_gpus}


def test_leases_carry_their_shares(scenario: Scenario) -> None:
    ledger, names = by_key(scenario.jobs()), scenario.ran.jobs
    for k, row in rows_by_key(scenario.rows).items():
        first = [lease for lease in ledger[k]["leases"] if lease["start"] == int(row["Start"])]
        held = sum((Fraction(lease["share"]) * lease["count"] for lease in first), Fraction(0))
        assert held == gpus(row), k
    shares = {k[0]: [lease["share"] for lease in attempt["leases"]] for k, attempt in ledger.items()}
    assert shares[str(names["shards a"])] == ["1/4"]
    assert shares[str(names["shards b"])] == ["1/2"]
    assert shares[str(names["two gpus"])] == ["1", "1"]


def test_no_device_is_let_twice_at_a_time(scenario: Scenario) -> None:
    assert_no_device_is_let_twice(scenario)


def test_backfill_alone_gives_the_same_time_without_devices(scenario: Scenario) -> None:
    for done in scenario.backfills:
        assert done.returncode == 0, done.stdout + done.stderr
    since = scenario.months[0][0] + "-01"
    accounting = {k: from_sacct(row) for k, row in rows_by_key(scenario.all_rows).items()}
    for ledger in (LEDGER, BACKFILL):
        attempts = by_key([a for a in scenario.jobs(ledger=ledger, since=since) if a["start"] is not None and ran(a)])
        assert {k: from_ledger(a) for k, a in attempts.items()} == accounting, ledger
    for attempt in scenario.jobs(ledger=BACKFILL, since=since):
        for lease in attempt["leases"]:
            assert (lease["device"], lease["index"]) == (None, None)
            assert lease["device_evidence"] in ("sacct", "inferred")
            assert lease["count"] >= 1


def test_the_controller_alone_names_devices(scenario: Scenario) -> None:
    """Without any hook event: jobs that ran longer than a poll have their devices from scontrol."""
    ledger = by_key(scenario.jobs(CONTROLLER))
    witnessed = {
        k: {node: i for node, i in held.items() if i}
        for k, held in saw(scenario).items()
        if int(rows_by_key(scenario.rows)[k]["ElapsedRaw"]) >= LONG_ENOUGH
    }
    assert len(witnessed) >= 6
    assert {k: held_devices(ledger[k]) for k in witnessed} == witnessed
    assert {lease["device_evidence"] for k in witnessed for lease in ledger[k]["leases"]} == {"scontrol"}


@pytest.mark.parametrize("ago", [2, 1, 0], ids=["the month before last", "last month", "this month"])
def test_invoices_equal_what_sqlite_and_awk_make_of_sacct(scenario: Scenario, ago: int) -> None:
    month, start, end = scenario.months[2 - ago]
    invoices = scenario.gpucost("invoice", "--month", month)
    billed = [(i["account"], line) for i in invoices for line in i["lines"] if line["item"] == "usage"]
    waived = [line for i in invoices for line in i["lines"] if line["item"] != "usage"]
    assert {line["amount"] for line in waived} <= {"0.00"}
    assert {line["rule"] for line in waived} <= {"suspended (rule 1)", "node failure (rule 4)"}
    (price,) = {line["unit_price"] for _, line in billed}
    assert price == str(Decimal(price).quantize(Decimal("0.0001")))
    assert Decimal(price) > 0
    users, totals = oracle(scenario, start, end, price)
    assert {i["account"]: Decimal(i["total"]) for i in invoices} == totals
    lines = {(account, line["user"]): line for account, line in billed}
    assert {owner: line["gpu_hours"] for owner, line in lines.items()} == {o: hours for o, (hours, _) in users.items()}
    for owner, (_, exact) in users.items():
        assert abs(Decimal(lines[owner]["amount"]) * 100 - exact) < 1, owner
    for invoice in invoices:
        assert sum(Decimal(line["amount"]) for line in invoice["lines"]) == Decimal(invoice["total"])
        assert (invoice["cluster"], invoice["currency"], invoice["status"]) == ("alpha", "EUR", "provisional")
        assert invoice["period_start"] == f"{month}-01T00:00:00+05:30"
        assert {(line["sku"], line["pool"]) for line in invoice["lines"]} == {("a100", "main")}


def oracle(
    scenario: Scenario, start: int, end: int, price: str
) -> tuple[dict[tuple[str, str], tuple[str, Decimal]], dict[str, Decimal]]:
    """oracle.sh: (account, user) -> hours and exact cents; account -> total."""
    script = (HERE / "oracle.sh").read_text()
    words = ["sh", "-s", "--", str(start), str(end), price]
    users, totals = {}, {}
    for line in scenario.cluster.run(words, input=script).stdout.splitlines():
        account, user, _, hours, cents = line.split("\t")
        if user:
            users[account, user] = hours, Decimal(cents)
        else:
            totals[account] = Decimal(cents) / 100
    assert set(totals) == {"physics", "biology"}
    return users, totals


def test_backfill_alone_gives_the_same_invoices(scenario: Scenario) -> None:
    for month, _, _ in scenario.months:
        ours, alone = (scenario.gpucost("invoice", "--month", month, ledger=ledger) for ledger in (LEDGER, BACKFILL))
        assert ours == alone
        assert ours


def test_statements_are_the_users_lines(scenario: Scenario) -> None:
    month = scenario.months[1][0]
    invoices = scenario.gpucost("invoice", "--month", month)
    statements = scenario.gpucost("invoice", "--month", month, "-u", "carol")
    assert {s["kind"] for s in statements} == {"statement"}
    lines = [(i["account"], line) for i in invoices for line in i["lines"] if line["user"] == "carol"]
    assert [(s["account"], line) for s in statements for line in s["lines"]] == lines
    assert {s["account"] for s in statements} == {"physics", "biology"}


def test_rebuild_makes_the_same_tables(scenario: Scenario) -> None:
    cluster, copy = scenario.cluster, "/var/lib/gpucost/rebuilt.db"
    cluster.run(["sqlite3", LEDGER, f"VACUUM INTO '{copy}'"])

    def dump() -> str:
        columns = ", ".join(Lease._fields)  # the numbers of holders follow the order of arrival
        ask = [f"SELECT {columns}, model, inventoried FROM lease ORDER BY 1, 2, 3, 4, 5"]
        ask += [f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4" for table in ("attempt", "capacity", "device_time")]
        return cluster.run(["sqlite3", copy, ";".join(ask)]).stdout

    before = dump()
    assert before.count("\n") > 50
    cluster.run(["gpucost", "rebuild", "--config", MAIN, "--ledger", copy])
    assert dump() == before
    cluster.run(["sqlite3", copy, "DELETE FROM attempt; DELETE FROM lease_row"])
    cluster.run(["gpucost", "rebuild", "--config", MAIN, "--ledger", copy])
    assert dump() == before


def test_daemons_end_when_asked_and_leave_no_event_behind(scenario: Scenario) -> None:
    assert scenario.daemons_left == []
    assert list(scenario.cluster.path("/run/gpucost/spool").iterdir()) == []
    for log in ("gpucostd-gpucost", "gpucostd-controller"):
        assert "Traceback" not in scenario.cluster.read(f"/var/log/{log}.log")


def test_the_config_that_init_wrote_is_in_order(scenario: Scenario) -> None:
    done = scenario.cluster.run(["gpucost", "config", "check", "--config", MAIN], check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nodes_are_well(scenario: Scenario) -> None:
    """No hook has drained a node."""
    states = scenario.cluster.run(["sinfo", "-h", "-N", "-o", "%N %T"]).stdout.split("\n")
    assert sorted(filter(None, states)) == ["n1 idle", "n2 idle"]


def test_what_sacctmgr_says_of_accounts_is_read_whole(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars, newlines and lines like a record's; slurmdbd keeps it in lower case, quotes as backticks."""
    cluster = scenario.cluster
    kept = cluster.run(["sqlite3", "-json", LEDGER, "SELECT account, description FROM account_report"]).stdout
    told = {row["account"]: row["description"] for row in json.loads(kept)}
    assert {"root": "default root account", "physics": "physics", "biology": "biology"}.items() <= told.items()
    words = ["description=Lab | two\nphysics|lines|'x'", "organization=Dept\nof | Bio"]
    cluster.run(["sacctmgr", "-i", "add", "account", "Odd", *words])
    try:
        monkeypatch.setattr(command, "run", lambda words, seconds, env: cluster.run(words, env=dict(env)).stdout)
        found = associations.ask("sacctmgr", 20)
    finally:
        cluster.run(["sacctmgr", "-i", "delete", "account", "odd"])
    assert {one.name: one for one in found}["odd"][1:] == ("lab | two\nphysics|lines|`x`", "dept\nof | bio")
    assert set(told) <= {one.name for one in found}
    assert told.items() <= {one.name: one.description for one in found}.items(), "no text ran into another account"


# A step that counts who comes: the socket lies where slurmd looks for its steps.
_STEP = """
import os, socket, subprocess, sys, threading
sys.path[:0] = ["/opt/gpucost", "/opt/site"]
from slurm_gpucost.sources.slurmd import ask_gres
from slurm_gpucost.sources.slurmd_gres import parse
came = []
step = socket.socket(socket.AF_UNIX)
step.bind("/var/spool/slurmd/n1/n1_4000000.0")
step.listen()
def serve():
    while True:
        caller = step.accept()[0]
        came.append(1)
        caller.recv(4)
        caller.close()
threading.Thread(target=serve, daemon=True).start()
apart = parse(ask_gres("slurmd", "n1"))
before = len(came)
plain = subprocess.run(["slurmd", "-G", "-N", "n1"], stderr=subprocess.PIPE, check=True, text=True).stderr
os.unlink("/var/spool/slurmd/n1/n1_4000000.0")
print(before, len(came), len(apart), apart == parse(plain))
"""


def test_asking_slurmd_for_its_gres_touches_no_step(scenario: Scenario) -> None:
    """``slurmd -G`` as an admin types it reaches every step, which 24.11 does not always survive; ours reaches none."""
    said = scenario.cluster.run(["python3", "-B", "-c", _STEP]).stdout.split()
    assert said == ["0", "1", "8", "True"]
