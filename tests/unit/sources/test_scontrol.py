"""``scontrol show job -d`` of real Slurms, and names that try to look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import ControllerRow, NodeGres, decode_gres
from slurm_gpucost.sources.scontrol import Asked, Reply, ask, parse
from tests.unit.builders import VERSIONS, gpus, recorded_jobs, recording, script

UIDS = {"alice": 2001, "bob": 2002, "carol": 2003}


def owners(version: str, **also: int) -> str:
    """What squeue would print: from the recorded accounting rows, and ``also`` j77=UID."""
    lines = [line.split("\x1f") for line in recording(version, "sacct-running-epoch.txt").splitlines()[1:]]
    known = {row[0]: UIDS[row[12]] for row in lines if len(row) > 20}
    known |= {job[1:]: uid for job, uid in also.items()}
    return "".join(f"{job} {uid}\n" for job, uid in known.items())


def look(version: str, **also: int) -> dict[int, ControllerRow]:
    reply = parse(Asked(recording(version, "scontrol-running.txt"), owners(version, **also)), "c", 99)
    return {row.job_id: row for row in reply.rows}


def held(row: ControllerRow) -> list[NodeGres]:
    return decode_gres(row.gres)


@pytest.mark.parametrize("version", VERSIONS)
def test_running_jobs_and_what_they_hold(version: str) -> None:
    ids, rows = recorded_jobs(version), look(version)
    assert held(rows[ids["suspended"]]) == [gpus("n2", 0)]
    assert held(rows[ids["multi node"]]) == [gpus("n1", 0), gpus("n2", 3)]
    (shard,) = held(rows[ids["shards b"]])
    assert (shard.node, shard.name, shard.type, shard.units) == ("n1", "shard", "", ((1, 2),))
    assert {ids["cpu only"], ids["cancelled pending"]}.isdisjoint(rows)
    row = rows[ids["multi node"]]
    assert (row.user, row.account, row.partition, row.state, row.end_ms) == ("bob", "biology", "main", "RUNNING", None)
    assert rows[ids["suspended"]].state == "SUSPENDED"


@pytest.mark.parametrize("version", VERSIONS)
def test_times_are_those_of_the_accounting(version: str) -> None:
    lines = [line.split("\x1f") for line in recording(version, "sacct-running-epoch.txt").splitlines()[1:]]
    said = {int(r[0]): (int(r[4]) * 1000, int(r[6]) * 1000) for r in lines if len(r) > 20 and r[6].isdigit()}
    rows = look(version)
    assert len(rows) >= 6
    assert all((row.submit_ms, row.start_ms) == said[job] for job, row in rows.items())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hostile_name_forges_nothing(version: str) -> None:
    hostile = recorded_jobs(version)["hostile"]
    assert "\nJobId=77 JobName=zz" in recording(version, "scontrol-running.txt")
    rows = look(version)
    assert held(rows[hostile]) == [gpus("n1", 2)]
    assert 77 not in rows
    # Where a job 77 exists, the record cannot be told from its, but for the owner: then neither is taken.
    other = look(version, j77=UIDS["bob"])
    assert 77 not in other
    assert not any("n9" in row.gres for row in [*rows.values(), *other.values()])


def test_newer_and_older_forms_of_the_same_state_are_the_same_evidence() -> None:
    old, *newer = (look(version) for version in VERSIONS)
    shared = [(old[j].gres, new[j].gres) for new in newer for j in old.keys() & new.keys()]
    assert shared and all(a == b for a, b in shared)


@pytest.mark.parametrize("version", VERSIONS)
def test_ended_jobs_have_an_end_and_hold_nothing_named(version: str) -> None:
    text = recording(version, "scontrol-ended.txt")
    known = "".join(f"{job} {uid}\n" for job in range(1, 40) for uid in UIDS.values())
    rows: dict[int, ControllerRow] = {}
    for uid in UIDS.values():
        some = "".join(line + "\n" for line in known.splitlines() if line.endswith(f" {uid}"))
        rows |= {row.job_id: row for row in parse(Asked(text, some), "c", 1).rows}
    plain = rows[recorded_jobs(version)["plain"]]
    assert plain.start_ms is not None and plain.end_ms is not None
    assert 0 < plain.end_ms - plain.start_ms < 60_000
    assert (plain.state, plain.gres) == ("COMPLETED", "[]")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_jobs(version: str) -> None:
    assert parse(Asked(recording(version, "scontrol-none.txt"), ""), "c", 1) == Reply([], [])


def record(version: str, name: str) -> str:
    """The record of a recorded job, whole."""
    job = recorded_jobs(version)[name]
    text = recording(version, "scontrol-running.txt")
    start = text.index(f"JobId={job} JobName=")
    return text[start : text.index("\n\n", start)]


def test_a_record_that_stands_twice_is_not_taken() -> None:
    one = record("24.11", "suspended")
    twice = one + "\n\n" + one.replace("IDX:0", "IDX:3") + "\n\n"
    assert parse(Asked(twice, "1 2001\n"), "c", 1) == Reply([], [1])
    assert len(parse(Asked(one + "\n\n", "1 2001\n"), "c", 1).rows) == 1


def test_a_record_of_another_owner_is_not_taken() -> None:
    assert parse(Asked(record("24.11", "suspended") + "\n\n", "1 2002\n"), "c", 1) == Reply([], [1])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Nodes=n2 CPU", "Nodes=n[1 CPU"),
        ("Nodes=n2 CPU", "Nodes=n[1-²] CPU"),
        ("Nodes=n2 CPU", "Nodes=a[0-99999]b[0-99999]c[0-99999] CPU"),
        ("alice(2001)", f"alice({'9' * 5000})"),
        ("StartTime=", f"StartTime={'9' * 5000} EndTime=1 \n   StartTime="),
        ("SubmitTime=", "SubmitTime=² "),
        ("(IDX:0)", "(IDX:²)"),
        (":1(IDX:0)", f":{'9' * 5000}(IDX:0)"),
    ],
)
def test_no_forged_value_stops_the_reading_of_the_others(old: str, new: str) -> None:
    bad, good = record("24.11", "suspended"), record("24.11", "multi node")
    assert old in bad
    reply = parse(Asked(f"{bad.replace(old, new)}\n\n{good}\n\n", "1 2001\n4 2002\n"), "c", 1)
    assert [row.job_id for row in reply.rows if row.gres != "[]"] == [4]


def test_both_commands_are_asked_in_utc_and_epoch(tmp_path: Path) -> None:
    said = 'echo "$SLURM_TIME_FORMAT $TZ $LC_ALL"; echo "$@"'
    asked = ask(script(tmp_path / "scontrol", said), script(tmp_path / "squeue", said), 10)
    assert asked.jobs == "%s UTC C\nshow job --details\n"
    assert asked.owners.splitlines()[1] == "--all --states=all --array --noheader --format=%A %U"
    with pytest.raises(SourceError, match=r"squeue.*exit 3.*boom"):
        ask(str(tmp_path / "scontrol"), script(tmp_path / "squeue", "echo boom >&2; exit 3"), 10)
