# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Which part of held time is billed, and who pays for reservations: [billing], [[rules]], [[outages]], [[reservations]]."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.policy import COLUMNS, Rule, default_rules
from slurm_gpucost.costing.policy_faults import faults as rule_faults
from slurm_gpucost.costing.quantity import ATTEMPT, LINE, OFF, Rounding
from slurm_gpucost.costing.quantity import faults as rounding_faults
from slurm_gpucost.domain.hostlist import expand
from slurm_gpucost.domain.units import MS, OPEN_END_MS
from slurm_gpucost.settings.cost_tables import Reader, list_of_tables
from slurm_gpucost.settings.kinds import REQUIRED, Setting, flag, number, text, whole
from slurm_gpucost.settings.model import Billing, DeclaredOutage, Payer


def words(value: Any) -> tuple[str, ...]:
    """A text, or a list of texts and whole numbers."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(one, (str, int)) and not isinstance(one, bool) for one in found):
        raise ValueError('must be a text or a list of them, like ["FAILED", "TIMEOUT"]')
    return tuple(map(str, found))


def moment(value: Any) -> datetime:
    """A TOML date with a time, with or without an offset."""
    if not isinstance(value, datetime):
        raise ValueError("must be a time like 2026-01-31T08:00:00, in the site's zone, or with an offset of its own")
    return value


def nodes(value: Any) -> tuple[str, ...]:
    """A hostlist."""
    return tuple(expand(text(value)))


BILLING = (
    Setting("rounding", "text", text, None, f"`{ATTEMPT}`: the billed time of each attempt is rounded up when it ends; `{LINE}`: the device time of each line of an invoice is; nothing is if not given."),
    Setting("rounding_step_seconds", "whole number", partial(whole, low=1), None, "To whole steps of so many seconds; to the millisecond if not given."),
    Setting("minimum_seconds", "whole number", partial(whole, low=0), 0, "What is shorter counts as so many seconds. Needs `rounding`."),
    Setting("show_energy", "true or false", flag, True, "Invoices also say the kWh and CO2e of jobs whose price of the hour bears energy, where it is measured or a factor of emission is given. Each lease is looked at for it: false makes invoices of a million jobs quicker."),
    Setting("preempted_free_seconds", "whole number", partial(whole, low=0), 0, "Preempted attempts that ran shorter than this are not billed; 0: all are. Only without [[rules]]."),
    Setting("bill_reservations", "true or false", flag, False, "true: GPUs that a Slurm reservation keeps and no job holds are billed to its account; the accounting is then asked for all reservations."),
)  # fmt: skip
_TEXTS = {
    "state": "As sacct prints it; `RESERVED`: what a reservation keeps.",
    "cause": "`suspended`, `cancelled_by_user`, `cancelled_by_other` or `vanished`.",
    "attempt": "Which run of its job: `1`, `2-4`, `2+`.",
    "qos": '`*`: any; `""`: none.',
    "partition": "As sacct prints it.",
    "account_class": "Class of the account.",
    "outage": "Of its node at that time: `declared` under [[outages]], or what Slurm tells: `down`, `drained`, `failing`, `maintenance`, `powered_down`.",
    "reservation": '`*`: any; `""`: none.',
}
RULE = (
    Setting("name", "text", text, REQUIRED, "Its name, as invoices show it."),
    Setting("factor", "number", partial(number, low=Decimal(0), high=Decimal(1)), REQUIRED, "The part of the time that is billed, 0 to 1."),
    *(Setting(column, "texts", words, (), f"Matches one of these; anything if not given. {_TEXTS[column]}") for column in COLUMNS),
    Setting("shorter_than_seconds", "whole number", partial(whole, low=1), None, "Only attempts that ran for less, net of suspension; all if not given."),
)  # fmt: skip
OUTAGE = (
    Setting("nodes", "hostlist", nodes, REQUIRED, "The nodes, like `gpu[01-16]`."),
    Setting("from", "time", moment, REQUIRED, "When it began, like 2026-01-31T08:00:00: in the site's zone, or with an offset."),
    Setting("until", "time", moment, None, "When it was over; it is not yet if not given."),
    Setting("reason", "text", text, "", "Why."),
)  # fmt: skip
RESERVATION = (
    Setting("name", "text", text, REQUIRED, "The name of the reservation, or a pattern of names like `course-*`; the first entry that matches counts."),
    Setting("account", "text", text, REQUIRED, "The account that pays, whatever accounts and users Slurm names."),
    Setting("whole_nodes", "true or false", flag, None, "true: all GPUs of its nodes are reserved; false: only those that it reserves as gres/gpu; as Slurm says if not given: those that it reserves by number, all of whole nodes, and none where only cores are reserved."),
)  # fmt: skip


def billing_of(reader: Reader, values: dict[str, Any], data: dict[str, Any], zone: ZoneInfo) -> Billing:
    """The rules of billing. What is wrong becomes faults of the reader; then the result is not to be used."""
    said = list_of_tables(reader, "rules", data.get("rules", []))
    read = [reader.read(one, RULE, f"rules.{n}.") for n, one in enumerate(said)]
    free = values.get("preempted_free_seconds", 0)
    rules = tuple(_rule(one) for one in read if {"name", "factor"} <= one.keys())
    if said and free:
        reader.fault(
            "billing.preempted_free_seconds", "stands beside [[rules]], which decide alone: write it as a rule"
        )
    if said and len(rules) == len(said):  # else what is wrong with it is said already
        for key, sentence in rule_faults(rules):
            reader.fault(f"rules.{key}" if key else "rules", sentence)
    rounding = _rounding(reader, values)
    outages = tuple(_outages(reader, data, zone))
    payers = tuple(_payers(reader, data))
    shows, reserved = values.get("show_energy", True), values.get("bill_reservations", False)
    return Billing(rules or default_rules(free), rounding, outages, shows, reserved, payers)


def _rule(values: dict[str, Any]) -> Rule:
    match = {column: values[column] for column in COLUMNS if values.get(column)}
    return Rule(values["name"], values["factor"], match, values["shorter_than_seconds"])


def _rounding(reader: Reader, values: dict[str, Any]) -> Rounding:
    step = values.get("rounding_step_seconds")
    found = Rounding(
        values.get("rounding") or OFF, step * MS if step else Rounding().step_ms, values.get("minimum_seconds", 0) * MS
    )
    names = {"per": "rounding", "step_ms": "rounding_step_seconds", "minimum_ms": "minimum_seconds"}
    for key, sentence in rounding_faults(found):
        reader.fault(f"billing.{names[key]}", sentence)
    if found.per and found == Rounding(found.per):
        reader.fault("billing.rounding", "changes nothing: give rounding_step_seconds or minimum_seconds, too")
    return found


def _outages(reader: Reader, data: dict[str, Any], zone: ZoneInfo) -> list[DeclaredOutage]:
    found: list[DeclaredOutage] = []
    for n, one in enumerate(list_of_tables(reader, "outages", data.get("outages", []))):
        values = reader.read(one, OUTAGE, f"outages.{n}.")
        if not {"nodes", "from"} <= values.keys():
            continue
        begun = _ms(values["from"], zone)
        over = OPEN_END_MS if values.get("until") is None else _ms(values["until"], zone)
        if over <= begun:
            reader.fault(f"outages.{n}.until", "is not after from")
        found.append(DeclaredOutage(values["nodes"], begun, over, values["reason"]))
    return found


def _payers(reader: Reader, data: dict[str, Any]) -> list[Payer]:
    found: list[Payer] = []
    taken: dict[str, int] = {}
    for n, one in enumerate(list_of_tables(reader, "reservations", data.get("reservations", []))):
        values = reader.read(one, RESERVATION, f"reservations.{n}.")
        if not {"name", "account"} <= values.keys():
            continue
        if taken.setdefault(values["name"], n) != n:
            reader.fault(
                f"reservations.{n}.name", f"'{values['name']}' stands already in reservations.{taken[values['name']]}"
            )
        found.append(Payer(values["name"], values["account"], values.get("whole_nodes")))
    return found


def _ms(at: datetime, zone: ZoneInfo) -> int:
    return int((at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC).timestamp()) * MS
