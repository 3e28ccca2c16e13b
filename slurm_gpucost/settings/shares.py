# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""The devices that accounts own: [[pools.NAME.shares]] of the config."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from slurm_gpucost.costing.pools import Source
from slurm_gpucost.costing.shares import Share
from slurm_gpucost.costing.shares import faults as share_faults
from slurm_gpucost.settings.cost_tables import Reader, Sources, list_of_tables
from slurm_gpucost.settings.kinds import REQUIRED, Setting, day, names, number, text
from slurm_gpucost.settings.model import Sku

SHARE = (
    Setting("account", "text", text, REQUIRED, "The account that owns the devices and pays what operating them costs, used or not."),
    Setting("sku", "text", text, None, "The SKU that they are of; the pool's only SKU if not given."),
    Setting("devices", "number", partial(number, low=Decimal(0), above=True), REQUIRED, "How many of its devices; parts of one, too, like 2.5."),
    Setting("from", "date", day, REQUIRED, "The first day, in the pool's time zone."),
    Setting("until", "date", day, None, "The day after the last; for ever if not given."),
    Setting("guests_pay_owner", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(0), "0 to 1: the part of what others pay for hours of the share that goes to the owner."),
    Setting("accounts", "list of texts", names, (), "Further accounts whose use counts as the owner's; `account` is always one of them."),
)  # fmt: skip


def shares_of(
    reader: Reader, pool: str, data: dict[str, Any], skus: Sequence[Sku], begins: date, sources: Sources
) -> tuple[Share, ...]:
    """A pool's shares, by the order in the config. What is wrong becomes faults of the reader.

    ``begins``: the first day of the pool's prices.
    """
    prefix = f"pools.{pool}.shares"
    said = list_of_tables(reader, prefix, data.get("shares", []))
    found: list[Share] = []
    for n, one in enumerate(said):
        values = reader.read(one, SHARE, f"{prefix}.{n}.")
        if len(values) < len(SHARE):
            continue
        sku = values.pop("sku")
        if sku is None and len(skus) != 1:
            reader.fault(f"{prefix}.{n}.sku", f"is missing: there are {', '.join(sorted(one.name for one in skus))}")
            continue
        share = Share(pool=pool, sku=sku or skus[0].name, from_=values.pop("from"), **values)
        found.append(share)
        sources[f"shares:{share.sku}"] = (
            *sources.get(f"shares:{share.sku}", ()),
            *(Source(f"{prefix}.{n}.{key}") for key in ("devices", "from", *(["until"] if share.until else []))),
        )
    if len(found) == len(said):  # else what is wrong with them is said already
        for key, sentence in share_faults(found, {sku.name: sku.counts for sku in skus if sku.devices}, begins):
            reader.fault(f"{prefix}.{key}", sentence)
    return tuple(found)
