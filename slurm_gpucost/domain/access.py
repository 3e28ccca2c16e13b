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
    costs: bool = False
    """Sees what machines and staff cost, and how rates come about."""
    acts: bool = False
    """May change what the ledger keeps: publish, import, enroll."""


FILE_OWNER = Viewer("", everyone=True, costs=True, acts=True)
"""Whoever can open the ledger's file sees all of it anyway."""
