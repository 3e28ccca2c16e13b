from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from typer.testing import Result

from slurm_gpucost.domain import jobids, states
from slurm_gpucost.domain.asked_times import as_sacct
from slurm_gpucost.domain.errors import UsageError

Run = Callable[..., Result]
Ask = Callable[..., Any]
BERLIN = ZoneInfo("Europe/Berlin")
NOW = int(datetime(2026, 11, 23, 14, 5, 30, tzinfo=BERLIN).timestamp())
DAY = 86_400
PROMISED = {"cluster", "job_id", "submit", "start", "end", "state", "user", "account", "gpu_seconds", "leases"}
PROMISED_OF_LEASES = {"node", "device", "index", "count", "share", "start", "end", "start_evidence", "end_evidence"}


def ids(rows: Any) -> list[str]:
    return [row["job_id"] for row in rows]


def test_the_keys_that_others_script_against(ask: Ask) -> None:
    rows = ask("jobs", "-a", "-S", "2026-10-01", "-E", "now")
    assert ids(rows) == ["11", "12", "13"]
    assert all(row.keys() >= PROMISED for row in rows)
    assert all(lease.keys() >= PROMISED_OF_LEASES for row in rows for lease in row["leases"])
    first, second, _ = rows
    assert (first["start"], first["end"], first["gpu_seconds"]) == (1791187205, 1791194405, "14400")
    lease = first["leases"][0]
    assert (lease["node"], lease["device"], lease["index"]) == ("n1", None, None), "accounting alone names no device"
    assert (lease["count"], lease["share"], lease["start_evidence"]) == (2, "1", "sacct")
    assert second["gpu_seconds"] == "5400.75", "3 of 4 shards for 7201 s"


def test_the_table(site: Run) -> None:
    result = site("jobs", "-a", "-S", "2026-10-01")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "JobID", "User", "Account", "Partition", "State", "Start", "End", "GPUs", "SKU", "GPUHours", "Devices",
    ]  # fmt: skip
    assert lines[3].split() == [
        "12", "bob", "physics", "main", "CANCELLED", "2026-10-05T10:00:05", "2026-10-05T12:00:06", "3/4", "a100",
        "1.5002",
    ]  # fmt: skip
    assert lines[4].split()[0] == "20_7", "a task of an array, as sacct writes it"


def test_overlapping_attempts_are_whole(ask: Ask) -> None:
    rows = ask("jobs", "-a", "-S", "2026-11-01", "-E", "2026-11-02")
    assert ids(rows) == ["13"]
    assert rows[0]["gpu_seconds"] == "3600" and rows[0]["start"] < rows[0]["end"]
    assert ask("jobs", "-a", "-S", "2026-11-02", "-E", "now") == []
    assert ids(ask("jobs", "-a", "-S", "10/05/26-12:00:05", "-E", "10/05/26-12:00:06")) == ["12"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["-u", "alice"], ["11"]),
        (["--user=alice,bob"], ["11", "12", "13"]),
        (["-u", "alice", "-u", "bob", "-A", "bio"], ["13"]),
        (["-A", "physics"], ["11", "12"]),
        (["-a", "-r", "debug"], ["13"]),
        (["-a", "-j", "11,13"], ["11", "13"]),
        (["-a", "-j", "20"], ["13"]),
        (["-a", "-j", "20_7"], ["13"]),
        (["-a", "-j", "20_8"], []),
        (["-a", "-M", "t"], ["11", "12", "13"]),
        (["-a", "-M", "other"], []),
        (["-a", "-L"], ["11", "12", "13"]),
        (["-a", "-M", "all"], ["11", "12", "13"]),
        (["-a", "-s", "CA,f", "-E", "now"], ["12", "13"]),
        (["-a", "-s", "cancelled", "-E", "now"], ["12"]),
        (["-a", "-s", "running", "-E", "2026-10-06"], ["11", "12"]),
        (["-a", "-s", "pd", "-E", "now"], []),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
def test_saccts_letters(ask: Ask, monkeypatch: pytest.MonkeyPatch, words: list[str], found: list[str]) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert ids(ask("jobs", "-S", "2026-10-01", *words)) == found


def test_ones_own_jobs_since_midnight(ask: Ask, site: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Someone:
        pw_name = "alice"

    monkeypatch.setattr(os, "getuid", lambda: 4242)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: Someone if uid == 4242 else pytest.fail(str(uid)))
    assert ask("jobs") == [], "nothing today"
    assert ids(ask("jobs", "-S", "2026-10-01")) == ["11"]
    assert ids(ask("jobs", "-S", "2026-10-01", "-A", "physics")) == ["11"], "an account alone is still one's own"
    assert ids(ask("jobs", "-S", "2026-10-01", "-u", "4242")) == ["11"]
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert ids(ask("jobs", "-S", "2026-10-01")) == ["11", "12", "13"], "root sees all, as in sacct"


