"""Units. Every time is integer milliseconds UTC, every energy integer millijoules, every share two integers."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

MS = 1000
HOUR_MS = 3_600_000
MJ_PER_KWH = 3_600_000_000
OPEN_END_MS = (1 << 62) - 1
"""End of an interval that has none yet: sorts after every time, fits SQLite's signed 64 bits."""


def decimal_text(value: Fraction, digits: int) -> str:
    """``value`` as decimal text with exactly ``digits`` decimals, rounded half up (away from zero).

    For display and for posting: integers and fractions stay exact until here.
    """
    scale = 10**digits
    scaled = abs(value) * scale
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    sign = "-" if value < 0 and whole else ""
    if digits == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole // scale}.{whole % scale:0{digits}d}"


def to_decimal(value: Fraction, digits: int) -> Decimal:
    """``value`` rounded half up to ``digits`` decimals, as a Decimal (Decimal parses and prints, never computes)."""
    return Decimal(decimal_text(value, digits))
