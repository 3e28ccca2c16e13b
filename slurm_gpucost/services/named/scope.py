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
        """Whether spend of this user on this account may be shown."""
        return self.everyone or self.own(user) or (cluster, account) in self.viewer.accounts

    def accounts(self) -> set[Account]:
        """Those that the viewer may ask about: coordinated, or used."""
        used = self._queries.ask("own_accounts", user=self.user) if self.user else []
        return {*self.viewer.accounts, *((row["cluster"], row["account"]) for row in used)}

    def check(self, accounts: Sequence[str] | None, users: Sequence[str] | None, what: str) -> None:
        """Refuse names that the viewer may not ask about, whether there is such a one or not. Raises NotAllowed."""
        if self.everyone:
            return
        if not self.viewer.accounts and any(not self.own(user) for user in users or ()):
            raise NotAllowed(f"you may see your own {what}, not those of other users; {_WHO}")
        if accounts:
            known = {account for _, account in self.accounts()}
            for name in accounts:
                if name not in known:
                    raise NotAllowed(f"-A {name}: you may ask about accounts that you have used or coordinate; {_WHO}")

    def persons(self, rows: Iterable[Row], blank: Callable[[Row], Row], *, sums: bool = False) -> Narrowed:
        """The gate for rows of users and accounts. ``blank``: takes off what only the user himself may see.

        A row without a user is an account's. ``sums``: rows with user '' are sums of the rows that the viewer sees.
        """
        return Narrowed(self, self._persons(rows, blank, sums))

    def of_accounts(self, rows: Iterable[Row], blank: Callable[[Row], Row]) -> Narrowed:
        """The gate for rows about accounts themselves. ``blank``: takes off what only coordinators may see."""
        mine = None if self.everyone else self.accounts()
        found: list[Row] = []
        for row in rows:
            key = (row["cluster"], row["account"])
            if mine is None or key in self.viewer.accounts:
                found.append(row)
            elif key in mine:
                found.append(blank(row))
        return Narrowed(self, found)

    def nobody(self, rows: Iterable[Row]) -> Narrowed:
        """The gate for rows in which no person, account, job or machine has a name."""
        kept = list(rows)
        if not self.everyone and (named := _OF_PERSONS & set(_keys(kept))):
            raise RuntimeError(f"rows about nobody have {', '.join(sorted(named))}")
        return Narrowed(self, kept)

    def _persons(self, rows: Iterable[Row], blank: Callable[[Row], Row], sums: bool) -> list[Row]:
        found = list(rows)
        if self.everyone:
            return found
        mine = {(row["cluster"], row["account"]) for row in found if self.own(row.get("user", ""))}
        kept: list[Row] = []
        for row in found:
            account, user = (row["cluster"], row["account"]), row.get("user", "")
            if self.own(user) and self._alone(row):
                kept.append(row)
            elif account in self.viewer.accounts:
                kept.append(blank(row))
            elif sums and not user and account in mine:
                kept.append(row)
        return kept

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
