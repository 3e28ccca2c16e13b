"""A line of a derivation, and what all derivations count with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from slurm_gpucost.costing.pools import Source

HOURS_PER_YEAR = 8760
POSTED_DECIMALS = 4


@dataclass(frozen=True)
class Step:
    """One line of a derivation."""

    label: str
    formula: str
    value: Fraction
    unit: str
    sources: tuple[Source, ...] = ()
