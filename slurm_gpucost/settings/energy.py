# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""How a pool bills energy: in the price of the hour, or as measured."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from slurm_gpucost.settings.catalogue import Setting, number, whole
from slurm_gpucost.settings.cost_tables import Reader
from slurm_gpucost.settings.model import Energy, Sku


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
            "With `rate_parts = 2`: what a host draws beside its GPUs, in watts for each GPU held. An assumption: put yours."),
    Setting("emission_grams_per_kwh", "number", _AMOUNT, None,
            "With `rate_parts = 2`: g CO2e of a kWh at the site's meter, for what invoices say of emissions; they say nothing if not given."),
)  # fmt: skip
SKU_ENERGY = (
    Setting("load_factor", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(1),
            "With `rate_parts = 2`, 0 to 1: the part of nameplate_watts that devices are taken to draw while held, where none of the SKU was measured in the month."),
)  # fmt: skip


def energy_of(
    reader: Reader, prefix: str, values: dict[str, Any], skus: tuple[Sku, ...], metered: bool = False
) -> Energy:
    """How the pool bills energy. What would change nothing becomes a fault of the reader; a meter needs it all."""
    found = Energy(
        values.get("rate_parts", 1), values.get("host_watts_per_gpu", Fraction(0)), values.get("emission_grams_per_kwh")
    )
    if found.parts == 1 and not metered:
        said = {f"{prefix}{key}": values.get(key) for key in ("host_watts_per_gpu", "emission_grams_per_kwh")}
        said |= {f"{prefix}skus.{sku.name}.load_factor": sku.load_factor - 1 for sku in skus}
        for key in (key for key, value in said.items() if value):
            reader.fault(key, f"changes nothing where energy is in the price: set {prefix}rate_parts = 2, or remove it")
    return found
