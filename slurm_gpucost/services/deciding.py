"""Which billing rule decides on held, blocked or reserved time: what of the ledger rules ask, and each answer once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import groupby
from typing import Any

from slurm_gpucost.costing.policy import DECLARED, NONE, OUTAGES, Decision, Facts, decide
from slurm_gpucost.domain.evidence import NodeEvent
from slurm_gpucost.domain.inventory import Outage
from slurm_gpucost.domain.outages import disjoint, outages
from slurm_gpucost.domain.units import MS
from slurm_gpucost.services import accounts
from slurm_gpucost.services.queries import Queries
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.identity import uid_of

Row = Mapping[str, Any]


class Decider:
    """Decides by the rules of the config, for a time that ends at ``end_ms``."""

    def __init__(self, settings: Settings, queries: Queries, end_ms: int, known_ms: int) -> None:
        """Classes of accounts are as they are at ``known_ms``."""
        self._billing, self._cluster, self._queries = settings.billing, settings.cluster, queries
        self._end_ms, self._known_ms = end_ms, known_ms
        self._accounts = accounts.known_at(settings, queries, known_ms)
        self._classes: dict[tuple[str, str], str] = {}
        self._owners: dict[str, int | None] = {}
        self._decisions: dict[Facts, Decision] = {}
        lengths = {rule.shorter_than_seconds for rule in self._billing.rules if rule.shorter_than_seconds}
        self.lengths = sorted(length * MS for length in lengths)
        """What rules call short, in ms, in order."""

    def decide(self, row: Row, outage: str, ran_ms: int) -> Decision:
        """Of a time of an attempt that ran for ``ran_ms``; ``row`` has the columns of a holder."""
        facts = Facts(
            state=row["state"], cause=self._cause(row), attempt=row["run"], qos=row["qos"], partition=row["partition"],
            account_class=self._class(row["cluster"], row["account"]), outage=outage, reservation=row["reservation"],
            elapsed_ms=self.ran(ran_ms),
        )  # fmt: skip
        if facts not in self._decisions:
            self._decisions[facts] = decide(facts, self._billing.rules)
        return self._decisions[facts]

    def ran(self, elapsed_ms: int) -> int:
        """The longest declared length that an attempt reached, or 0: rules tell lengths between two not apart."""
        at = bisect_right(self.lengths, elapsed_ms)
        return self.lengths[at - 1] if at else 0

    @cached_property
    def outages(self) -> dict[tuple[str, str], list[Outage]]:
        """(cluster, node) -> its outages, each moment once: declared ones, and Slurm's where a rule asks for them."""
        found: dict[tuple[str, str], list[Outage]] = {}
        for one in self._billing.outages:
            for node in one.nodes:
                found.setdefault((self._cluster, node), []).append(Outage(one.from_ms, one.until_ms, DECLARED))
        if self._named("outage") - {DECLARED}:
            events = [NodeEvent(**row) for row in self._queries.ask("node_events", end_ms=self._end_ms)]
            for place, those in groupby(events, key=lambda event: (event.cluster, event.node)):
                found.setdefault(place, []).extend(outages(those))
        return {node: disjoint(those, OUTAGES) for node, those in found.items()}

    def _named(self, column: str) -> set[str]:
        return {value for rule in self._billing.rules for value in rule.match.get(column, ())}

    def _class(self, cluster: str, account: str) -> str:
        if (cluster, account) not in self._classes:
            facts = self._accounts.facts_at(cluster, account, self._known_ms)
            self._classes[cluster, account] = str(facts["class"].value)
        return self._classes[cluster, account]

    def _cause(self, row: Row) -> str:
        if row["suspended"]:
            return "suspended"
        if row["vanished"]:
            return "vanished"
        if row["cancelled_by"] is None or not self._asks_who_cancelled:
            return NONE
        owner = self._owner(row["user"])
        if owner is None:
            return NONE
        return "cancelled_by_user" if owner == row["cancelled_by"] else "cancelled_by_other"

    @cached_property
    def _asks_who_cancelled(self) -> bool:
        return not self._named("cause") <= {"suspended", "vanished"}

    @cached_property
    def _told_uids(self) -> dict[str, int]:
        return {row["user"]: row["uid"] for row in self._queries.ask("user_ids")}

    def _owner(self, user: str) -> int | None:
        """The uid that the hooks said, else this system; who is not in it stays unknown, and so does the cause."""
        if user not in self._owners:
            self._owners[user] = self._told_uids[user] if user in self._told_uids else uid_of(user)
        return self._owners[user]
