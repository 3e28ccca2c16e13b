"""Asks the controller: ``scontrol show job -d``, one call for all jobs, for the GRES indexes they hold on each node.

The text is not escaped: a job's name, comment or working directory may hold newlines and look like other records
(seen on 22.05 and 24.11). So squeue is asked too, for numbers alone: a record begins only where its job id is one of
squeue's, it must have that job's owner, and one in which a key stands twice, or that stands twice, is not taken.
What is taken only names devices, never amounts, and where there are hooks theirs stand before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from slurm_gpucost.domain.evidence import ControllerRow, NodeGres, digest_of, encode_gres
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.domain.tres import GPU_GRES, parse_index_list
from slurm_gpucost.sources import command

ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "TZ": "UTC", "LC_ALL": "C"}
_RECORD = re.compile(r"^JobId=(?P<job>\d{1,15}) ", re.MULTILINE | re.ASCII)
_NODE_LINE = re.compile(r"^ {5}Nodes=(?P<nodes>\S+) CPU_IDs=\S* Mem=\S* GRES=(?P<gres>\S*)\s*$")
_GRES = re.compile(r"(?P<name>[^:,()]{1,64})(?::(?P<type>[^:(),]{1,64}))?:(?P<count>\d{1,9})\((?P<where>[^)]*)\)")
_ONCE = {
    "user": re.compile(r"^   UserId=(\S+)\(\d+\) ", re.MULTILINE),
    "uid": re.compile(r"^   UserId=\S+\((\d+)\) ", re.MULTILINE),
    "account": re.compile(r"^   Priority=.* Account=(\S+) QOS=", re.MULTILINE),
    "state": re.compile(r"^   JobState=(\w+) ", re.MULTILINE),
    "submit": re.compile(r"^   SubmitTime=(\S+) ", re.MULTILINE),
    "start": re.compile(r"^   StartTime=(\S+) EndTime=\S+ ", re.MULTILINE),
    "end": re.compile(r"^   StartTime=\S+ EndTime=(\S+) ", re.MULTILINE),
    "partition": re.compile(r"^   Partition=(\S+) ", re.MULTILINE),
    "suspend": re.compile(r"^   SuspendTime=(\S+) SecsPreSuspend=\d", re.MULTILINE),
    "ran": re.compile(r"^   SuspendTime=\S+ SecsPreSuspend=(\d{1,12}) ", re.MULTILINE),
}
_JOB_GRES = re.compile(r"^   JOB_GRES=(.*)$", re.MULTILINE)


class Reply(NamedTuple):
    """What a reply held: rows of jobs that hold GPUs, and the ids of records that could not be trusted."""

    rows: list[ControllerRow]
    doubtful: list[int]


class Asked(NamedTuple):
    """What the two commands printed."""

    jobs: str
    """``scontrol show job --details``."""
    owners: str
    """``squeue``: a line ``JOBID UID`` for each job."""


def ask(scontrol: str, squeue: str, timeout_seconds: float) -> Asked:
    """One call of each for all jobs of this host's controller. Raises SourceError.

    Without --cluster: that would ask slurmdbd first, and the controller must be heard while slurmdbd is away.
    """
    jobs = command.run([scontrol, "show", "job", "--details"], timeout_seconds, ENVIRONMENT)
    words = [squeue, "--all", "--states=all", "--array", "--noheader", "--format=%A %U"]
    return Asked(jobs, command.run(words, timeout_seconds, ENVIRONMENT))


def parse(asked: Asked, cluster: str, observed_at_ms: int) -> Reply:
    """The rows of jobs that hold GPUs, or held some (22.05 to 26.05)."""
    owners = _owners(asked.owners)
    found: dict[int, list[ControllerRow]] = {}
    doubtful: set[int] = set()
    for job, body in _records(asked.jobs, owners):
        try:
            row = _row(job, owners[job], body, cluster, observed_at_ms)
        except (ValueError, OverflowError):  # a number or hostlist that Slurm never writes: forged
            row = None
        if row is None:
            doubtful.add(job)
        else:
            found.setdefault(job, []).append(row)
    doubtful.update(job for job, rows in found.items() if len(rows) > 1)
    rows = [rows[0] for rows in found.values() if len(rows) == 1]
    return Reply([row for row in rows if row.gres != "[]" or row.end_ms is not None], sorted(doubtful))


def _owners(text: str) -> dict[int, int]:
    pairs = [line.split() for line in text.splitlines()]
    return {int(pair[0]): int(pair[1]) for pair in pairs if len(pair) == 2 and all(word.isdigit() for word in pair)}


def _records(text: str, owners: Mapping[int, int]) -> Iterator[tuple[int, str]]:
    starts = [match for match in _RECORD.finditer(text) if int(match["job"]) in owners]
    for i, match in enumerate(starts):
        stop = starts[i + 1].start() if i + 1 < len(starts) else len(text)
        yield int(match["job"]), text[match.start() : stop]


def _row(job: int, owner: int, body: str, cluster: str, observed_at_ms: int) -> ControllerRow | None:
    found: dict[str, str] = {}
    for key, pattern in _ONCE.items():
        values = pattern.findall(body)
        if len(values) != 1:
            return None
        found[key] = values[0]
    if int(found.pop("uid")) != owner:
        return None
    gres_lines = list(_JOB_GRES.finditer(body))
    if len(gres_lines) > 1:
        return None
    submit, start = _ms(found["submit"]), _ms(found["start"])
    if submit is None:
        return None
    held: list[NodeGres] = []
    if gres_lines and found["state"] in ("RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"):
        for line in body[gres_lines[0].end() + 1 :].splitlines():
            match = _NODE_LINE.match(line)
            if not match:
                break
            for node in expand(match["nodes"]):
                held += _node_gres(node, match["gres"])
    ended = bool(gres_lines) and gres_lines[0][1] != "(null)" and found["state"] not in _UNFINISHED
    end = _ms(found["end"]) if ended else None
    said = (
        found["state"],
        found["user"],
        found["account"],
        found["partition"],
        start,
        end,
        encode_gres(held),
        _ms(found["suspend"]),
        int(found["ran"]) * 1000,
    )
    return ControllerRow(cluster, job, submit, digest_of(*said), observed_at_ms, *said)


_UNFINISHED = frozenset(
    "PENDING RUNNING SUSPENDED COMPLETING CONFIGURING STOPPED REQUEUED RESIZING SIGNALING STAGE_OUT".split()
)


def _ms(text: str) -> int | None:
    if text.isdigit() and len(text) <= 15:
        return int(text) * 1000 or None
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None


def _node_gres(node: str, text: str) -> list[NodeGres]:
    """``gpu:a100:2(IDX:0-1)``, ``shard:3(IDX:3)`` (22.05) or ``shard:3(0/4,0/4,0/4,3/4)`` (24.11 and later)."""
    held: list[NodeGres] = []
    for match in _GRES.finditer(text):
        name, count, where = match["name"], int(match["count"]), match["where"]
        if name not in GPU_GRES:
            continue
        units: list[tuple[int, int]] = []
        if where.startswith("IDX:"):
            indexes = parse_index_list(where[4:]) or []
            each = 1 if len(indexes) == count else count if len(indexes) == 1 else 0
            units = [(i, each) for i in indexes]
        elif "/" in where:
            shares = [share.partition("/")[0] for share in where.split(",")]
            units = [(i, int(n)) for i, n in enumerate(shares) if n.isdigit() and int(n)]
        if units:
            held.append(NodeGres(node, name, match["type"] or "", tuple(units)))
    return held
