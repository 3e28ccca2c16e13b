"""What owners of devices pay and get: by hand, and against an oracle that knows hours and amounts alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.accounts import AccountClass, Holder
from slurm_gpucost.costing.billed import lines_of
from slurm_gpucost.costing.counts import Counts
from slurm_gpucost.costing.free import Free
from slurm_gpucost.costing.invoices import invoices
from slurm_gpucost.costing.lines import Charge, Line, LineKey, Priced, Terms, amount
from slurm_gpucost.costing.periods import Period, month
from slurm_gpucost.costing.quantity import LINE, Rounding
from slurm_gpucost.costing.shares import Owning, Share

F = Fraction
HOUR = 3_600_000
UTC = ZoneInfo("UTC")
OCTOBER = month("2026-10", UTC)  # 744 hours
CUT = OCTOBER.start_ms + 300 * HOUR
PRICES = (Decimal("1.0000"), Decimal("1.2000"))
OPERATING = (Decimal("0.5000"), Decimal("0.5500"))
PARTS = {
    ("main", start): Priced(
        Period(start, end, UTC), {"a100": price, "h100": 2 * price}, operating={"a100": cost, "h100": cost}
    )
    for start, end, price, cost in zip(
        (OCTOBER.start_ms, CUT), (CUT, OCTOBER.end_ms), PRICES, OPERATING, strict=True
    )
}  # fmt: skip
WHOLE = {("main", OCTOBER.start_ms): replace(PARTS["main", OCTOBER.start_ms], period=OCTOBER)}
HALF = Share("main", "physics", "a100", F(4), date(2026, 1, 1), None, F(1, 2), ("astro",))


def terms(*shares: Share, parts: Any = None, **other: Any) -> Terms:
    owning = Owning("c", shares, {"a100": Counts(8), "h100": Counts(6)})
    return Terms("EUR", 2, parts or WHOLE, OCTOBER, owning=owning, **other)


def held(
    account: str,
    hours: Any,
    user: str = "ann",
    part: int = 0,
    kind: str = "usage",
    sku: str = "a100",
    cluster: str = "c",
) -> Charge:
    start = (OCTOBER.start_ms, CUT)[part]
    price = Decimal(0) if kind == "waived" else PRICES[part] * (2 if sku == "h100" else 1)
    key = LineKey("main", sku, user, start, kind, "held time (rule 6)", price)
    return Charge(cluster, account, key, F(hours) * HOUR, F(hours) * HOUR)


def shown(charges: list[Charge], made: Terms) -> dict[str, list[tuple[str, str, Any, str]]]:
    """By account: (item, user, GPU-hours, price) of each line."""
    return {
        account: [(key.kind, key.user, line.quantity / HOUR, str(key.unit_price)) for key, line in lines.items()]
        for (_, account), lines in lines_of(charges, made).items()
    }


def test_four_of_eight_devices_by_hand() -> None:
    # October has 744 hours, so the share has 4 x 744 = 2,976, of which the owner uses 1,000: 1,976 are left. The
    # institution's devices have as many, so 4,952 were open to others, who paid for 2,476: half of what there was.
    # So half of 1,976 hours were guests', and half of what they paid at 1.0000 is the owner's: 988 x 0.5000.
    made = shown([held("physics", 1000), held("bio", 2476, "ben")], terms(HALF))
    assert made == {
        "bio": [("usage", "ben", 2476, "1.0000")],
        "physics": [
            ("usage", "ann", 1000, "1.0000"),
            ("covered", "ann", -1000, "1.0000"),
            ("share", "", 2976, "0.5000"),
            ("guests", "", -988, "0.5000"),
        ],
    }
    bio, physics = invoices([held("physics", 1000), held("bio", 2476, "ben")], terms(HALF))
    assert (bio["total"], physics["total"]) == ("2476.00", "994.00")  # 1,000 - 1,000 + 1,488 - 494
    assert {line["rule"] for line in physics["lines"]} == {"held time (rule 6)", "4 of 8 devices of physics"}


def test_an_owner_who_used_nothing_pays_what_his_devices_cost() -> None:
    assert shown([], terms(replace(HALF, devices=F("2.5")))) == {"physics": [("share", "", 1860, "0.5000")]}


def test_use_beyond_the_share_is_at_the_posted_price_and_all_lines_are_covered_by_the_same_part() -> None:
    # 2,976 of 3,720 hours are the owner's: four fifths of each line, of all of his accounts, on any cluster
    made = shown(
        [held("physics", 1860), held("physics", 620, kind="blocked"), held("astro", 1240, "eve", cluster="d")],
        terms(HALF),
    )
    assert made["astro"] == [("usage", "eve", 1240, "1.0000"), ("covered", "eve", -992, "1.0000")]
    assert made["physics"] == [
        ("blocked", "ann", 620, "1.0000"),
        ("usage", "ann", 1860, "1.0000"),
        ("covered", "ann", -1984, "1.0000"),
        ("share", "", 2976, "0.5000"),
    ]


def test_waived_use_and_other_skus_take_nothing_of_a_share() -> None:
    made = shown([held("physics", 9, kind="waived"), held("physics", 7, sku="h100")], terms(HALF))
    assert [(kind, hours) for kind, _, hours, _ in made["physics"]] == [("waived", 9), ("usage", 7), ("share", 2976)]


def test_what_is_covered_uses_no_allotment_up() -> None:
    free = terms(replace(HALF, devices=F(1)), free=lambda _cluster, _account: [Free("start", F(100))])
    # 1,000 hours, 744 of them the owner's; of the rest 100 are free
    made = shown([held("physics", 1000)], free)["physics"]
    assert [(kind, hours) for kind, _, hours, _ in made] == [
        ("usage", 1000), ("covered", -744), ("free", -100), ("share", 744),
    ]  # fmt: skip


def test_what_guests_need_not_pay_brings_nothing() -> None:
    free = terms(HALF, free=lambda _cluster, account: [Free("start", F(1488))] if account == "bio" else ())
    # 2,976 left to pay of 5,952 open hours: half of the owner's 2,976, at half the price
    made = shown([held("bio", 4464)], free)
    assert made["physics"][-1] == ("guests", "", -1488, "0.5000")


def test_surcharges_are_on_what_is_left_to_pay_alone() -> None:
    partner = Holder(AccountClass("partner", surcharge=F(1, 4)))
    made = shown([held("physics", 3720), held("bio", 100)], terms(HALF, holder=lambda _cluster, _account: partner))
    assert [line for line in made["physics"] if line[0] == "surcharge"] == [("surcharge", "ann", 744, "0.2500")]
    assert made["bio"][-1] == ("surcharge", "ann", 100, "0.2500")
    assert not [line for line in shown([held("physics", 9)], terms(HALF, holder=lambda *_: partner))["physics"]
                if line[0] == "surcharge"]  # fmt: skip


def test_nobody_is_credited_for_what_he_pays_himself_and_owners_are_each_others_guests() -> None:
    other = Share("main", "bio", "a100", F(2), date(2026, 1, 1), None, F(1))
    # physics uses 3,276 hours, 300 beyond its 2,976. bio left its 1,488 unused, the institution has as many: half of
    # the 300 hours fall to bio's share, all of whose pay is bio's. physics left nothing unused.
    made = shown([held("physics", 3276)], terms(HALF, other))
    assert made["bio"] == [("share", "", 1488, "0.5000"), ("guests", "", -150, "1.0000")]
    assert [kind for kind, *_ in made["physics"]] == ["usage", "covered", "share"]


def test_credits_are_for_no_more_hours_than_were_left_unused() -> None:
    # Rounding of attempts can bill more hours than there are: 11,904 where 5,952 were open.
    made = shown([held("bio", 11904)], terms(HALF))
    assert made["physics"][-1] == ("guests", "", -2976, "0.5000")


def test_an_owner_can_get_more_than_he_pays() -> None:
    # bio used all 5,952 hours, half of them the owner's: 1,488 - 2,976, and a tenth of tax on that
    taxed = Holder(AccountClass("lab", tax=F(1, 10)))
    made = invoices([held("bio", 5952)], terms(replace(HALF, guests_pay_owner=F(1)), holder=lambda *_: taxed))
    assert [(one["net_total"], one["total"]) for one in made] == [("5952.00", "6547.20"), ("-1488.00", "-1636.80")]


def test_what_rounding_bills_is_covered_too() -> None:
    hours = terms(HALF, rounding=Rounding(LINE, HOUR))
    made = shown([held("physics", "999.5")], hours)["physics"]
    assert [(kind, quantity) for kind, _, quantity, _ in made] == [("usage", 1000), ("covered", -1000), ("share", 2976)]


def test_a_price_that_changes_and_a_share_that_begins_within_the_month() -> None:
    # From 11 October on (504 hours), 4 devices: 60 hours at the first price (until hour 300), 444 at the second. The
    # whole month counts as one: 2,016 hours cover 1,008 + 1,008 used hours of any of its days.
    begun = replace(HALF, from_=date(2026, 10, 11))
    made = shown([held("physics", 1512), held("physics", 504, part=1), held("bio", 1968)], terms(begun, parts=PARTS))
    assert made["physics"] == [
        ("usage", "ann", 1512, "1.0000"),
        ("usage", "ann", 504, "1.2000"),
        ("covered", "ann", -1512, "1.0000"),
        ("covered", "ann", -504, "1.2000"),
        ("share", "", 240, "0.5000"),
        ("share", "", 1776, "0.5500"),
    ]
    # 504 hours of 2,016 left; the institution's are 8 x 744 - 2,016 = 3,936: a ninth of what guests pay
    made = shown(
        [held("physics", 1512), held("bio", 1110), held("bio", 1110, part=1)], terms(begun, parts=PARTS)
    )  # fmt: skip
    assert made["physics"][-2:] == [
        ("guests", "", F(-1110 * 504, 4440), "0.5000"),
        ("guests", "", F(-1110 * 504, 4440), "0.6000"),
    ]


def test_where_one_share_follows_another_the_earlier_one_is_used_first() -> None:
    first = replace(HALF, until=date(2026, 10, 11), devices=F(1), accounts=())
    then = replace(HALF, from_=date(2026, 10, 11), devices=F(2), accounts=("astro",))
    made = lines_of([held("physics", 300), held("astro", 100)], terms(then, first))
    covered = {
        (account, key.rule): line.quantity / HOUR
        for (_, account), lines in made.items()
        for key, line in lines.items()
        if key.kind == "covered"
    }
    assert covered == {
        ("physics", "1 of 8 devices of physics"): -240,
        ("physics", "2 of 8 devices of physics"): -60,
        ("astro", "2 of 8 devices of physics"): -100,
    }


def test_an_owner_is_no_guest_of_his_own_in_another_share() -> None:
    # 1 device until the 11th, unused: 240 hours. 2 from then on, 1,008 hours, of which astro uses all, and 100 beyond:
    # that is the owner's own use, and the old share gets nothing for it; of bio's 5,000 hours it gets its part of the
    # 240 + 8 x 744 - 1,248 that were open.
    first = replace(HALF, until=date(2026, 10, 11), devices=F(1), accounts=())
    then = replace(HALF, from_=date(2026, 10, 11), devices=F(2), accounts=("astro",))
    assert [kind for kind, *_ in shown([held("astro", 1108)], terms(first, then))["physics"]] == ["share", "share"]
    made = shown([held("astro", 1108), held("bio", 1236)], terms(first, then))
    assert made["physics"][-1] == ("guests", "", -60, "0.5000")
    gone = replace(first, from_=date(2025, 1, 1), until=date(2026, 1, 1), accounts=("bio",))
    assert shown([held("bio", 2976)], terms(HALF, gone))["physics"][-1][0] == "guests", "long ago one of the owner's"


ACCOUNTS = ("physics", "astro", "bio", "chem")
CHARGES = st.lists(
    st.builds(
        held, st.sampled_from(ACCOUNTS), st.fractions(0, 4000, max_denominator=16), st.sampled_from(("ann", "ben")),
        st.integers(0, 1), st.sampled_from(("usage", "blocked", "waived")), st.sampled_from(("a100", "h100")),
        st.sampled_from("cd"),
    ),
    max_size=8,
)  # fmt: skip
SHARES = st.builds(
    lambda devices, parts, days, until: (
        replace(HALF, devices=devices[0], guests_pay_owner=parts[0], from_=days[0]),
        Share("main", "bio", "a100", devices[1], days[1], until, parts[1]),
        Share("main", "bio", "h100", devices[2], days[0], None, parts[1], ("chem",)),
    ),
    st.tuples(*[st.fractions(F(1, 4), 4, max_denominator=4)] * 3),
    st.tuples(*[st.integers(0, 20).map(lambda n: F(n, 20))] * 2),
    st.tuples(*[st.dates(date(2026, 9, 1), date(2026, 11, 5))] * 2),
    st.one_of(st.none(), st.dates(date(2026, 11, 6), date(2026, 12, 1))),
)


def by_hand(charges: list[Charge], shares: tuple[Share, ...]) -> tuple[Counter[Any], Any]:
    """(what each owner pays and gets by kind, what all accounts pay by SKU and part), from hours and prices alone."""
    starts = [OCTOBER.start_ms, CUT, OCTOBER.end_ms]
    used: Any = Counter()
    for one in charges:
        if one.key.kind != "waived":
            used[one.account, one.key.sku, starts.index(one.key.start_ms)] += one.quantity / HOUR
    owned: Any = {}
    for share in shares:
        first = max(F((share.from_ - date(2026, 10, 1)).days * 24), F(0))
        last = F(744) if share.until is None else F(min((share.until - date(2026, 10, 1)).days * 24, 744))
        bounds = (F(0), F(300), F(744))
        owned[share] = [max(min(last, bounds[n + 1]) - max(first, bounds[n]), F(0)) * share.devices for n in (0, 1)]
    left, unused = Counter(used), {}
    for share in shares:
        mine = {at: hours for at, hours in used.items() if at[1] == share.sku and at[0] in share.everyone}
        part = min(F(1), sum(owned[share]) / sum(mine.values())) if sum(mine.values()) else F(0)
        for at, hours in mine.items():
            left[at] = hours - part * hours
        unused[share] = sum(owned[share]) - part * sum(mine.values(), F(0))
    money: Any = Counter()
    for share in shares:
        money[share.account, "share"] += sum(h * F(p) for h, p in zip(owned[share], OPERATING, strict=True))
        same = [one for one in shares if one.sku == share.sku]
        there = {"a100": 8, "h100": 6}[share.sku] * 744 - sum(sum(owned[one]) for one in same)
        hours = {n: sum((q for (who, sku, part), q in left.items()
                         if sku == share.sku and part == n and who not in share.everyone), F(0))
                 for n in (0, 1)}  # fmt: skip
        whole = max(there + sum(unused[one] for one in same), sum(hours.values()))
        for n in (0, 1):
            price = F(PRICES[n]) * (2 if share.sku == "h100" else 1) * share.guests_pay_owner
            money[share.account, "guests"] -= hours[n] * unused[share] / whole * price if whole else 0
    return money, left


@given(CHARGES, SHARES)
def test_all_documents_together_are_what_hours_and_prices_say(charges: list[Charge], shares: tuple[Share, ...]) -> None:
    made = lines_of(charges, terms(*shares, parts=PARTS))
    money, left = by_hand(charges, shares)
    found: Any = Counter()
    for (_, account), lines in made.items():
        for key, line in lines.items():
            found[account, key.kind] += amount(key, line.quantity)
    for account in ("physics", "bio"):
        for kind in ("share", "guests"):
            assert found[account, kind] == money[account, kind]
    owed = {
        account: sum((h * F(PRICES[part]) * (2 if sku == "h100" else 1)
                      for (who, sku, part), h in left.items() if who == account), F(0))
        for account in ACCOUNTS
    }  # fmt: skip
    for account in ACCOUNTS:
        assert sum(found[account, kind] for kind in ("usage", "blocked", "covered")) == owed[account] >= 0
        paid = sum(value for (who, _), value in found.items() if who == account)
        assert paid >= money[account, "share"] + money[account, "guests"], "the operating cost less credits at least"
    assert sum(found.values()) == sum(owed.values()) + sum(money.values())
    credited = -sum(value for (_, kind), value in money.items() if kind == "guests")
    assert 0 <= credited <= sum(owed.values()) * max(share.guests_pay_owner for share in shares)


@given(CHARGES, SHARES, st.randoms(), st.integers(2, 5))
def test_neither_order_nor_splitting_changes_anything(
    charges: list[Charge], shares: tuple[Share, ...], random: Any, pieces: int
) -> None:
    split = [one._replace(quantity=one.quantity / pieces, held=one.held / pieces) for one in charges] * pieces
    random.shuffle(split)
    shuffled = random.sample(shares, len(shares))
    assert lines_of(split, terms(*shuffled, parts=PARTS)) == lines_of(charges, terms(*shares, parts=PARTS))


@given(CHARGES, SHARES, st.integers(0, 500))
def test_no_line_of_a_user_is_covered_beyond_itself_and_owners_hold_nothing(
    charges: list[Charge], shares: tuple[Share, ...], hours: int
) -> None:
    free = terms(*shares, parts=PARTS, free=lambda _cluster, _account: [Free("start", F(hours) + 1)])
    for lines in lines_of(charges, free).values():
        sums: Any = Counter()
        for key, line in lines.items():
            if key.kind in ("usage", "blocked", "covered", "free"):
                sums[key.sku, key.user, key.start_ms] += line.quantity
            assert line.held == 0 or key.kind in ("usage", "blocked", "waived")
            assert (key.user == "") == (key.kind in ("share", "guests"))
            assert isinstance(line, Line) and isinstance(line.quantity, Fraction)
        assert all(one >= 0 for one in sums.values())


@given(CHARGES)
def test_without_shares_lines_are_the_charges(charges: list[Charge]) -> None:
    sums: Any = Counter()
    for one in charges:
        sums[(one.cluster, one.account), one.key] += one.quantity
    made = lines_of(charges, terms(parts=PARTS))
    assert {(owner, key): line.quantity for owner, lines in made.items() for key, line in lines.items()} == {
        at: quantity for at, quantity in sums.items() if quantity
    }


def test_a_third_of_a_price_is_no_decimal() -> None:
    with pytest.raises(ValueError, match="no decimal number"):
        lines_of([held("bio", 1)], terms(replace(HALF, guests_pay_owner=F(1, 3))))
