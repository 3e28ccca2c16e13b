"""What a portal's allocations say of Slurm accounts, by declared names of the portal's attributes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from slurm_gpucost.costing.accounts import FIELDS, no_class
from slurm_gpucost.sources.coldfront import LIVE, Allocation, Fault

ACCOUNT = "account"
FLAGS = ("tax_exempt", "federal")
PROSE = ("description", "organization")
"""Of an account with several allocations all that they say stands, one after the other; else they must agree."""
TRUE, FALSE = "true", "false"
_WORDS = {"yes": TRUE, "true": TRUE, "1": TRUE, "no": FALSE, "false": FALSE, "0": FALSE}


class Said(NamedTuple):
    """A value, as the ledger keeps it, and the line that it stands in."""

    value: str
    line: int


class Found(NamedTuple):
    """What a file says."""

    accounts: dict[str, dict[str, Said]]
    """Account -> field -> value. Slurm keeps accounts in lower case, so they are here."""
    not_live: int
    """Allocations passed over for their status."""
    without_account: int
    """Allocations passed over because they name no account: of storage, for one."""


def facts_of(
    allocations: Iterable[Allocation], names: Mapping[str, str], classes: Collection[str]
) -> tuple[Found, list[Fault]]:
    """What the allocations say, and all faults. ``names``: ACCOUNT and each of FIELDS -> the portal's name for it."""
    accounts: dict[str, dict[str, Said]] = {}
    faults: list[Fault] = []
    not_live = without = 0
    for one in allocations:
        if any(status not in LIVE for status in one.said.get("status", ())):
            not_live += 1
            continue
        of = [name.strip().lower() for name in one.said.get(names[ACCOUNT], ()) if name.strip()]
        without += not of
        said = dict(_said(one, names, classes, faults)) if of else {}
        for account in dict.fromkeys(of):
            _merge(accounts.setdefault(account, {}), account, said, one, names, faults)
    if not accounts and without:
        faults.append((names[ACCOUNT], "names no account in any allocation; [accounts_import] says what it is called"))
    return Found(accounts, not_live, without), faults


def _said(
    one: Allocation, names: Mapping[str, str], classes: Collection[str], faults: list[Fault]
) -> Iterator[tuple[str, Said]]:
    for field in FIELDS:
        values = list(dict.fromkeys(value.strip() for value in one.said.get(names[field], ()) if value.strip()))
        if not values:
            continue
        value, where = "; ".join(values), f"{one.place}: {names[field]}"
        if len(values) > 1 and field not in PROSE:
            faults.append((where, f"stands more than once, as {' and '.join(map(repr, values))}"))
        elif field in FLAGS and value.lower() not in _WORDS:
            faults.append((where, f"'{value}' is neither Yes nor No"))
        elif field == "class" and value not in classes:
            faults.append((where, no_class(value, classes)))
        else:
            yield field, Said(_WORDS[value.lower()] if field in FLAGS else value, one.line)


def _merge(
    known: dict[str, Said], account: str, said: Mapping[str, Said], one: Allocation, names: Mapping[str, str],
    faults: list[Fault],
) -> None:  # fmt: skip
    for field, now in said.items():
        before = known.setdefault(field, now)
        if before.value == now.value:
            continue
        if field in PROSE:
            if now.value not in before.value.split("; "):
                known[field] = Said(f"{before.value}; {now.value}", before.line)
        else:
            faults.append(
                (f"{one.place}: {names[field]}",
                 f"says '{now.value}' of account {account}, line {before.line} said '{before.value}'")
            )  # fmt: skip
