"""Publishing rates: from the config's derivation to prices that stand, and the log of who did it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from slurm_gpucost.costing.cards import Card, refusals
from slurm_gpucost.costing.periods import iso
from slurm_gpucost.costing.rates import Derivation
from slurm_gpucost.domain.errors import UsageError
from slurm_gpucost.ledger import cards, changes
from slurm_gpucost.ledger.cards import Rate
from slurm_gpucost.ledger.changes import Change
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.rates import cards_of, derivation_row, derived
from slurm_gpucost.services.recorded import differences, record
from slurm_gpucost.settings import Pool, Settings
from slurm_gpucost.settings.inputs import inputs_of
from slurm_gpucost.sources.identity import Identity

SUBJECT = "rates"


def publish(
    settings: Settings,
    ledger: Ledger,
    effective: datetime,
    who: Identity,
    why: str,
    now_ms: int,
    pool: str | None = None,
) -> list[dict[str, Any]]:
    """Publish the rates that the config gives, from a local time on: one card a pool, all or none.

    ``effective`` has no zone: it is read in each pool's own. Raises UsageError with every reason against it. Returns
    rows by pool and SKU: ``unit_price``, and ``before``, the price that it takes the place of (None: there is none).
    """
    pools = [one for one in settings.pools if pool in (None, one.name)]
    if not pools:
        known = ", ".join(one.name for one in settings.pools)
        raise UsageError(f"--pool {pool}: the config has no such pool; there are {known}")
    with ledger.transaction() as db:
        published = cards_of(ask(db, "rates"))
        against: list[str] = []
        begins: list[tuple[Pool, int]] = []
        for one in pools:
            at_ms = _moment(effective, one)
            if at_ms is None:
                against.append(f"pool {one.name}: {effective:%Y-%m-%dT%H:%M} does not exist in {one.timezone.key}")
            else:
                against += refusals(published.get(one.name, []), one.name, settings.currency, at_ms, one.timezone)
                begins.append((one, at_ms))
        if against:
            raise UsageError("\n".join(f"--from: {reason}" for reason in against))
        record(db, settings, who, why, now_ms)
        rows: list[dict[str, Any]] = []
        for one, at_ms in begins:
            made = derived(settings, one, effective.strftime("%Y-%m"), effective.date())
            inputs = inputs_of(one)
            rows += _card(settings, one, published.get(one.name, []), made, at_ms)
            told = {"pool": one.name, "effective": iso(at_ms, one.timezone), "inputs": inputs}
            told["prices"] = {d.sku: str(d.posted) for d in made}
            what = json.dumps({"published": told}, sort_keys=True, ensure_ascii=False)
            change = Change(now_ms, who.login, who.uid, who.host, who.terminal, SUBJECT, what, why)
            seq = changes.add(db, change)
            cards.add(db, _rates(settings, inputs, made, at_ms, rows[-1]["version"]), seq)
    return rows


def _moment(effective: datetime, pool: Pool) -> int | None:
    """ms UTC; of an hour that comes twice, the first. None where the clock skips it."""
    local = effective.replace(tzinfo=pool.timezone)
    at = local.astimezone(UTC)
    if at.astimezone(pool.timezone).replace(tzinfo=None) != effective:
        return None
    return int(at.timestamp()) * 1000


def _card(
    settings: Settings, pool: Pool, before: list[Card], made: list[Derivation], at_ms: int
) -> list[dict[str, Any]]:
    latest = max(before, key=lambda card: card.effective_ms, default=None)
    version = latest.version + 1 if latest else 1
    return [
        {
            "pool": pool.name,
            "version": version,
            "effective": iso(at_ms, pool.timezone),
            "sku": d.sku,
            "unit_price": str(d.posted),
            "before": str(latest.prices[d.sku]) if latest and d.sku in latest.prices else None,
            "currency": settings.currency,
        }
        for d in made
    ]


def _rates(settings: Settings, inputs: dict[str, str], made: list[Derivation], at_ms: int, version: int) -> list[Rate]:
    return [
        Rate(
            d.pool, at_ms, d.sku, version, str(d.posted), settings.currency,
            f"{d.rate.numerator}/{d.rate.denominator}",
            json.dumps({**derivation_row(settings, d), "inputs": inputs}, sort_keys=True, ensure_ascii=False),
        )
        for d in made
    ]  # fmt: skip


def history(rows: list[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """Every card that was published, newest last: its prices, who, when, why, and what of the config had changed."""
    zones = {pool.name: pool.timezone for pool in settings.pools}
    found: dict[tuple[str, int], dict[str, Any]] = {}
    inputs: dict[str, dict[str, str]] = {}
    for row in rows:
        zone = zones.get(row["pool"], settings.timezone)
        key = (row["pool"], row["effective_ms"])
        if key not in found:
            has = json.loads(row["derivation"])["inputs"]
            before = inputs.get(row["pool"])
            inputs[row["pool"]] = has
            found[key] = {
                "pool": row["pool"],
                "version": row["version"],
                "effective": iso(row["effective_ms"], zone),
                "published": iso(row["at_ms"], settings.timezone),
                "login": row["login"],
                "uid": row["uid"],
                "host": row["host"],
                "terminal": row["terminal"],
                "why": row["why"],
                "currency": row["currency"],
                "prices": {},
                "changed": [] if before is None else differences(before, has),
            }
        found[key]["prices"][row["sku"]] = row["unit_price"]
    return list(found.values())
