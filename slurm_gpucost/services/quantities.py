"""What was held in a time, and which part of it the rules bill: sums of leases that rules treat alike.

Nearly all time is summed up in SQL, and a rule asked once for each group. Only attempts of which a rule asks more
than a group knows (how long they ran, whether their node was out of use meanwhile) are looked at one by one, and so
are suspended ones where attempts are rounded. Where pools name nodes, each zone of them is summed up by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

from slurm_gpucost.costing.policy import NONE, Decision
from slurm_gpucost.costing.quantity import ATTEMPT, billable_ms
from slurm_gpucost.costing.quantity import Piece as Stretch
from slurm_gpucost.domain.apportion import Key
from slurm_gpucost.domain.outages import cut
from slurm_gpucost.domain.units import MS
from slurm_gpucost.services.deciding import Decider, Row
from slurm_gpucost.services.places import Zone, placed, sku_of, stretches, with_naming, zones
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings

NIL = Fraction(0)


class Held(NamedTuple):
    """Device time of one owner on one kind of device, of which one rule decided."""

    row: Row
    """Its cluster, account, user, gres_name, gres_type, model and share_den."""
    decision: Decision
    device_ms: Fraction
    """As held; the decision's factor of it is billed."""
    added_ms: Fraction
    """What rounding of attempts adds to what is billed."""


class Piece(NamedTuple):
    """A part of a lease in which one rule decides, in [start, end) ms UTC."""

    row: Row
    """As of :class:`Held`."""
    lease: Key
    start_ms: int
    end_ms: int
    devices: Fraction
    decision: Decision


class _Group(NamedTuple):
    """What a decision is made of: a holder, and what else a rule asks."""

    holder: int
    outage: str
    ran_ms: int


def held(settings: Settings, queries: Queries, start_ms: int, end_ms: int, known_ms: int | None = None) -> list[Held]:
    """All that the accounting knows to be held in [start_ms, end_ms), suspended time too; each device-ms once.

    Classes of accounts are as they are at ``known_ms``, else at the start.
    """
    decider = Decider(settings, queries, end_ms, start_ms if known_ms is None else known_ms)
    return [
        one
        for low, high in stretches(settings, start_ms, end_ms)
        for zone in zones(settings, low)
        for one in _Question(settings, queries, decider, low, high, zone).answer()
    ]


def pieces(
    settings: Settings, queries: Queries, start_ms: int, end_ms: int, known_ms: int | None = None
) -> Iterator[Piece]:
    """The leases behind :func:`held`, one by one, cut to [start_ms, end_ms) and where another rule decides.

    For what must be known of each lease; sums of device time are much quicker by :func:`held`.
    """
    decider = Decider(settings, queries, end_ms, start_ms if known_ms is None else known_ms)
    for low, high in stretches(settings, start_ms, end_ms):
        yield from _Question(settings, queries, decider, low, high, Zone(None)).pieces()


