"""What was held in a time, and which part of it the rules bill: sums of leases that rules treat alike.

Nearly all time is summed up in SQL, and a rule asked once for each group. Only attempts of which a rule asks more
than a group knows (how long they ran, whether their node was out of use meanwhile) are looked at one by one, and so
are suspended ones where attempts are rounded.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from slurm_gpucost.costing.policy import DECLARED, NONE, OUTAGES, Decision, Facts, decide
from slurm_gpucost.costing.quantity import ATTEMPT, billable_ms
from slurm_gpucost.costing.quantity import Piece as Stretch
from slurm_gpucost.domain.apportion import Key
from slurm_gpucost.domain.evidence import NodeEvent
from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.domain.outages import cut, disjoint, outages
from slurm_gpucost.domain.units import MS
from slurm_gpucost.services import accounts
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.identity import uid_of

NIL = Fraction(0)
Row = Mapping[str, Any]
_LOOKED_AT = -1
"""The place of the one that a :class:`Decider` is asked of."""


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
    return _Question(settings, queries, start_ms, end_ms, start_ms if known_ms is None else known_ms).answer()


def pieces(
    settings: Settings, queries: Queries, start_ms: int, end_ms: int, known_ms: int | None = None
) -> Iterator[Piece]:
    """The leases behind :func:`held`, one by one, cut to [start_ms, end_ms) and where another rule decides.

    For what must be known of each lease; sums of device time are much quicker by :func:`held`.
    """
    return _Question(settings, queries, start_ms, end_ms, start_ms if known_ms is None else known_ms).pieces()


class _Question:
    def __init__(self, settings: Settings, queries: Queries, start_ms: int, end_ms: int, known_ms: int) -> None:
        self.classes: dict[tuple[str, str], str] = {}
        self.accounts, self.known_ms = accounts.known_at(settings, queries, known_ms), known_ms
        self.billing, self.cluster, self.queries = settings.billing, settings.cluster, queries
        self.start_ms, self.end_ms = start_ms, end_ms
        lengths = {rule.shorter_than_seconds for rule in self.billing.rules if rule.shorter_than_seconds}
        self.lengths = sorted(length * MS for length in lengths)
        self.rounds = self.billing.rounding.per == ATTEMPT
        self.rows: dict[int, Row] = {}
        self.time: dict[_Group, Fraction] = {}
        self.added: dict[_Group, Fraction] = {}
        self.decisions: dict[Facts, Decision] = {}

    def answer(self) -> list[Held]:
        for row in self.queries.ask("billable_time", start_ms=self.start_ms, end_ms=self.end_ms, held=0):
            self.rows[row["holder"]] = row
            self.time[self._usual(row)] = device_ms(row)
        looked_at = [list(leases) for _, leases in groupby(self._special(), key=_attempt_of)]
        for leases in looked_at:
            self._one_by_one(leases)
        if self.rounds:
            self._rounded(looked_at)
        return [
            Held(self.rows[group.holder], self._decide(group), self.time.get(group, NIL), self.added.get(group, NIL))
            for group in sorted(self.time.keys() | self.added.keys())
            if self.time.get(group) or self.added.get(group)
        ]

    def pieces(self) -> Iterator[Piece]:
        for row in self.queries.ask("billable_time", start_ms=self.start_ms, end_ms=self.end_ms, held=0):
            self.rows[row["holder"]] = row
        for lease in self.queries.ask("held_leases", start_ms=self.start_ms, end_ms=self.end_ms):
            holder = self.rows[lease["holder"]]
            key = (lease["cluster"], lease["job_id"], lease["submit_ms"], lease["n"])
            devices = Fraction(lease["units"], holder["share_den"] or 1)
            out = self._outages.get((lease["cluster"], lease["node"]), [])
            ran = self._ran(lease["elapsed_ms"])
            for start, end, outage in cut(lease["start_ms"], lease["end_ms"], out):
                low, high = max(start, self.start_ms), min(end, self.end_ms)
                if low < high:
                    decision = self._decide(_Group(lease["holder"], outage, ran))
                    yield Piece(holder, key, low, high, devices, decision)

    def _usual(self, row: Row) -> _Group:
        return _Group(row["holder"], NONE, self.lengths[-1] if self.lengths else 0)

    @cached_property
    def _outages(self) -> dict[tuple[str, str], list[Outage]]:
        """(cluster, node) -> its outages, each moment once: declared ones, and Slurm's where a rule asks for them."""
        found: dict[tuple[str, str], list[Outage]] = {}
        for one in self.billing.outages:
            for node in one.nodes:
                found.setdefault((self.cluster, node), []).append(Outage(one.from_ms, one.until_ms, DECLARED))
        if {value for rule in self.billing.rules for value in rule.match.get("outage", ())} - {DECLARED}:
            events = [NodeEvent(**row) for row in self.queries.ask("node_events", end_ms=self.end_ms)]
            for place, those in groupby(events, key=lambda event: (event.cluster, event.node)):
                found.setdefault(place, []).extend(outages(those))
        return {node: disjoint(those, OUTAGES) for node, those in found.items()}

    def _special(self) -> list[dict[str, Any]]:
        shorter = self.lengths[-1] if self.lengths and self.lengths[-1] > MS else 0  # what did not run held nothing
        asked = sorted(holder for holder in self.rows if shorter and self._length_counts(holder))
        out = [[*node, one.start_ms, one.end_ms] for node, those in sorted(self._outages.items()) for one in those]
        if not asked and not self.rounds and not out:
            return []
        return self.queries.ask(
            "special_leases", start_ms=self.start_ms, end_ms=self.end_ms, holders=json.dumps(asked), shorter_ms=shorter,
            suspended=int(self.rounds), outages=json.dumps(out),
        )  # fmt: skip

    def _length_counts(self, holder: int) -> bool:
        """A rule decides otherwise of a shorter attempt of this holder."""
        usual = self._usual(self.rows[holder])
        reached = (0, *self.lengths) if self.lengths[0] > MS else self.lengths
        return any(self._decide(usual._replace(ran_ms=ms)) != self._decide(usual) for ms in reached)

    def _one_by_one(self, leases: list[dict[str, Any]]) -> None:
        """Move an attempt's time from the groups' sums to groups that know more of it."""
        parts: list[tuple[_Group, Stretch]] = []
        for lease in leases:
            self.rows.setdefault(lease["holder"], lease)
            low, high = max(lease["start_ms"], self.start_ms), min(lease["end_ms"], self.end_ms)
            devices = Fraction(lease["units"], lease["share_den"] or 1)
            if low < high:
                self._add(self._usual(lease), -(high - low) * devices)
            for start, end, outage in cut(
                lease["start_ms"], lease["end_ms"], self._outages.get((lease["cluster"], lease["node"]), [])
            ):
                group = _Group(lease["holder"], outage, self._ran(lease["elapsed_ms"]))
                parts.append((group, Stretch(start, end, devices, self._decide(group).factor)))
                low, high = max(start, self.start_ms), min(end, self.end_ms)
                if low < high:
                    self._add(group, (high - low) * devices)
        ended = leases[0]["attempt_end_ms"]
        if self.rounds and ended is not None and self.start_ms < ended <= self.end_ms:
            billed = billable_ms([piece for _, piece in parts], self.billing.rounding)
            for (group, _), one in zip(parts, billed, strict=True):
                self.added[group] = self.added.get(group, NIL) + one.added

    def _add(self, group: _Group, time: Fraction) -> None:
        self.time[group] = self.time.get(group, NIL) + time

    def _ran(self, elapsed_ms: int) -> int:
        """The longest declared length that an attempt reached, or 0: rules tell lengths between two not apart."""
        at = bisect_right(self.lengths, elapsed_ms)
        return self.lengths[at - 1] if at else 0

    def _rounded(self, looked_at: list[list[dict[str, Any]]]) -> None:
        rounding = self.billing.rounding
        without = [list(_attempt_of(leases[0])) for leases in looked_at]
        for row in self.queries.ask(
            "rounded_time", start_ms=self.start_ms, end_ms=self.end_ms, step_ms=rounding.step_ms,
            minimum_ms=rounding.minimum_ms, without=json.dumps(without),
        ):  # fmt: skip
            holder = self.rows[row["holder"]]
            group = self._usual(holder)
            added = Fraction(row["added"], holder["share_den"] or 1) * self._decide(group).factor
            self.added[group] = self.added.get(group, NIL) + added

    def _decide(self, group: _Group) -> Decision:
        facts = self._facts(group)
        if facts not in self.decisions:
            self.decisions[facts] = decide(facts, self.billing.rules)
        return self.decisions[facts]

    def _facts(self, group: _Group) -> Facts:
        row = self.rows[group.holder]
        return Facts(
            state=row["state"], cause=self._cause(row), attempt=row["run"], qos=row["qos"], partition=row["partition"],
            account_class=self._class(row["cluster"], row["account"]), outage=group.outage,
            reservation=row["reservation"], elapsed_ms=group.ran_ms,
        )  # fmt: skip

    def _class(self, cluster: str, account: str) -> str:
        if (cluster, account) not in self.classes:
            facts = self.accounts.facts_at(cluster, account, self.known_ms)
            self.classes[cluster, account] = str(facts["class"].value)
        return self.classes[cluster, account]

    def _cause(self, row: Row) -> str:
        if row["suspended"]:
            return "suspended"
        if row["vanished"]:
            return "vanished"
        if row["cancelled_by"] is None or not self._asks_who_cancelled:
            return NONE
        owner = self._uids.get(row["user"])
        if owner is None:
            return NONE
        return "cancelled_by_user" if owner == row["cancelled_by"] else "cancelled_by_other"

    @cached_property
    def _asks_who_cancelled(self) -> bool:
        named = {value for rule in self.billing.rules for value in rule.match.get("cause", ())}
        return not named <= {"suspended", "vanished"}

    @cached_property
    def _uids(self) -> dict[str, int]:
        """What the hooks said of each user, else this system; who is not in it stays unknown, and so does the cause."""
        asked = {row["user"] for row in self.rows.values() if row["cancelled_by"] is not None}
        told = {row["user"]: row["uid"] for row in self.queries.ask("user_ids", users=json.dumps(sorted(asked)))}
        found = {user: told.get(user, uid_of(user)) for user in asked}
        return {user: uid for user, uid in found.items() if uid is not None}


