"""Energy on invoices: by hand, against an oracle that walks second by second, through the audit, and however cut."""

from __future__ import annotations

import copy
import io
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from slurm_gpucost.costing.lines import Charge, Priced, amount
from slurm_gpucost.costing.periods import Period, month_at
from slurm_gpucost.domain.evidence import DeviceReport, Poll, SlotReport
from slurm_gpucost.domain.readings import Window
from slurm_gpucost.ledger import asked, ingest, measured, reports
from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import demo, energy
from slurm_gpucost.services.audit import audit
from slurm_gpucost.services.bill import bill
from slurm_gpucost.services.meter import electricity
from slurm_gpucost.services.queries import open_queries
from slurm_gpucost.services.report import account_utilization_by_user
from slurm_gpucost.settings import Settings, load
from tests.unit.builders import T0, accounting, config, hook

F = Fraction
S = 1000
KWH = F(3_600_000)  # J
CHANGE = 1_000
"""Seconds after T0 at which the price falls: T0 is 19:43:20 in Kolkata, and the cheap hours begin at 20:00."""
ONE = "gres/gpu:a100=1,gres/gpu=1"
TARIFF = """
[[pools.main.tariff]]
since = 2026-01-01
bands = [{ price = "0.30", hours = ["06:00-20:00"] }, { price = "0.10", hours = ["20:00-06:00"] }]
"""


def two_parts(tmp_path: Path, watts: int = 60, more: str = TARIFF, load_factor: str = "0.5") -> Settings:
    text = (config(tmp_path).path).read_text()
    for old, new in {
        "rate_parts = 1": "rate_parts = 2", "host_watts_per_gpu = 0": f"host_watts_per_gpu = {watts}",
        "pue = 1.56": "pue = 1.5", "tariff_per_kwh = 0.2\n": "", "load_factor = 1": f"load_factor = {load_factor}",
        '# emission_grams_per_kwh = "..."': "emission_grams_per_kwh = 400",
    }.items():  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "gpucost.toml").write_text(text + more)
    return load(tmp_path / "gpucost.toml")


def window(start: int, end: int, watts: int, observed: int | None = None) -> Window:
    """Seconds after T0; of ``observed`` of them the energy is known, and it is of those alone."""
    known = end - start if observed is None else observed
    return Window(
        "GPU-a", T0 + start * S, T0 + end * S, known * S, watts * known * S, known * S, 0, 0, 0, 0, 0, 0, 0, "counter"
    )


def fill(site: Settings, rows: list[Any], windows: list[Window], at: int = 100_000) -> Settings:
    """A ledger; jobs on n1 are on GPU-a, for its prolog said so."""
    hooks = [hook("prolog", r.start_ms - T0 + 1, "0", job_id=r.job_id) for r in rows if r.node_list == "n1"]
    with open_ledger(site.ledger) as ledger:
        with ledger.transaction() as db:
            reports.add_devices(db, [DeviceReport("GPU-a", b"d", T0, "n1", "A100", "", 0, 0, "", None, None, "550")])
            reports.add_slots(db, [SlotReport("c", "n1", "gpu", 0, "a100", "GPU-a", T0 - 100 * S)])
            ingest.add_accounting(db, rows)
            ingest.add_hooks(db, hooks)
            measured.add_windows(db, windows)
            asked.add_poll(db, Poll("sacct", "c", T0 + at * S, None, None, len(rows), len(rows), 1, 1, ""))
        bring_up_to_date(ledger, site.shards)
    return site


def job(number: int, start: int, end: int | None, node: str = "n1", **other: Any) -> Any:
    return accounting(start, end, job_id=number, tres=ONE, node_list=node, **other)


def parts(site: Settings, *moments: int, energy: int = 2) -> dict[tuple[str, int], Priced]:
    at = [T0 + one * S for one in moments]
    return {("main", a): Priced(Period(a, b, site.timezone), {"a100": Decimal(1)}, energy) for a, b in pairwise(at)}


