"""What is known of an account for billing: from several sources, each fact from a moment on. Pure.

Facts are merged field by field: what the config says goes before an allocation portal, and that before sacctmgr;
of one source, what is said of the one cluster goes before what is said of all, and then the latest word counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact, number_text

CONFIG, PORTAL, SACCTMGR = "config", "portal", "sacctmgr"
SOURCES = (CONFIG, PORTAL, SACCTMGR)
"""Those before go before."""
FIELDS = ("class", "contact", "tax_exempt", "tax_id", "funder", "federal", "description", "organization")
INTERNAL = "internal"
"""The class of an account of which nobody says another."""
ALL_CLUSTERS = ""
DEFAULT = "default"
Value = str | bool


class Told(NamedTuple):
    """What one source says of an account, from a moment on."""

    account: str
    cluster: str
    """Or ALL_CLUSTERS."""
    from_ms: int
    """ms UTC; 0: always."""
    source: str
    """One of SOURCES."""
    where: str
    """Where a person finds it, like ``/etc/gpucost/gpucost.toml: accounts.3``."""
    values: Mapping[str, Value]
    """Some of FIELDS."""


class Known(NamedTuple):
    """A fact, and where it comes from."""

    value: Value
    where: str


class Accounts:
    """All that was told, by account."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._told: dict[str, list[Told]] = {}
        for one in sorted(told, key=_weight):
            self._told.setdefault(one.account, []).append(one)

    def names(self) -> list[tuple[str, str]]:
        """(cluster or ALL_CLUSTERS, account) of all that was told, sorted."""
        return sorted({(one.cluster, one.account) for those in self._told.values() for one in those})

    def facts_at(self, cluster: str, account: str, at_ms: int) -> dict[str, Known]:
        """Field -> what is known of it at a moment, in the order of FIELDS; the class always is."""
        found = {"class": Known(INTERNAL, DEFAULT)}
        for one in self._told.get(account, ()):
            if one.cluster in (ALL_CLUSTERS, cluster) and one.from_ms <= at_ms:
                found |= {field: Known(value, f"{one.where}.{field}") for field, value in one.values.items()}
        return {field: found[field] for field in FIELDS if field in found}


def _weight(one: Told) -> tuple[int, bool, int, str]:
    """What weighs more comes later."""
    return -SOURCES.index(one.source), one.cluster != ALL_CLUSTERS, one.from_ms, one.where


class AccountClass(NamedTuple):
    """How the accounts of a class are billed."""

    name: str = INTERNAL
    surcharge: Fraction = Fraction(0)
    """The part of what is owed that comes on top, 0.25 for 25 %; below 0: a subsidy."""
    tax: Fraction = Fraction(0)
    """0.19 for 19 %."""
    label: str = ""
    funder: str = ""
    """Who pays the subsidy."""

    @property
    def rule(self) -> str:
        """The surcharge as a line of an invoice names it."""
        paid = f", paid by {self.funder}" if self.funder else ""
        what = "subsidy" if self.surcharge < 0 else "surcharge"
        return f"class {self.name}: {percent(abs(self.surcharge))} {what}{paid}"


class Holder(NamedTuple):
    """What an invoice says of its account."""

    of: AccountClass = AccountClass()
    contact: str = ""
    tax_id: str = ""
    tax_exempt: bool = False

    @property
    def tax(self) -> Fraction:
        """The rate that it pays."""
        return Fraction(0) if self.tax_exempt else exact(self.of.tax, "tax")


def holder(facts: Mapping[str, Known], classes: Mapping[str, AccountClass]) -> Holder:
    """From facts. Raises ValueError for a class that is not declared."""
    name = facts["class"].value
    if name not in classes:
        raise ValueError(f"{facts['class'].where}: there is no class '{name}'; declare it as [classes.{name}]")
    contact, tax_id = (str(facts[key].value) if key in facts else "" for key in ("contact", "tax_id"))
    return Holder(classes[str(name)], contact, tax_id, "tax_exempt" in facts and facts["tax_exempt"].value is True)


def no_class(name: str, classes: Collection[str]) -> str:
    """That there is no such class, and which there are."""
    near = get_close_matches(name, classes, 1)
    return f"there is no class '{name}'; " + (
        f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(classes))}"
    )


def faults(one: AccountClass) -> list[tuple[str, str]]:
    """All that is wrong with a class: (key, sentence)."""
    found: list[tuple[str, str]] = []
    if not -1 <= one.surcharge <= 10:
        found.append(("surcharge", f"{number_text(one.surcharge)} is not between -1 and 10; 25 % is 0.25"))
    if not 0 <= one.tax <= 1:
        found.append(("tax", f"{number_text(one.tax)} is not between 0 and 1; 19 % is 0.19"))
    if one.surcharge < 0 and not one.funder:
        found.append(("funder", "is missing: a surcharge below 0 is a subsidy, and somebody pays it"))
    if one.surcharge >= 0 and one.funder:
        found.append(("funder", "pays nothing: it is for a surcharge below 0"))
    return found


def percent(part: Fraction) -> str:
    """0.25 as ``25 %``."""
    return f"{number_text(100 * part)} %"
