"""Published rates, and what of the config was changed, for eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe
from slurm_gpucost.documents.times import with_offset


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
    """What ``gpucost rates history`` shows; for who does not see costs, without who and why."""
    out: list[str] = []
    for row in rows:
        out += [
            f"Pool {safe(row['pool'])}, version {row['version']}: from {row['effective']} on",
            *_by(f"published {row['published']}", row),
        ]
        out += [f"  {safe(sku):16} {price:>12} {row['currency']} per GPU-hour" for sku, price in row["prices"].items()]
        out += [changes(row["changed"], "  changed: ").rstrip("\n")] if row.get("changed") else []
        out.append("")
    return "\n".join(out[:-1]) + "\n"


def config_history(rows: Iterable[Row], zone: ZoneInfo) -> str:
    """What ``gpucost config history`` shows."""
    out: list[str] = []
    for row in rows:
        out += [f"Change {row['seq']}", *_by(with_offset(row["at"], zone), row), changes(row["changed"], "  ")]
    return "\n".join(out)


def changes(changed: Iterable[Row], before: str = "") -> str:
    """Values of the config, a line each."""
    out = ""
    for one in changed:
        was = "not there" if one["before"] is None else one["before"]
        now = "gone" if one["now"] is None else one["now"]
        out += f"{before}{safe(one['key'])}: {safe(was)} -> {safe(now)}\n"
    return out


def _by(when: str, row: Row) -> list[str]:
    if "login" not in row:
        return [f"  {when}"]
    who = f"{row['login']} (uid {row['uid']}) on {row['host']}" + (f", {row['terminal']}" if row["terminal"] else "")
    return [f"  {when} by {safe(who)}", *([f"  why: {safe(row['why'])}"] if row["why"] else [])]
