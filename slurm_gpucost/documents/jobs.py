"""What can be shown of an attempt, with sacct's names where sacct has one."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Column, Row
from slurm_gpucost.documents.times import length, local
from slurm_gpucost.domain.units import decimal_text

DEFAULT = "JobID,User,Account,Partition,State,Start,End,GPUs,SKU,GPUHours,Devices"


def columns(zone: ZoneInfo) -> list[Column]:
    """All columns, for rows as ``gpucost jobs --json`` prints them; times in ``zone``."""

    def plain(name: str, key: str, width: int = 8) -> Column:
        return Column(name, lambda row: str(row[key]), width)

    def moment(name: str, key: str) -> Column:
        return Column(name, lambda row: local(row[key], zone), 19)

    return [
        Column("JobID", job_id, 12),
        plain("JobIDRaw", "job_id"),
        plain("JobName", "job_name", 10),
        plain("Cluster", "cluster"),
        plain("User", "user"),
        plain("Account", "account"),
        plain("Partition", "partition", 9),
        plain("QOS", "qos"),
        plain("WCKey", "wckey"),
        plain("State", "state", 9),
        plain("ExitCode", "exit_code"),
        moment("Submit", "submit"),
        moment("Eligible", "eligible"),
        moment("Start", "start"),
        moment("End", "end"),
        Column("Elapsed", lambda row: _length(row["elapsed_seconds"]), 10, number=True),
        Column("Suspended", lambda row: _length(row["suspended_seconds"]), 10, number=True),
        plain("NodeList", "nodes", 10),
        plain("AllocTRES", "alloc_tres", 10),
        Column("GPUs", gpus, 4, number=True),
        Column("SKU", skus, 8),
        Column("GPUHours", lambda row: decimal_text(Fraction(row["gpu_seconds"]) / 3600, 4), 10, number=True),
        Column("GPUSeconds", lambda row: str(row["gpu_seconds"]), 10, number=True),
        Column("Devices", devices, 10),
        Column("EnergyKWh", energy_kwh, 9, number=True),
        Column("Held", lambda row: "" if row["billable"] else "held", 4),
    ]


def job_id(row: Row) -> str:
    """As sacct writes it: 12_3 for a task of an array, 12+1 for a component of a het job, else the raw number."""
    if row["array_job_id"] is not None and row["array_task_id"] is not None:
        return f"{row['array_job_id']}_{row['array_task_id']}"
    if row["het_job_id"] is not None and row["het_offset"] is not None:
        return f"{row['het_job_id']}+{row['het_offset']}"
    return str(row["job_id"])


def _length(text: str) -> str:
    return length(int(Fraction(text)))


def gpus(row: Row) -> str:
    """How many devices the attempt held, shares as fractions; ? where the config does not say what a shard is."""
    if any(lease["share"] is None for lease in row["leases"]):
        return "?"
    return str(sum((Fraction(lease["share"]) * lease["count"] for lease in row["leases"]), Fraction(0)))


def skus(row: Row) -> str:
    """The SKUs of its devices; what no SKU prices is named as Slurm has it."""
    return ",".join(sorted({lease["sku"] or f"unpriced({lease['gres']})" for lease in row["leases"]}))


def devices(row: Row) -> str:
    """Which devices, by node and GRES index, like ``n1:0-3,5 n2:0``; empty where only accounting knows of it."""
    slots = {(lease["node"], lease["index"]) for lease in row["leases"] if lease["node"] and lease["index"] is not None}
    return " ".join(
        f"{node}:{_ranges(sorted(i for n, i in slots if n == node))}" for node in sorted({n for n, _ in slots})
    )


def _ranges(numbers: list[int]) -> str:
    spans = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        spans.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]))
    return ",".join(spans)


def energy_kwh(row: Row) -> str:
    """Measured energy of the observed time, in kWh; empty where no device was observed."""
    seen = [Fraction(lease["energy_kwh"]) for lease in row["leases"] if lease.get("energy_kwh") is not None]
    return decimal_text(sum(seen, Fraction(0)), 3) if seen else ""
