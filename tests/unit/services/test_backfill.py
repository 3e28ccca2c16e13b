"""History from accounting alone: saved files and sacct itself."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from slurm_gpucost.domain.errors import SourceError, TooLarge
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import backfill
from slurm_gpucost.services.backfill import Result
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources.accounting_text import FIELDS
from tests.unit.builders import VERSIONS, recording, tables

UTC_ZONE = ZoneInfo("UTC")
HEADER = "JobIDRaw|Submit|Start|End|ElapsedRaw|State|User|Account|AllocTRES"
GOOD = "{}|1790000000|1790000005|1790000015|10|COMPLETED|ann|lab|gres/gpu:a100=2,gres/gpu=2"


def read(settings: Settings, ledger: Ledger, text: str, at: int = 1, zone: ZoneInfo = UTC_ZONE) -> Result:
    return backfill.from_file(settings, ledger, io.StringIO(text), "saved.txt", zone, at, lambda *_: None)


def test_broken_rows_are_set_aside_with_their_lines_and_the_rest_goes_in(settings: Settings, ledger: Ledger) -> None:
    lines = [HEADER, GOOD.format(1), "rubbish", "", GOOD.format(2), GOOD.format(3).replace("|10|", "|99|")]
    for new in (2, 0):  # safe to repeat
        result = read(settings, ledger, "\n".join(lines) + "\n")
        assert (result.rows, result.new) == (2, new)
        assert [line for line, _ in result.broken] == [3, 6]
        assert "1 columns where the header has 9" in result.broken[0][1]
        assert "ElapsedRaw 99 s" in result.broken[1][1]
    aside = ledger.connection.execute("SELECT source, line, content FROM set_aside ORDER BY line").fetchall()
    assert aside == [("saved.txt", 3, b"rubbish"), ("saved.txt", 6, lines[5].encode())]
    attempts, leases = tables(ledger)
    assert [a.job_id for a in attempts] == [1, 2]
    assert {(x.units, x.node, x.device, x.start_evidence, x.end_evidence) for x in leases} == {
        (2, None, None, "sacct", "sacct")
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["sacct-epoch.txt", "sacct-iso-utc.txt", "sacct-iso-kolkata.txt"])
def test_a_file_of_a_real_slurm(settings: Settings, ledger: Ledger, version: str, name: str) -> None:
    zone = ZoneInfo("Asia/Kolkata") if "kolkata" in name else UTC_ZONE
    text = recording(version, name)
    result = read(settings, ledger, text, zone=zone)
    whole = [line.split("\x1f") for line in text.splitlines()[1:] if line.count("\x1f") == 21]
    assert (result.rows, result.new) == (len(whole), len(whole))
    # The hostile name's other two lines; the name itself is cut at its first newline.
    assert [line for line, _ in result.broken] == [
        number for number, line in enumerate(text.splitlines(), 1) if line.count("\x1f") != 21
    ]
    assert "JobName" in result.warnings[0] and "--print-command" in result.warnings[0]
    attempts, leases = tables(ledger)
    assert len(attempts) == len(whole)
    said = sum(int(r[8]) * int(m[1]) for r in whole if (m := re.search(r"gres/gpu=(\d+)", r[19])))
    got = sum(x.units * (x.end_ms - x.start_ms) for x in leases if x.gres_name == "gpu" and not x.suspended)
    assert got == said * 1000


def test_running_rows_of_older_and_newer_files(settings: Settings, ledger: Ledger) -> None:
    running = HEADER + "\n" + GOOD.format(1).replace("1790000015|10|COMPLETED", "Unknown|4|RUNNING") + "\n"
    for at in (1_790_000_100_000, 1_790_000_050_000):
        read(settings, ledger, running, at)
    (attempt,), _ = tables(ledger)
    assert (attempt.state, attempt.seen_ms) == ("RUNNING", 1_790_000_100_000)
    read(settings, ledger, HEADER + "\n" + GOOD.format(1) + "\n", 5)
    (attempt,), _ = tables(ledger)
    assert (attempt.state, attempt.elapsed_ms) == ("COMPLETED", 10_000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "saved.txt: is empty"),
        ("\n", "is empty"),
        ("JobID|State\n", r"saved.txt: line 1:.*JobIDRaw.*--print-command"),
    ],
)
def test_a_header_at_fault_is_told_with_file_and_line(
    settings: Settings, ledger: Ledger, text: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words):
        read(settings, ledger, text)


DAY = 86_400_000
START = 1_789_948_800_000


class Sacct:
    """Knows one job in each day; refuses as told."""

    def __init__(self, refuse: dict[str, Exception] | None = None) -> None:
        self.refuse = refuse or {}
        self.windows: list[tuple[str, str]] = []

    def __call__(self, words: list[str]) -> str:
        options = dict(word[2:].split("=", 1) for word in words if "=" in word)
        low, high = options["starttime"], options["endtime"]
        self.windows.append((low, high))
        if low in self.refuse:
            raise self.refuse[low]
        start = int(datetime.fromisoformat(low).replace(tzinfo=UTC).timestamp())
        values = {
            "JobIDRaw": str(start // 86400), "Submit": str(start), "Start": str(start), "End": str(start + 60),
            "ElapsedRaw": "60", "State": "COMPLETED", "User": "ann", "Account": "lab", "Cluster": "c",
            "JobName": f"x|\n{start}|\x1fJobIDRaw", "AllocTRES": "gres/gpu:a100=1,gres/gpu=1", "NNodes": "1",
        }  # fmt: skip
        rows = [FIELDS, [values.get(name, "") for name in FIELDS]]
        return "".join(options["delimiter"].join(row) + "\n" for row in rows)


def ask(settings: Settings, ledger: Ledger, run: Sacct, days: int = 3) -> Result:
    return backfill.from_sacct(settings, ledger, START, START + days * DAY, lambda *_: None, run)


def test_slices_of_a_day_and_safe_to_repeat(settings: Settings, ledger: Ledger) -> None:
    for new in (3, 0):
        run = Sacct()
        result = ask(settings, ledger, run)
        assert (len(run.windows), result.rows, result.new, result.broken, result.failed) == (3, 3, new, [], [])
    attempts, _ = tables(ledger)
    assert [a.elapsed_ms for a in attempts] == [60_000] * 3
    polls = ledger.connection.execute("SELECT ok, current, rows FROM source_poll").fetchall()
    assert polls == [(1, 0, 1)] * 6, "a window of long ago says nothing of now"


def test_a_failed_slice_is_reported_and_the_rest_goes_in(settings: Settings, ledger: Ledger) -> None:
    second = "2026-09-22T00:00:00"
    result = ask(settings, ledger, Sacct({second: SourceError("slurmdbd is away")}))
    assert (result.rows, result.failed) == (2, ["slurmdbd is away"])
    assert len(tables(ledger)[0]) == 2
    (failure,) = ledger.connection.execute("SELECT witness, detail FROM source_poll WHERE ok = 0").fetchall()
    assert failure == ("sacct", "slurmdbd is away")


def test_a_refused_slice_is_halved(settings: Settings, ledger: Ledger) -> None:
    class Narrow(Sacct):
        def __call__(self, words: list[str]) -> str:
            reply = super().__call__(words)
            low, high = (datetime.fromisoformat(text) for text in self.windows[-1])
            if (high - low).total_seconds() > 6 * 3600:
                raise TooLarge("too large")
            return reply

    result = ask(settings, ledger, Narrow(), days=1)
    assert (result.rows, result.failed) == (4, [])


def test_a_missing_sacct_is_told_at_once(settings: Settings, ledger: Ledger) -> None:
    refuse: dict[str, Exception] = {"2026-09-21T00:00:00": SourceError("`sacct` was not found; install")}
    with pytest.raises(SourceError, match="not found"):
        ask(settings, ledger, Sacct(refuse))


def test_a_cluster_that_sacct_does_not_know_is_no_silence(settings: Settings, ledger: Ledger) -> None:
    """For an unknown cluster sacct prints its header and exits 0 (22.05 and 24.11)."""

    def header_only(words: list[str]) -> str:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        return given["--delimiter"].join(given["--format"].split(",")) + "\n"

    result = backfill.from_sacct(settings, ledger, START, START + DAY, lambda *_: None, header_only)
    assert (result.rows, result.failed) == (0, [])
    (warning,) = result.warnings
    assert settings.cluster in warning and "sacctmgr show cluster" in warning
