"""What goes into an amount is an integer or a Fraction; a float would stay unseen (Fraction * float is a float)."""

from __future__ import annotations

from fractions import Fraction


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