def charged(site: Settings, *moments: int, rate_parts: int = 2) -> list[Charge]:
    asked = parts(site, *moments, energy=rate_parts)
    with open_queries(site) as queries:
        return list(energy.charges(asked, energy.billed(site, queries, asked, T0 + moments[0] * S)))


def sums(found: list[Charge]) -> dict[tuple[str, str, str, Decimal], Fraction]:
    """kWh by user, kind, rule and price."""
    kwh: Any = Counter()
    for one in found:
        kwh[one.key.user, one.key.kind, one.key.rule, one.key.unit_price] += one.quantity
        assert one.held == 0
    return dict(kwh)


HELD, FAILED, MEAN = "held time (rule 6)", "node failure (rule 4)", "mean-power-of-sku"
DEAR, CHEAP = Decimal("0.30"), Decimal("0.10")


def test_measured_host_imputed_and_waived_by_hand(tmp_path: Path) -> None:
    rows = [
        job(1, 100, 1_100),
        job(2, 0, 500, "n2", user="bob"),
        job(3, 1_200, 1_300, user="cem", state="NODE_FAIL"),
    ]
    site = fill(two_parts(tmp_path), rows, [window(0, 600, 100), window(600, 1_300, 100)])
    drawn = {
        ("ann", "energy", HELD, DEAR): 100 * 900, ("ann", "energy", HELD, CHEAP): 100 * 100,
        ("ann", "host_energy", HELD, DEAR): 60 * 900, ("ann", "host_energy", HELD, CHEAP): 60 * 100,
        ("bob", "imputed_energy", f"{MEAN}, {HELD}", DEAR): 100 * 500, ("bob", "host_energy", HELD, DEAR): 60 * 500,
        ("cem", "waived_energy", FAILED, Decimal(0)): (100 + 60) * 100,
    }  # fmt: skip
    found = charged(site, 0, 2_000)
    assert sums(found) == {key: joules * F("1.5") / KWH for key, joules in drawn.items()}
    assert sum(amount(one.key, one.quantity) for one in found if one.key.user == "cem") == 0


def test_without_any_measurement_rated_power_stands_in_and_bears_the_host(tmp_path: Path) -> None:
    site = fill(two_parts(tmp_path), [job(1, 0, 100, "n2")], [])
    assert sums(charged(site, 0, 200)) == {
        ("ann", "imputed_energy", f"nameplate-x-load-factor, {HELD}", DEAR): 200 * 100 * F("1.5") / KWH
    }


def test_a_rule_that_bills_a_part_of_the_time_bills_that_part_of_its_energy(tmp_path: Path) -> None:
    rule = '\n[[rules]]\nname = "half"\nfactor = "0.25"\n'
    site = fill(two_parts(tmp_path, 0, TARIFF + rule), [job(1, 0, 100)], [window(0, 100, 100)])
    quarter = 100 * 100 * F("1.5") / KWH / 4
    assert sums(charged(site, 0, 200)) == {
        ("ann", "energy", "half (rule 1)", DEAR): quarter,
        ("ann", "waived_energy", "half (rule 1)", Decimal(0)): 3 * quarter,
    }


def test_what_runs_counts_up_to_the_last_look_at_the_accounting(tmp_path: Path) -> None:
    site = fill(two_parts(tmp_path, 0), [job(1, 0, None, observed_at_ms=T0 + 5 * S)], [window(0, 400, 100)], at=300)
    assert sums(charged(site, 0, 900)) == {("ann", "energy", HELD, DEAR): 300 * 100 * F("1.5") / KWH}


def test_a_window_that_knows_a_part_of_its_time_leaves_the_rest_to_the_rule(tmp_path: Path) -> None:
    site = fill(two_parts(tmp_path, 0), [job(1, 0, 100)], [window(0, 100, 80, observed=75)])
    assert sums(charged(site, 0, 200)) == {
        ("ann", "energy", HELD, DEAR): 80 * 75 * F("1.5") / KWH,
        ("ann", "imputed_energy", f"{MEAN}, {HELD}", DEAR): 80 * 25 * F("1.5") / KWH,
    }


