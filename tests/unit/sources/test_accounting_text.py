"""sacct's text, as real Slurms wrote it and as it must not be believed."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import AccountingRow
from slurm_gpucost.sources.accounting_text import (
    REQUIRED,
    columns_of,
    cut,
    make_parser,
    separator_of,
)
from slurm_gpucost.sources.accounting_times import BrokenRow, duration_ms, times_ms
from tests.unit.builders import VERSIONS, recorded_jobs, recording

UTC, KOLKATA, BERLIN = ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")
VALUES = {
    "JobIDRaw": "7", "JobID": "7", "Cluster": "c", "DBIndex": "16394941182523587584", "Submit": "1790000000",
    "Start": "1790000005", "End": "1790000017", "ElapsedRaw": "10", "Suspended": "00:00:02", "State": "COMPLETED",
    "ExitCode": "0:0", "User": "ann", "Account": "lab", "AllocTRES": "cpu=1,gres/gpu:a100=2,gres/gpu=2",
}  # fmt: skip


def parse(zone: Any = UTC, order: Any = None, **values: Any) -> Any:
    row = {**VALUES, **values}
    names = order or list(row)
    parser = make_parser(names, cluster="fallback", zone=zone, observed_at_ms=99, current=False)
    return parser([row[name] for name in names])


def broken(*words: str, **values: Any) -> None:
    with pytest.raises(BrokenRow) as caught:
        parse(**values)
    assert all(word in str(caught.value) for word in words), caught.value


def saved(text: str, zone: ZoneInfo) -> dict[tuple[int, int], AccountingRow]:
    """The rows of a saved file whose lines are whole."""
    header, *lines = text.splitlines()
    names = columns_of(header)
    parser = make_parser(names, cluster="x", zone=zone, observed_at_ms=5, current=False)
    found = {}
    for line in lines:
        parts = line.split(separator_of(header))
        if len(parts) == len(names) and (row := parser(parts)):
            found[row.job_id, row.submit_ms] = row
    return found


@given(st.permutations(list(VALUES)))
def test_columns_may_stand_in_any_order(order: list[str]) -> None:
    assert parse(order=order) == parse()
    row = parse(order=order)
    assert (row.job_id, row.user, row.elapsed_ms, row.suspended_ms) == (7, "ann", 10_000, 2_000)
    assert row.db_index == "16394941182523587584"


@pytest.mark.parametrize("version", VERSIONS)
def test_iso_and_epoch_times_of_a_real_slurm_are_the_same_rows(version: str) -> None:
    epoch = saved(recording(version, "sacct-epoch.txt"), UTC)
    assert len(epoch) >= 20
    assert saved(recording(version, "sacct-iso-utc.txt"), UTC) == epoch
    assert saved(recording(version, "sacct-iso-kolkata.txt"), KOLKATA) == epoch


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_real_slurm_says(version: str) -> None:
    ids = recorded_jobs(version)
    rows = {row.job_id: row for row in saved(recording(version, "sacct-epoch.txt"), UTC).values()}
    all_rows = saved(recording(version, "sacct-epoch.txt"), UTC)
    requeued = [row for (job, _), row in sorted(all_rows.items()) if job == ids["requeued"]]
    assert [row.state for row in requeued][:1] == ["REQUEUED"] and len(requeued) == 2
    cancelled, pending, stopped = (rows[ids[name]] for name in ("cancelled", "cancelled pending", "suspended"))
    assert (cancelled.state, cancelled.cancelled_by) == ("CANCELLED", 2002)
    assert (pending.state, pending.start_ms, pending.elapsed_ms) == ("CANCELLED", None, 0)
    assert stopped.start_ms is not None and stopped.end_ms is not None and stopped.elapsed_ms is not None
    assert stopped.suspended_ms > 0
    assert abs(stopped.end_ms - stopped.start_ms - stopped.suspended_ms - stopped.elapsed_ms) <= 1000
    assert {r.array_task_id for r in rows.values() if r.array_job_id == ids["array"]} == {1, 2, 3}
    assert (rows[ids["failed"]].state, rows[ids["failed"]].exit_code) == ("FAILED", "3:0")


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_running_jobs_have_no_end(version: str) -> None:
    row = saved(recording(version, "sacct-running-epoch.txt"), UTC)
    states = {r.state: (r.start_ms is None, r.end_ms, r.elapsed_ms) for r in row.values()}
    assert states["RUNNING"] == (False, None, None)
    assert states["SUSPENDED"] == (False, None, None)


def test_the_hour_that_clocks_repeat_is_decided_by_elapsed() -> None:
    # Berlin, 25 October 2026: 02:00-03:00 happens twice. From 02:30 to 02:40 may be 10 or 70 minutes.
    times = {"Submit": "1792880000", "Start": "2026-10-25T02:30:00", "End": "2026-10-25T02:40:00", "Suspended": ""}
    spans = [(r.start_ms, r.end_ms) for r in (parse(BERLIN, ElapsedRaw=s, **times) for s in ("600", "4200"))]
    assert [end - start for start, end in spans] == [600_000, 4_200_000]
    before = parse(BERLIN, **{**times, "Start": "2026-10-25T01:50:00", "ElapsedRaw": "6600"})
    assert before.end_ms - before.start_ms == 6_600_000
    broken("ElapsedRaw 9000 s is longer", zone=BERLIN, ElapsedRaw="9000", **times)


def test_an_ambiguous_submit_has_no_sure_key() -> None:
    broken("happened twice", "Europe/Berlin", "--print-command", zone=BERLIN, Submit="2026-10-25T02:30:00")
    running = {"Start": "2026-10-25T02:30:00", "End": "Unknown"}
    broken("happened twice", "still runs", "--print-command", zone=BERLIN, **running)
    assert parse(BERLIN, Submit="2026-10-25T03:30:00").submit_ms == 1792895400_000


def test_times() -> None:
    assert times_ms("Unknown", UTC) == times_ms("None", UTC) == times_ms("", UTC) == times_ms("0", UTC) == ()
    assert times_ms("2026-03-29T02:30:00+02:00", UTC) == (1774744200_000,)
    assert len(times_ms("2026-03-29T02:30:00", BERLIN)) == 1  # an hour that never was
    assert [duration_ms(t) for t in ("", "00:10", "01:00:00", "2-03:04:05")] == [0, 10_000, 3_600_000, 183_845_000]


def test_steps_are_no_jobs_and_unknown_columns_no_matter() -> None:
    assert parse(JobIDRaw="7.batch", JobID="7.batch") is None
    assert parse(JobIDRaw="7.0") is None
    assert parse(Comment="x", AdminComment="y") == parse()
    array, het = parse(JobID="12_3"), parse(JobID="12+1")
    assert (array.array_job_id, array.array_task_id) == (12, 3)
    assert (het.het_job_id, het.het_offset) == (12, 1)
    assert parse(Cluster="").cluster == "fallback"


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("JobIDRaw 'x'",), {"JobIDRaw": "x"}),
        (("Submit 'Unknown' is no time",), {"Submit": "Unknown"}),
        (("neither epoch seconds nor a time",), {"Start": "yesterday"}),
        (("ElapsedRaw '10:00' is no number",), {"ElapsedRaw": "10:00"}),
        (("ElapsedRaw is 10 s without a Start",), {"Start": "Unknown"}),
        (("longer than from Start",), {"ElapsedRaw": "99"}),
        (("gres/gpu=two",), {"AllocTRES": "gres/gpu=two"}),
        (("no duration",), {"Suspended": "soon"}),
    ],
)
def test_broken_rows_say_why(words: tuple[str, ...], values: dict[str, str]) -> None:
    broken(*words, **values)


def test_a_name_with_a_separator_is_told_from_a_whole_row() -> None:
    parser = make_parser(list(VALUES), cluster="c", zone=UTC, observed_at_ms=1, current=False)
    with pytest.raises(BrokenRow, match=r"15 columns where the header has 14.*--print-command"):
        parser([*VALUES.values(), "more"])
    assert parser([*VALUES.values(), ""]) == parser(list(VALUES.values()))  # sacct -p


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_names_what_it_lacks(name: str) -> None:
    names = [column.upper() for column in VALUES if column != name]
    with pytest.raises(SourceError, match=rf"lacks {name};.*--print-command"):
        make_parser(names, cluster="c", zone=UTC, observed_at_ms=1, current=False)


def test_the_header_shows_the_separator() -> None:
    assert columns_of("JobIDRaw|State|JobName|\n") == ["JobIDRaw", "State", "JobName"]
    assert columns_of("JobIDRaw\x1fState|x\x1fUser\r\n") == ["JobIDRaw", "State|x", "User"]


def test_a_running_row_of_a_saved_file_counts_up_to_its_time_and_a_current_one_is_said_once() -> None:
    running = {"End": "Unknown", "State": "RUNNING"}
    parsers = [
        make_parser(list(VALUES), cluster="c", zone=UTC, observed_at_ms=at, current=current)
        for at in (1, 2)
        for current in (False, True)
    ]
    old, live, new, live_again = (parser(list({**VALUES, **running}.values())) for parser in parsers)
    assert old and live and new and live_again
    assert old.digest != new.digest
    assert live.digest == live_again.digest


NASTY = "x|y\nJobIDRaw\n8\x1f8\x1fc\x1f1\x1f" + "1790000000\x1f" * 6
text = st.text(st.sampled_from("ab|\n\x1f\r\\'\"$8"), max_size=20)


@given(st.lists(st.tuples(text, text), max_size=5), st.sampled_from(["\x1f0badc0de\x1f", "\x1f77\x1f"]))
def test_cut_gives_back_every_field_whatever_names_hold(names: list[tuple[str, str]], separator: str) -> None:
    records = [["JobIDRaw", "JobName", "WCKey", "NNodes"]]
    records += [[str(i), name + NASTY, key, "1"] for i, (name, key) in enumerate(names)]
    reply = "".join(separator.join(record) + "\n" for record in records)
    assert list(cut(reply, separator)) == records


def test_cut_refuses_a_reply_that_is_cut_short() -> None:
    assert list(cut("", "SEP")) == list(cut("\n", "SEP")) == []
    with pytest.raises(BrokenRow, match="whole records of 3"):
        list(cut("aSEPbSEPc\ndSEPe", "SEP"))


@settings(max_examples=400)
@given(st.sampled_from(list(VALUES)), st.one_of(st.text(max_size=8), st.sampled_from(["²", "9" * 25, "1e5", "-1"])))
def test_no_text_makes_anything_but_a_row_or_a_reason(column: str, value: str) -> None:
    try:
        row = parse(**{column: value})
    except BrokenRow:
        return
    assert row is None or all(-(2**63) <= v < 2**63 for v in row if isinstance(v, int))
