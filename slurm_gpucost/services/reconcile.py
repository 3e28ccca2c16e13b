"""Hooks, controller, accounting and driver against each other: what differs, how much, and who closes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from slurm_gpucost.domain.evidence import decode_gres
from slurm_gpucost.domain.tres import gpu_gres, parse_index_list
from slurm_gpucost.domain.units import MS, decimal_text
from slurm_gpucost.ledger.queries import Rows
from slurm_gpucost.services import findings, partition
from slurm_gpucost.services.categories import CATEGORIES
from slurm_gpucost.services.places import EVERYWHERE
from slurm_gpucost.services.queries import LedgerQueries, open_queries
from slurm_gpucost.services.rates import heard_ms
from slurm_gpucost.services.utilization import devices_on, utilization
from slurm_gpucost.settings import Settings

DAY_MS = 86_400_000
SETTLED_MS = 600_000
"""What is younger may still be told by another witness."""
MOST_EXAMPLES = 5
_Group = tuple[int, Fraction, list[dict[str, Any]]]
"""(count, device-ms in all, the largest as examples)."""
_Found = defaultdict[str, list[_Group]]


def reconcile(settings: Settings, queries: LedgerQueries, start_ms: int, end_ms: int, now_ms: int) -> dict[str, Any]:
    """The differences in [start, end), by category, with counts, GPU-seconds and examples; and how well it all fits.

    The window ends where the accounting was last heard. ``accuracy``: what the scheduler allocated against what we
    attribute, both with suspended time. Times are seconds since 1970, quantities decimal text.
    """
    end_ms = max(start_ms, min(end_ms, heard_ms(queries, end_ms)))
    found: _Found = defaultdict(list)
    asked = {"start_ms": start_ms, "end_ms": end_ms, "now_ms": now_ms, "settled_ms": SETTLED_MS}
    for category, group in _differences(queries.ask("differences", **asked)):
        found[category].append(group)
    for difference in partition.check(queries.connection, start_ms, end_ms):
        amount = difference["missing"] + difference["excess"]
        example = _example(difference["cluster"], None, None, difference["node"], difference["first_ms"], amount, "")
        found["partition"].append((1, amount, [{**example, "detail": f"index {difference['gres_index']}"}]))
    for one in _disagreements(queries.ask("devices_disagree", start_ms=start_ms, end_ms=end_ms)):
        found["devices disagree"].append((1, Fraction(0), [one]))
    _use(found, settings, queries, start_ms, end_ms)
    whole, there = utilization(settings, queries, start_ms, end_ms), devices_on(settings, end_ms - 1)
    for row in whole:
        configured = there.get(row["sku"] or "")
        if row["cluster"] == settings.cluster and row["idle_kind"] != "derived" and row["devices"] != configured:
            detail = f"{row['sku'] or 'unpriced'}: config {configured or 0}, inventory {row['devices'] or 0}"
            example = _example(row["cluster"], None, None, None, end_ms, Fraction(0), detail)
            found["capacity differs from the config"].append((1, Fraction(0), [example]))
    return {
        "start": start_ms // MS,
        "end": end_ms // MS,
        "categories": [_category(name, found[name]) for name in [c.name for c in CATEGORIES] if found[name]],
        "accuracy": accuracy(queries, start_ms, end_ms),
        "time": whole,
    }


def by_itself(settings: Settings, path: Path, now_ms: int) -> dict[str, int]:
    """What the daemon does once a day: category -> count of what a person must decide within the look-back.

    Reads the ledger at ``path`` through a connection of its own, so that it can run beside the writer.
    """
    with open_queries(settings, path) as queries:
        start_ms = now_ms - settings.accounting_look_back_days * DAY_MS
        answer = reconcile(settings, queries, start_ms, now_ms, now_ms)
    return {category["category"]: category["count"] for category in open_decisions(answer)}


def words(to_decide: dict[str, int]) -> str:
    """``vanished from accounting 2, oversubscribed 1``."""
    return ", ".join(f"{name} {count}" for name, count in to_decide.items())


def open_decisions(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The categories of an answer that a person must decide."""
    return [category for category in answer["categories"] if not category["closed_by"]]


def _differences(rows: Rows) -> Iterator[tuple[str, _Group]]:
    """(category, group) of rows in order of category and share_den; each row has its group's count and total."""
    for (category, den), some in groupby(rows, key=itemgetter("category", "share_den")):
        group = list(some)
        examples = [
            _example(
                row["cluster"], row["job_id"], row["submit_ms"], row["node"], row["from_ms"],
                _device_ms(row["quantity"], den), row["detail"],
            )
            for row in group
        ]  # fmt: skip
        yield category, (group[0]["n"], _device_ms(group[0]["total"], den), examples)


def _device_ms(quantity: int, share_den: int) -> Fraction:
    """Device-milliseconds; none where nobody says how many shards make a device."""
    return Fraction(quantity, share_den) if share_den else Fraction(0)


