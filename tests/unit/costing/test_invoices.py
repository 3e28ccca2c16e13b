from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.invoices import invoices, statement
from slurm_gpucost.costing.lines import USAGE, Charge, LineKey, Priced, Terms
from slurm_gpucost.costing.periods import month

HOUR = Fraction(3_600_000)
KOLKATA, BERLIN = (month("2026-10", ZoneInfo(z)) for z in ("Asia/Kolkata", "Europe/Berlin"))
PRICES = {"a100": Decimal("1.2345"), "h100": Decimal("2.9999"), "old": Decimal("0.0000")}


def terms(minor_unit: int = 2) -> Terms:
    parts = {(pool, month.start_ms): Priced(month, PRICES) for pool, month in (("in", KOLKATA), ("de", BERLIN))}
    return Terms("EUR", minor_unit, parts, KOLKATA)


def held(
    user: str,
    ms: Fraction | int,
    sku: str = "a100",
    pool: str = "in",
    account: str = "lab",
    price: Decimal | None = None,
) -> Charge:
    start = (KOLKATA if pool == "in" else BERLIN).start_ms
    key = LineKey(pool, sku, user, start, USAGE, "held time (rule 6)", PRICES[sku] if price is None else price)
    return Charge("c", account, key, Fraction(ms), Fraction(ms))


QUANTITIES = st.lists(
    st.builds(
        held,
        st.sampled_from(["ann", "bob", "cem"]),
        st.fractions(0, 10**10, max_denominator=64),
        st.sampled_from(sorted(PRICES)),
        st.sampled_from(["in", "de"]),
        st.sampled_from(["lab", "ops"]),
    ),
    max_size=25,
).map(lambda rows: [row for row in rows if row.quantity])


def test_one_line_by_hand() -> None:
    # 1 h 30 min on 2 devices at 1.2345: 3 h, 3.7035, 3.70.
    assert invoices([held("ann", 3 * HOUR)], terms()) == [
        {
            "kind": "invoice",
            "cluster": "c",
            "account": "lab",
            "period_start": "2026-10-01T00:00:00+05:30",
            "period_end": "2026-11-01T00:00:00+05:30",
            "status": "provisional",
            "currency": "EUR",
            "class": "internal",
            "class_label": "",
            "contact": "",
            "tax_id": "",
            "tax_exempt": False,
            "net_total": "3.70",
            "tax_rate": "0",
            "tax_total": "0.00",
            "total": "3.70",
            "energy_kwh": None,
            "measured_kwh": None,
            "kg_co2e": None,
            "energy_by_user": [],
            "lines": [
                {
                    "pool": "in",
                    "sku": "a100",
                    "user": "ann",
                    "item": "usage",
                    "rule": "held time (rule 6)",
                    "gpu_hours": "3.000000",
                    "held_gpu_hours": "3.000000",
                    "kwh": None,
                    "kg_co2e": None,
                    "unit_price": "1.2345",
                    "amount": "3.70",
                    "period_start": "2026-10-01T00:00:00+05:30",
                    "period_end": "2026-11-01T00:00:00+05:30",
                }
            ],
        }
    ]


def test_cents_of_81_equal_lines() -> None:
    # 81 users, 1 h each, 81.02 in all: 81 x 1.0002 is 81.0162, rounded 81.02.
    bill = [held(f"u{n:02}", HOUR, price=Decimal("1.0002")) for n in range(81)]
    (invoice,) = invoices(bill, terms())
    assert invoice["total"] == "81.02"
    assert [line["amount"] for line in invoice["lines"]] == ["1.01", "1.01"] + ["1.00"] * 79


def test_two_halves_of_1_01() -> None:
    price = Decimal("1.01")
    (invoice,) = invoices([held("bob", HOUR / 2, price=price), held("ann", HOUR / 2, price=price)], terms())
    assert [(line["user"], line["amount"]) for line in invoice["lines"]] == [("ann", "0.51"), ("bob", "0.50")]


