"""Evidence, configs and ledgers for tests: only what a test cares about is named, the rest is filled in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow, HookEvent, NodeGres, digest_of, encode_gres
from slurm_gpucost.domain.records import Attempt, JobEvidence, Lease, Topology
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.settings import Settings, load, template

RECORDINGS = Path(__file__).parents[1] / "recordings"
VERSIONS = ("22.05", "24.11", "26.05")
T0 = 1_790_000_000_000
"""A whole second; tests count from here."""
GPU2 = "billing=2,cpu=2,gres/gpu:a100=2,gres/gpu=2,mem=4G,node=1"
NOTHING = Topology([], {})


def recording(version: str, name: str) -> str:
    """A file that a real Slurm of this version wrote."""
    (folder,) = RECORDINGS.glob(f"slurm-{version}*")
    return (folder / name).read_text(encoding="utf-8", errors="surrogateescape")


def recorded_jobs(version: str) -> dict[str, int]:
    """What the recorded jobs are, by name."""
    found: dict[str, int] = json.loads(recording(version, "jobs.json"))
    return found


def accounting(
    start: int | None = 0, end: int | None = 10, submit: int | None = None, tres: str = GPU2, **other: Any
) -> AccountingRow:
    """A row of sacct; start, end, submit and elapsed are seconds after T0."""
    submit = submit if submit is not None else (start or 0) - 5
    suspended = other.pop("suspended", 0)
    elapsed = other.pop("elapsed", None)
    if elapsed is None and end is not None:
        elapsed = 0 if start is None else end - start - suspended
    values: dict[str, Any] = {
        "cluster": "c", "job_id": 7, "submit_ms": T0 + submit * 1000, "observed_at_ms": T0 + 100_000_000,
        "db_index": "1", "user": "ann", "account": "lab", "partition": "main", "qos": "normal", "wckey": "",
        "job_name": "job", "array_job_id": None, "array_task_id": None, "het_job_id": None, "het_offset": None,
        "state": "RUNNING" if end is None else "COMPLETED", "cancelled_by": None, "exit_code": "0:0",
        "eligible_ms": None, "start_ms": None if start is None else T0 + start * 1000,
        "end_ms": None if end is None else T0 + end * 1000, "elapsed_ms": None if elapsed is None else elapsed * 1000,
        "suspended_ms": suspended * 1000, "node_count": 1, "node_list": "n1", "alloc_tres": tres, "reservation": "",
        **other,
    }  # fmt: skip
    said = [values[name] for name in AccountingRow._fields if name not in ("digest", "observed_at_ms")]
    return AccountingRow(digest=digest_of(*said), **values)


def hook(kind: str, at_ms: int, gpus: str | None = "0", node: str = "n1", **other: Any) -> HookEvent:
    """A prolog or epilog; ``at_ms`` is ms after T0."""
    values: dict[str, Any] = {
        "cluster": "c", "job_id": 7, "hook": kind, "node": node, "at_ms": T0 + at_ms, "boot_id": "b",
        "uptime": str(at_ms), "pid": 1, "uid": 2001, "user": "ann", "account": "lab", "partition": "main",
        "restart_count": 0, "job_start_ms": None, "job_gpus": gpus, "visible_devices": gpus, "exit_code": None,
        **other,
    }  # fmt: skip
    return HookEvent(digest=digest_of(*values.values()), **values)


def controller(at: int, gres: Iterable[NodeGres], submit: int, start: int, **other: Any) -> ControllerRow:
    """A row of scontrol, looked at ``at`` seconds after T0."""
    values: dict[str, Any] = {
        "cluster": "c", "job_id": 7, "submit_ms": T0 + submit * 1000, "observed_at_ms": T0 + at * 1000,
        "state": "RUNNING", "user": "ann", "account": "lab", "partition": "main", "start_ms": T0 + start * 1000,
        "end_ms": None, "gres": encode_gres(gres), "suspend_ms": None, "ran_ms": 0, **other,
    }  # fmt: skip
    said = [values[name] for name in ControllerRow._fields if name not in ("digest", "observed_at_ms")]
    return ControllerRow(digest=digest_of(*said), **values)


def gpus(node: str, *indexes: int, kind: str = "a100") -> NodeGres:
    return NodeGres(node, "gpu", kind, tuple((i, 1) for i in indexes))


def shards(node: str, **units: int) -> NodeGres:
    """``shards("n1", i3=2)``: two shards of index 3."""
    return NodeGres(node, "shard", "", tuple((int(i[1:]), n) for i, n in units.items()))


def evidence(*said: AccountingRow | HookEvent | ControllerRow) -> JobEvidence:
    """All that was said of job 7, in this order."""
    return JobEvidence(
        "c",
        7,
        [s for s in said if isinstance(s, AccountingRow)],
        [s for s in said if isinstance(s, HookEvent)],
        [s for s in said if isinstance(s, ControllerRow)],
    )


def named(leases: Iterable[Lease]) -> list[tuple[str | None, int | None, int]]:
    """(node, index, units) of leases, sorted."""
    return sorted(((x.node, x.gres_index, x.units) for x in leases), key=str)


def config(tmp_path: Path) -> Settings:
    """A loaded config with one SKU, a100, of 4 shards."""
    text = template(
        timezone="Asia/Kolkata", currency="EUR", cluster="c", gpus=[("a100", 8, Decimal(12000))], shards=4,
        ledger=tmp_path / "ledger.db", spool=tmp_path / "spool", purchase_date=date(2026, 1, 1),
    )  # fmt: skip
    (tmp_path / "gpucost.toml").write_text(text)
    return load(tmp_path / "gpucost.toml")


def tables(ledger: Ledger) -> tuple[list[Attempt], list[Lease]]:
    """What the projection made."""
    db = ledger.connection
    names = ", ".join(Attempt._fields)
    attempts = [Attempt(*row) for row in db.execute(f"SELECT {names} FROM attempt ORDER BY cluster, job_id, submit_ms")]
    columns = ", ".join(Lease._fields)
    leases = [Lease(*row) for row in db.execute(f"SELECT {columns} FROM lease ORDER BY cluster, job_id, submit_ms, n")]
    return attempts, leases


def script(path: Path, body: str) -> str:
    """An executable shell script; its path."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


_SACCT = r"""
for word in "$@"; do case $word in --format=*) format=${word#*=};; --delimiter=*) d=${word#*=};; esac; done
test "$SLURM_TIME_FORMAT" = %s || exit 9
row() { out=; IFS=,; for f in $format; do eval v=\$$f; out="$out${out:+$d}${v:-}"; done; printf '%s\n' "$out"; }
out=; IFS=,; for f in $format; do out="$out${out:+$d}$f"; done; printf '%s\n' "$out"
JobIDRaw=7 JobID=7 Cluster=c DBIndex=1 Submit=1790000000 Eligible=1790000000 Start=1790000005 End=1790000015
ElapsedRaw=10 Suspended=00:00:00 State=COMPLETED ExitCode=0:0 User=ann Account=lab Partition=main QOS=normal
NodeList=n1 AllocTRES=cpu=1,gres/gpu:a100=2,gres/gpu=2 NNodes=1 WCKey=none JobName='x|y'
row
"""


def fake_sacct(path: Path, first: str = "") -> str:
    """A sacct that knows one row, in whatever columns and separator it is asked for; ``first`` runs before."""
    return script(path, first + "\n" + _SACCT)
