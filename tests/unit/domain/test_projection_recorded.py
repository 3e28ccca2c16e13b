"""What real clusters recorded, projected: time as sacct says it, devices as the jobs themselves saw them."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from slurm_gpucost.domain.evidence import AccountingRow, HookEvent
from slurm_gpucost.domain.projection import Projected, project
from slurm_gpucost.domain.records import JobEvidence, Topology
from slurm_gpucost.domain.tres import parse_index_list
from slurm_gpucost.sources.accounting_text import columns_of, make_parser
from slurm_gpucost.sources.spool import to_event
from tests.unit.builders import RECORDINGS, VERSIONS, recorded_jobs, recording


def rows(version: str) -> list[AccountingRow]:
    header, *lines = recording(version, "sacct-epoch.txt").splitlines()
    names = columns_of(header)
    parse = make_parser(names, cluster="alpha", zone=ZoneInfo("UTC"), observed_at_ms=1, current=False)
    found = [parse(line.split("\x1f")) for line in lines if line.count("\x1f") == len(names) - 1]
    return [row for row in found if row is not None]


def hooks(version: str) -> list[HookEvent]:
    (folder,) = RECORDINGS.glob(f"slurm-{version}*")
    times = json.loads(recording(version, "spool-mtimes-ns.json"))
    return [to_event((Path(folder) / "spool" / name).read_bytes(), ns // 10**6, "x") for name, ns in times.items()]


def projected(version: str, *, prologs: bool = True) -> dict[int, Projected]:
    jobs: dict[int, JobEvidence] = {}
    for row in rows(version):
        jobs.setdefault(row.job_id, JobEvidence("alpha", row.job_id)).accounting.append(row)
    for event in hooks(version):
        if prologs or event.hook == "epilog":
            jobs.setdefault(event.job_id, JobEvidence("alpha", event.job_id)).hooks.append(event)
    return {job: project(said, Topology([], {"": 4})) for job, said in jobs.items()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("prologs", [True, False])
def test_devices_are_those_that_the_jobs_saw(version: str, prologs: bool) -> None:
    made, looked = projected(version, prologs=prologs), 0
    for line in recording(version, "seen.tsv").splitlines():
        _, job, node, _, at, job_gpus, step_gpus, _, *_ = line.split("\t")
        saw = parse_index_list(step_gpus or job_gpus)
        if not saw:
            continue
        looked += 1
        leases = [
            lease
            for lease in made[int(job)].leases
            if lease.node == node and lease.start_ms - 1000 <= int(at) <= lease.end_ms + 1000
        ]
        assert sorted(lease.gres_index for lease in leases if lease.gres_index is not None) == saw, line
    assert looked >= 20


@pytest.mark.parametrize("version", VERSIONS)
def test_time_is_what_sacct_says_and_nothing_is_left_over(version: str) -> None:
    made = projected(version)
    for row in rows(version):
        (attempt,) = [a for a in made[row.job_id].attempts if a.submit_ms == row.submit_ms]
        assert (attempt.elapsed_ms, attempt.state, attempt.billable) == (row.elapsed_ms, row.state, 1)
        leases = [x for x in made[row.job_id].leases if x.submit_ms == row.submit_ms and row.start_ms is not None]
        total = next((int(p.partition("=")[2]) for p in row.alloc_tres.split(",") if p.startswith("gres/gpu=")), 0)
        spent = sum((x.end_ms - x.start_ms) * x.units for x in leases if x.gres_name == "gpu" and not x.suspended)
        assert spent == (row.elapsed_ms or 0) * (total if row.start_ms is not None else 0)
    assert all(a.witness == "sacct" for p in made.values() for a in p.attempts)
    assert len(rows(version)) == sum(len(p.attempts) for p in made.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_two_shard_jobs_share_one_device(version: str) -> None:
    ids, made = recorded_jobs(version), projected(version)
    (a,), (b,) = (made[ids[name]].leases for name in ("shards a", "shards b"))
    assert (a.node, a.gres_index) == (b.node, b.gres_index)
    assert (str(a.share), str(b.share)) == ("1/4", "1/2")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_that_was_cancelled_while_pending_holds_nothing(version: str) -> None:
    (attempt,), leases = projected(version)[recorded_jobs(version)["cancelled pending"]]
    assert (attempt.start_ms, leases) == (None, [])
