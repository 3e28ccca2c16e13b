"""The allocations of a portal, as ColdFront gives them out.

ColdFront (1.1.7, and its main branch of October 2025) gives allocations as JSON only: its ``api`` plugin's
``/api/allocations/?allocation_attributes=true``, a list of objects with id, project (the title), resource, status and
allocation_attributes, a list of {allocation_attribute_type, value}. The CSV that it exports is of grants and names no
account; so CSV is what a site makes of the same: a line an allocation, a column for each of these and each attribute.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

LIVE = ("Active", "Renewal Requested")
"""The statuses of which ColdFront's own slurm plugin makes accounts; others are passed over."""
_FOLLOWS = ("id", "project", "resource", "status")
_AS = "a list of allocations, as /api/allocations/?allocation_attributes=true gives it"

Fault = tuple[str, str]
"""Where, like ``line 7: tax_exempt``, and what is wrong."""


class Allocation(NamedTuple):
    """One allocation: what it says by name; an attribute can stand more than once."""

    line: int
    """Where it begins in the file."""
    id: str
    said: Mapping[str, tuple[str, ...]]

    @property
    def place(self) -> str:
        """For messages."""
        return f"line {self.line}" + (f" (allocation {self.id})" if self.id else "")


def read(text: str) -> tuple[list[Allocation], list[Fault]]:
    """All allocations in a file, JSON or CSV, and all that cannot be read."""
    text = text.removeprefix("\ufeff")
    found: list[Fault] = []
    start = text.lstrip()[:1]
    allocations = list(_of_json(text, found) if start in ("[", "{") else _of_csv(text, found))
    if not allocations and not found:
        found.append(("line 1", f"there is no allocation in it; it must be {_AS}, or CSV"))
    return allocations, found


def _of_json(text: str, found: list[Fault]) -> Iterator[Allocation]:
    try:
        whole = json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        found.append((f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}"))
        return
    except RecursionError:
        found.append(("line 1", "is not JSON that a portal writes: it is nested too deep"))
        return
    if isinstance(whole, dict) and isinstance(whole.get("results"), list):
        if whole.get("next"):
            found.append(("next", "there are further pages; export all allocations in one file"))
            return
        text, whole = _from(text, '"results"'), whole["results"]
    if not isinstance(whole, list):
        found.append(("line 1", f"must be {_AS}"))
        return
    lines = list(_lines_of(text))
    for n, item in enumerate(whole):
        yield from _of_object(item, lines[n] if len(lines) == len(whole) else 1, found)


def _from(text: str, key: str) -> str:
    """Blanks instead of all before the list that follows the key; newlines stay, for the count of lines."""
    at = text.index("[", text.index(key))
    return "".join(c if c == "\n" else " " for c in text[:at]) + text[at:]


def _lines_of(text: str) -> Iterator[int]:
    """The line in which each element of the first list begins; the elements themselves are read already."""
    decoder, at, line, seen = json.JSONDecoder(), text.index("[") + 1, 1, 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        if text[at : at + 1] in ("]", ""):
            return
        line, seen = line + text.count("\n", seen, at), at
        yield line
        _, at = decoder.raw_decode(text, at)


def _of_object(item: Any, line: int, found: list[Fault]) -> Iterator[Allocation]:
    if not isinstance(item, dict):
        found.append((f"line {line}", "is no allocation: an object in braces"))
        return
    said: dict[str, tuple[str, ...]] = {key: (str(item[key]),) for key in _FOLLOWS if item.get(key) is not None}
    one = Allocation(line, str(item.get("id", "")), said)
    attributes = item.get("allocation_attributes")
    if attributes is None:
        found.append((f"{one.place}: allocation_attributes", "is missing; ask with ?allocation_attributes=true"))
        return
    for attribute in attributes if isinstance(attributes, list) else (attributes,):
        name = attribute.get("allocation_attribute_type") if isinstance(attribute, dict) else None
        value = attribute.get("value") if isinstance(attribute, dict) else None
        if not isinstance(name, str) or not isinstance(value, str):
            found.append((f"{one.place}: allocation_attributes", "must hold allocation_attribute_type and value"))
        else:
            said[name] = (*said.get(name, ()), value)
    yield one


def _of_csv(text: str, found: list[Fault]) -> Iterator[Allocation]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            found.append((f"line {line}", f"cannot be read from here on: {error}"))
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = [cell.strip() for cell in cells]
            twice = sorted({name for name in columns if columns.count(name) > 1})
            if twice or "" in columns:
                found.append(
                    (f"line {line}", f"names a column {'twice: ' + twice[0] if any(twice) else 'without name'}")
                )
                return
        elif len(cells) != len(columns):
            found.append((f"line {line}", f"has {len(cells)} columns, the first line {len(columns)}"))
        else:
            said = {name: (cell.strip(),) for name, cell in zip(columns, cells, strict=True) if cell.strip()}
            yield Allocation(line, "".join(said.get("id", ())), said)
