# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Prices per TRES of a pool: [pools.NAME.tres] of the config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from slurm_gpucost.costing.tres import MAX, SUM, Prices, faults
from slurm_gpucost.costing.tres_text import billing_weights
from slurm_gpucost.settings.cost_tables import Reader
from slurm_gpucost.settings.kinds import Setting, flag, number, tables, text
from slurm_gpucost.settings.model import Allotment, Billing, Pool

FLAGS = ("", "MAX_TRES", "MAX_TRES_GRES")
_AMOUNT = partial(number, low=Decimal(0))


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError('must be a table of prices, like {"license/matlab" = "1.50"}')
    return value


def _groups(value: Any) -> tuple[dict[str, Any], ...]:
    try:
        return tables(value)
    except ValueError:
        raise ValueError('must be a list of tables of prices, like [{ cpu = "0.03" }]') from None


def _flags(value: Any) -> str:
    if value not in FLAGS:
        raise ValueError(
            f"'{value}' is none; of slurm.conf's PriorityFlags write MAX_TRES or MAX_TRES_GRES, or leave it out"
        )
    return str(value)


TRES = (
    Setting("combine", "text", text, SUM, f"`{SUM}`: what the groups cost is added up; `{MAX}`: the dearest group counts."),
    Setting("groups", "list of tables", _groups, None, "Prices per hour by TRES as in AllocTRES: `cpu`, `mem` (a GB of 1,024 MiB), `node`, `gres/gpu`, `gres/gpu:a100`, `license/NAME`, `billing`. A unit that two names fit, like gres/gpu:a100, has the price of its type."),
    Setting("beside", "table", _table, None, "Prices that are added in any case, like those of licences."),
    Setting("billing_weights", "text", text, None, "Instead of `groups`: slurm.conf's TRESBillingWeights, as it stands there."),
    Setting("priority_flags", "text", _flags, "", "With `billing_weights`: `MAX_TRES` or `MAX_TRES_GRES`, if slurm.conf's PriorityFlags has it."),
    Setting("unit_price", "amount", _AMOUNT, None, "Price of a billing unit and hour; with `groups` their numbers are then billing units, and prices if not given. Needed with `billing_weights`."),
    Setting("truncate", "true or false", flag, None, "Whole billing units only, cut for each job as Slurm does; true with `billing_weights` and false with `groups` if not given."),
)  # fmt: skip


def tres_of(reader: Reader, prefix: str, data: dict[str, Any], rate_parts: int) -> Prices | None:
    """The pool's prices per TRES; None: there are none. What is wrong becomes faults of the reader."""
    if "tres" not in data:
        return None
    key = f"{prefix}tres"
    said = reader.table(data["tres"], key)
    values = reader.read(said, TRES, f"{key}.")
    unread = {setting.key for setting in TRES} & said.keys() - values.keys()
    if rate_parts != 1:
        reader.fault(key, f"stands beside {prefix}rate_parts = 2: energy as measured is billed beside GPU-hours alone")
    if values.get("billing_weights") is not None:
        return _weighed(reader, key, values, unread)
    if values.get("priority_flags"):
        reader.fault(f"{key}.priority_flags", "changes nothing without billing_weights; say it by `combine`")
    groups = tuple(
        _group(reader, f"{key}.groups.{n}", group) for n, group in enumerate(values.get("groups") or ())
    )  # fmt: skip
    beside = _group(reader, f"{key}.beside", values.get("beside") or {})
    price = values.get("unit_price")
    found = Prices(
        groups, values.get("combine", SUM), beside, bool(values.get("truncate")), Fraction(1) if price is None else price
    )  # fmt: skip
    for part, sentence in () if unread else faults(found):  # else what is wrong with it is said already
        reader.fault(f"{key}.{part}", sentence)
    return found


def _group(reader: Reader, key: str, said: Mapping[str, Any]) -> dict[str, Fraction]:
    """Price by TRES; one that is no price becomes 0, and a fault."""
    found: dict[str, Fraction] = {}
    for name, value in said.items():
        found[name] = Fraction(0)
        try:
            found[name] = _AMOUNT(value)
        except ValueError as error:
            reader.fault(f"{key}.{name}", str(error))
    return found


def _weighed(reader: Reader, key: str, values: dict[str, Any], unread: set[str]) -> Prices | None:
    for other in ("groups", "beside"):
        if values.get(other) is not None:
            reader.fault(f"{key}.{other}", "stands beside billing_weights; give one of them")
    if values.get("combine", SUM) != SUM:
        reader.fault(f"{key}.combine", "changes nothing beside billing_weights; say it by `priority_flags`")
    if values.get("unit_price") is None and "unit_price" not in unread:
        reader.fault(f"{key}.unit_price", "is missing: what does a billing unit cost an hour?")
    try:
        found = billing_weights(values["billing_weights"], values.get("priority_flags", ""))
    except ValueError as error:
        reader.fault(f"{key}.billing_weights", str(error))
        return None
    if faults(found):
        reader.fault(f"{key}.billing_weights", "weighs no TRES")
    cut = values.get("truncate")
    return found._replace(truncate=cut is not False, unit_price=values.get("unit_price") or Fraction(0))


def beside_tres(reader: Reader, pools: Iterable[Pool], billing: Billing, free: Iterable[Allotment]) -> None:
    """What does not go with prices per TRES: rounding, shares, and allotments that could then be used by nothing."""
    by_tres = [pool for pool in pools if pool.tres]
    if not by_tres:
        return
    if billing.rounding.per:
        key = f"pools.{by_tres[0].name}.tres"
        reader.fault("billing.rounding", f"cannot round what is billed by [{key}]: remove one of them")
    for pool in by_tres:
        if pool.costs.shares:
            what = "cover GPU-hours, and the pool's jobs are billed by TRES: remove them, or [pools.{}.tres]"
            reader.fault(f"pools.{pool.name}.shares", what.format(pool.name))
    skus = {sku.name for pool in by_tres for sku in pool.skus}
    every = {sku.name for pool in pools for sku in pool.skus}
    for n, one in enumerate(free):
        if set(one.free.skus or every) <= skus:
            what = "pays for GPU-hours, and all GPUs that it is for are billed by TRES; give it skus of other pools"
            reader.fault(f"free.{n}", what)
