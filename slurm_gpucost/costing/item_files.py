"""Cost items from the CSV text that a finance office exports: commas between columns, points in decimals. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import date
from fractions import Fraction
from typing import Any

from slurm_gpucost.costing.items import CostItem, faults

REQUIRED = ("name", "kind", "amount", "per")
COLUMNS = (*REQUIRED, "from", "until", "months", "fte", "share", "pool", "key")
_TIMES = {"from", "until", "months"}
"""Columns that are checked against each other."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,12})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Fault = tuple[str, str]


def items_of_csv(text: str, fiscal_month: int = 1) -> tuple[list[CostItem], list[Fault]]:
    """The items, and all faults: keys are like ``line 7: amount``. Lines with a fault make no item.

    The first line names the columns, in any order; all but REQUIRED may be left out, and cells may be empty. Empty
    lines count for nothing. A line that repeats another in every column is a fault: it would be charged twice.
    """
    items: dict[CostItem, str] = {}
    found: list[Fault] = []
    lines = _lines(text.removeprefix("\ufeff"), found)
    line, header = next(lines, ("line 1", []))
    columns = [name.strip().lower() for name in header]
    wrong = [(line, sentence) for sentence in _header(columns)]
    if wrong:
        return [], wrong
    for line, cells in lines:
        if len(cells) != len(columns):
            found.append((line, f"has {len(cells)} columns, the first line {len(columns)}; a comma too many or few?"))
            continue
        values, unread = _values(dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
        found += [(f"{line}: {key}", sentence) for key, sentence in unread.items()]
        item = CostItem(**values, fiscal_month=fiscal_month, source=line)
        unsure = {*unread, *(_TIMES if unread.keys() & _TIMES else ())}
        checked = [(f"{line}: {key}", sentence) for key, sentence in faults(item) if key not in unsure]
        found += checked
        if item in items:
            found.append((line, f"repeats {items[item]}; if both are meant, give them different names"))
        elif not unread and not checked:
            items[item] = line
    return list(items), found


def _lines(text: str, found: list[Fault]) -> Iterator[tuple[str, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = f"line {reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            found.append((line, f"cannot be read from here on: {error}"))
            return
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _header(columns: list[str]) -> Iterator[str]:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        yield "separates columns by something else than commas; export it with commas"
        return
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        yield f"names no column {', '.join(missing)}; the first line must name the columns: {','.join(COLUMNS)}"
    for name in dict.fromkeys(columns):
        if name not in COLUMNS:
            yield f"names a column '{name}', which is unknown; the columns are {','.join(COLUMNS)}"
        elif columns.count(name) > 1:
            yield f"names the column {name} twice"


def _values(cells: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Arguments for a CostItem, with a harmless value where a cell cannot be read, and what is wrong with those."""
    values: dict[str, Any] = {name: cells.get(name, "") for name in ("name", "pool")}
    values |= {name: cells.get(name, "").lower() for name in ("kind", "per", "key")}
    unread: dict[str, str] = {}
    readers: tuple[tuple[str, str, Callable[[str], Any], Any], ...] = (
        ("amount", "amount", _number, None),
        ("from", "from_", _date, None),
        ("until", "until", _date, None),
        ("months", "months", _whole, None),
        ("fte", "fte", _number, Fraction(1)),
        ("share", "share", _number, Fraction(1)),
    )
    for column, attribute, read, empty in readers:
        values[attribute] = empty
        try:
            if cells.get(column):
                values[attribute] = read(cells[column])
        except ValueError as error:
            unread[column] = str(error)
    if values["amount"] is None:
        unread.setdefault("amount", "is missing")
        values["amount"] = Fraction(0)
    return values, unread


def _number(text: str) -> Fraction:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text}' is no number; write it like 1234.50, or -1234.50 for a credit")
    return Fraction(text)


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ValueError(f"'{text}' is no whole number")
    return int(text)


def _date(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"'{text}' is no date; write it like 2026-07-01")
