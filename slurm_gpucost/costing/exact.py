"""The guard at the door of money: integers and Fractions come in, floats do not."""

from __future__ import annotations

from fractions import Fraction

from slurm_gpucost.domain.units import decimal_text


def exact(what: str, value: object) -> Fraction:
    """``value`` as a Fraction. TypeError for what is neither int nor Fraction: a float has lost its cents already."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    raise TypeError(f"{what} must be an int or a Fraction, not {type(value).__name__}")


def keep_exact(item: object, *fields: str) -> None:
    """Turns numbers of a frozen dataclass into Fractions, for its ``__post_init__``. TypeError as :func:`exact`."""
    for field in fields:
        object.__setattr__(item, field, exact(field, getattr(item, field)))


def number_text(value: Fraction) -> str:
    """As a person writes it in a config: the decimal where it is one of up to twelve places, else the fraction."""
    for digits in range(13):
        if (value * 10**digits).denominator == 1:
            return decimal_text(value, digits)
    return str(value)
