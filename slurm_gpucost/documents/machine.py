"""Documents for machines: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slurm_gpucost.documents.terminal import safe

_NOT_PLAIN = re.compile(r"[^\n -~]")
_FORMULA = re.compile(r"[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def json_text(value: Any) -> str:
    """``value`` as JSON: two spaces deep, keys in the order given, UTF-8.

    What a terminal might obey or a reader not see (C1 controls, marks of direction, lone surrogates) stands as
    ``\\uXXXX``, which says the same.
    """
    return _NOT_PLAIN.sub(_escape, json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


def _escape(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]


def csv_text(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """``rows`` as CSV with a heading: commas, quotes where needed (RFC 4180), lines ended by a newline alone.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay numbers. None is
    empty, and what is not printable is written as on a terminal.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(row.get(field)) for field in fields] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else safe(str(value))
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
