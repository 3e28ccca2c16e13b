from __future__ import annotations

import csv
import io
from datetime import date
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.item_files import COLUMNS, items_of_csv
from slurm_gpucost.costing.items import CostItem, cost

F = Fraction
HEADER = "name,kind,amount,per,from,until,months,fte,share,pool,key\n"


def test_what_finance_exports() -> None:
    text = (
        "\ufeffName,Kind,Amount,Per,From,Until,Months,FTE,Share,Pool,Key\r\n"
        '"Support, gold",Support,12000.50,Year,2026-01-01,,,,,main,price\r\n'
        "Administrators,staff,90000,year,,,,1.5,0.4,main,\r\n"
        "\r\n"
        "Migration,engineering,24000,once,2026-02-01,,24,,,main,count\r\n"
        ",,,,,,,,,,\r\n"
        "Vendor,rebate,-500,once,2026-03-31,2026-04-01,,,,main,\r\n"
    )
    items, faults = items_of_csv(text)
    assert faults == []
    assert items == [
        CostItem("Support, gold", "support", F("12000.5"), "year", date(2026, 1, 1), pool="main", key="price"),
        CostItem("Administrators", "staff", F(90_000), "year", fte=F(3, 2), share=F(2, 5), pool="main"),
        CostItem("Migration", "engineering", F(24_000), "once", date(2026, 2, 1), months=24, pool="main", key="count"),
        CostItem("Vendor", "rebate", F(-500), "once", date(2026, 3, 31), date(2026, 4, 1), pool="main"),
    ]
    assert [item.source for item in items] == ["line 2", "line 3", "line 5", "line 7"]
    march = sum((cost(item, date(2026, 3, 1), date(2026, 4, 1)) for item in items), F(0))
    assert march == F("12000.5") * 31 / 365 + F(54_000) * 31 / 365 + 1000 - 500


def test_columns_stand_in_any_order_and_may_be_left_out() -> None:
    items, faults = items_of_csv("per,amount,kind,name\nmonth,7,network,Line\n", fiscal_month=7)
    assert (items, faults) == ([CostItem("Line", "network", F(7), "month", fiscal_month=7)], [])


def test_every_fault_is_named_by_line_and_column() -> None:
    text = HEADER + (
        'Room,space,"1,200.00",yearly,2026-01-01,2025-01-01,,,,main,\n'
        "Line,network,100.00,month,01/02/2026,,,,50 %,main,\n"
        "Staff,staff,,year,,,,x,,main,\n"
        "short,space,1\n"
        "Good,space,1,year,,,,,,main,\n"
        "Migration,engineering,10,once,2026-01-01,,two,,,main,weight\n"
        '"two\nlines",space,1,year,,,,,,main,\n'
        "Good,space,1.00,year,,,,1,,main,\n"
        "Refund,network,-5,month,,,,,,main,\n"
        "Late,space,1,year,2026-02-30,,,,,main,\n"
    )
    items, faults = items_of_csv(text)
    assert [item.name for item in items] == ["Good"]
    assert [key for key, _ in faults] == [
        *("line 2: amount", "line 2: per", "line 2: until", "line 3: from", "line 3: share"),
        *("line 4: fte", "line 4: amount", "line 5", "line 7: months", "line 7: key"),
        *("line 8: name", "line 10", "line 11: amount", "line 12: from"),
    ]
    said = dict(faults)
    assert said["line 2: amount"] == "'1,200.00' is no number; write it like 1234.50, or -1234.50 for a credit"
    assert said["line 10"] == "repeats line 6; if both are meant, give them different names"
    assert said["line 12: from"] == "'2026-02-30' is no date; write it like 2026-07-01"


def test_a_header_that_is_none() -> None:
    def first(text: str) -> list[str]:
        items, faults = items_of_csv(text)
        assert not items
        return [f"{key} {sentence}" for key, sentence in faults]

    assert first("")[0].startswith("line 1 names no column name, kind, amount, per;")
    assert first("name;kind;amount;per\n") == [
        "line 1 separates columns by something else than commas; export it with commas"
    ]
    assert first("name,kind,amount,per,name,cost centre\nx,space,1,year,y,z\n") == [
        "line 1 names the column name twice",
        f"line 1 names a column 'cost centre', which is unknown; the columns are {','.join(COLUMNS)}",
    ]


def test_an_open_quote_stops_the_reading_and_is_told() -> None:
    items, faults = items_of_csv(HEADER + 'A,space,1,year,,,,,,main,\n"B,space,1,year\n')
    assert [item.name for item in items] == ["A"]
    assert [key for key, _ in faults] == ["line 3"]
    items, faults = items_of_csv(HEADER + 'A,space,1,year,,,,,,main,\n"B"x,space,1,year,,,,,,main,\n')
    assert (len(items), faults) == (1, [("line 3", "cannot be read from here on: ',' expected after '\"'")])


@given(st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    items_of_csv(text)
    items_of_csv(HEADER + text)


CELLS = {
    "amount": st.sampled_from(["1", "-2.50", "007", "1e3", "1,5", "NaN", "٣", "", "9" * 5000]),
    "kind": st.sampled_from(["space", "credit", "spce", ""]),
    "per": st.sampled_from(["year", "once", "day"]),
    "months": st.sampled_from(["", "3", "-1", "1.5", "999999"]),
    "from": st.sampled_from(["", "2026-01-01", "20260101", "2026-W01-1", "0000-01-01", "9999-12-31"]),
    "until": st.sampled_from(["", "2026-01-01", "2027-01-01", "x"]),
}


@given(st.fixed_dictionaries(CELLS))
def test_a_line_makes_an_item_or_a_fault(cells: dict[str, str]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["name", *CELLS])
    writer.writeheader()
    writer.writerow({"name": "x", **cells})
    items, faults = items_of_csv(out.getvalue())
    assert bool(items) != bool(faults)
    assert len({key for key, _ in faults}) == len(faults)  # one sentence for each cell
    for item in items:
        assert isinstance(cost(item, date(2026, 1, 1), date(2026, 2, 1)), Fraction)


ROWS = ["A,space,1,year,,,,,,,", "B,space,2.5,month,,,,,,,", "C,credit,-3,month,,,,,,,", "D,staff,4,year,,,,2,0.5,,"]


@given(st.permutations(ROWS), st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_the_order_of_the_lines_does_not_matter(rows: list[str], end: date) -> None:
    def total(lines: list[str]) -> Fraction:
        items, faults = items_of_csv(HEADER + "\n".join(lines))
        assert len(items) == 4 and not faults
        return sum((cost(item, date(2020, 1, 1), end) for item in items), F(0))

    assert total(rows) == total(ROWS)
