# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Rate classes, and what is known of accounts: [classes.NAME] and [[accounts]] of the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.accounts import ALL_CLUSTERS, CONFIG, FIELDS, INTERNAL, AccountClass, Told, no_class
from slurm_gpucost.costing.accounts import faults as class_faults
from slurm_gpucost.costing.periods import midnight
from slurm_gpucost.costing.policy import ANY
from slurm_gpucost.settings.cost_tables import Reader, list_of_tables
from slurm_gpucost.settings.kinds import REQUIRED, Setting, day, flag, number, text

_ANY_NUMBER = partial(number, low=Decimal(-(10**6)))
CLASS = (
    Setting("surcharge", "number", _ANY_NUMBER, Fraction(0), "The part of what is owed that comes on top, as lines of its own: 0.25 is 25 %. Below 0 it is a subsidy."),
    Setting("tax", "number", _ANY_NUMBER, Fraction(0), "Tax on the net total of an invoice: 0.19 is 19 %."),
    Setting("label", "text", text, "", "Its name for people, as invoices show it."),
    Setting("funder", "text", text, "", "Who pays the subsidy; needed with a surcharge below 0, and only there."),
)  # fmt: skip
ACCOUNT = (
    Setting("name", "text", text, REQUIRED, "The account, as sacct prints it."),
    Setting("cluster", "text", text, None, "On this cluster; on all if not given."),
    Setting("since", "date", day, None, "From this day on, in the site's zone; always if not given. Invoices take what holds when their month begins."),
    Setting("class", "text", text, None, f"Its rate class, one of [classes.NAME]; as other entries say if not given, else `{INTERNAL}`."),
    Setting("contact", "text", text, None, "Who gets the invoice; as other entries say if not given."),
    Setting("tax_exempt", "true or false", flag, None, "Whether it pays no tax; as other entries say if not given, else it does."),
    Setting("tax_id", "text", text, None, "Its tax number; as other entries say if not given."),
    Setting("funder", "text", text, None, "Who or which award pays for it; as other entries say if not given."),
    Setting("federal", "true or false", flag, None, "Whether that is the federal government's money; as other entries say if not given."),
)  # fmt: skip
SAID = tuple(field for field in FIELDS if field in {setting.key for setting in ACCOUNT})


def classes_of(reader: Reader, data: dict[str, Any]) -> dict[str, AccountClass]:
    """The classes by name, `internal` always among them. What is wrong becomes faults of the reader."""
    found = {INTERNAL: AccountClass()}
    for name, said in reader.table(data.get("classes", {}), "classes").items():
        values = reader.read(reader.table(said, f"classes.{name}"), CLASS, f"classes.{name}.")
        found[name] = AccountClass(name, **values)
        for key, sentence in class_faults(found[name]) if len(values) == len(CLASS) else ():
            reader.fault(f"classes.{name}.{key}", sentence)
    rules = data.get("rules", [])
    for n, rule in enumerate(rules if isinstance(rules, list) else ()):
        said = rule.get("account_class", []) if isinstance(rule, dict) else []
        for value in said if isinstance(said, list) else [said]:
            if isinstance(value, str) and value not in found and value != ANY:
                reader.fault(f"rules.{n}.account_class", no_class(value, found))
    return found


def accounts_of(
    reader: Reader, data: dict[str, Any], classes: Mapping[str, AccountClass], zone: ZoneInfo
) -> Iterator[Told]:
    """What the config says of accounts. What is wrong becomes faults of the reader."""
    seen: dict[tuple[str, str, date | None], int] = {}
    for n, said in enumerate(list_of_tables(reader, "accounts", data.get("accounts", []))):
        key = f"accounts.{n}"
        values = reader.read(said, ACCOUNT, f"{key}.")
        name, cluster, since = values.get("name"), values.get("cluster") or ALL_CLUSTERS, values.get("since")
        facts = {field: values[field] for field in SAID if values.get(field) is not None}
        if "class" in facts and facts["class"] not in classes:
            reader.fault(f"{key}.class", no_class(facts["class"], classes))
        if not name or len(values) < len(ACCOUNT):
            continue
        if not facts:
            reader.fault(key, f"says nothing of '{name}': give one of {', '.join(SAID)}")
        first = seen.setdefault((name, cluster, since), n)
        if first != n:
            where = f" on {cluster}" if cluster else ""
            reader.fault(key, f"account '{name}'{where} stands already as accounts.{first}, from the same day on")
        yield Told(name, cluster, midnight(since, zone) if since else 0, CONFIG, f"{reader.path}: {key}", facts)
