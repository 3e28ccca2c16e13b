"""A setting, and the kinds of values that settings have. Light: the daemon of a node reads its few settings with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

_PLAIN = re.compile(r"-?\d+(\.\d+)?")
_MOST_DIGITS = 30
REQUIRED = object()
"""Default of a setting that has none."""
INHERIT = object()
"""Default of a setting that follows another one, as its text says."""


@dataclass(frozen=True)
class Setting:
    """One key of a table: ``read`` turns the TOML value into ours or raises ValueError saying what is wrong."""

    key: str
    kind: str
    read: Callable[[Any], Any]
    default: Any
    text: str


def number(value: Any, *, low: Decimal, high: Decimal | None = None, above: bool = False) -> Fraction:
    """A TOML number, or decimal text, exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise ValueError("must be a number")
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise ValueError(f"'{value}' is no number; write it like 1234.50")
    decimal = Decimal(value)
    if not decimal.is_finite() or abs(decimal.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"'{value}' is not a number that money or machines have")
    exact = Fraction(decimal)
    if exact < low or (above and exact == low):
        raise ValueError(f"must be {'above' if above else 'at least'} {low}")
    if high is not None and exact > high:
        raise ValueError(f"must be at most {high}")
    return exact


def whole(value: Any, *, low: int) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    if value < low:
        raise ValueError(f"must be at least {low}")
    return value


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text in quotes")
    return value


def flag(value: Any) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def absolute_path(value: Any) -> Path:
    """A path that begins with a slash."""
    path = Path(text(value))
    if not path.is_absolute():
        raise ValueError("must be a path that begins with /")
    return path


def names(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise ValueError('must be a list of texts, like ["a100"]')
    return tuple(value)


def percentages(value: Any) -> dict[str, Fraction]:
    """A table of percentages by SKU."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of percentages by SKU, like {a100 = 60, h100 = 40}")
    return {name: number(part, low=Decimal(0), high=Decimal(100)) for name, part in value.items()}


def tables(value: Any) -> tuple[dict[str, Any], ...]:
    """A list of tables."""
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise ValueError("must be a list of tables, like [{date = 2026-01-31, amount = 1000}]")
    return tuple(value)


def or_dated(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One value, or a list of tables that are read by themselves: what it is from which day on."""
    return lambda value: tables(value) if isinstance(value, list) else read(value)


def day(value: Any) -> date:
    """A TOML date, or a text of that form."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("must be a date like 2026-01-31") from None


def days(value: Any) -> tuple[date, ...]:
    """A list of dates."""
    if not isinstance(value, list):
        raise ValueError("must be a list of dates, like [2026-12-25]")
    return tuple(map(day, value))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def zone(value: Any) -> ZoneInfo:
    """A key of the tz database."""
    if not isinstance(value, str) or value not in _zones():
        raise ValueError(f"'{value}' is no time zone of the tz database; write one like Europe/Berlin")
    return ZoneInfo(value)
