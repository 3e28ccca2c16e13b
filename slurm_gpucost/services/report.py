"""sreport-style reports over any window, aligned or not."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.allotment import round_half_up
from slurm_gpucost.costing.invoices import money, told_energy
from slurm_gpucost.costing.lines import Told
from slurm_gpucost.domain.units import HOUR_MS, MS, decimal_text
from slurm_gpucost.services import places
from slurm_gpucost.services.energy import energies, of_time
from slurm_gpucost.services.quantities import device_ms, place_of
from slurm_gpucost.services.queries import Queries, Sees
from slurm_gpucost.services.rates import list_prices, published
from slurm_gpucost.settings import Settings
from slurm_gpucost.settings.currencies import minor_unit

NIL = Fraction(0)


def account_utilization_by_user(
    settings: Settings,
    queries: Queries,
    start_ms: int,
    end_ms: int,
    accounts: Sequence[str] | None = None,
    users: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    with_energy: bool = False,
    sees: Sees | None = None,
) -> list[dict[str, Any]]:
    """GPU time by account and user; a row with user '' is the account's own total (of the rows shown).

    ``cost`` is list price x quantity at the rates of the window's beginning: an estimate, not an invoice. What no
    SKU prices has sku None and cost None. Accounts are not rolled up to their parents. ``with_energy``: also what the
    jobs drew, else None; it is made lease by lease. ``sees``: whose time is looked at at all; None: everybody's.
    """

    def counts(cluster: str, account: str, user: str) -> bool:
        asked = ((accounts, account), (users, user), (clusters, cluster))
        return all(names is None or name in names for names, name in asked) and (
            sees is None or sees(cluster, account, user)
        )

    price = list_prices(settings, published(queries), start_ms)
    sums: dict[tuple[str, str, str, str], Fraction] = {}
    for row in places.ask(settings, queries, "billable_time", start_ms, end_ms, held=0):
        if row["suspended"] or not counts(row["cluster"], row["account"], row["user"]):
            continue  # suspended time sreport does not count either
        place = place_of(settings, row)
        for user in ("", row["user"]):
            key = (row["cluster"], row["account"], user, place[1] if place else "")
            sums[key] = sums.get(key, Fraction(0)) + device_ms(row)
    drew = _energy(settings, queries, start_ms, end_ms, counts) if with_energy else {}
    digits = minor_unit(settings.currency)
    rows: list[dict[str, Any]] = []
    for (cluster, account, user, sku), quantity in sorted(sums.items()):
        if not quantity:
            continue
        cost = quantity / HOUR_MS * Fraction(price[sku]) if sku else None
        rows.append(
            {
                "cluster": cluster,
                "account": account,
                "user": user,
                "sku": sku or None,
                "gpu_seconds": decimal_text(quantity / MS, 3),
                "gpu_hours": decimal_text(quantity / HOUR_MS, 6),
                "cost": None if cost is None else money(round_half_up(cost * 10**digits), digits),
                "cost_kind": "estimate",
                "currency": settings.currency,
                **told_energy(drew.get((cluster, account, user, sku))),
            }
        )
    return rows


_Energy = dict[tuple[str, str, str, str], Told]


def _energy(settings: Settings, queries: Queries, start_ms: int, end_ms: int, counts: Sees) -> _Energy:
    """By cluster, account, user ('': all of the account that counts) and SKU: of all jobs, suspended time too."""
    found: _Energy = {}
    for one, energy in energies(settings, of_time(settings, queries, start_ms, end_ms)):
        if not counts(one.owner.cluster, one.owner.account, one.owner.user):
            continue
        for user in ("", one.owner.user):
            key = (one.owner.cluster, one.owner.account, user, one.owner.sku)
            found[key] = found[key].plus(energy) if key in found else energy
    return found
