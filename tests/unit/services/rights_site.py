"""A ledger that slurmdbd has told of rights: who is what in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services.rights_evidence import take_rights
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.slurm_rights import Association, Rights
from tests.unit.builders import config

NOW = 1_790_000_000_000
TREE = {"root": "", "science": "root", "physics": "science", "optics": "physics", "biology": "science", "arts": "root"}
MEMBERS = {"ann": "physics", "ben": "biology", "carol": "arts", "olga": "arts", "dave": "arts", "tina": "optics"}


def told(**other: Any) -> Rights:
    """olga is an operator, adam an administrator, carol coordinates physics, rosa all of it."""
    tree = [Association(account, "", parent) for account, parent in TREE.items()]
    members = [Association(account, user, "") for user, account in MEMBERS.items()]
    values: dict[str, Any] = {
        "levels": {"root": "Administrator", "adam": "Administrator", "olga": "Operator"},
        "coordinators": frozenset({("physics", "carol"), ("root", "rosa")}),
        "associations": frozenset(tree + members),
        "private_data": frozenset(),
        **other,
    }
    return Rights(**values)


def site(tmp_path: Path, **access: Any) -> Settings:
    """dave is finance, cora sees costs, max is an administrator of this only."""
    settings = config(tmp_path)
    values = {"finance": ("dave",), "costs": ("cora",), "administrators": ("max",), **access}
    return replace(settings, access=replace(settings.access, **values))


def hear(ledger: Ledger, settings: Settings, at_ms: int = NOW, rights: Rights | None = None) -> int:
    """An answer comes in; the number of changes."""
    return take_rights(ledger, settings, rights or told(), at_ms).new


def in_cluster(accounts: Iterable[str], cluster: str = "c") -> set[tuple[str, str]]:
    return {(cluster, account) for account in accounts}
