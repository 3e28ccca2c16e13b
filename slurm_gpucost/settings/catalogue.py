# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""Every setting once: key, type, default and text. Checks, the commented config and the reference page read it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from slurm_gpucost.costing.items import KINDS
from slurm_gpucost.costing.showback import INSTITUTION
from slurm_gpucost.settings.access import ACCESS
from slurm_gpucost.settings.collector import COLLECTOR
from slurm_gpucost.settings.currencies import CURRENCIES
from slurm_gpucost.settings.kinds import (
    INHERIT,
    REQUIRED,
    Setting,
    absolute_path,
    day,
    days,
    flag,
    names,
    number,
    or_dated,
    percentages,
    tables,
    text,
    whole,
    zone,
)
from slurm_gpucost.settings.node import NODE


def currency(value: Any) -> str:
    """An ISO 4217 code."""
    if not isinstance(value, str) or value not in CURRENCIES:
        raise ValueError(f"'{value}' is no ISO 4217 currency code; write one like EUR")
    return value


_AMOUNT = partial(number, low=Decimal(0))

TOP = (
    Setting("cluster", "text", text, REQUIRED, "The cluster's name, as `sacctmgr show cluster` prints it."),
    Setting("timezone", "time zone", zone, REQUIRED, "The site's time zone: months and days begin and end in it."),
    Setting("currency", "ISO 4217 code", currency, REQUIRED, "The currency of every price and invoice."),
)
SECTIONS = {
    "ledger": (
        Setting("path", "path", absolute_path, Path("/var/lib/gpucost/ledger.db"), "The ledger: one SQLite file, on a local disk."),
    ),
    "spool": (
        Setting(
            "path", "path", absolute_path, Path("/run/gpucost/spool"),
            "Where the hooks leave their event files; elsewhere also write it into /etc/gpucost/spool, one line, for the hooks.",
        ),
    ),
    "accounting": (
        Setting("command", "text", text, "sacct", "The sacct to run."),
        Setting("interval_seconds", "whole number", partial(whole, low=1), 60, "How often the daemon asks it."),
        Setting("timeout_seconds", "whole number", partial(whole, low=1), 120, "After this long without an answer a slice is halved."),
        Setting("overlap_seconds", "whole number", partial(whole, low=0), 3600, "How far each question reaches back before the last answer."),
        Setting("sacctmgr", "text", text, "sacctmgr", "The sacctmgr to run: it tells when nodes were out of use."),
        Setting("look_back_days", "whole number", partial(whole, low=1), 35,
                "Once a day everything since so many days ago is asked for again: rows come late and are mended."),
        Setting("slice_hours", "whole number", partial(whole, low=1), 24, "The longest slice of history asked for at once."),
    ),
    "controller": (
        Setting("enabled", "true or false", flag, True, "Whether to ask the controller which devices jobs hold."),
        Setting("command", "text", text, "scontrol", "The scontrol to run."),
        Setting("squeue", "text", text, "squeue", "The squeue to run: it tells which job ids and owners are real."),
        Setting("interval_seconds", "whole number", partial(whole, low=1), 60, "How often: one call for all jobs."),
        Setting("timeout_seconds", "whole number", partial(whole, low=1), 30, "After this long without an answer it counts as away."),
    ),
    "slurmd": (
        Setting("command", "text", text, "slurmd", "The slurmd whose `-G` tells which device file a GRES index is."),
        Setting("slurm_conf", "path", absolute_path, None, "The node's slurm.conf. Without it: that of `SLURM_CONF`, `../etc` of slurmd's directory, or one in a usual place. slurmd gets one of ours that includes it."),
    ),
    "nvml": (
        Setting("enabled", "true or false", flag, True, "Whether to read the NVIDIA driver on this host."),
        Setting(
            "interval_seconds", "whole number", partial(whole, low=1), 5,
            "How often it is read. The driver buffers utilization in between, and after a hook there is a glance at what its devices drew; stay below 10.",
        ),
    ),
    "findings": (
        Setting(
            "idle_threshold_percent", "whole number", partial(whole, low=0), 5,
            "A leased device whose mean utilization of a minute is below this idles in it. Counts from when it is set; 0: never.",
        ),
        Setting("idle_minimum_minutes", "whole number", partial(whole, low=1), 30, "A lease that idled for less is no finding."),
    ),
    "collector": COLLECTOR,
    "access": ACCESS,
    "node": NODE,
}  # fmt: skip
POOL = (
    Setting("timezone", "time zone", zone, INHERIT, "The pool's time zone; the site's if not given."),
    Setting("pue", "number or list of tables", or_dated(partial(number, low=Decimal(1))), Fraction("1.56"),
            "Power usage effectiveness: what the site draws for each kWh of the machines. 1.56 is the average of "
            "Uptime Institute's 2024 survey; put your own. Where it changes, a list: [{since = 2026-01-01, pue = 1.5}]."),
    Setting("tariff_per_kwh", "amount", _AMOUNT, Fraction("0.20"),
            "Price of a kWh, where there is no [[pools.NAME.tariff]]. An assumption: put your contract's."),
    Setting("tariff_holidays", "list of dates", days, (), "Days that count as sundays in the tariff."),
    Setting("planned_utilization", "number", partial(number, low=Decimal(0), high=Decimal(1), above=True), Fraction("0.70"),
            "The part of the capacity that is planned to be leased, 0 to 1. The cost is spread over it. An assumption."),
    Setting("denominator", "text", text, "planned",
            "The hours that the cost is spread over: `planned` (capacity x planned_utilization), `capacity`, or `budgeted` (the SKUs' budgeted_hours)."),
    Setting("idle_cost", "text", text, INSTITUTION, "Who carries the cost of idle time in `gpucost showback`: the `institution`, the `users` in proportion, or the `owners` of shares what they left unused, and the institution the rest."),
    Setting("split_by", "text", text, "count",
            "How what the SKUs of the pool share is split: by `count` of devices, purchase `price`, rated `power`, budgeted `hours`, or `fixed` percentages."),
    Setting("split_fixed", "table", percentages, None, "The percentages of `fixed` by SKU, 100 in all, like {a100 = 60, h100 = 40}; none if not given."),
    Setting("split_decimals", "whole number", partial(whole, low=0), None,
            "Round the shares to so many decimals of a percent before use, as on paper; exact if not given."),
    Setting("basis", "text", text, None, "`2cfr200`: the cost principles of 2 CFR 200; the site's own rules if not given."),
    Setting("recovery_rate", "number", partial(number, low=Decimal(0), high=Decimal(1)), None,
            "Capital recovery at this interest a year (0.05 is 5 %) instead of depreciation; depreciation if not given."),
    Setting("fiscal_month", "whole number", partial(whole, low=1), 1, "The month in which the fiscal year begins."),
    Setting("costs_file", "path", text, None, "A CSV of further costs that finance exports, beside the config or from /; none if not given."),
)  # fmt: skip
DEVICES = (
    Setting("since", "date", day, REQUIRED, "The first day of this number, in the pool's time zone; it holds until the next. The first one also holds before."),
    Setting("devices", "whole number", partial(whole, low=1), REQUIRED, "How many there are from that day on."),
)  # fmt: skip
PUE = (
    Setting("since", "date", day, REQUIRED, "The first day of this PUE, in the pool's time zone; it holds until the next. The first one also holds before."),
    Setting("pue", "number", partial(number, low=Decimal(1)), REQUIRED, "The PUE from that day on."),
)  # fmt: skip
TARIFF = (
    Setting("since", "date", day, REQUIRED, "The first day of these prices; they hold until the next."),
    Setting("bands", "list of tables", tables, REQUIRED, "Prices by time: each with `price`, `hours`, `days` and `seasons`; together they cover every minute once."),
)  # fmt: skip
BAND = (
    Setting("price", "amount", partial(number, low=Decimal(-10**6)), REQUIRED, "Of a kWh; may be below 0."),
    Setting("hours", "list of texts", names, ("00:00-24:00",), "`HH:MM-HH:MM` by the clock on the wall; may go over midnight."),
    Setting("days", "list of texts", names, ("mon-sun",), "`mon` to `sun`, or ranges of them."),
    Setting("seasons", "list of texts", names, ("01-01..12-31",), "`MM-DD..MM-DD`, both included; may go over the end of the year."),
)  # fmt: skip
ASSET = (
    Setting("tag", "text", text, REQUIRED, "The asset's number in the register."),
    Setting("sku", "text", text, "", "The SKU that it is of; shared by the pool's SKUs if not given."),
    Setting("quantity", "whole number", partial(whole, low=1), 1, "How many pieces."),
    Setting("price", "amount", _AMOUNT, REQUIRED, "Price of all pieces."),
    Setting("in_service", "date", day, REQUIRED, "First day in service."),
    Setting("life_years", "number", partial(number, low=Decimal(0), above=True), Fraction(5), "Years of straight-line depreciation."),
    Setting("residual", "amount", _AMOUNT, Fraction(0), "What all pieces are still worth after that."),
    Setting("funding", "text", text, "", "Who or which award paid."),
    Setting("federal_share", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(0),
            "0 to 1: the part that the federal government paid, which bears no depreciation (2 CFR 200.436)."),
    Setting("convention", "text", text, "monthly", "`daily`, `monthly` (the month of service counts whole) or `half-year`."),
    Setting("additions", "list of tables", tables, (), "Later additions, each with `date`, `amount` and `federal_share`: borne by what is left of the life."),
    Setting("retired", "date", day, None, "The day that it went out of service before its time; never if not given."),
    Setting("at_retirement", "text", text, "expense", "What is left then: `expense`, charged on that day, or `stop`, charged to nobody."),
    Setting("owner", "text", text, "", "The account that bought it, so that nobody pays its depreciation; the institution did if not given."),
)  # fmt: skip
ADDITION = (
    Setting("date", "date", day, REQUIRED, "The day it was added."),
    Setting("amount", "amount", _AMOUNT, REQUIRED, "What it cost."),
    Setting("federal_share", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(0), "As of the asset."),
)  # fmt: skip
INTEREST = (
    Setting("name", "text", text, REQUIRED, "Its name, as `rates explain` shows it."),
    Setting("amount", "amount", _AMOUNT, REQUIRED, "What is paid for the whole time."),
    Setting("from", "date", day, REQUIRED, "The first day."),
    Setting("until", "date", day, REQUIRED, "The day after the last; each day between bears the same."),
    Setting("lender", "text", text, "", "Who is paid; needed with `basis = \"2cfr200\"`, which takes an outside lender's interest only."),
    Setting("document", "text", text, "", "What shows it: a contract, a statement; needed with `basis = \"2cfr200\"`."),
)  # fmt: skip
COST = (
    Setting("name", "text", text, REQUIRED, "Its name, as `rates explain` shows it."),
    Setting("kind", "text", text, REQUIRED, f"One of {', '.join(KINDS)}."),
    Setting("amount", "amount", partial(number, low=Decimal(-10**15)), REQUIRED, "Net of tax; of staff: of one full-time equivalent; of credits and rebates below 0."),
    Setting("per", "text", text, "year", "`year`, `month` or `once`."),
    Setting("from", "date", day, None, "The first day that it counts; always did if not given."),
    Setting("until", "date", day, None, "The first day that it counts no more; for ever if not given."),
    Setting("months", "whole number", partial(whole, low=1), None, "Of what comes once: the months that it is spread over; from `from` to `until` if not given."),
    Setting("fte", "number", _AMOUNT, Fraction(1), "Full-time equivalents."),
    Setting("share", "number", partial(number, low=Decimal(0), high=Decimal(1)), Fraction(1), "0 to 1: the part that this pool causes."),
    Setting("key", "text", text, "", "How it is split among the SKUs, as `split_by`; as the pool says if not given."),
    Setting("fixed", "table", percentages, None, "Percentages of its own for `key = \"fixed\"`; the pool's if not given."),
)  # fmt: skip
SKU = (
    Setting("gres_types", "list of texts", names, INHERIT, "GRES types as in AllocTRES (`gres/gpu:TYPE`); the SKU's name if not given."),
    Setting("nvml_names", "list of texts", names, (), "Device names as `nvidia-smi -L` prints them; * stands for anything. No name may fit two SKUs."),
    Setting("devices", "whole number or list of tables", or_dated(partial(whole, low=1)), REQUIRED,
            "How many there are. Where it changes, a list: [{since = 2026-01-01, devices = 8}, {since = 2026-07-01, devices = 16}]."),
    Setting("purchase_price", "amount", _AMOUNT, None, "Price of one device with its share of the host and network; the prices of its [[pools.NAME.assets]] if not given."),
    Setting("purchase_date", "date", day, None, "First day in service: depreciation runs from it; those of its assets if not given."),
    Setting("life_years", "number", partial(number, low=Decimal(0), above=True), Fraction(5),
            "Years of straight-line depreciation. Five is common for computers; ask your finance office."),
    Setting("residual_value", "amount", _AMOUNT, Fraction(0), "What one device is still worth after that."),
    Setting("nameplate_watts", "number", _AMOUNT, Fraction(400),
            "Rated power of one device with its share of the host, in watts. 400 is an A100 SXM's board power alone."),
    Setting("budgeted_hours", "number", partial(number, low=Decimal(0), above=True), None,
            "GPU-hours a year of all of them that the budget counts on, for `denominator = \"budgeted\"`; none if not given."),
    Setting("owner", "text", text, None, "The account that bought all of them, so that nobody pays their depreciation; the institution did, or as its assets say, if not given."),
    Setting("shards", "whole number", partial(whole, low=0), 0, "Shards (gres/shard) that make up one device; 0: none."),
)  # fmt: skip
YEARLY_COSTS_TEXT = "Further costs of the pool a year, any names; shared among its SKUs by number of devices."
