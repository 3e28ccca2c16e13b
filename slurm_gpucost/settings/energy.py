# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""How a pool bills energy, in the price of the hour or as measured, and what is assumed of it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.costing.periods import midnight
from slurm_gpucost.costing.terms import Emission
from slurm_gpucost.domain.units import OPEN_END_MS
from slurm_gpucost.settings.cost_tables import Reader, dated
from slurm_gpucost.settings.kinds import REQUIRED, Setting, day, number, or_dated, whole
from slurm_gpucost.settings.model import Energy


def parts(value: Any) -> int:
    """1 or 2."""
    if whole(value, low=1) > 2:
        raise ValueError("must be 1 or 2")
    return int(value)


_AMOUNT = partial(number, low=Decimal(0))


POOL_ENERGY = (
    Setting("rate_parts", "1 or 2", parts, 1,
            "1: the price of a GPU-hour bears energy at rated power. 2: it bears none, and energy is billed by the kWh as measured."),
    Setting("host_watts_per_gpu", "number", _AMOUNT, Fraction(0),
            "What a host draws beside its GPUs, in watts for each GPU held: added to what is measured of jobs. An assumption: put yours."),
    Setting("emission_grams_per_kwh", "number or list of tables", or_dated(_AMOUNT), None,
            "g CO2e of a kWh at the site's meter, for what invoices and reports say of emissions; they say nothing if not given. Where it changes, a list: [{since = 2026-01-01, grams = 363}]."),
)  # fmt: skip
EMISSION = (
    Setting("since", "date", day, REQUIRED, "The first day of this factor, in the pool's time zone; it holds until the next. The first one also holds before."),
    Setting("grams", "number", _AMOUNT, REQUIRED, "g CO2e of a kWh from that day on."),
)  # fmt: skip
SKU_ENERGY = (
    Setting("load_factor", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(1),
            "0 to 1: the part of nameplate_watts that devices are taken to draw while held, where none of the SKU was measured in the month."),
)  # fmt: skip


def energy_of(reader: Reader, prefix: str, values: dict[str, Any]) -> Energy:
    """How the pool bills energy. What is wrong becomes faults of the reader."""
    emission = _emission(reader, prefix, values.get("emission_grams_per_kwh"), values["timezone"])
    return Energy(values.get("rate_parts", 1), values.get("host_watts_per_gpu", Fraction(0)), emission)


def _emission(reader: Reader, prefix: str, said: Any, zone: ZoneInfo) -> tuple[Emission, ...]:
    if said is None:
        return ()
    if isinstance(said, Fraction):
        return (Emission(-OPEN_END_MS, said),)
    key = f"{prefix}emission_grams_per_kwh"
    if not said:
        reader.fault(key, "names none; leave it out, or give a number")
    found = dated(reader, key, said, EMISSION)
    return tuple(
        Emission(midnight(since, zone) if n else -OPEN_END_MS, factor) for n, (since, factor) in enumerate(found)
    )
