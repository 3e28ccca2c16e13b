"""What of the people in the ledger a viewer sees.

The rows of a question that anyone may ask pass through one of a scope's gates, or they are not handed out: the registry
takes nothing else from it. Each gate looks at every row again, whatever made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from slurm_gpucost.domain.access import Viewer
from slurm_gpucost.domain.errors import NotAllowed
from slurm_gpucost.services.queries import Queries

Row = dict[str, Any]
Account = tuple[str, str]
"""Cluster, account."""
_OF_PERSONS = frozenset(("user", "account", "job_id", "node", "device"))
"""Keys that a row about nobody has not."""


class Narrowed:
    """Rows that came through a gate of a scope; nothing else makes them."""

    def __init__(self, scope: Scope, rows: Iterable[Row]) -> None:
        self.scope = scope
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


class Scope:
    """The eyes of one viewer."""

    def __init__(self, viewer: Viewer, queries: Queries) -> None:
        self.viewer = viewer
        self._queries = queries

    @property
    def everyone(self) -> bool:
        """Nothing is narrowed."""
        return self.viewer.everyone

    @property
    def user(self) -> str:
        """Whose own rows are seen; '': nobody's."""
        return self.viewer.user

    @property
    def coordinated(self) -> list[str]:
        """Names of the accounts whose users' spend is seen, too; on which cluster, the gates look."""
        return sorted({account for _, account in self.viewer.accounts})

    def own(self, user: str) -> bool:
        """Whether a row of this user is the viewer's own."""
        return bool(user) and user == self.viewer.user

    def sees(self, cluster: str, account: str, user: str) -> bool:
        """Whether what is billed to this user on this account may be shown."""
        return self.everyone or self.own(user) or (cluster, account) in self.viewer.accounts

    def sees_spend(self, cluster: str, account: str, user: str) -> bool:
        """Whether sums of this user's spend on this account may be shown: those of shared accounts, too."""
        return self.sees(cluster, account, user) or (cluster, account) in self.viewer.shared_accounts

    def accounts(self) -> set[Account]:
        """Those that the viewer may ask about: coordinated, shared, or used."""
        used = self._queries.ask("own_accounts", user=self.user) if self.user else []
        mine = {(row["cluster"], row["account"]) for row in used}
        return {*self.viewer.accounts, *self.viewer.shared_accounts, *mine}

    def check(
        self, accounts: Sequence[str] | None, users: Sequence[str] | None, what: str, *, shared: bool = False
    ) -> None:
        """Refuse names that the viewer may not ask about, whether there is such a one or not. Raises NotAllowed.

        ``shared``: users of shared accounts may be asked about.
        """
        if self.everyone:
            return
        others = self.viewer.accounts or (shared and self.viewer.shared_accounts)
        if not others and any(not self.own(user) for user in users or ()):
            raise NotAllowed(f"you may see your own {what}, not those of other users; {_WHO}")
        if accounts:
            known = {account for _, account in self.accounts()}
            for name in accounts:
                if name not in known:
                    raise NotAllowed(f"-A {name}: you may ask about accounts that you have used or coordinate; {_WHO}")

    def persons(self, rows: Iterable[Row], blank: Callable[[Row], Row]) -> Narrowed:
        """The gate for rows of users and accounts; a row without a user is an account's.

        ``blank`` takes off what only the user himself may see.
        """
        found: list[Row] = []
        for row in rows:
            user = row.get("user", "")
            if self.everyone or (self.own(user) and self._alone(row)):
                found.append(row)
            elif self.sees(row["cluster"], row["account"], user) and not self.own(user):
                found.append(blank(row))
        return Narrowed(self, found)

    def spend(self, rows: Iterable[Row]) -> Narrowed:
        """The gate for sums by user; those with user '' are an account's, made of what :meth:`sees_spend` lets by."""
        found = list(rows)
        mine = {(row["cluster"], row["account"]) for row in found if self.own(row["user"])}
        return Narrowed(
            self,
            [
                row
                for row in found
                if self.sees_spend(row["cluster"], row["account"], row["user"])
                or (not row["user"] and (row["cluster"], row["account"]) in mine)
            ],
        )

    def of_accounts(self, rows: Iterable[Row], blank: Callable[[Row], Row]) -> Narrowed:
        """The gate for rows about accounts themselves. ``blank``: takes off what only coordinators may see."""
        mine = set() if self.everyone else self.accounts()
        found: list[Row] = []
        for row in rows:
            key = (row["cluster"], row["account"])
            if self.everyone or key in self.viewer.accounts:
                found.append(row)
            elif key in mine:
                found.append(blank(row))
        return Narrowed(self, found)

    def acts(self, rows: Iterable[Row], blank: Callable[[Row], Row]) -> Narrowed:
        """The gate for what somebody (``login``) did that concerns ``users``: the viewer's acts, and those on him.

        ``blank`` takes off what of others' acts does not concern him.
        """
        if self.everyone:
            return Narrowed(self, rows)
        mine = [row for row in rows if self.own(row["login"]) or self.user in row["users"]]
        return Narrowed(self, [row if self.own(row["login"]) else {**blank(row), "users": [self.user]} for row in mine])

    def nobody(self, rows: Iterable[Row]) -> Narrowed:
        """The gate for rows in which no person, account, job or machine has a name."""
        kept = list(rows)
        if not self.everyone and (named := _OF_PERSONS & set(_keys(kept))):
            raise RuntimeError(f"rows about nobody have {', '.join(sorted(named))}")
        return Narrowed(self, kept)

    def _alone(self, row: Row) -> bool:
        """Nobody else is named inside a row of the viewer's own."""
        return all(user == self.user for user in _users(row))


_WHO = "a coordinator sees the account's, an administrator all"


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from _keys(one)
    elif isinstance(value, list):
        for one in value:
            yield from _keys(one)


def _users(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "user" in value:
            yield value["user"]
        for one in value.values():
            yield from _users(one)
    elif isinstance(value, list):
        for one in value:
            yield from _users(one)