class _Question:
    """A time in which no node goes to another pool, on the nodes of a zone."""

    def __init__(
        self, settings: Settings, queries: Queries, decider: Decider, start_ms: int, end_ms: int, zone: Zone
    ) -> None:
        self.settings, self.queries, self.decider, self.zone = settings, queries, decider, zone
        self.start_ms, self.end_ms = start_ms, end_ms
        self.rounding = settings.billing.rounding
        self.rounds = self.rounding.per == ATTEMPT
        self.longest = self.decider.lengths[-1] if self.decider.lengths else 0
        self.rows: dict[int, Row] = {}
        self.time: dict[_Group, Fraction] = {}
        self.added: dict[_Group, Fraction] = {}

    def _ask(self, name: str, **params: Any) -> list[dict[str, Any]]:
        return self.queries.ask(name, start_ms=self.start_ms, end_ms=self.end_ms, **params)

    def answer(self) -> list[Held]:
        self.rows = {row["holder"]: row for row in self._ask("billable_time", held=0, **self.zone.params)}
        self.time = {self._usual(holder): device_ms(row) for holder, row in self.rows.items()}
        looked_at = [list(leases) for _, leases in groupby(self._special(), key=_attempt_of)]
        for leases in looked_at:
            self._one_by_one(leases)
        if self.rounds:
            self._rounded(looked_at)
        return [
            Held(
                with_naming(self.rows[group.holder], self.zone.naming),
                self._decide(group),
                self.time.get(group, NIL),
                self.added.get(group, NIL),
            )
            for group in sorted(self.time.keys() | self.added.keys())
            if self.time.get(group) or self.added.get(group)
        ]

    def pieces(self) -> Iterator[Piece]:
        for lease in self.queries.each("held_leases", start_ms=self.start_ms, end_ms=self.end_ms):
            self.rows.setdefault(lease["holder"], lease)
            at, key = placed(self.settings, lease, self.start_ms), (*_attempt_of(lease), lease["n"])
            for group, start, end, devices in self._parts(lease, lease):
                low, high = max(start, self.start_ms), min(end, self.end_ms)
                if low < high:
                    yield Piece(at, key, low, high, devices, self._decide(group))

    def _usual(self, holder: int) -> _Group:
        return _Group(holder, NONE, self.longest)

    def _special(self) -> list[dict[str, Any]]:
        shorter = self.longest if self.longest > MS else 0  # what did not run held nothing
        asked = sorted(holder for holder in self.rows if shorter and self._length_counts(holder))
        outages = sorted(self.decider.outages.items())
        out = [[*node, one.start_ms, one.end_ms] for node, those in outages for one in those]
        if not asked and not self.rounds and not out:
            return []
        return self._ask(
            "special_leases", holders=json.dumps(asked), shorter_ms=shorter, suspended=int(self.rounds),
            outages=json.dumps(out),
        )  # fmt: skip

    def _length_counts(self, holder: int) -> bool:
        """A rule decides otherwise of a shorter attempt of this holder."""
        usual, lengths = self._usual(holder), self.decider.lengths
        reached = (0, *lengths) if lengths[0] > MS else lengths
        return any(self._decide(usual._replace(ran_ms=ms)) != self._decide(usual) for ms in reached)

    def _parts(self, lease: Row, row: Row) -> Iterator[tuple[_Group, int, int, Fraction]]:
        """(group, start, end, devices): a whole lease, cut where its node went out of use and came back."""
        devices, ran = Fraction(lease["units"], row["share_den"] or 1), self.decider.ran(lease["elapsed_ms"])
        out = self.decider.outages.get((lease["cluster"], lease["node"]), [])
        for start, end, outage in cut(lease["start_ms"], lease["end_ms"], out):
            yield _Group(lease["holder"], outage, ran), start, end, devices

    def _one_by_one(self, leases: list[dict[str, Any]]) -> None:
        """Move an attempt's time from the groups' sums to groups that know more of it."""
        parts: list[tuple[_Group, Stretch]] = []
        here: list[bool] = []
        for lease in leases:
            self.rows.setdefault(lease["holder"], lease)
            inside = self.zone.has(lease["cluster"], lease["node"])
            for group, start, end, devices in self._parts(lease, lease):
                parts.append((group, Stretch(start, end, devices, self._decide(group).factor)))
                here.append(inside)
                low, high = max(start, self.start_ms), min(end, self.end_ms)
                if low < high and inside:
                    self._add(self._usual(group.holder), -(high - low) * devices)
                    self._add(group, (high - low) * devices)
        ended = leases[0]["attempt_end_ms"]
        if self.rounds and ended is not None and self.start_ms < ended <= self.end_ms:
            billed = billable_ms([piece for _, piece in parts], self.rounding)
            for (group, _), one, inside in zip(parts, billed, here, strict=True):
                if inside:
                    self.added[group] = self.added.get(group, NIL) + one.added

    def _add(self, group: _Group, time: Fraction) -> None:
        self.time[group] = self.time.get(group, NIL) + time

    def _rounded(self, looked_at: list[list[dict[str, Any]]]) -> None:
        without = json.dumps([_attempt_of(leases[0]) for leases in looked_at])
        steps = {"step_ms": self.rounding.step_ms, "minimum_ms": self.rounding.minimum_ms}
        for row in self._ask("rounded_time", **steps, without=without, **self.zone.params):
            group = self._usual(row["holder"])
            added = Fraction(row["added"], self.rows[row["holder"]]["share_den"] or 1) * self._decide(group).factor
            self.added[group] = self.added.get(group, NIL) + added

    def _decide(self, group: _Group) -> Decision:
        return self.decider.decide(self.rows[group.holder], group.outage, group.ran_ms)


def place_of(settings: Settings, row: Row) -> tuple[str, str] | None:
    """(pool, SKU) of a row of time; None where the config does not know it, or not how many shards make a device."""
    if not row["share_den"]:
        return None
    found = sku_of(settings, row)
    return (found[0].name, found[1].name) if found else None


def device_ms(row: Row) -> Fraction:
    """Device-milliseconds of a row of time, exact."""
    return Fraction(row["quantity"], row["share_den"] or 1)


def _attempt_of(lease: Row) -> tuple[str, int, int]:
    return lease["cluster"], lease["job_id"], lease["submit_ms"]
