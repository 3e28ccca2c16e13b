"""Attempts with their leases, as sacct's users would ask for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from slurm_gpucost.domain.apportion import Key
from slurm_gpucost.domain.units import MJ_PER_KWH, MS, OPEN_END_MS, decimal_text
from slurm_gpucost.domain.usage import Used
from slurm_gpucost.services.places import placed, sku_of
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.services.usage import usage
from slurm_gpucost.settings import Settings


@dataclass(frozen=True)
class Filter:
    """Which attempts: None stands for all."""

    start_ms: int
    end_ms: int
    users: Sequence[str] | None = None
    accounts: Sequence[str] | None = None
    job_ids: Sequence[int] | None = None
    states: Sequence[str] | None = None
    partitions: Sequence[str] | None = None
    clusters: Sequence[str] | None = None


def jobs(settings: Settings, queries: Queries, wanted: Filter) -> list[dict[str, Any]]:
    """The attempts that overlap the window, not clipped, each with its leases."""
    span = {"start_ms": wanted.start_ms, "end_ms": wanted.end_ms}
    owners = {"users": _list(wanted.users), "accounts": _list(wanted.accounts)}
    others = {key: _list(getattr(wanted, key)) for key in ("job_ids", "states", "partitions", "clusters")}
    attempts = queries.ask("attempts", **span, **owners, **others)
    leases: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    found = queries.ask("leases", **span, **owners)
    used = _usage(queries, found)
    for lease in found:
        lease["used"] = used.get((lease["cluster"], lease["job_id"], lease["submit_ms"], lease["n"]))
        leases.setdefault((lease["cluster"], lease["job_id"], lease["submit_ms"]), []).append(lease)
    upto = {row["cluster"]: row["at_ms"] for row in queries.ask("last_polls") if row["witness"] == "sacct"}
    return [
        _attempt(settings, row, leases.get((row["cluster"], row["job_id"], row["submit_ms"]), []), upto)
        for row in attempts
    ]


def _usage(queries: Queries, leases: list[dict[str, Any]]) -> dict[Key, Used]:
    """What each lease of a named device used, from its start to its end."""
    named = [lease for lease in leases if lease["device"]]
    if not named:
        return {}
    start = min(lease["start_ms"] for lease in named)
    end = max(lease["end_ms"] or OPEN_END_MS for lease in named)
    measured = usage(queries, start, end, {lease["device"] for lease in named})
    return {key: used for device in measured.devices.values() for key, used in device.leases.items()}


def _list(values: Sequence[object] | None) -> str | None:
    return None if values is None else json.dumps(list(values))


def _attempt(
    settings: Settings, row: dict[str, Any], leases: list[dict[str, Any]], upto: dict[str, int | None]
) -> dict[str, Any]:
    elapsed_ms = row["elapsed_ms"]
    running = row["start_ms"] is not None and row["end_ms"] is None
    if running:
        seen = max(row["seen_ms"], upto.get(row["cluster"]) or 0)
        elapsed_ms = sum(max(0, min(end, seen) - start) for start, end in _ran(row, leases))
    first = min((lease["start_ms"] for lease in leases), default=None)
    # Every stretch has the same quantity: the first tells what was held.
    quantity = sum((_share(x) * x["units"] for x in leases if x["start_ms"] == first), Fraction(0))
    return {
        "cluster": row["cluster"],
        "job_id": str(row["job_id"]),
        "submit": _seconds(row["submit_ms"]) if row["witness"] != "hooks" else None,
        "start": _seconds(row["start_ms"]),
        "end": _seconds(row["end_ms"]),
        "state": row["state"],
        "user": row["user"],
        "account": row["account"],
        "gpu_seconds": _plain(Fraction(elapsed_ms or 0, MS) * quantity),
        "leases": [_lease(settings, row["cluster"], lease) for lease in leases],
        "partition": row["partition"],
        "qos": row["qos"] or "",
        "wckey": row["wckey"] or "",
        "job_name": row["job_name"] or "",
        "array_job_id": row["array_job_id"],
        "array_task_id": row["array_task_id"],
        "het_job_id": row["het_job_id"],
        "het_offset": row["het_offset"],
        "exit_code": row["exit_code"] or "",
        "eligible": _seconds(row["eligible_ms"]),
        "elapsed_seconds": _plain(Fraction(elapsed_ms or 0, MS)),
        "suspended_seconds": _plain(Fraction(row["suspended_ms"], MS)),
        "nodes": row["node_list"] or "",
        "alloc_tres": row["alloc_tres"] or "",
        "billable": bool(row["billable"]),
        "vanished": bool(row["vanished"]),
        "held": "" if row["billable"] else f"known from {row['witness']} alone: not in the accounting, not billed",
    }


def _ran(row: dict[str, Any], leases: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """[start, end) in which a running attempt ran; the leases know when it was suspended."""
    if not leases:
        return {(row["start_ms"], OPEN_END_MS)}
    return {(x["start_ms"], x["end_ms"] or OPEN_END_MS) for x in leases if not x["suspended"]}


def _share(lease: dict[str, Any]) -> Fraction:
    return Fraction(lease["share_num"], lease["share_den"]) if lease["share_den"] else Fraction(0)


def _lease(settings: Settings, cluster: str, lease: dict[str, Any]) -> dict[str, Any]:
    found = sku_of(settings, placed(settings, {**lease, "cluster": cluster}, lease["start_ms"]))
    used: Used = lease["used"] or Used()
    held_ms = lease["end_ms"] - lease["start_ms"] if lease["end_ms"] else None
    return {
        "node": lease["node"],
        "device": lease["device"],
        "index": lease["gres_index"],
        "count": lease["units"],
        "share": str(_share(lease)) if lease["share_den"] else None,
        "start": _seconds(lease["start_ms"]),
        "end": _seconds(lease["end_ms"]),
        "start_evidence": lease["start_evidence"],
        "end_evidence": lease["end_evidence"],
        "device_evidence": lease["device_evidence"],
        "suspended": lease["suspended"] or None,
        "prolog": _plain(Fraction(lease["prolog_ms"], MS)) if lease["prolog_ms"] else None,
        "epilog": _plain(Fraction(lease["epilog_ms"], MS)) if lease["epilog_ms"] else None,
        "gres": f"{lease['gres_name']}:{lease['gres_type']}" if lease["gres_type"] else lease["gres_name"],
        "sku": found[1].name if found else None,
        # Of a shared device, its share of what the device drew; utilization and memory are the device's.
        "energy_kwh": decimal_text(Fraction(used.energy_mj, MJ_PER_KWH), 6) if used.energy_observed_ms else None,
        "energy_coverage": _ratio(used.energy_observed_ms, held_ms),
        "energy_source": used.energy_source or None,
        "energy_uncertainty_percent": _percent(used) if used.energy_observed_ms else None,
        "utilization_percent": _mean(used.sm_percent_ms, used.sm_observed_ms, 1),
        "utilization_coverage": _ratio(used.sm_observed_ms, held_ms),
        "memory_mean_mib": _mean(used.memory_used_mib_ms, used.memory_observed_ms, 0),
        "memory_peak_mib": used.memory_used_peak_mib if used.memory_observed_ms else None,
        "memory_coverage": _ratio(used.memory_observed_ms, held_ms),
    }


def _mean(total: int, length_ms: int, digits: int) -> str | None:
    return decimal_text(Fraction(total, length_ms), digits) if length_ms else None


def _percent(used: Used) -> str:
    return decimal_text(Fraction(used.energy_uncertainty_permille, 10), 1)


def _ratio(part: int | None, whole: int | None) -> str | None:
    return decimal_text(Fraction(part or 0, whole), 3) if whole else None


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // MS


def _plain(value: Fraction) -> str:
    """Decimal text without needless zeros; exact to the millisecond, six decimals where shares repeat for ever."""
    text = decimal_text(value, 6).rstrip("0").rstrip(".")
    return text or "0"
