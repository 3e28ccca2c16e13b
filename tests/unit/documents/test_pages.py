"""What people read, against golden files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from slurm_gpucost.documents import audit as document
from slurm_gpucost.documents import cards, derivation, energy, invoice, jobs, report, simulation, status
from slurm_gpucost.documents.table import choose, parsable, table
from slurm_gpucost.documents.times import length, local, with_offset

KOLKATA = ZoneInfo("Asia/Kolkata")
BERLIN = ZoneInfo("Europe/Berlin")
Golden = Callable[[str, str], None]

LINES = [
    {
        "pool": "main", "sku": sku, "user": user, "item": item, "rule": rule, "gpu_hours": hours,
        "held_gpu_hours": hours, "unit_price": price, "amount": amount, "kwh": None, "kg_co2e": None,
    }
    for sku, user, item, rule, hours, price, amount in [
        ("a100", "alice", "usage", "held time (rule 6)", "1250.500000", "0.5697", "712.41"),
        ("a100", "alice", "waived", "node failure (rule 4)", "8.000000", "0", "0.00"),
        ("h200", "alice", "usage", "held time (rule 6)", "0.000278", "2.1000", "0.00"),
        ("a100", "bob", "usage", "held time (rule 6)", "3.750000", "0.5697", "2.14"),
    ]
]  # fmt: skip
INVOICE: dict[str, Any] = {
    "kind": "invoice", "cluster": "t", "account": "physics", "period_start": "2026-10-01T00:00:00+05:30",
    "period_end": "2026-11-01T00:00:00+05:30", "status": "provisional", "currency": "INR", "total": "714.55",
    "class": "internal", "class_label": "", "contact": "", "tax_id": "", "tax_exempt": False, "net_total": "714.55",
    "tax_rate": "0", "tax_total": "0.00", "lines": LINES,
}  # fmt: skip
STATEMENT = {**INVOICE, "kind": "statement", "user": "bob", "total": "2.14", "lines": LINES[3:]}


def lease(**changed: Any) -> dict[str, Any]:
    return {
        "node": None, "device": None, "index": None, "count": 1, "share": "1", "start": 0, "end": 1,
        "start_evidence": "sacct", "end_evidence": "sacct", "gres": "gpu:a100", "sku": "a100", "energy_kwh": None,
        **changed,
    }  # fmt: skip


def attempt(job_id: str, **changed: Any) -> dict[str, Any]:
    return {
        "cluster": "t", "job_id": job_id, "submit": 1791187200, "start": 1791187205, "end": 1791194405,
        "state": "COMPLETED", "user": "alice", "account": "physics", "gpu_seconds": "14400", "leases": [lease(count=2)],
        "partition": "main", "qos": "normal", "wckey": "", "job_name": "train", "array_job_id": None,
        "array_task_id": None, "het_job_id": None, "het_offset": None, "exit_code": "0:0", "eligible": 1791187201,
        "elapsed_seconds": "7200", "suspended_seconds": "0", "nodes": "n[1-2]", "alloc_tres": "cpu=2,gres/gpu=2",
        "billable": True, "held": "", **changed,
    }  # fmt: skip


SEEN = [lease(node="n1", index=i, energy_kwh="0.250000") for i in (0, 1, 3)] + [lease(node="n2", index=0)]
JOBS = [
    attempt("11"),
    attempt("12", job_name="evil\x1b[2J|name", array_job_id=12, array_task_id=3, leases=SEEN, gpu_seconds="28800"),
    attempt("15", user="bob", state="RUNNING", end=None, leases=[lease(count=3, share="1/8")], gpu_seconds="2700.375"),
    attempt("16", leases=[lease(gres="gpu:h300", sku=None)], elapsed_seconds="100000", gpu_seconds="100000"),
    attempt("17", submit=None, billable=False, held="known from hooks alone", leases=[lease(share=None, gres="shard")]),
    attempt("18", het_job_id=17, het_offset=1, leases=[], gpu_seconds="0", state="FAILED"),
]


def test_jobs(golden: Golden) -> None:
    golden("jobs", table(choose(jobs.columns(KOLKATA), jobs.DEFAULT, "-o"), JOBS))


def test_jobs_with_every_column(golden: Golden) -> None:
    golden("jobs_all_columns", parsable(jobs.columns(BERLIN), JOBS))


def test_report(golden: Golden) -> None:
    rows = [
        {"cluster": "t", "account": "physics", "user": u, "sku": s, "gpu_seconds": q, "cost": c, "currency": "EUR"}
        for u, s, q, c in [("", "a100", "19800.750", "3.13"), ("alice", "a100", "14400.000", "2.28"),
                           ("bob", "a100", "5400.750", "0.85"), ("bob", None, "7200.000", None)]
    ]  # fmt: skip
    columns = choose(
        report.columns("Hours", {"alice": "Alice Arendt", "bob": ""}.__getitem__), report.DEFAULT, "format="
    )
    golden("report", report.heading(1790805600, 1793487600, "Hours", "EUR", BERLIN) + table(columns, rows))


def test_report_in_minutes_and_seconds() -> None:
    row = {"gpu_seconds": "5400.750"}
    shown = {unit: next(c for c in report.columns(unit, str) if c.name == "Used").text(row) for unit in report.UNITS}
    assert shown == {"Seconds": "5401", "Minutes": "90.01", "Hours": "1.5002"}


def test_invoice_and_statement(golden: Golden) -> None:
    golden("invoice", invoice.page(INVOICE))
    golden("statement", invoice.page(STATEMENT))


def test_an_invoice_of_what_a_reservation_kept(golden: Golden) -> None:
    kept = {**LINES[0], "user": "", "item": "reserved", "rule": "course | 7\n: held time (rule 6)", "amount": "700.00"}
    waived = {**kept, "item": "waived", "rule": "open: free of charge (rule 2)", "unit_price": "0", "amount": "0.00"}
    nobody = {**LINES[3], "user": ""}  # of an attempt whose user the accounting does not tell
    golden("invoice_reserved", invoice.page({**INVOICE, "lines": [kept, waived, nobody], "total": "702.14"}))


def test_an_invoice_of_another_class_with_tax(golden: Golden) -> None:
    on_top = {**LINES[0], "item": "surcharge", "rule": "class partner: 25 % surcharge", "held_gpu_hours": "0.000000"}
    made = {
        **INVOICE, "class": "partner", "class_label": "Partner universities", "contact": "ap@uni.example",
        "tax_id": "DE1",
        "lines": [*LINES, {**on_top, "unit_price": "0.142425", "amount": "178.10"}], "net_total": "892.65",
        "tax_rate": "0.19", "tax_total": "169.60", "total": "1062.25",
    }  # fmt: skip
    golden("invoice_taxed", invoice.page(made))
    exempt = invoice.page({**made, "tax_exempt": True, "tax_rate": "0", "tax_total": "0.00", "total": "892.65"})
    long = {**on_top, "rule": "class campus: 20 % subsidy, paid by the vice president for research and innovation"}
    assert f" {long['rule']} " in invoice.page({**INVOICE, "lines": [long]})
    assert "Tax:      exempt\n" in exempt and "Tax 19 %" not in exempt and "Net total" not in exempt


def test_an_invoice_with_prices_per_tres(golden: Golden) -> None:
    held = {"rule": "held time (rule 6), billed by TRES", "unit_price": "0", "amount": "0.00"}
    per = {**LINES[3], "item": "tres", "gpu_hours": "0.000000", "held_gpu_hours": "0.000000"}
    shown = [
        {**LINES[3], **held, "unit_hours": None, "unit": None},
        {**per, "sku": "cpu", "unit_hours": "180.000000", "unit": "cpu-hours", "unit_price": "0.03", "amount": "5.40"},
        {**per, "sku": "gres/gpu:a100", "unit_hours": "3.750000", "unit": "GPU-hours", "unit_price": "0.12",
         "amount": "0.45"},
        {**per, "sku": "mem", "item": "waived_tres", "rule": "node failure (rule 4)", "unit_hours": "1234567.500000",
         "unit": "GB-hours", "unit_price": "0", "amount": "0.00"},
    ]  # fmt: skip
    golden("invoice_tres", invoice.page({**INVOICE, "lines": shown, "total": "5.85", "net_total": "5.85"}))
    assert invoice.fields([{**INVOICE, "lines": shown}]) == (*invoice.FIELDS, "unit_hours", "unit")
    assert invoice.fields([INVOICE]) == invoice.FIELDS


def test_an_owners_invoice(golden: Golden) -> None:
    lines = [
        {
            **LINES[0],
            "user": user,
            "item": item,
            "rule": rule,
            "gpu_hours": hours,
            "unit_price": price,
            "amount": amount,
        }
        for user, item, rule, hours, price, amount in [
            ("alice", "usage", "held time (rule 6)", "1000.000000", "1.0000", "1000.00"),
            ("alice", "covered", "4 of 8 devices of physics", "-1000.000000", "1.0000", "-1000.00"),
            ("", "share", "4 of 8 devices of physics", "2976.000000", "0.5000", "1488.00"),
            ("", "guests", "4 of 8 devices of physics", "-988.000000", "0.5000", "-494.00"),
        ]
    ]
    golden("invoice_owner", invoice.page({**INVOICE, "lines": lines, "net_total": "994.00", "total": "994.00"}))


def test_the_total_stands_under_the_amounts() -> None:
    for made in (INVOICE, STATEMENT, {**INVOICE, "total": "123456789012345.67"}):
        text = invoice.page(made).splitlines()
        total = next(line for line in text if line.startswith("Total "))
        assert total.endswith(made["total"])
        heading = next(line for line in text if line.startswith("User "))
        assert len(total) >= len(heading)


def test_only_an_open_period_is_called_provisional() -> None:
    assert "PROVISIONAL" in invoice.page(INVOICE)
    assert "PROVISIONAL" not in invoice.page({**INVOICE, "status": "closed"})


def test_several_invoices_are_told_apart() -> None:
    text = invoice.pages([INVOICE, {**INVOICE, "account": "bio"}])
    assert text.count("\nAccount:") == 2 and "=" * 80 in text
    assert invoice.pages([]) == ""


def test_invoice_lines_for_csv_carry_their_invoice() -> None:
    rows = invoice.lines([INVOICE])
    assert [(row["account"], row["user"], row["amount"]) for row in rows] == [
        ("physics", "alice", "712.41"), ("physics", "alice", "0.00"), ("physics", "alice", "0.00"),
        ("physics", "bob", "2.14"),
    ]  # fmt: skip
    assert all(field in row for row in rows for field in invoice.FIELDS)


def test_a_name_cannot_forge_an_invoice() -> None:
    text = invoice.page({**INVOICE, "account": "x\nTotal: 0\x1b[1A"})
    assert "x\\nTotal: 0\\x1b[1A" in text


def test_derivation(golden: Golden) -> None:
    config, sku = "/etc/gpucost/gpucost.toml", "pools.main.skus.a100"
    keys = [f"{sku}.{key}" for key in ("devices", "purchase_price", "residual_value", "life_years", "purchase_date")]
    steps = [
        ("Devices", "devices", "500.00", "devices", keys[:1]),
        ("Depreciation", "devices x (purchase_price - residual_value) / life_years", "1200000.00", "EUR/year", keys),
        ("Staff", "staff", "0.00", "EUR/year", ["pools.main.yearly_costs.staff"]),
        ("Annual cost", "sum of the above", "1746624.00", "EUR/year", []),
        ("Rate", "annual cost / planned GPU-hours", "0.5697", "EUR/GPU-hour", []),
    ]
    row = {
        "pool": "main", "sku": "a100", "month": "2026-10", "currency": "EUR", "unit_price": "0.5697",
        "rate_exact": "36388/63875", "notes": ["a100 is written off since 2026-11-01"], "version": 3,
        "effective": "2026-10-01T00:00:00+05:30", "published": "2026-09-28T15:02:11+05:30", "login": "ann",
        "steps": [
            {"label": a, "formula": b, "value": c, "unit": d, "sources": [{"file": config, "key": key} for key in e]}
            for a, b, c, d, e in steps
        ],
    }  # fmt: skip
    golden("derivation", derivation.page(row))
    assert derivation.pages([row, row]).count("in pool main") == 2


def test_status(golden: Golden) -> None:
    answer = {
        "ledger": "/var/lib/gpucost/ledger.db",
        "counts": {"accounting_rows": 1000000, "attempts": 12, "held_attempts": 0, "first_ms": 1791187205000},
        "witnesses": [
            {"witness": "sacct", "cluster": "t", "last_seen": 1792891800, "counts_running_up_to": 1792891800},
            {"witness": "scontrol", "cluster": "t", "last_seen": None, "counts_running_up_to": None},
        ],
        "nodes": [],
        "findings": ["gres/gpu:h300 is used and no SKU prices it", "sacct: \x1b[31mrefused"],
    }
    golden("status", status.page(answer, BERLIN))
    calm = status.page({**answer, "witnesses": [], "findings": []}, BERLIN)
    assert "none has been asked yet" in calm and "No findings." in calm


def test_times() -> None:
    assert local(1791187205, KOLKATA) == "2026-10-05T13:30:05"
    assert local(None, KOLKATA) == "Unknown", "as sacct says it"
    assert with_offset(1792891800, BERLIN) == "2026-10-25 02:30:00+01:00", "the second 02:30 of that night"
    assert with_offset(1792891800 - 3600, BERLIN) == "2026-10-25 02:30:00+02:00"
    assert [length(s) for s in (0, 59, 3600, 86399, 86400, 100000)] == [
        "00:00:00", "00:00:59", "01:00:00", "23:59:59", "1-00:00:00", "1-03:46:40",
    ]  # fmt: skip


def test_audit(golden: Golden) -> None:
    terms = {
        "cost": "145552.000000", "attributed": "98000.123457", "idle": "40000.000000", "unavailable": "7051.876543",
        "orphan": "500.000000", "unattributed": "0.000000", "charged": "101234.560000",
        "recovery_difference": "3234.437890", "rounding": "-0.001347",
    }  # fmt: skip
    pool = {
        "pool": "main", "period_start": "2026-10-01T00:00:00+05:30", "period_end": "2026-11-01T00:00:00+05:30",
        "idle_kind": "mixed", "orphan_percent": "0.344",
    }  # fmt: skip
    derived = {**pool, **terms, "pool": "old", "cost": "0.000000", "idle_kind": "derived", "orphan_percent": None}
    accuracy = {
        "allocated_gpu_seconds": "1000.000", "attributed_gpu_seconds": "990.000", "difference_percent": "1.000",
    }  # fmt: skip
    answer: dict[str, Any] = {
        "currency": "EUR", "pools": [{**pool, **terms}, derived], "accuracy": accuracy, "log": "00ff" * 8,
        "differences": [],
    }  # fmt: skip
    golden("audit", document.page(answer))
    off = [
        {"what": "time", "pool": "main", "detail": "a100: 1.000000 GPU-hours are in no state, or in two if below 0"},
        {"what": "invoice", "pool": None, "detail": "t, account bio: its lines add up to 1.00, its total is 1.01"},
    ]
    golden("audit_off", document.page({**answer, "pools": answer["pools"][:1], "log": "", "differences": off}))


def test_rates_published_and_their_history(golden: Golden) -> None:
    rows = [
        {
            "pool": "main", "version": 2, "effective": "2026-12-01T00:00:00+05:30", "sku": sku, "unit_price": price,
            "before": before, "currency": "EUR",
        }
        for sku, price, before in (("a100", "0.6677", "0.5697"), ("h100", "1.2548", None))
    ]  # fmt: skip
    golden("rates_published", cards.published(rows))
    change = {"key": "pools.main.tariff_per_kwh", "before": "0.2", "now": "0.31"}
    came = {"key": "pools.main.skus.h100.devices", "before": None, "now": "4"}
    version = {
        "pool": "main", "version": 1, "effective": "2026-10-01T00:00:00+05:30",
        "published": "2026-09-28T15:02:11+05:30", "login": "ann", "uid": 0, "host": "admin1",
        "terminal": "/dev/pts/3 192.0.2.7", "why": "", "currency": "EUR", "prices": {"a100": "0.5697"}, "changed": [],
    }  # fmt: skip
    second = {**version, "version": 2, "why": "a new contract\x1b[2J", "terminal": "", "changed": [change, came]}
    golden("rates_history", cards.history([version, second]))


def test_simulation(golden: Golden) -> None:
    row = {
        "pool": "main", "sku": "a100", "currency": "EUR", "unit_price": "0.6677", "then": "0.8904",
        "change_percent": "33.34", "annual_cost": "43678.73", "cloud_price": "1.1000", "break_even_percent": "56.66",
        "by_utilization": [
            {"utilization_percent": p, "unit_price": u}
            for p, u in (("50.00", "1.2465"), ("75.00", "0.8310"), ("100.00", "0.6233"))
        ],
    }  # fmt: skip
    gone = {**row, "sku": "old", "then": None, "change_percent": None, "break_even_percent": None, "by_utilization": []}
    golden("rates_simulate", simulation.page([row, gone, {**row, "sku": "dear", "break_even_percent": "104.00"}]))


BILL: dict[str, Any] = {
    "pool": "main", "period_start": "2026-10-01T00:00:00+05:30", "period_end": "2026-11-01T00:00:00+05:30",
    "complete": True, "currency": "INR", "basis": "meter", "pue": "1.500000", "measured_of_jobs_kwh": "18000.000000",
    "unobserved_kwh": "12.500000", "kg_co2e": "16500.000000",
    "parts": {
        "measured": {"kwh": "20000.000000", "amount": "4200.000000"},
        "imputed": {"kwh": "2000.000000", "amount": "420.000000"},
        "hosts": {"kwh": "6000.000000", "amount": "1260.000000"},
        "losses": {"kwh": "14000.000000", "amount": "2940.000000"},
        "difference": {"kwh": "-750.000000", "amount": "-157.500000"},
    },
    "total": {"kwh": "41250.000000", "amount": "8662.500000"},
}  # fmt: skip


def test_energy_against_a_bill_and_without_one(golden: Golden) -> None:
    parts = {name: part for name, part in BILL["parts"].items() if name != "difference"}
    none = {"basis": "tariff", "complete": False, "parts": parts, "unobserved_kwh": "0.000000", "kg_co2e": None}
    other = {**BILL, **none, "pool": "new", "total": {"kwh": "42000.000000", "amount": "8820.000000"}}
    golden("energy", energy.page([BILL, other]))
