"""Published rates for eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe


def published(rows: Sequence[Row]) -> str:
    """What ``gpucost rates publish`` published."""
    out: list[str] = []
    for (pool, version, effective), found in groupby(rows, itemgetter("pool", "version", "effective")):
        out.append(f"Pool {safe(pool)}: version {version} holds from {effective} on")
        for row in found:
            before = "" if row["before"] is None else f"   (before: {row['before']})"
            out.append(f"  {safe(row['sku']):16} {row['unit_price']:>12} {row['currency']} per GPU-hour{before}")
    return "\n".join(out) + "\n"


def history(rows: Iterable[Row]) -> str:
    """What ``gpucost rates history`` shows."""
    out: list[str] = []
    for row in rows:
        who = f"{row['login']} (uid {row['uid']}) on {row['host']}" + (
            f", {row['terminal']}" if row["terminal"] else ""
        )
        out += [
            f"Pool {safe(row['pool'])}, version {row['version']}: from {row['effective']} on",
            f"  published {row['published']} by {safe(who)}",
        ]
        if row["why"]:
            out.append(f"  why: {safe(row['why'])}")
        out += [f"  {safe(sku):16} {price:>12} {row['currency']} per GPU-hour" for sku, price in row["prices"].items()]
        for change in row["changed"]:
            was = "not there" if change["before"] is None else change["before"]
            now = "gone" if change["now"] is None else change["now"]
            out.append(f"  changed: {safe(change['key'])}: {safe(was)} -> {safe(now)}")
        out.append("")
    return "\n".join(out[:-1]) + "\n"
