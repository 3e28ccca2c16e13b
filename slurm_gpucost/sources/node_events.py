"""When nodes were out of use, from slurmdbd: ``sacctmgr show event``, and ``show reservation`` for maintenance.

A maintenance reservation leaves no event of its nodes (seen on 22.05 and 24.11); sreport takes its planned down time
from the reservations too. Reasons hold what operators write, newlines and separators among it, and sacctmgr neither
escapes nor takes a delimiter: so Reason is asked for last, and a line that does not begin like a record continues it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from slurm_gpucost.domain.evidence import NodeEvent
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.sources import command

ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "TZ": "UTC", "LC_ALL": "C"}
_EVENT = re.compile(
    r"^(?P<cluster>[^|\n]+)\|(?P<node>[^|\n]+)\|(?P<start>\d{1,15})\|(?P<end>\d{1,15}|Unknown)"
    r"\|(?P<raw>\d{1,15})\|(?P<state>[^|\n]*)\|(?P<user>[^|\n]*)\|",
    re.MULTILINE | re.ASCII,
)
_RESERVATION = re.compile(
    r"^(?P<cluster>[^|\n]+)\|(?P<id>\d{1,15})\|(?P<start>\d{1,15})\|(?P<end>\d{1,15})\|(?P<flags>[^|\n]*)"
    r"\|(?P<nodes>[^|\n]*)\|(?P<name>[^|\n]*)$",
    re.MULTILINE | re.ASCII,
)
_POWERED_DOWN, _POWERING_DOWN, _MAINT, _FAIL, _DRAIN = 0x1000, 0x40000, 0x8000, 0x2000, 0x200
_BASE, _DOWN = 0xF, 1


def ask_events(sacctmgr: str, cluster: str, start_ms: int, end_ms: int, timeout_seconds: float) -> str:
    """Node events of the cluster that touch [start, end). Raises SourceError."""
    return _ask(sacctmgr, "event", cluster, start_ms, end_ms, timeout_seconds, [
        "event=node", "format=Cluster,NodeName,Start,End,StateRaw,State,User,Reason",
    ])  # fmt: skip


def ask_reservations(sacctmgr: str, cluster: str, start_ms: int, end_ms: int, timeout_seconds: float) -> str:
    """Reservations of the cluster that touch [start, end). Raises SourceError."""
    words = ["format=Cluster,ID,Start,End,Flags,NodeNames,Name"]
    return _ask(sacctmgr, "reservation", cluster, start_ms, end_ms, timeout_seconds, words)


def _ask(sacctmgr: str, what: str, cluster: str, start_ms: int, end_ms: int, timeout: float, more: list[str]) -> str:
    words = [sacctmgr, "--parsable2", "--noheader", "show", what, f"cluster={cluster}", *span(start_ms, end_ms), *more]
    return command.run(words, timeout, ENVIRONMENT)


def span(start_ms: int, end_ms: int) -> list[str]:
    """sacctmgr's words for what touches [start, end)."""
    return [f"start={_utc(start_ms)}", f"end={_utc(end_ms)}"]


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def class_of(state_raw: int) -> str:
    """The class of a state as slurmdbd stores it (``node_states`` and ``NODE_STATE_*`` in slurm.h; 22.05 to 26.05)."""
    if state_raw & (_POWERED_DOWN | _POWERING_DOWN):
        return "powered_down"
    if state_raw & _MAINT:
        return "maintenance"
    if state_raw & _BASE == _DOWN:
        return "down"
    if state_raw & _FAIL:
        return "failing"
    return "drained" if state_raw & _DRAIN else "down"


def parse_events(text: str, observed_at_ms: int) -> list[NodeEvent]:
    """The events in a reply."""
    found = list(_EVENT.finditer(text))
    events = []
    for i, match in enumerate(found):
        stop = found[i + 1].start() if i + 1 < len(found) else len(text)
        reason = text[match.end() : stop].removesuffix("\n")
        end = int(match["end"]) * 1000 if match["end"].isdigit() else 0
        events.append(
            NodeEvent(
                match["cluster"], match["node"], "event", int(match["start"]) * 1000, observed_at_ms, end or None,
                class_of(int(match["raw"])), match["state"], reason, match["user"],
            )
        )  # fmt: skip
    return events


def parse_reservations(text: str, observed_at_ms: int) -> list[NodeEvent]:
    """The maintenance of each node in a reply; of those that have begun, for one that has not can still be deleted.

    An end to come is a plan: until then the maintenance lasts.
    """
    events = []
    for match in _RESERVATION.finditer(text):
        start, end = int(match["start"]) * 1000, int(match["end"]) * 1000
        if "MAINT" not in match["flags"].split(",") or start > observed_at_ms:
            continue
        try:
            nodes = expand(match["nodes"])
        except ValueError:
            continue
        events += [
            NodeEvent(
                match["cluster"], node, f"reservation {match['id']}", start, observed_at_ms,
                end if end <= observed_at_ms else None, "maintenance", match["flags"], match["name"], "",
            )
            for node in nodes
        ]  # fmt: skip
    return events
