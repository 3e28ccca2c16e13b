"""The guard at the door of money: integers and Fractions come in; a float has lost its cents already, and would stay
unseen (Fraction * float is a float).
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from slurm_gpucost.domain.units import decimal_text

_MOST_DIGITS = 60


def exact(value: object, name: str) -> Fraction:
    """``value`` as a Fraction. Raises TypeError for a float and for all else that is not exact."""
    if isinstance(value, int | Fraction) and not isinstance(value, bool):
        return Fraction(value)
    raise TypeError(f"{name} must be an int or a Fraction, not {type(value).__name__}")


def whole(value: object, name: str) -> int:
    """``value``, an integer (like milliseconds). Raises TypeError for all else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{name} must be an int, not {type(value).__name__}")


def time_span(start_ms: object, end_ms: object) -> tuple[int, int]:
    """Both ends in ms UTC. Raises TypeError if one is no integer, ValueError if the end is before the start."""
    start, end = whole(start_ms, "start_ms"), whole(end_ms, "end_ms")
    if end < start:
        raise ValueError(f"a time ends at {end} ms, before it begins at {start} ms")
    return start, end


def keep_exact(item: object, *fields: str) -> None:
    """Turns numbers of a frozen dataclass into Fractions, for its ``__post_init__``. TypeError as :func:`exact`."""
    for field in fields:
        object.__setattr__(item, field, exact(getattr(item, field), field))


def plain(value: int | Fraction) -> int | Fraction:
    """The same; a whole number as an int, which is many times quicker."""
    return value.numerator if value.denominator == 1 else value


def exact_decimal(value: Fraction, least: int = 0) -> Decimal:
    """The same number, with that many decimals or more. Raises ValueError where it is no decimal, like 1/3."""
    for digits in range(least, _MOST_DIGITS):
        if 10**digits % value.denominator == 0:
            return Decimal(decimal_text(value, digits))
    raise ValueError(f"{value} is no decimal number")


def number_text(value: Fraction) -> str:
    """As a person writes it in a config: the decimal where it is one of up to twelve places, else the fraction."""
    for digits in range(13):
        if (value * 10**digits).denominator == 1:
            return decimal_text(value, digits)
    return str(value)
