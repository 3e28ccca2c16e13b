# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""What accounts need not pay: [[free]] of the config."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from slurm_gpucost.costing.free import ACCOUNT, AMOUNT, HOURS, SHARE, Free
from slurm_gpucost.costing.free import faults as free_faults
from slurm_gpucost.settings.cost_tables import Reader, list_of_tables
from slurm_gpucost.settings.kinds import REQUIRED, Setting, names, number, text
from slurm_gpucost.settings.model import Allotment, Pool

_POSITIVE = partial(number, low=Decimal(0), above=True)
FREE = (
    Setting("name", "text", text, REQUIRED, "Its name, as invoices show it."),
    Setting("accounts", "list of texts", names, (), "The accounts that have it, each as much; all of them if not given."),
    Setting("per", "text", text, ACCOUNT, "`account`: the account's users share it; `user`: each of them has as much."),
    Setting(HOURS, "number", _POSITIVE, None, "GPU-hours a month; `amount` if not given."),
    Setting(AMOUNT, "amount", _POSITIVE, None, "An amount a month in the site's currency; `gpu_hours` if not given."),
    Setting("skus", "list of texts", names, (), "It holds for these SKUs; for all if not given."),
    Setting("order", "text", text, SHARE, "What uses it up first: the `dearest` or the `cheapest` hours, or `share`: of all lines the same part."),
    Setting("funder", "text", text, "", "Who pays for it, as invoices show it."),
)  # fmt: skip


def free_of(reader: Reader, data: dict[str, Any], pools: tuple[Pool, ...]) -> Iterator[Allotment]:
    """The free allotments, in the order in which they are used up. What is wrong becomes faults of the reader."""
    found: list[Free] = []
    skus = {sku.name for pool in pools for sku in pool.skus}
    for n, one in enumerate(list_of_tables(reader, "free", data.get("free", []))):
        values = reader.read(one, FREE, f"free.{n}.")
        if values.get(HOURS) is not None and values.get(AMOUNT) is not None:
            reader.fault(f"free.{n}.{AMOUNT}", f"stands beside {HOURS}; give one of them")
        unit = AMOUNT if values.get(HOURS) is None else HOURS
        quantity: Fraction | None = values.get(unit)
        if quantity is None:
            reader.fault(f"free.{n}.{HOURS}", f"is missing: give {HOURS} or {AMOUNT}")
        for unknown in sorted({*values.get("skus", ())} - skus):
            reader.fault(f"free.{n}.skus", f"'{unknown}' is no SKU; there are {', '.join(sorted(skus))}")
        free = Free(
            values.get("name", f"free.{n}"), quantity or Fraction(1), unit, values.get("per", ACCOUNT),
            values.get("order", SHARE), values.get("skus", ()),
        )  # fmt: skip
        found.append(free)
        yield Allotment(values.get("accounts", ()), free, values.get("funder", ""))
    for key, sentence in free_faults(found):
        reader.fault(f"free.{key}", sentence)
