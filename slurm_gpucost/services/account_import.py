"""An allocation portal's export into the ledger: whole, or with any fault not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from slurm_gpucost.costing.accounts import FIELDS
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.evidence import AccountFact
from slurm_gpucost.ledger import accounts
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.sources import coldfront, portal


class Source(NamedTuple):
    """What is imported, and as what."""

    file: Path
    cluster: str
    """'': for all clusters."""
    from_ms: int | None
    """From when on it holds, ms UTC; None: it is what the portal says now."""


def run(
    ledger: Ledger, source: Source, names: Mapping[str, str], classes: Collection[str], now_ms: int
) -> dict[str, Any]:
    """Take the file in; how many accounts it names and what is new.

    The file tells all of the accounts that it names: what an earlier one said of them and it does not is taken back.
    Accounts that it does not name stay. Raises ConfigError with every fault, then nothing is taken in.
    """
    try:
        text = source.file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{source.file}: is not UTF-8 text; save it as UTF-8") from None
    allocations, faults = coldfront.read(text)
    if not faults:
        found, faults = portal.facts_of(allocations, names, classes)
    if faults:
        raise ConfigError(*(f"{source.file}: {where}: {what}" for where, what in faults))
    from_ms = now_ms if source.from_ms is None else source.from_ms
    facts = [
        AccountFact(source.cluster, account, field, from_ms, now_ms, value, str(source.file.resolve()), line)
        for account, said in sorted(found.accounts.items())
        for field, (value, line) in _whole(said).items()
    ]
    with ledger.transaction() as db:
        new = accounts.add_facts(db, facts, dated=source.from_ms is not None)
    return {
        "file": str(source.file),
        "accounts": len(found.accounts),
        "not_active": found.not_live,
        "without_account": found.without_account,
        "changed": [{"account": fact.account, "field": fact.field, "value": fact.value} for fact in new],
    }


def _whole(said: Mapping[str, portal.Said]) -> dict[str, portal.Said]:
    line = min((one.line for one in said.values()), default=1)
    return {field: said.get(field, portal.Said("", line)) for field in FIELDS}
