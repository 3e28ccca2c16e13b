# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""The electricity bills of a pool's months: [[pools.NAME.meter]] of the config."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.meter import Meter
from slurm_gpucost.costing.periods import month
from slurm_gpucost.settings.cost_tables import Reader, list_of_tables
from slurm_gpucost.settings.kinds import REQUIRED, Setting, number, text


def _month(value: Any) -> str:
    month(text(value), ZoneInfo("UTC"))
    return str(value)


METER = (
    Setting("month", "text", _month, REQUIRED, "`YYYY-MM`, in the pool's time zone."),
    Setting("kwh", "number", partial(number, low=Decimal(0), above=True), REQUIRED, "What the utility or the site's meter says was drawn for the pool's machines and all that cools and feeds them."),
    Setting("amount", "amount", partial(number, low=Decimal(0)), REQUIRED, "What those kWh cost, net of tax, without demand and standing charges: list these as costs."),
)  # fmt: skip


def meters_of(reader: Reader, prefix: str, data: dict[str, Any]) -> Iterator[Meter]:
    """The bills. What is wrong with one becomes faults of the reader."""
    seen: dict[str, int] = {}
    for n, one in enumerate(list_of_tables(reader, f"{prefix}meter", data.get("meter", []))):
        values = reader.read(one, METER, f"{prefix}meter.{n}.")
        if len(values) < len(METER):
            continue
        if values["month"] in seen:
            earlier = f"{prefix}meter.{seen[values['month']]}"
            reader.fault(f"{prefix}meter.{n}.month", f"{values['month']} stands already as {earlier}; keep one of them")
        seen.setdefault(values["month"], n)
        yield Meter(**values)
