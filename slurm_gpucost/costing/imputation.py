"""Energy of held time that nobody measured, by a published rule, and marked with it. Pure, exact.

1. ``mean-power-of-sku``: what the same SKU drew on average in the same period, over held and measured time.
2. ``nameplate-x-load-factor``: where nothing of that SKU was measured, its rated power x a stated load factor.

What was measured stays as it was: imputed energy is added to those who were not measured, never taken from others.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact

MEAN_POWER = "mean-power-of-sku"
NAMEPLATE = "nameplate-x-load-factor"


class Observed(NamedTuple):
    """What the leases of a SKU drew in a period, and the held time in which that was measured."""

    energy_mj: int | Fraction
    device_ms: int | Fraction
    """Whole devices x ms: half a device for 2 ms is 1. Else those who share devices would lower the mean."""


class Nameplate(NamedTuple):
    """A SKU's rated power, and the part of it that its devices are said to draw while held, 0 to 1."""

    watts: Fraction
    load_factor: Fraction


class Power(NamedTuple):
    """What a whole device is taken to draw, and by which rule."""

    watts: Fraction
    rule: str


def power(observed_by_sku: Mapping[str, Observed], sku: str, nameplate: Nameplate | None) -> Power:
    """What an unmeasured device of ``sku`` is taken to draw. 1 mJ in 1 ms is 1 W.

    Raises ValueError where neither rule applies, and for negative figures or a load factor above 1.
    """
    if (observed := observed_by_sku.get(sku)) and observed.device_ms:
        energy, time = exact(observed.energy_mj, "energy_mj"), exact(observed.device_ms, "device_ms")
        if energy < 0 or time < 0:
            raise ValueError(f"{sku}: measured energy and time cannot be negative ({energy} mJ, {time} ms)")
        return Power(energy / time, MEAN_POWER)
    if nameplate is None:
        raise ValueError(f"{sku}: nothing was measured in the period; state its nameplate_watts and a load_factor")
    watts, load = exact(nameplate.watts, "nameplate_watts"), exact(nameplate.load_factor, "load_factor")
    if watts < 0 or not 0 <= load <= 1:
        raise ValueError(f"{sku}: nameplate_watts cannot be negative, and load_factor is between 0 and 1")
    return Power(watts * load, NAMEPLATE)