def _example(
    cluster: str | None, job: int | None, submit: int | None, node: str | None, at: int, amount: Fraction, detail: str
) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "job_id": None if job is None else str(job),
        "submit": None if submit is None else submit // MS,
        "node": node,
        "at": at // MS,
        "gpu_seconds": decimal_text(amount / MS, 3),
        "detail": detail,
    }


def _category(name: str, groups: list[_Group]) -> dict[str, Any]:
    category = next(c for c in CATEGORIES if c.name == name)
    examples = [example for _, _, some in groups for example in some]
    examples.sort(key=lambda e: (-Fraction(e["gpu_seconds"]), e["at"], str(e["job_id"])))
    return {
        "category": name,
        "means": category.means,
        "count": sum(count for count, _, _ in groups),
        "gpu_seconds": decimal_text(sum((total for _, total, _ in groups), Fraction(0)) / MS, 3),
        "closed_by": category.closed_by or None,
        "todo": category.todo or None,
        "examples": examples[:MOST_EXAMPLES],
    }


def _use(found: _Found, settings: Settings, queries: LedgerQueries, start_ms: int, end_ms: int) -> None:
    """What the driver saw against what was held: use without a lease, leases without use."""
    for use in findings.orphans(queries, start_ms, end_ms):
        if use["kind"] == "system":
            continue
        who = (
            "nobody's process was seen" if use["uid"] is None else f"uid {use['uid']} {use['user']} {use['executable']}"
        )
        what = "while nobody held it" if use["kind"] == "unheld" else "while somebody else held it"
        busy = Fraction(use["busy_ms"])
        example = _example(None, None, None, None, use["start_ms"], busy, f"{use['device']} {what}: {who.rstrip()}")
        found["orphan use"].append((1, busy, [example]))
    for one in findings.idle(settings, queries, start_ms, end_ms):
        idle = Fraction(one["gpu_idle_seconds"] * MS)
        detail = f"{one['user']} on {one['device']}: idle {one['idle_seconds']} of {one['observed_seconds']} s observed"
        example = _example(one["cluster"], one["job_id"], one["submit_ms"], None, start_ms, idle, detail)
        found["leased but unused"].append((1, idle, [example]))


def _disagreements(rows: Rows) -> Iterator[dict[str, Any]]:
    """Attempts and nodes where the controller's slots are others than the prolog's."""
    seen: set[tuple[str, int, str, int]] = set()
    for row in rows:
        key = (row["cluster"], row["job_id"], row["node"], row["at_ms"])
        by_prolog = set(parse_index_list(row["job_gpus"]) or [])
        by_controller = {i for gres in decode_gres(row["gres"]) if gres.node == row["node"] for i, _ in gres.units}
        if key not in seen and by_prolog and by_controller and by_prolog != by_controller:
            seen.add(key)
            detail = f"prolog {sorted(by_prolog)}, controller {sorted(by_controller)}"
            yield _example(row["cluster"], row["job_id"], None, row["node"], row["at_ms"], Fraction(0), detail)


def accuracy(queries: LedgerQueries, start_ms: int, end_ms: int) -> dict[str, Any]:
    """What the accounting's rows say was allocated against what leases attribute; a device where one is named."""
    attributed: defaultdict[str, Fraction] = defaultdict(Fraction)
    parts: dict[str, int] = {}
    named = before = Fraction(0)
    for row in queries.ask("leased_time", start_ms=start_ms, end_ms=end_ms, **EVERYWHERE):
        if not row["billable"]:
            continue
        if row["gres_name"] != "gpu":
            parts.setdefault(row["gres_name"], row["share_den"])
        amount = Fraction(row["quantity"], row["share_den"] or 1)
        attributed[row["cluster"]] += amount
        named += Fraction(row["named"], row["share_den"] or 1)
        before += Fraction(row["before_prolog"], row["share_den"] or 1)
    allocated: defaultdict[str, Fraction] = defaultdict(Fraction)
    for row in queries.ask("allocated", start_ms=start_ms, end_ms=end_ms):
        for want in gpu_gres(row["alloc_tres"]):
            den = 1 if want.name == "gpu" else parts.get(want.name) or 1
            allocated[row["cluster"]] += Fraction(want.units * row["length_ms"], den)
    scheduler, ours = sum(allocated.values(), Fraction(0)), sum(attributed.values(), Fraction(0))
    off = sum((abs(allocated[c] - attributed[c]) for c in allocated.keys() | attributed.keys()), Fraction(0))
    return {
        "allocated_gpu_seconds": decimal_text(scheduler / MS, 3),
        "attributed_gpu_seconds": decimal_text(ours / MS, 3),
        "named_gpu_seconds": decimal_text(named / MS, 3),
        "before_prolog_gpu_seconds": decimal_text(before / MS, 3),
        "difference_percent": decimal_text(100 * off / scheduler, 3) if scheduler else None,
        "named_percent": decimal_text(100 * named / ours, 2) if ours else None,
    }
