"""The money added up again from the evidence: per pool and month, exactly; and what does not add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from slurm_gpucost.costing.billed import lines_of
from slurm_gpucost.costing.conservation import NIL, Balance, Line, Time, Use, balance
from slurm_gpucost.costing.invoices import invoices_of
from slurm_gpucost.costing.lines import SURCHARGES, LineKey, Lines, Priced, amount
from slurm_gpucost.costing.periods import Period
from slurm_gpucost.domain.units import HOUR_MS, decimal_text
from slurm_gpucost.ledger import changes
from slurm_gpucost.services import bill, blocked, findings, meter, partition, reconcile, reserved
from slurm_gpucost.services.invoice_checks import (
    DECIMALS,
    Invoices,
    difference,
    key_of,
    of_invoice,
    of_surcharges,
    of_tax,
)
from slurm_gpucost.services.places import of_devices
from slurm_gpucost.services.queries import LedgerQueries
from slurm_gpucost.services.rates import heard, period_costs, period_in
from slurm_gpucost.services.utilization import of_skus
from slurm_gpucost.settings import Pool, Settings
from slurm_gpucost.settings.currencies import minor_unit


class _Done(NamedTuple):
    """What the devices of all SKUs did in a period; pools of one zone have the same."""

    terms: dict[str, defaultdict[str, Fraction]]
    orphans: dict[str, int]


def audit(
    settings: Settings, queries: LedgerQueries, month: str, now_ms: int, invoices: Invoices | None = None
) -> dict[str, Any]:
    """The balance of each pool of a month, and every difference: none where all is well.

    A month that is not over ends where the accounting was last heard. ``invoices``: those to look at; else those
    that `gpucost invoice` makes now. Amounts are decimal text with six decimals, compared before they are rounded.
    """
    parts = bill.priced_parts(settings, queries, month)
    terms = bill.terms_of(settings, queries, parts, month)
    billed = lines_of(bill.charges(settings, queries, parts, month), terms)
    made = invoices_of(billed, terms) if invoices is None else invoices
    pools: list[dict[str, Any]] = []
    done: dict[tuple[int, int], _Done] = {}
    differences = [wrong for one in made for wrong in (*of_invoice(one), *of_tax(one, terms))]
    differences += of_surcharges(made, billed, terms)
    for pool in settings.pools:
        period = heard(queries, period_in(month, pool.timezone), now_ms)
        if period[:2] not in done:
            done[period[:2]] = _Done(of_skus(settings, queries, *period[:2]), _orphans(settings, queries, period))
        by_others = blocked.device_ms(settings, queries, pool, *period[:2])
        for sku, time in reserved.device_ms(settings, queries, pool, *period[:2]).items():
            by_others[sku] = by_others.get(sku, NIL) + time
        found, wrong = _pool(
            settings, pool, period, done[period[:2]], by_others, parts, billed, made,
            meter.energy_costs(settings, queries, pool, month, period),
        )  # fmt: skip
        pools.append(found)
        differences += wrong
    start, end = min(p["from_ms"] for p in pools), max(p["until_ms"] for p in pools)
    differences += [_of_slot(one) for one in partition.check(queries.connection, start, end)]
    if (broken := changes.first_broken(queries.connection)) is not None:
        differences.append(difference("log of changes", "", f"entry {broken} is not as it was written, or one is gone"))
    return {
        "month": month,
        "currency": settings.currency,
        "pools": [{key: value for key, value in pool.items() if not key.endswith("_ms")} for pool in pools],
        "accuracy": reconcile.accuracy(queries, start, end),
        "log": changes.last_hash(queries.connection),
        "differences": differences,
    }


def _pool(
    settings: Settings, pool: Pool, period: Period, did: _Done, by_others: Mapping[str, Fraction],
    parts: Mapping[tuple[str, int], Priced],
    billed: Lines, invoices: Invoices,
    energy: Mapping[str, Fraction] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    costs = period_costs(pool, period, energy)
    terms = {sku.name: did.terms.get(sku.name, defaultdict(Fraction)) for sku in pool.skus}
    orphans = did.orphans
    times = {sku: _time(found, orphans.get(sku, 0), by_others.get(sku, NIL)) for sku, found in terms.items()}
    uses = [Use(sku, -found["oversubscribed"], NIL, NIL) for sku, found in terms.items()]
    exact: defaultdict[tuple[str, str, LineKey], Fraction] = defaultdict(Fraction)
    for owner, lines_found in billed.items():
        for key, line in lines_found.items():
            if key.pool != pool.name or key.kind in SURCHARGES:
                continue
            uses.append(Use(key.sku, line.held, line.quantity, amount(key, Fraction(1))))
            exact[*owner, key] = amount(key, line.quantity)
    starts = {priced.period.start_iso: start for (name, start), priced in parts.items() if name == pool.name}
    lines = [
        Line(Fraction(line["amount"]), exact[invoice["cluster"], invoice["account"], key])
        for invoice in invoices
        for line in invoice["lines"]
        if line["pool"] == pool.name and line["item"] not in SURCHARGES
        for key in [key_of(line, starts.get(line["period_start"], -1))]
    ]
    made = balance(costs, times, uses, lines)
    existed = sum((time.existed for time in times.values()), NIL)
    row = {
        "pool": pool.name,
        "period_start": period.start_iso,
        "period_end": period.end_iso,
        **{name: decimal_text(value, DECIMALS) for name, value in made.terms().items()},
        "orphan_percent": decimal_text(100 * sum((t.orphan for t in times.values()), NIL) / existed, 3)
        if existed
        else None,
        "idle_kind": "derived" if any(found["derived"] for found in terms.values()) else "observed",
        "from_ms": period.start_ms,
        "until_ms": period.end_ms,
    }
    return row, list(_wrong(settings, pool, costs, times, made, lines))


def _time(found: Mapping[str, Fraction], orphan_ms: int, others_ms: Fraction) -> Time:
    """Time after a cluster's last look, where another was heard later, counts as idle. Orphan use is a part of idle.

    What is blocked or reserved is attributed to who pays for it, and not idle; orphan use of it is no loss of its own.
    """
    at = defaultdict(Fraction, found)
    idle = at["idle"] + at["completing"] + at["unobserved"]
    idle -= others_ms
    orphan = max(min(Fraction(orphan_ms), idle), NIL)
    return Time(
        existed=at["reported"],
        attributed=at["allocated"] + at["suspended"] - at["oversubscribed"] + others_ms,
        idle=idle - orphan,
        unavailable=at["down"] + at["planned_down"],
        orphan=orphan,
        unattributed=at["held"],
    )


def _orphans(settings: Settings, queries: LedgerQueries, period: Period) -> dict[str, int]:
    """SKU -> ms in which a GPU worked that nobody held, system use left out."""
    devices = of_devices(settings, queries, period.end_ms - 1)
    found: dict[str, int] = {}
    for use in findings.orphans(queries, period.start_ms, period.end_ms):
        place = devices.get(use["device"]) if use["kind"] == "unheld" else None
        if place:
            found[place[1].name] = found.get(place[1].name, 0) + use["busy_ms"]
    return found


def _wrong(
    settings: Settings, pool: Pool, costs: Mapping[str, Fraction], times: Mapping[str, Time], made: Balance,
    lines: list[Line],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    for sku, cost in costs.items():
        time = times[sku]
        told = time.attributed + time.idle + time.unavailable + time.orphan + time.unattributed
        if cost and not time.existed:
            yield difference("cost", pool.name, f"{sku}: costs {decimal_text(cost, DECIMALS)}, and no device existed")
        elif told != time.existed:
            off = decimal_text((time.existed - told) / HOUR_MS, DECIMALS)
            yield difference("time", pool.name, f"{sku}: {off} GPU-hours are in no state, or in two if below 0")
    if made.unexplained_charge:
        off = decimal_text(made.unexplained_charge, DECIMALS)
        yield difference(
            "charge", pool.name, f"{off} {settings.currency} more on lines than was used, or less if below 0"
        )
    unit = Fraction(1, 10 ** minor_unit(settings.currency))
    if far := [line for line in lines if abs(line.amount - line.exact) >= unit]:
        yield difference("line", pool.name, f"{len(far)} lines have another amount than their quantity x price")


def _of_slot(one: partition.Difference) -> dict[str, Any]:
    where = f"{one['cluster']} {one['node']}" + ("" if one["gres_index"] is None else f" index {one['gres_index']}")
    missing, excess = (decimal_text(one[name] / HOUR_MS, DECIMALS) for name in ("missing", "excess"))
    return difference("partition", "", f"{where}: {missing} GPU-hours in no state, {excess} in too many")
