"""Two nodes, one collector, people of different rights, on a real Slurm: nothing lost, nothing twice, nobody's eyes
on what is not theirs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import NODES
from tests.cluster.compare import (
    assert_devices_are_those_seen,
    assert_no_device_is_let_twice,
    assert_partition,
    assert_quantities,
    assert_times_and_owners,
)
from tests.cluster.many_nodes import SLURM, SOCKET, URL, WINDOWS, ManyNodes, uuid
from tests.cluster.scenario import LEDGER, MAIN

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def many(suite: str) -> Iterator[ManyNodes]:
    """On 24.11: what is asked of Slurm is the same as in the other stories."""
    if suite != "trixie":
        pytest.skip("played on 24.11 alone")
    with ManyNodes(suite) as played:
        yield played


def test_the_ledger_equals_sacct_to_the_second(many: ManyNodes) -> None:
    assert_times_and_owners(many)
    assert_quantities(many)


def test_devices_are_those_that_the_jobs_saw(many: ManyNodes) -> None:
    assert_devices_are_those_seen(many)
    assert_no_device_is_let_twice(many)
    assert_partition(many)


def test_every_event_of_every_node_is_in_the_ledger_once(many: ManyNodes) -> None:
    """What n1 had before its power went is in the ledger alone."""
    ask = "SELECT job_id, hook, node, hex(digest), at_ms FROM hook_event ORDER BY 1, 2, 3, 4"
    there = [row for node in NODES for row in many.ask(ask, node)]
    held = many.ask(ask)
    assert {*map(tuple, there)} <= {*map(tuple, held)}
    before = [row for row in held if row not in there]
    assert before and {row[2] for row in before} == {"n1"}
    hooks = Counter((row[0], row[1], row[2]) for row in held)
    assert len(hooks) > 40
    for node in NODES:
        left = [path.name for path in many.cluster.path("/run/gpucost/spool", node).iterdir()]
        assert left == [], f"{node}: left in the spool"


def test_windows_are_those_of_the_nodes(many: ManyNodes) -> None:
    there = [tuple(row) for node in NODES for row in many.sent_windows(node)]
    held = {*map(tuple, many.ask(WINDOWS))}
    assert {*there} <= held
    assert {row[0] for row in held - {*there}} == {uuid("n1", i) for i in range(4)}, "of before the power went"
    assert {row[0] for row in there} == {uuid(node, i) for node in NODES for i in range(4)}


def test_a_power_cut_costs_no_lease(many: ManyNodes) -> None:
    """Times are restored from the accounting, devices from what had been sent or from the controller's rows."""
    states = {(row["JobIDRaw"], row["State"].split()[0]) for row in many.rows}
    assert {(str(job), "NODE_FAIL") for job in many.cut} <= states
    named = {
        (attempt["job_id"], attempt["state"]): {lease["device"] for lease in attempt["leases"]}
        for attempt in many.jobs()
        if int(attempt["job_id"]) in many.cut and attempt["leases"]
    }
    cut = {job: devices for (job, state), devices in named.items() if state.startswith("NODE_FAIL")}
    assert len(cut[str(many.cut[0])]) == 1 and None not in cut[str(many.cut[0])]
    unnamed = sum(None in devices for devices in cut.values())
    assert unnamed <= 1, "the job that had run for less than a second may be known by its node alone"
    state = {row[0]: row[1] for row in many.ask("SELECT journal, state FROM node_journal WHERE node = 'n1'")}
    assert state[many.lost_journal[0][0]] == "retired"


def test_killed_daemons_of_slurm_cost_no_lease(many: ManyNodes) -> None:
    ended = {attempt["job_id"]: attempt for attempt in many.jobs() if int(attempt["job_id"]) in many.outlived}
    assert len(ended) == len(many.outlived) == 2 * len(SLURM)
    for attempt in ended.values():
        (lease,) = attempt["leases"]
        assert attempt["state"] == "COMPLETED" and lease["device"] == uuid(lease["node"], lease["index"])


def test_leases_name_the_devices_by_uuid(many: ManyNodes) -> None:
    named = [
        (lease["device"], uuid(lease["node"], lease["index"]))
        for attempt in many.jobs()
        for lease in attempt["leases"]
        if lease["index"] is not None
    ]
    assert len(named) > 20
    assert [pair for pair in named if pair[0] != pair[1]] == []


