"""The electricity bill of a month against what was measured and assumed. The bill is the authority. Pure, exact.

Amounts are kWh x the bill's own mean price (amount / kWh), so the parts and the difference add up to the bill in both.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from slurm_gpucost.costing.exact import exact
from slurm_gpucost.domain.units import MJ_PER_KWH


class Meter(NamedTuple):
    """A month's energy by the utility's bill or the site's meter. Without demand and standing charges."""

    month: str
    """YYYY-MM."""
    kwh: Fraction
    amount: Fraction


class Part(NamedTuple):
    """A part of the bill."""

    kwh: Fraction
    amount: Fraction


class Reconciliation(NamedTuple):
    """bill = measured + imputed + overhead + losses + difference, in kWh and in money."""

    bill: Part
    measured: Part
    """What devices' own counters said."""
    imputed: Part
    """Energy of devices that nobody measured, by rule."""
    overhead: Part
    """Hosts beside their devices."""
    losses: Part
    """What PUE adds to these three: cooling, conversion."""
    difference: Part
    """What the bill has beyond all that; negative if the assumptions say more than the bill."""

    @property
    def unmeasured(self) -> Part:
        """Imputed, overhead and losses: what is assumed, not read from a device."""
        parts = (self.imputed, self.overhead, self.losses)
        return Part(sum((p.kwh for p in parts), Fraction(0)), sum((p.amount for p in parts), Fraction(0)))


def reconcile(
    meter: Meter,
    measured_mj: int | Fraction,
    imputed_mj: int | Fraction,
    overhead_mj: int | Fraction,
    pue: Fraction,
) -> Reconciliation:
    """The bill taken apart. Energies before PUE, in mJ; where PUE changed in the month, give ``energy.mean_pue``.

    Raises ValueError for a bill of no kWh (it has no mean price), negative energies, and a PUE below 1.
    """
    kwh, amount, factor = exact(meter.kwh, "kwh"), exact(meter.amount, "amount"), exact(pue, "pue")
    if kwh <= 0:
        raise ValueError(f"the meter of {meter.month} says {kwh} kWh; without energy a bill has no mean price")
    if factor < 1:
        raise ValueError(f"PUE is {factor}; a site draws at least what its machines draw, so give 1 or more")

    def part(energy: Fraction) -> Part:
        return Part(energy, energy * amount / kwh)

    measured, imputed, overhead = (
        _kwh(value, name)
        for name, value in (("measured_mj", measured_mj), ("imputed_mj", imputed_mj), ("overhead_mj", overhead_mj))
    )
    inside = measured + imputed + overhead
    return Reconciliation(
        bill=Part(kwh, amount),
        measured=part(measured),
        imputed=part(imputed),
        overhead=part(overhead),
        losses=part(inside * (factor - 1)),
        difference=part(kwh - inside * factor),
    )


def _kwh(energy_mj: object, name: str) -> Fraction:
    energy = exact(energy_mj, name)
    if energy < 0:
        raise ValueError(f"{name} is {energy}; energy cannot be negative")
    return energy / MJ_PER_KWH