JOBS = st.lists(
    st.tuples(
        st.integers(500, 1_400), st.integers(1, 500), st.sampled_from(["n1", "n2"]),
        st.sampled_from(["COMPLETED", "NODE_FAIL"]), st.integers(0, 40),
    ),
    min_size=1, max_size=5,
)  # fmt: skip
WINDOWS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 300), st.integers(0, 500)), max_size=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sites")


@options(max_examples=25, deadline=None)
@given(JOBS, WINDOWS, st.lists(st.integers(1, 2_499), max_size=3, unique=True))
def test_any_jobs_and_windows_against_seconds_and_however_cut(
    folder: Path, drawn: Any, seen: Any, cuts: list[int]
) -> None:
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    rows = [
        job(n, start, start + length, node, state=state, user=f"u{n}", suspended=min(stopped, length))
        for n, (start, length, node, state, stopped) in enumerate(drawn, 1)
    ]
    windows, at = [], 600
    for gap, length, watts in seen:
        windows.append(window(at + gap, at + gap + length, watts))
        at += gap + length
    site = fill(two_parts(place), rows, windows)
    whole = charged(site, 0, 2_500)
    measured_j, mean_j, mean_s = _walk(drawn, windows)
    got: Any = Counter()
    for one in whole:
        if one.key.kind == "energy" or (one.key.kind == "waived_energy" and "-" not in one.key.rule):
            got[one.key.user] += one.quantity
    hosts = {
        f"u{n}": F(60 * length) if mean_s else F(0)  # rated power bears its host
        for n, (_, length, *_) in enumerate(drawn, 1)
    }
    billed_host = {c.key.user: F(0) for c in whole}
    for one in whole:
        if one.key.kind == "host_energy":
            billed_host[one.key.user] += one.quantity * KWH / F("1.5")
    for n, (_, length, _, state, stopped) in enumerate(drawn, 1):
        user = f"u{n}"
        runs = state == "COMPLETED"
        assert billed_host.get(user, 0) == (hosts[user] * (length - min(stopped, length)) / length if runs else 0)
        assert got[user] * KWH / F("1.5") == measured_j[user] + hosts[user] - billed_host.get(user, 0)
    if mean_s:
        imputed = sum(c.quantity for c in whole if "mean" in c.key.rule) * KWH / F("1.5")
        held_s = sum(length for _, length, *_ in drawn)
        assert imputed == F(mean_j, mean_s) * (held_s - _measured_s(drawn, windows))
    split = charged(site, 0, *sorted(cuts), 2_500)
    assert sums(split) == sums(whole), "a period cut anywhere bills the same"


def _walk(drawn: Any, windows: list[Window]) -> tuple[Any, Fraction, int]:
    """(J by user, J and seconds of what was measured and not suspended), second by second."""
    joules: Any = Counter()
    total, seconds = F(0), 0
    for one in windows:
        low, high = (one.start_ms - T0) // S, (one.end_ms - T0) // S
        for second in range(low, high):
            held = [
                (f"u{n}", second >= start + length - min(stopped, length))
                for n, (start, length, node, _, stopped) in enumerate(drawn, 1)
                if node == "n1" and start <= second < start + length
            ]
            running = [user for user, suspended in held if not suspended]
            takers = running or [user for user, _ in held]
            for user in takers:
                part = F(one.energy_mj, S * (high - low) * len(takers))
                joules[user] += part
                if running:
                    total += part
            seconds += len(running)
    return joules, total, seconds


