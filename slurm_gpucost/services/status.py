"""What the ledger holds, when witnesses were last heard, and what a person should look at."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from slurm_gpucost.ledger import asked
from slurm_gpucost.ledger.projector import settings_key
from slurm_gpucost.ledger.queries import Rows
from slurm_gpucost.services import nodes, places
from slurm_gpucost.services.queries import LedgerQueries, Queries
from slurm_gpucost.services.reconcile import words
from slurm_gpucost.services.reserving import unbilled
from slurm_gpucost.services.utilization import devices_on
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.spool import Spool

DAY_MS = 86_400_000
_LOOK_BACK_MS = 7 * DAY_MS


def status(settings: Settings, queries: LedgerQueries, now_ms: int | None = None) -> dict[str, Any]:
    """Counts, last polls and findings; findings are lines for a person."""
    now = int(time.time() * 1000) if now_ms is None else now_ms
    counts = queries.ask("counts")[0]
    polls = queries.ask("last_polls")
    hooks = queries.ask("missing_hooks", start_ms=now - _LOOK_BACK_MS)[0]
    spool = Spool(settings.spool)
    stale = spool.stale_temporaries()
    row = queries.connection.execute("SELECT value FROM meta WHERE key = 'projection'").fetchone()
    found = unpriced_kinds(settings, queries)
    if row is not None and row[0] != settings_key(settings.shards):
        found.append("attempts and leases were projected with other settings; run `gpucost rebuild`")
    if counts["held_attempts"]:
        found.append(
            f"{counts['held_attempts']} attempts are known from hooks or controller alone: shown, held, not billed "
            "(just started jobs are among them until the accounting is asked again)"
        )
    found += unprojected_findings(queries)
    if counts["set_aside"]:
        found.append(f"{counts['set_aside']} rows or files could not be read and are set aside (table set_aside)")
    if stale:
        found.append(f"{settings.spool}: {stale} stale temporary files: hooks were killed, or the spool was full")
    if counts["hook_events"] and (hooks["missing_prologs"] or hooks["missing_epilogs"]):
        found.append(
            f"{hooks['missing_prologs']} prolog and {hooks['missing_epilogs']} epilog events are missing for "
            f"{hooks['attempts']} attempts with GPUs in 7 days: a node without hooks, or events were lost"
        )
    heard = nodes.listed(queries)
    found += nodes.findings(settings, queries, heard, now)
    found += capacity_findings(settings, queries, now)
    found += reservation_findings(settings, queries, now)
    known = asked.reconciled(queries.connection, settings.cluster)
    if known is not None and known[1]:
        when = datetime.fromtimestamp(known[0] // 1000, UTC).astimezone(settings.timezone)
        found.append(f"reconciliation of {when:%Y-%m-%d %H:%M}: to decide: {words(known[1])}; see `gpucost reconcile`")
    for failure in queries.ask("last_failures"):
        good = next(
            (p["any_ms"] for p in polls if (p["witness"], p["cluster"]) == (failure["witness"], failure["cluster"])), 0
        )
        if (good or 0) <= failure["observed_at_ms"]:
            found.append(f"{failure['witness']}: {failure['detail']}")
    return {
        "ledger": str(queries.path),
        "now": now // 1000,
        "counts": counts,
        "hooks": {**hooks, "since": (now - _LOOK_BACK_MS) // 1000, "stale_temporaries": stale},
        "witnesses": _witnesses(polls),
        "nodes": heard,
        "findings": found,
    }


def health(queries: Queries, now_ms: int) -> dict[str, Any]:
    """When each witness was last heard, and nothing else: for those who see no counts and findings."""
    return {"now": now_ms // 1000, "witnesses": _witnesses(queries.ask("last_polls"))}


def _witnesses(polls: Rows) -> list[dict[str, Any]]:
    return [
        {
            "witness": p["witness"],
            "cluster": p["cluster"],
            "last_seen": p["any_ms"] // 1000 if p["any_ms"] else None,
            "counts_running_up_to": p["at_ms"] // 1000 if p["at_ms"] and p["witness"] == "sacct" else None,
        }
        for p in polls
    ]


def capacity_findings(settings: Settings, queries: Queries, now_ms: int) -> list[str]:
    """Where the config has another number of devices than the inventory has now."""
    there: dict[str, int] = {}
    for row in places.there(settings, queries, now_ms):
        place = places.sku_of(settings, row)
        if row["cluster"] == settings.cluster and place is not None:
            there[place[1].name] = there.get(place[1].name, 0) + row["devices"]
    if not there:
        return []
    return [
        f"{settings.path}: {sku} has {count} devices in the config and {there.get(sku, 0)} in the "
        "inventory, which counts as the capacity; mend `devices`, for it makes the price"
        for sku, count in devices_on(settings, now_ms - 1).items()
        if count != there.get(sku, 0)
    ]


def unprojected_findings(queries: Queries) -> list[str]:
    """Whether there is something that the projection fails at."""
    rows = queries.ask("unprojected")
    if not rows:
        return []
    first = rows[0]
    more = f", and {len(rows) - 1} more (tables unprojected_job, unprojected_node)" if len(rows) > 1 else ""
    return [
        f"{first['what']} of {first['cluster']}{more}: its projection fails, a fault of gpucost: {first['reason']}; "
        "its leases are as they were before (none after a rebuild), its evidence is kept; please report it, a mended "
        "version tries again"
    ]


def reservation_findings(settings: Settings, queries: Queries, now_ms: int) -> list[str]:
    """Reservations of GPUs in the last look-back that nobody is billed for."""
    start_ms = now_ms - settings.accounting_look_back_days * DAY_MS
    return [
        f"reservation {row['name'] or row['id']} of {row['cluster']} is not billed: {row['why']}"
        for row in unbilled(settings, queries, start_ms, now_ms)
    ]


def unpriced_kinds(settings: Settings, queries: Queries) -> list[str]:
    """Kinds of GPU that accounting or nodes name and no SKU prices."""
    found: list[str] = []
    for row in queries.ask("kinds"):
        name = f"{row['gres_name']}:{row['gres_type']}" if row["gres_type"] else row["gres_name"]
        model = f" ({row['model']})" if row["model"] else ""
        if not settings.skus_for(row["gres_type"], row["model"]):
            what = f"{settings.path}: gres/{name}{model} is used and no SKU prices it"
            found.append(f"{what}; {_todo(row['gres_name'], row['gres_type'], row['model'])}")
        elif row["shards_unknown"]:
            found.append(f"{settings.path}: gres/{name} is used; give its SKU the number of `shards` of a device")
    return found


def _todo(name: str, kind: str, model: str | None) -> str:
    if name == "mps":
        return "no node tells how many gres/mps make a device: is `gpucostd` asking the controller?"
    if kind:
        return "add it to a SKU's gres_types"
    if model:
        return "add the device's name to a SKU's nvml_names"
    return f"it has no type and there are several SKUs: add gres/{name}:TYPE to AccountingStorageTRES"