class Decider:
    """Decides on attempts one by one, as :func:`held` does on sums of leases."""

    def __init__(
        self, settings: Settings, queries: Queries, start_ms: int, end_ms: int, known_ms: int, attempts: Iterable[Row]
    ):
        self._question = _Question(settings, queries, start_ms, end_ms, known_ms)
        self._question.rows = dict(enumerate(attempts))
        self.outages = self._question._outages
        """(cluster, node) -> its outages, in order and disjoint."""

    def decide(self, attempt: Row, suspended: bool, outage: str, elapsed_ms: int) -> Decision:
        """Of a time of one of the attempts, which have the columns of ``attempt``, in which it was suspended or not."""
        self._question.rows[_LOOKED_AT] = {**attempt, "suspended": suspended}
        return self._question._decide(_Group(_LOOKED_AT, outage, self._question._ran(elapsed_ms)))


def place_of(settings: Settings, row: Row) -> tuple[str, str] | None:
    """(pool, SKU) of a row of time; None where the config does not know it, or not how many shards make a device."""
    if not row["share_den"]:
        return None
    found = settings.sku_for(row["gres_type"], row["model"])
    return (found[0].name, found[1].name) if found else None


def device_ms(row: Row) -> Fraction:
    """Device-milliseconds of a row of time, exact."""
    return Fraction(row["quantity"], row["share_den"] or 1)


def _attempt_of(lease: Row) -> tuple[str, int, int]:
    return lease["cluster"], lease["job_id"], lease["submit_ms"]
