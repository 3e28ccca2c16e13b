from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.documents.table import WIDEST, Column, choose, parsable, table
from slurm_gpucost.domain.errors import UsageError

NAME = Column("Name", lambda row: str(row["name"]), 6)
COUNT = Column("Count", lambda row: str(row["count"]), 6, number=True)
ACCOUNT = Column("Account", lambda row: str(row["account"]))
ALL = [NAME, COUNT, ACCOUNT, Column("NodeList", lambda row: "n1")]


def test_text_to_the_left_numbers_to_the_right_nothing_after() -> None:
    rows = [{"name": "a", "count": 5, "account": "x"}, {"name": "bb", "count": 1234567, "account": ""}]
    assert table([NAME, COUNT, ACCOUNT], rows) == (
        "Name     Count Account\n"
        "------ ------- --------\n"
        "a            5 x\n"
        "bb     1234567\n"
    )  # fmt: skip
    assert table([NAME], rows, header=False) == "a\nbb\n"
    assert table([NAME], []) == "Name\n------\n"


def test_long_text_is_cut_long_numbers_are_not() -> None:
    text = table([NAME, COUNT], [{"name": "x" * 100, "count": "9" * 60}], header=False)
    assert text == f"{'x' * (WIDEST - 1)}+ {'9' * 60}\n"


def test_a_width_that_was_asked_for() -> None:
    row = [{"name": "abcdefgh", "count": 12345, "account": "bio"}]
    assert table(choose(ALL, "name%4,count%8", "-o"), row, header=False) == " ".join(["abc+", "   12345"]) + "\n"
    assert table(choose(ALL, "account%6", "-o"), row, header=False) == "   bio\n", "as in sacct: to the right"
    assert table(choose(ALL, "account%-6,count", "-o"), row, header=False) == "bio     12345\n"


def test_columns_by_name_in_any_case_or_cut_short() -> None:
    assert [c.name for c in choose(ALL, "NAME, acc ,count", "-o")] == ["Name", "Account", "Count"]
    with pytest.raises(UsageError, match=r"--format nope: no such column; there are Name, Count, Account, NodeList"):
        choose(ALL, "nope", "--format")
    with pytest.raises(UsageError, match="could be Name, NodeList"):
        choose(ALL, "n", "--format")
    with pytest.raises(UsageError, match="names no column"):
        choose(ALL, " , ", "--format")
    with pytest.raises(UsageError, match="after % comes a width"):
        choose(ALL, "name%wide", "--format")
    with pytest.raises(UsageError):
        choose(ALL, "%5", "--format")


def test_parsable_with_and_without_the_last_bar() -> None:
    rows = [{"name": "a", "count": 5}]
    assert parsable([NAME, COUNT], rows) == "Name|Count\na|5\n"
    assert parsable([NAME, COUNT], rows, ending=True) == "Name|Count|\na|5|\n"
    assert parsable([NAME, COUNT], rows, header=False) == "a|5\n"


def test_a_bar_in_a_name_moves_no_cell() -> None:
    assert parsable([NAME, COUNT], [{"name": "a|b\nc", "count": 1}], header=False) == "a\\x7cb\\nc|1\n"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.booleans())
def test_whatever_the_names_there_are_as_many_cells(names: list[tuple[str, str]], ending: bool) -> None:
    rows = [{"name": a, "account": b} for a, b in names]
    text = parsable([NAME, ACCOUNT], rows, ending=ending)
    lines = text.split("\n")
    assert len(lines) == len(rows) + 2 and lines[-1] == ""
    assert {line.count("|") for line in lines[:-1]} == {2 if ending else 1}
    drawn = table([NAME, ACCOUNT], rows).split("\n")
    assert len(drawn) == len(rows) + 3
    assert all(line.isprintable() for line in drawn)
