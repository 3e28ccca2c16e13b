from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.documents.machine import csv_text, json_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_json_keeps_order_and_letters() -> None:
    assert json_text([{"b": 1, "a": "größe 学"}]) == '[\n  {\n    "b": 1,\n    "a": "größe 学"\n  }\n]\n'


@settings(deadline=None)
@given(VALUES)
def test_json_says_the_same_and_moves_no_cursor(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.split("\n"))
    text.encode("utf-8")


def test_json_of_bytes_that_were_no_text() -> None:
    assert json_text("\udcff\x9b\U000e0001") == '"\\udcff\\u009b\\udb40\\udc01"\n'


@pytest.mark.parametrize("text", ["=1+1", "+1-1", "-2+3", "@SUM(A1)", "=cmd|'/c calc'!A1", "-", "＝1"])
def test_csv_defuses_formulas(text: str) -> None:
    assert list(csv.reader(io.StringIO(csv_text(["user"], [{"user": text}])))) == [["user"], ["'" + text]]


@pytest.mark.parametrize("number", ["-5", "-12.50", "0.5697", "4.000000", 7, -7])
def test_csv_leaves_numbers(number: object) -> None:
    assert csv_text(["amount"], [{"amount": number}]) == f"amount\n{number}\n"


def test_csv_quotes_and_empties() -> None:
    assert csv_text(["a", "b"], [{"a": 'x, "y"', "b": None}, {"a": ""}]) == 'a,b\n"x, ""y""",\n,\n'


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_csv_has_a_row_a_row_and_no_cell_that_a_spreadsheet_runs(pairs: list[tuple[str, str]]) -> None:
    text = csv_text(["a", "b"], [{"a": a, "b": b} for a, b in pairs])
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert len(rows) == len(pairs)
    for row in rows:
        assert len(row) == 2
        assert not any(cell.startswith(("=", "@", "+", "\t", "\r")) for cell in row)