def _measured_s(drawn: Any, windows: list[Window]) -> int:
    return sum(
        max(0, min(start + length, (one.end_ms - T0) // S) - max(start, (one.start_ms - T0) // S))
        for one in windows
        for start, length, node, *_ in drawn
        if node == "n1"
    )


@given(st.integers(0, 900), st.integers(1, 900))
@options(max_examples=8, deadline=None)
def test_who_was_measured_pays_the_same_whatever_was_not(folder: Path, start: int, length: int) -> None:
    found = []
    for more in ([], [job(2, start, start + length, "n2", user="bob")]):
        place = folder / f"x{len(list(folder.iterdir()))}"
        place.mkdir()
        site = fill(two_parts(place), [job(1, 100, 900), *more], [window(0, 950, 123)])
        found.append({key: kwh for key, kwh in sums(charged(site, 0, 2_000)).items() if key[0] == "ann"})
    assert found[0] == found[1] != {}


def one_part(tmp_path: Path, emission: str = "", shown: bool = True) -> Settings:
    path = two_parts(tmp_path).path
    text = path.read_text().replace("rate_parts = 2", "rate_parts = 1")
    text = text.replace("show_energy = true", f"show_energy = {str(shown).lower()}")
    path.write_text(text.replace("emission_grams_per_kwh = 400\n", emission))
    return load(path)


def test_one_part_pools_have_no_lines_of_energy_and_say_what_was_drawn(tmp_path: Path) -> None:
    """100 s at 100 W, 10 of them waived, and 50 s unmeasured: at the mean, with 60 W of hosts and a PUE of 1.5."""
    rows = [job(1, 0, 90), job(3, 90, 100, state="NODE_FAIL"), job(2, 0, 50, "n2", user="bob")]
    site = fill(one_part(tmp_path), rows, [window(0, 100, 100)])
    assert charged(site, 0, 200, rate_parts=1) == []
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, month_at(T0, site.timezone))
        (statement,) = bill(site, queries, month_at(T0, site.timezone), user="bob")
    kwh = {"ann": 160 * 100 * F("1.5") / KWH, "bob": 160 * 50 * F("1.5") / KWH}
    told = {row["user"]: F(row["energy_kwh"]) for row in invoice["energy_by_user"]}
    assert all(abs(told[user] - kwh[user]) <= F(1, 2_000_000) for user in kwh) and len(told) == 2
    assert F(invoice["energy_kwh"]) == sum(told.values()), "statements add up to it"
    measured = [row["measured_kwh"] for row in invoice["energy_by_user"]]
    assert measured == [f"{float(100 * 100 * 1.5 / 3_600_000):.6f}", "0.000000"]
    assert invoice["kg_co2e"] is None and [line["kwh"] for line in invoice["lines"]] == [None] * 3
    assert (statement["energy_kwh"], statement["energy_by_user"]) == (f"{float(kwh['bob']):.6f}", [
        row for row in invoice["energy_by_user"] if row["user"] == "bob"
    ])  # fmt: skip


@pytest.mark.parametrize(
    "whose", [{"users": ["ann"]}, {"sees": lambda _cluster, _account, user: user == "ann"}], ids=["asked for", "seen"]
)
def test_a_report_of_some_tells_of_their_energy_alone(tmp_path: Path, whose: dict[str, Any]) -> None:
    """The account's own line is the sum of the lines that are shown."""
    rows = [job(1, 0, 100), job(2, 100, 150, user="bob")]
    site = fill(one_part(tmp_path), rows, [window(0, 150, 100)])
    with open_queries(site) as queries:
        lines = account_utilization_by_user(site, queries, T0, T0 + 200 * S, with_energy=True, **whose)
        everyone = account_utilization_by_user(site, queries, T0, T0 + 200 * S, with_energy=True)
    kwh = {line["user"]: line["energy_kwh"] for line in lines}
    assert kwh == {"": kwh["ann"], "ann": f"{float(160 * 100 * F('1.5') / KWH):.6f}"}
    assert {line["user"]: F(line["energy_kwh"]) for line in everyone}[""] > F(kwh["ann"])


def test_nothing_measured_is_not_told_as_energy_unless_a_factor_asks_for_it(tmp_path: Path) -> None:
    site = fill(one_part(tmp_path), [job(1, 0, 100)], [])
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, month_at(T0, site.timezone))
    assert (invoice["energy_kwh"], invoice["energy_by_user"]) == (None, [])
    site = one_part(tmp_path, "emission_grams_per_kwh = 400\n")
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, month_at(T0, site.timezone))
    assert invoice["kg_co2e"] == f"{200 * 100 * 1.5 / 3_600_000 * 0.4:.6f}", "at half of its nameplate's 400 W"
    site = one_part(tmp_path, "emission_grams_per_kwh = 400\n", shown=False)
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, month_at(T0, site.timezone))
    assert invoice["energy_kwh"] is None