def gpucost(many: ManyNodes, user: str, *words: str, node: str = "", check: bool = True, **env: str) -> Any:
    """What a person gets, without a config: (exit code, stdout, stderr)."""
    done = many.cluster.run(["gpucost", *words], user=user, node=node, check=check, cwd="/", env=env)
    return done if not check else done.stdout


REPORTS = (
    ("jobs", "-a", "-S", "now-1hour"),
    ("report", "cluster", "AccountUtilizationByUser", "start=now-1hour", "end=now-1minutes"),
    ("report", "cluster", "Utilization", "start=now-1hour", "end=now-1minutes"),
    ("rates", "history"),
)


def test_the_socket_answers_what_the_file_does(many: ManyNodes) -> None:
    for words in REPORTS[:1]:
        asked = gpucost(many, "root", *words, "--json")
        assert json.loads(asked) == many.gpucost(*words, ledger=LEDGER)
        assert json.loads(asked)


def test_the_file_is_the_service_s_alone(many: ManyNodes) -> None:
    status = many.cluster.path(LEDGER).stat()
    assert status.st_mode & 0o777 == 0o600
    done = gpucost(many, "alice", "jobs", "--ledger", LEDGER, check=False)
    assert done.returncode and not done.stdout and done.stderr.endswith("(Permission denied)\n")


def users_in(attempts: list[dict[str, Any]]) -> set[str]:
    return {attempt["user"] for attempt in attempts}


def test_a_user_sees_own_jobs_alone(many: ManyNodes) -> None:
    everyone = many.jobs(ledger=LEDGER)
    for everybody in ((), ("-a",)):
        seen = json.loads(gpucost(many, "alice", "jobs", "-S", "now-1hour", *everybody, "--json"))
        assert users_in(seen) == {"alice"}
        assert len(seen) == sum(attempt["user"] == "alice" for attempt in everyone)
    refused = gpucost(many, "alice", "jobs", "-u", "bob", "-S", "now-1hour", check=False)
    assert refused.returncode == 1 and "bob" not in refused.stdout and "Traceback" not in refused.stderr
    report = gpucost(many, "alice", *REPORTS[1], "-P")
    assert "alice" in report and "bob" not in report and "carol" not in report
    for words in (["audit"], ["showback", "--month", "2026-01"], ["rates", "explain"], ["config", "history"]):
        done = gpucost(many, "alice", *words, check=False)
        assert done.returncode == 1 and not done.stdout and "Traceback" not in done.stderr, words


def test_a_coordinator_sees_the_accounts_below(many: ManyNodes) -> None:
    report = gpucost(many, "carol", *REPORTS[1], "-P")
    assert {"alice", "bob", "carol"} <= set(report.replace("\n", "|").split("|"))
    others = [
        a for a in json.loads(gpucost(many, "carol", "jobs", "-a", "-S", "now-1hour", "--json")) if a["user"] != "carol"
    ]
    assert not any(attempt.get("job_name") for attempt in others)


def test_operators_and_finance_see_all(many: ManyNodes) -> None:
    everyone = many.jobs(ledger=LEDGER)
    for user in ("olga", "dave"):
        seen = json.loads(gpucost(many, user, "jobs", "-a", "-S", "now-1hour", "--json"))
        assert len(seen) == len(everyone), user
    assert gpucost(many, "dave", "rates", "explain", check=False).returncode == 1, "costs are a right of their own"


def test_a_stranger_sees_nothing(many: ManyNodes) -> None:
    assert json.loads(gpucost(many, "mallory", "jobs", "-a", "-S", "now-1hour", "--json")) == []
    assert json.loads(gpucost(many, "mallory", *REPORTS[1], "--json")) == []