def test_one_millisecond_and_a_share_are_not_lost() -> None:
    # 3/8 of a device for 8 h and 1 ms at 1.2345: 3.000000 h shown, the amount is made of all of it.
    (invoice,) = invoices([held("ann", (8 * HOUR + 1) * Fraction(3, 8), price=Decimal(1000000))], terms())
    assert invoice["lines"][0]["gpu_hours"] == "3.000000"
    assert invoice["total"] == "3000000.10"  # 3/8 ms is 1.04e-7 h


@pytest.mark.parametrize(("digits", "total"), [(0, "4"), (2, "3.70"), (3, "3.704")])
def test_the_currency_says_how_many_decimals(digits: int, total: str) -> None:
    (invoice,) = invoices([held("ann", 3 * HOUR)], terms(digits))
    assert (invoice["total"], invoice["lines"][0]["amount"]) == (total, total)


def test_pools_in_two_zones_have_their_own_bounds_on_each_line() -> None:
    (invoice,) = invoices([held("ann", HOUR), held("ann", HOUR, pool="de")], terms())
    assert [line["period_end"][-6:] for line in invoice["lines"]] == ["+01:00", "+05:30"]


def test_a_free_sku_is_shown_at_nothing() -> None:
    (invoice,) = invoices([held("ann", HOUR, "old")], terms())
    assert (invoice["total"], invoice["lines"][0]["amount"]) == ("0.00", "0.00")


@given(QUANTITIES)
def test_lines_and_statements_add_up_to_the_exact_sum_rounded(rows: list[Charge]) -> None:
    made = invoices(rows, terms())
    assert [i["account"] for i in made] == sorted({row.account for row in rows})
    for invoice in made:
        mine = [row for row in rows if row.account == invoice["account"]]
        exact = sum((row.quantity / HOUR * Fraction(PRICES[row.key.sku]) for row in mine), Fraction(0))
        total = Fraction(invoice["total"])
        assert 2 * abs(total - exact) <= Fraction(1, 100)
        assert sum(Fraction(line["amount"]) for line in invoice["lines"]) == total
        users = sorted({line["user"] for line in invoice["lines"]})
        parts = [statement(invoice, user) for user in users]
        assert sum(Fraction(part["total"]) for part in parts if part) == total
        shown = [line for part in parts if part for line in part["lines"]]
        assert sorted(map(str, shown)) == sorted(map(str, invoice["lines"]))


@given(QUANTITIES, st.randoms(), st.integers(2, 7))
def test_order_and_splitting_change_nothing(rows: list[Charge], random: Any, pieces: int) -> None:
    split = [r._replace(quantity=r.quantity / pieces, held=r.held / pieces) for r in rows for _ in range(pieces)]
    random.shuffle(split)
    assert invoices(split, terms()) == invoices(rows, terms())


def test_a_statement_is_the_users_lines_and_no_one_elses() -> None:
    (invoice,) = invoices([held("ann", HOUR), held("bob", HOUR), held("bob", HOUR, "h100")], terms())
    bob = statement(invoice, "bob")
    assert bob is not None
    assert (bob["kind"], bob["user"], bob["total"]) == ("statement", "bob", "4.23")
    assert bob["lines"] == [line for line in invoice["lines"] if line["user"] == "bob"]
    assert statement(invoice, "eve") is None


@given(QUANTITIES)
def test_no_float_anywhere(rows: list[Charge]) -> None:
    def walk(value: Any) -> None:
        assert not isinstance(value, float)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(invoices(rows, terms()))


def test_an_empty_month_has_no_invoices() -> None:
    assert invoices([], terms()) == []


def test_an_allotment_takes_off_hours_and_no_energy() -> None:
    start = KOLKATA.start_ms
    energy = LineKey("in", "a100", "ann", start, "energy", "held time (rule 6)", Decimal("0.2"))
    free = replace(terms(), free=lambda _cluster, _account: [Free("start-up", Fraction(1000))])
    (invoice,) = invoices([held("ann", 3 * HOUR), Charge("c", "lab", energy, Fraction(10), Fraction(0))], free)
    assert [(line["item"], line["kwh"], line["amount"]) for line in invoice["lines"]] == [
        ("energy", "10.000000", "2.00"),
        ("usage", None, "3.70"),
        ("free", None, "-3.70"),
    ]
    assert (invoice["total"], invoice["energy_kwh"], invoice["kg_co2e"]) == ("2.00", "10.000000", None)