def test_forms_of_output(site: Run) -> None:
    words = ["jobs", "-a", "-S", "2026-10-01", "-j", "11", "-o", "jobid,user%3,gpuhours"]
    assert site(*words, "-P").stdout == "JobID|User|GPUHours\n11|alice|4.0000\n"
    assert site(*words, "-p").stdout == "JobID|User|GPUHours|\n11|alice|4.0000|\n"
    assert site(*words, "-P", "-n").stdout == "11|alice|4.0000\n"
    assert site(*words, "-n").stdout == "11           al+     4.0000\n"
    assert site(*words).stdout.count("\n") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-u", "bbo"], "-u bbo: the ledger knows no such user; did you mean bob?"),
        (["-A", "physic"], "-A physic: the ledger knows no such account; did you mean physics?"),
        (["-j", "11.batch"], "GPUs are accounted by job, not by step"),
        (["-j", "17+1"], "give the component's own number (JobIDRaw)"),
        (["-j", "x"], "-j x: write a job's number"),
        (["-s", "sleeping"], "-s sleeping: no such state; there are BOOT_FAIL (BF)"),
        (["-o", "jobid,colour"], "--format colour: no such column; there are JobID, "),
        (["-S", "yesteryear"], "-S 'yesteryear': is no time; write like"),
        (["-S", "now", "-E", "now-1hour"], "the start is after the end"),
        (["-u", "4294000111"], "-u 4294000111: no user has this number here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(site: Run, words: list[str], said: str) -> None:
    result = site("jobs", "-a", *words)
    if words[0] == "-u":
        result = site("jobs", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


MIDNIGHT = int(datetime(2026, 11, 23, tzinfo=BERLIN).timestamp())


@pytest.mark.parametrize(
    ("start", "end", "by_id", "by_state", "window"),
    [
        # sacct(1), DEFAULT TIME WINDOW; an end that is the start or now includes that second.
        (None, None, False, False, (MIDNIGHT, NOW + 1)),
        (None, None, True, False, (0, NOW + 1)),
        (None, None, False, True, (NOW, NOW + 1)),
        (None, None, True, True, (0, NOW + 1)),
        ("now-2days", None, False, False, (NOW - 2 * DAY, NOW + 1)),
        ("now-2days", None, False, True, (NOW - 2 * DAY, NOW - 2 * DAY + 1)),
        ("now-2days", "now-1days", True, True, (NOW - 2 * DAY, NOW - DAY)),
        (None, "uts1790000000", True, False, (0, 1790000000)),
    ],
)
def test_default_times_are_those_of_sacct(
    start: str | None, end: str | None, by_id: bool, by_state: bool, window: tuple[int, int]
) -> None:
    found = as_sacct(start, end, by_id, by_state, NOW * 1000 + 5, BERLIN)
    assert found == (window[0] * 1000, window[1] * 1000)


def attempt(state: str, start: int | None, end: int | None, eligible: int | None = 5) -> dict[str, Any]:
    return {"state": state, "start": start, "end": end, "eligible": eligible}


@pytest.mark.parametrize(
    ("row", "name", "inside"),
    [
        (attempt("COMPLETED", 50, 150), "RUNNING", True),
        (attempt("RUNNING", 50, None), "RUNNING", True),
        (attempt("COMPLETED", 50, 100), "RUNNING", False),
        (attempt("RUNNING", 200, None), "RUNNING", False),
        (attempt("PENDING", None, None), "RUNNING", False),
        (attempt("COMPLETED", 50, 150), "COMPLETED", True),
        (attempt("COMPLETED", 50, 250), "COMPLETED", False),
        (attempt("FAILED", 50, 150), "COMPLETED", False),
        (attempt("COMPLETED", 150, 180), "PENDING", True),
        (attempt("COMPLETED", 50, 150), "PENDING", False),
        (attempt("PENDING", None, None, None), "PENDING", False),
        (attempt("SUSPENDED", 50, None), "SUSPENDED", True),
    ],
)
def test_what_a_state_means_about_a_window(row: dict[str, Any], name: str, inside: bool) -> None:
    assert states.matches(row, [name], 100, 200) is inside
    assert states.matches(row, [], 100, 200) is False


def test_names_of_states() -> None:
    assert states.names(["r", "TO", "Node_Fail", "oom"]) == ["RUNNING", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"]


def test_job_ids() -> None:
    assert jobids.parse(["12", "12_3"]) == [(12, None), (12, 3)]
    for text in ("", "-1", "12_", "_3", "12 3", "12_[1-3]", "1" * 30):
        with pytest.raises(UsageError):
            jobids.parse([text])
