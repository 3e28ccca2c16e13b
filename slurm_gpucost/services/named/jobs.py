"""``jobs``: attempts with what they held. Own ones; of a coordinator's accounts without what only concerns a person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slurm_gpucost.domain import jobids, states
from slurm_gpucost.domain.asked_times import as_sacct
from slurm_gpucost.services import jobs as service
from slurm_gpucost.services import names
from slurm_gpucost.services.jobs import Filter
from slurm_gpucost.services.named.model import FLAG, OWN, TEXT, TEXTS, Answer, Asked, Param, Query, Row, texts
from slurm_gpucost.services.named.scope import Scope

_OF_THE_USER = ("job_name", "wckey", "nodes", "exit_code")
"""Of an attempt: text of his own, where it ran, and how it went. A coordinator gets '' of others'."""
_OF_THE_LEASE = (
    "node", "device", "index", "prolog", "epilog", "utilization_percent", "utilization_coverage",
    "memory_mean_mib", "memory_peak_mib", "memory_coverage",
)  # fmt: skip
"""Where it was and how well it was used: null for a coordinator. What it drew is spend, and stays."""
_MINE = "these are your own jobs; an administrator sees all users'"
_OURS = "these are your own jobs and those of accounts that you coordinate; an administrator sees all users'"


def run(asked: Asked, scope: Scope) -> Answer:
    """The attempts that overlap the time, whole."""
    params, settings = asked.params, asked.settings
    ids = jobids.parse(texts(params["job_ids"]) or ())
    wanted_states = states.names(texts(params["states"]) or ())
    start_ms, end_ms = as_sacct(
        params["start"], params["end"], bool(ids), bool(wanted_states), asked.now_ms, settings.timezone
    )
    clusters = texts(params["clusters"]) or [settings.cluster]
    wanted = Filter(
        start_ms=start_ms,
        end_ms=end_ms,
        accounts=texts(params["accounts"]),
        job_ids=[one.number for one in ids] or None,
        partitions=texts(params["partitions"]),
        clusters=None if params["all_clusters"] else clusters,
    )
    rows = _once([service.jobs(settings, asked.queries, part) for part in _parts(asked, scope, wanted)])
    if ids:
        rows = [row for row in rows if jobids.matches(row, ids)]
    if wanted_states:
        rows = [row for row in rows if states.matches(row, wanted_states, start_ms // 1000, end_ms // 1000)]
    head: Row = {"start": start_ms // 1000, "end": end_ms // 1000}
    if params["all_users"] and not scope.everyone:
        head["notes"] = [_OURS if scope.viewer.accounts else _MINE]
    return Answer(head, scope.persons(rows, _blank))


def _parts(asked: Asked, scope: Scope, wanted: Filter) -> list[Filter]:
    """What to ask the ledger: what the gate would take away is not read."""
    users = texts(asked.params["users"])
    scope.check(wanted.accounts, users, "jobs")
    if scope.everyone:
        names.check(asked.queries, wanted.accounts, users)
        mine = [scope.user] if scope.user else None
        return [replace(wanted, users=None if asked.params["all_users"] else users or mine)]
    found: list[Filter] = []
    if scope.user and (users is None or scope.user in users):
        found.append(replace(wanted, users=[scope.user]))
    if users is not None or asked.params["all_users"]:
        asked_for = scope.coordinated if wanted.accounts is None else wanted.accounts
        of_accounts = [name for name in asked_for if name in scope.coordinated]
        others = None if users is None else [user for user in users if not scope.own(user)]
        if of_accounts and others != []:
            found.append(replace(wanted, users=others, accounts=of_accounts))
    return found


def _once(parts: list[list[Row]]) -> list[Row]:
    """Attempts of all parts in the ledger's order: one's own in an account that one coordinates are in two."""
    if len(parts) == 1:
        return parts[0]
    found = {
        (row["cluster"], int(row["job_id"]), row["submit"] or 0, row["start"] or 0): row
        for part in parts
        for row in part
    }
    return [found[key] for key in sorted(found)]


def _blank(row: Row) -> Row:
    leases: list[dict[str, Any]] = row["leases"]
    return {
        **row,
        **dict.fromkeys(_OF_THE_USER, ""),
        "leases": [{**lease, **dict.fromkeys(_OF_THE_LEASE)} for lease in leases],
    }


QUERIES = (
    Query(
        "jobs",
        "Attempts of jobs that overlap a time, whole, with the GPUs that they held. Without users: one's own.",
        (
            Param("users", TEXTS, "Jobs of these users; else one's own."),
            Param("all_users", FLAG, "All users' jobs.", False),
            Param("accounts", TEXTS, "Only these accounts."),
            Param("job_ids", TEXTS, "These jobs: 123, or a task: 123_4."),
            Param("start", TEXT, "From when on, in Slurm's grammar; midnight, by default."),
            Param("end", TEXT, "Until when; now, by default."),
            Param("states", TEXTS, "In these states, as sacct means it."),
            Param("partitions", TEXTS, "Only these partitions."),
            Param("clusters", TEXTS, "Only these clusters; else the site's."),
            Param("all_clusters", FLAG, "Jobs of all clusters.", False),
        ),
        OWN,
        run,
    ),
)