def test_a_factor_of_emission_holds_from_its_day_on(tmp_path: Path) -> None:
    """Midnight of the 22nd in Darwin is 1,000 s after T0: 500 s at 400 g, 500 s at 100 g, both on one line."""
    factors = "emission_grams_per_kwh = [{ since = 2026-01-01, grams = 400 }, { since = 2026-09-22, grams = 100 }]\n"
    path = two_parts(tmp_path, 0, "").path
    text = path.read_text().replace("emission_grams_per_kwh = 400\n", factors)
    path.write_text(text.replace('timezone = "Asia/Kolkata"', 'timezone = "Australia/Darwin"'))
    site = fill(load(path), [job(1, 500, 1_500)], [window(0, 2_000, 72)])
    with open_queries(site) as queries:
        (invoice,) = bill(site, queries, "2026-09")
        (row,) = electricity(site, queries, "2026-09", T0)
    (line,) = [line for line in invoice["lines"] if line["item"] == "energy"]
    assert (line["kwh"], line["kg_co2e"]) == ("0.030000", "0.007500")
    assert (invoice["kg_co2e"], row["kg_co2e"]) == ("0.007500", "0.015000"), "of all 2,000 s"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The recording of a real cluster, its energy billed as measured."""
    place = tmp_path_factory.mktemp("energy") / "demo"
    demo.run(place, io.StringIO())
    text = (place / "gpucost.toml").read_text()
    head, pool, rest = text.partition("\n[pools.main]\n")
    assert pool
    (place / "gpucost.toml").write_text(f"{head}{pool}rate_parts = 2\nhost_watts_per_gpu = 99\n{rest}")
    return load(place / "gpucost.toml")


def audited(site: Settings, change: Any = lambda line, invoice: None) -> dict[str, Any]:
    with open_queries(site) as queries:
        made = copy.deepcopy(bill(site, queries, "2026-11"))
        invoice = next(one for one in made if one["energy_kwh"])
        change(next(line for line in invoice["lines"] if line["item"] == "host_energy"), invoice)
        return audit(site, queries, "2026-11", 1_800_000_000_000, made)


def test_the_audit_adds_up_and_names_a_changed_line_of_energy(recorded: Settings) -> None:
    answer = audited(recorded)
    assert answer["differences"] == []
    (pool,) = answer["pools"]
    told = F(pool["attributed"]) + F(pool["recovery_difference"]) + F(pool["rounding"])
    assert abs(told - F(pool["charged"])) < F(1, 100_000)

    def dearer(line: Any, invoice: Any) -> None:
        for one in (line, invoice):
            key = "amount" if one is line else "total"
            one[key] = str(Decimal(one[key]) + 1)

    def lost(line: Any, invoice: Any) -> None:
        invoice["lines"].remove(line)
        invoice["total"] = str(Decimal(invoice["total"]) - Decimal(line["amount"]))

    def repriced(line: Any, invoice: Any) -> None:
        line["unit_price"] = "9"

    assert "line" in {one["what"] for one in audited(recorded, dearer)["differences"]}
    for change in (lost, repriced):
        assert {one["what"] for one in audited(recorded, change)["differences"]} & {"charge", "line"}, change
