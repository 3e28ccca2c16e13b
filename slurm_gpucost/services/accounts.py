"""What is known of accounts for billing, at a moment."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.accounts import FIELDS, SACCTMGR, Accounts, Told
from slurm_gpucost.costing.periods import iso
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.portal import FLAGS, TRUE


def known(settings: Settings, rows: Iterable[Mapping[str, Any]] = ()) -> Accounts:
    """What the config says at any moment; with ``rows`` of the query ``account_facts``, also what holds at theirs."""
    return Accounts([*settings.accounts, *(_told(row, settings.timezone) for row in rows)])


def known_at(settings: Settings, queries: Queries, at_ms: int) -> Accounts:
    """All that is known of accounts at a moment, whoever said it."""
    return known(settings, queries.ask("account_facts", now_ms=at_ms))


def _told(row: Mapping[str, Any], zone: ZoneInfo) -> Told:
    """A fact of the ledger. Raises ValueError for a field that there is not."""
    field, value = FIELDS[FIELDS.index(row["field"])], row["value"]
    where = f"{row['file']}: line {row['line']}"
    if row["source"] == SACCTMGR:
        where = f"sacctmgr, seen {iso(row['from_ms'], zone)}: account"
    values = {field: value == TRUE if field in FLAGS else value}
    return Told(row["account"], row["cluster"], row["from_ms"], row["source"], where, values)


def listed(
    settings: Settings,
    used: Iterable[Mapping[str, Any]],
    at_ms: int,
    account: str | None = None,
    rows: Iterable[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """The facts of each account that has ``used`` something or that the config names.

    ``used`` are rows of the query ``accounts``. What the config says of an account on all clusters is shown on those
    where it is used, else on the site's own.
    Raises UsageError for an account that is neither.
    """
    facts = known(settings, rows)
    places = {(row["cluster"], row["account"]) for row in used}
    seen = {name for _, name in places}
    places |= {(cluster or settings.cluster, name) for cluster, name in facts.names() if cluster or name not in seen}
    if account is not None and account not in {name for _, name in places}:
        near = difflib.get_close_matches(account, {name for _, name in places}, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"-A {account}: neither the ledger nor the config knows such an account{hint}")
    return [
        {
            "cluster": cluster,
            "account": name,
            "facts": [
                {"field": field, "value": fact.value, "source": fact.where}
                for field, fact in facts.facts_at(cluster, name, at_ms).items()
            ],
        }
        for cluster, name in sorted(places)
        if account in (None, name)
    ]
