"""Whose word on a device counts: that of the node that told of it first, as long as it goes on telling.

A device in two machines is a card that was moved, a GPU passed from one virtual machine to another, or a lie. The first
node's facts are always taken. Another one's are taken from a while after the first one's last word on the device,
in the time of which the facts tell, not that of their arrival: so the first one's backlog changes nothing. The other's
does where the device went back to the first one meanwhile: of that one only the latest word is known, so what the other
still has to tell of the time between is set aside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from slurm_gpucost.ledger import journals
from slurm_gpucost.ledger.journals import Claim
from slurm_gpucost.ledger.tokens import Who

_Told = tuple[str, int, int]
"""(device, from when, up to when) of what a row tells."""


class Claims:
    """Of one transaction; ``write`` keeps what was learned."""

    def __init__(self, db: sqlite3.Connection, now_ms: int, silent_ms: int) -> None:
        self._db = db
        self._now_ms = now_ms
        self._silent_ms = silent_ms
        self._known: dict[str, list[Claim]] = {}
        self._changed: set[str] = set()

    def refusal(self, who: Who, journal: str, table: str, row: Any) -> str:
        """Why the node may not say this of a device; '' where it may."""
        for device, from_ms, until_ms in _told(table, row):
            if not device:
                return f"{table}: names no device"
            holder = self._claim(who, journal, device, from_ms, until_ms)
            if holder is not None:
                return f"{device} is told of by node {holder.node} of {holder.cluster}, and was so first"
        return ""

    def write(self) -> None:
        """Into the ledger."""
        journals.write_claims(self._db, (one for device in self._changed for one in self._known[device]))

    def _claim(self, who: Who, journal: str, device: str, from_ms: int, until_ms: int) -> Claim | None:
        """Note that the node tells of the device; the claim of the node whose word counts instead, if it is another."""
        claims = self._known.get(device)
        if claims is None:
            claims = self._known[device] = sorted(journals.claims_on(self._db, device), key=_order)
        place = next((i for i, one in enumerate(claims) if (one.cluster, one.node) == who), None)
        until_ms = min(until_ms, self._now_ms)
        if place is None:
            claims.append(Claim(device, *who, journal, self._now_ms, until_ms))
            claims.sort(key=_order)
            place = next(i for i, one in enumerate(claims) if (one.cluster, one.node) == who)
            self._changed.add(device)
        elif until_ms > claims[place].last_ms or claims[place].journal != journal:
            claims[place] = claims[place]._replace(last_ms=max(until_ms, claims[place].last_ms), journal=journal)
            self._changed.add(device)
        return next((one for one in claims[:place] if from_ms <= one.last_ms + self._silent_ms), None)


def _order(claim: Claim) -> tuple[int, str, str]:
    return claim.first_ms, claim.cluster, claim.node


def _told(table: str, row: Any) -> Iterator[_Told]:
    if table == "usage_window":
        yield row.device, row.start_ms, row.end_ms
    elif table == "device_report":
        yield row.device, row.observed_at_ms, row.observed_at_ms
    elif table == "device_process":
        yield row.device, row.first_seen_ms, row.last_seen_ms
    elif table == "mig_report":
        yield row.parent, row.observed_at_ms, row.observed_at_ms
        if row.device:
            yield row.device, row.observed_at_ms, row.observed_at_ms
