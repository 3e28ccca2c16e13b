"""Rows as sacct and sreport print them: a table for eyes, or cells between bars for scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slurm_gpucost.documents.terminal import fit, safe, width
from slurm_gpucost.domain.errors import UsageError

Row = Mapping[str, Any]
WIDEST = 40
"""Text grows a column up to here, then it is cut; numbers are never cut unless a width is asked for."""


@dataclass(frozen=True)
class Column:
    """One column: its heading, what it shows of a row, and how."""

    name: str
    text: Callable[[Row], str]
    width: int = 8
    """The least columns of a terminal that it takes."""
    number: bool = False
    """Set to the right, and never cut."""
    fixed: int = 0
    """Exactly so wide (``%NUMBER`` in a format); negative: set to the left."""


def choose(columns: Sequence[Column], wanted: str, option: str) -> list[Column]:
    """The columns that a format names: ``name[%[-]width],...``, names in any case or cut short.

    Raises UsageError, naming ``option`` and the columns there are.
    """
    chosen: list[Column] = []
    for word in filter(None, (part.strip() for part in wanted.split(","))):
        name, percent, size = word.partition("%")
        chosen.append(_one(columns, name, option))
        if percent:
            try:
                fixed = int(size)
            except ValueError:
                fixed = 0
            if not 0 < abs(fixed) <= 1000:
                raise UsageError(f"{option} {word}: after % comes a width, like {chosen[-1].name}%30")
            chosen[-1] = replace(chosen[-1], fixed=fixed)
    if not chosen:
        raise UsageError(f"{option} '{wanted}': names no column; there are {_names(columns)}")
    return chosen


def _one(columns: Sequence[Column], name: str, option: str) -> Column:
    key = name.strip().casefold()
    exact = [c for c in columns if c.name.casefold() == key]
    found = exact or [c for c in columns if key and c.name.casefold().startswith(key)]
    if not found:
        raise UsageError(f"{option} {name}: no such column; there are {_names(columns)}")
    if len(found) > 1:
        raise UsageError(f"{option} {name}: could be {_names(found)}")
    return found[0]


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(c.name for c in columns)


def table(columns: Sequence[Column], rows: Iterable[Row], *, header: bool = True) -> str:
    """A table with fixed widths: text to the left, numbers to the right, nothing after the last visible character."""
    cells = [[safe(c.text(row)) for c in columns] for row in rows]
    sizes = [_size(c, [row[i] for row in cells]) for i, c in enumerate(columns)]
    lines = [_line(columns, sizes, row) for row in cells]
    if header:
        lines[:0] = [
            _line(columns, sizes, [c.name for c in columns]),
            _line(columns, sizes, ["-" * size for size in sizes]),
        ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _size(column: Column, cells: Sequence[str]) -> int:
    if column.fixed:
        return abs(column.fixed)
    longest = max(map(width, cells), default=0)
    return max(column.width, len(column.name), longest if column.number else min(longest, WIDEST))


def _line(columns: Sequence[Column], sizes: Sequence[int], cells: Sequence[str]) -> str:
    return " ".join(
        fit(cell, size, right=(column.number and column.fixed >= 0) or column.fixed > 0)
        for column, size, cell in zip(columns, sizes, cells, strict=True)
    )


def parsable(columns: Sequence[Column], rows: Iterable[Row], *, ending: bool = False, header: bool = True) -> str:
    """Cells between bars, one line a row; ``ending``: a bar after the last one too (-p).

    A bar inside a cell is written ``\\x7c``, so that a name cannot move the cells after it (sacct lets it).
    """
    lines = [[c.name for c in columns]] if header else []
    lines += [[safe(c.text(row)).replace("|", "\\x7c") for c in columns] for row in rows]
    return "".join("|".join(line) + ("|\n" if ending else "\n") for line in lines)
