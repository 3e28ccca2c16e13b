"""What the ledger holds and what a person should look at, as a page of text."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from slurm_gpucost.documents import nodes
from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe
from slurm_gpucost.documents.times import with_offset


def page(status: Row, zone: ZoneInfo) -> str:
    """The page for a status of the shape that ``gpucost status --json`` prints; times in ``zone``.

    For who does not see all users' spend there are witnesses alone.
    """
    if "counts" not in status:
        return "\n".join(_witnesses(status, zone)) + "\n"
    counts = status["counts"]
    names = [name for name in counts if name != "first_ms"]
    wide = max(map(len, [*names, "oldest lease"]))
    oldest = None if counts.get("first_ms") is None else counts["first_ms"] // 1000
    out = [f"Ledger {safe(status['ledger'])}", ""]
    out += [f"  {name.replace('_', ' '):<{wide}}  {counts[name]!s:>12}" for name in names]
    out += [f"  {'oldest lease':<{wide}}  {with_offset(oldest, zone, 'none')}", "", *_witnesses(status, zone)]
    if status["nodes"]:
        out += ["", "Journals of nodes (`gpucost node list`)", *nodes.summary(status["nodes"])]
    out += ["", "Findings"] if status["findings"] else ["", "No findings."]
    out += [f"  - {safe(finding)}" for finding in status["findings"]]
    return "\n".join(out) + "\n"


def _witnesses(status: Row, zone: ZoneInfo) -> list[str]:
    out = ["Witnesses"]
    for witness in status["witnesses"]:
        name = f"{witness['witness']} of {witness['cluster']}" if witness["cluster"] else witness["witness"]
        out.append(f"  {safe(name)}: last heard {with_offset(witness['last_seen'], zone)}")
        if witness["counts_running_up_to"] is not None:
            out.append(f"    running jobs count up to {with_offset(witness['counts_running_up_to'], zone)}")
    if not status["witnesses"]:
        out.append("  none has been asked yet; `gpucost backfill` or `gpucostd run` asks them")
    return out
