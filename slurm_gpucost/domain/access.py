"""Who asks, and what of the ledger he may see and do. Names and sets only: where they come from is not known here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Viewer:
    """A person, as far as his rights go. Nothing is seen that no field allows."""

    user: str
    """Login name: own jobs and spend are always seen. '' : nobody's."""
    everyone: bool = False
    """Sees all users' jobs and spend: operators, administrators, finance."""
    accounts: frozenset[tuple[str, str]] = frozenset()
    """(cluster, account) whose spend is seen by user, without job names or findings on persons: a coordinator's."""
    shared_accounts: frozenset[tuple[str, str]] = frozenset()
    """(cluster, account) of which the spend by user is seen, but neither jobs nor invoices: the site's `visibility`."""
    totals: bool = True
    """Sees sums of whole clusters, which name nobody."""
    costs: bool = False
    """Sees what machines and staff cost, and how rates come about."""
    acts: bool = False
    """May change who has rights and what belongs to the ledger: enroll nodes, issue tokens."""
    bills: bool = False
    """May change what money rests on: publish rates, import what is said of accounts."""


FILE_OWNER = Viewer("", everyone=True, costs=True, acts=True, bills=True)
"""Whoever can open the ledger's file sees all of it anyway."""