def test_munge_from_another_host(many: ManyNodes) -> None:
    """Over the network one is who MUNGE says, and root there is nobody."""
    seen = json.loads(gpucost(many, "alice", "jobs", "-S", "now-1hour", "--collector", URL, "--json", node="n1"))
    assert users_in(seen) == {"alice"} and len(seen) == sum(a["user"] == "alice" for a in many.jobs(ledger=LEDGER))
    olga = gpucost(many, "olga", "jobs", "-a", "-S", "now-1hour", "--collector", URL, "--json", node="n1")
    assert users_in(json.loads(olga)) <= {"olga"}, "from a host that is not trusted an operator is a user"
    forged = "setpriv --reuid=bob --regid=bob --clear-groups gpucost jobs -S now-1hour --json --collector "
    bob = many.cluster.run(forged + URL, node="n1", cwd="/").stdout
    assert users_in(json.loads(bob)) == {"bob"}, "root with the key can be any user, and sees what that one may"


def test_a_captured_munge_credential_is_good_for_nobody(many: ManyNodes) -> None:
    """mallory sees what alice sends: neither again, nor first with another question, is it an answer to him."""
    make = (
        "import json, sys\n"
        "sys.path[:0] = ['/opt/gpucost', '/opt/site']\n"
        "from slurm_gpucost.sources import munge\n"
        "body = json.dumps({'params': {'start': 'now-1hour', 'end': 'now'}}).encode()\n"
        "for _ in range(2):\n"
        "    print(json.dumps(munge.credentials('POST', '/v1/queries/jobs', body, '127.0.0.1')))\n"
    )
    made = [json.loads(line) for line in python(many, make, "alice").splitlines()]
    ask = (
        "import http.client, json, sys\n"
        "for headers, path, params in json.loads(sys.stdin.read()):\n"
        "    c = http.client.HTTPConnection('127.0.0.1', 6843)\n"
        "    c.request('POST', '/v1/queries/' + path, json.dumps({'params': params}).encode(), headers)\n"
        "    r = c.getresponse(); print(r.status, r.read().decode()[:200].replace(chr(10), ' '))\n"
    )
    hers = {"start": "now-1hour", "end": "now"}
    all_of_it = {**hers, "all_users": True}
    told = python(many, ask, "alice", json.dumps([[made[0], "jobs", hers]]))
    assert told.startswith("200 ")
    tries = [[made[0], "jobs", hers], [made[1], "jobs", all_of_it], [made[1], "invoice", hers]]
    for line in python(many, ask, "mallory", json.dumps(tries)).splitlines():
        assert line.startswith("401 ") and "alice" not in line, line


def python(many: ManyNodes, program: str, user: str, said: str = "") -> str:
    """What a program of a user prints on n1."""
    return many.cluster.run(["python3", "-c", program], user=user, node="n1", cwd="/", input=said).stdout


def test_nobody_writes_as_a_node(many: ManyNodes) -> None:
    """Neither with a wrong token, nor with none, nor a user over the socket."""
    before = many.ask("SELECT count(*) FROM hook_event")
    curl = (
        "import http.client, socket, sys\n"
        f"for auth in ({{}}, {{'Authorization': 'Bearer nonsense'}}):\n"
        "    c = http.client.HTTPConnection('127.0.0.1', 6843); c.request('POST', '/v1/batches', b'x', auth)\n"
        "    print(c.getresponse().status)\n"
        "c = http.client.HTTPConnection('localhost'); c.sock = socket.socket(socket.AF_UNIX)\n"
        f"c.sock.connect('{SOCKET}')\n"
        "c.request('POST', '/v1/batches', b'x'); print(c.getresponse().status)\n"
    )
    done = many.cluster.run(["python3", "-c", curl], user="mallory", cwd="/")
    assert done.stdout.split() == ["401", "401", "401"]
    assert many.ask("SELECT count(*) FROM hook_event") == before


def test_the_nodes_are_listed(many: ManyNodes) -> None:
    listed = {one["node"]: one for one in many.gpucost("node", "list", ledger=LEDGER)}
    assert set(listed) == set(NODES)
    assert {one["state"] for one in listed.values()} == {"taken"}


def test_health(many: ManyNodes) -> None:
    ask = (
        "import http.client\n"
        "for path in ('/healthz', '/readyz', '/metrics', '/openapi.json'):\n"
        "    c = http.client.HTTPConnection('127.0.0.1', 6843); c.request('GET', path)\n"
        "    r = c.getresponse(); print(r.status, len(r.read()))\n"
    )
    done = many.cluster.run(["python3", "-c", ask], user="mallory", cwd="/")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["200"] * 4
    assert MAIN not in done.stdout
