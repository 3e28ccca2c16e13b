"""Rows that nodes send: what may be taken in is written by the way that marks its projection, the rest is set aside."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from slurm_gpucost.domain.admission import Admission, is_time
from slurm_gpucost.domain.evidence import HookEvent
from slurm_gpucost.domain.wire import TABLES, Batch, SetAside
from slurm_gpucost.ledger import ingest, measured, refusals, reports
from slurm_gpucost.ledger.tokens import Who
from slurm_gpucost.services.claims import Claims

MOST_HOOKS = 200
"""Of one job on one node: its runs, each with a prolog and an epilog. Matching them takes their number squared."""
_STAND = frozenset(("device_report", "slot_report"))
"""Not MIG layouts, whose rows belong together by their time."""
_OF_DEVICES = frozenset(("usage_window", "device_report", "mig_report", "device_process"))


class SentRows:
    """Those of one transaction; ``write`` puts them into the ledger, together."""

    def __init__(self, db: sqlite3.Connection, now_ms: int, silent_ms: int) -> None:
        self._db = db
        self._now_ms = now_ms
        self._claims = Claims(db, now_ms, silent_ms)
        self._admission = Admission(now_ms)
        self._hooks: dict[tuple[str, int, str], set[bytes]] = {}
        self._good: dict[str, list[Any]] = {table: [] for table in TABLES}

    def add(self, who: Who, batch: Batch) -> tuple[int, int]:
        """Take a batch's rows, or set them aside: how many of each."""
        taken = refused = 0
        for table, rows in batch.rows.items():
            if table == "set_aside":
                for row in rows:
                    self._unreadable(who, row)
                taken += len(rows)
                continue
            good = self._good[table]
            for told in rows:
                row = self._standing(told) if table in _STAND else told
                why = self._refusal(who, batch.journal, table, row)
                if why:
                    self._set_aside(who, table, row, why)
                    refused += 1
                else:
                    good.append(row)
                    taken += 1
        return taken, refused

    def _standing(self, row: Any) -> Any:
        """A report of a clock that cannot be right is one of now: a node tells what stands once, and not again."""
        return row if is_time(row.observed_at_ms, self._now_ms) else row._replace(observed_at_ms=self._now_ms)

    def _refusal(self, who: Who, journal: str, table: str, row: Any) -> str:
        why = self._admission.fault(table, row)
        if why:
            return f"{table}: {why}"
        if table in _OF_DEVICES:
            return self._claims.refusal(who, journal, table, row)
        if (row.cluster, row.node) != who:
            return f"{table}: tells of node {row.node[:255]} of {row.cluster[:255]}, not of its own"
        return self._one_too_many(row) if table == "hook_event" else ""

    def _one_too_many(self, event: HookEvent) -> str:
        key = (event.cluster, event.job_id, event.node)
        if key not in self._hooks:
            self._hooks[key] = ingest.hooks_of(self._db, *key)
        known = self._hooks[key]
        if event.digest not in known and len(known) >= MOST_HOOKS:
            return f"hook_event: there are {MOST_HOOKS} of job {event.job_id} on that node already"
        known.add(event.digest)
        return ""

    def _unreadable(self, who: Who, row: SetAside) -> None:
        """What the node itself could not read. It only can be a hook's."""
        line = row.line if row.line is not None and 0 <= row.line < 1 << 31 else None
        at_ms = row.observed_at_ms if is_time(row.observed_at_ms, self._now_ms) else self._now_ms
        refusals.keep(self._db, who, "hook", row.source, line, row.reason, row.content, at_ms)

    def _set_aside(self, who: Who, table: str, row: Any, why: str) -> None:
        plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in row._asdict().items()}
        content = json.dumps({"cluster": who.cluster, "node": who.node, "table": table, "row": plain})
        refusals.keep(self._db, who, "uplink", table, None, why, content.encode(), self._now_ms)

    def write(self) -> None:
        """All rows that may be, each by the way that marks what is to be projected again."""
        good = self._good
        self._claims.write()
        ingest.add_hooks(self._db, good["hook_event"])
        measured.add_windows(self._db, good["usage_window"])
        measured.add_instances(self._db, good["mig_report"])
        measured.add_processes(self._db, good["device_process"])
        if good["device_report"]:
            reports.add_devices(self._db, good["device_report"])
        if good["slot_report"]:
            reports.add_slots(self._db, good["slot_report"])
