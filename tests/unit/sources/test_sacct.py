"""Asking sacct: slices, halves, and the command line that is printed for a shell."""

from __future__ import annotations

import itertools
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.errors import SourceError, TooLarge, TooSlow
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import backfill
from slurm_gpucost.sources import command, sacct
from tests.unit.builders import config, fake_sacct, script, tables

MINUTE = 60_000
HOUR = 60 * MINUTE


def option(words: list[str], name: str) -> str:
    (found,) = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return found


class Sacct:
    """Refuses what is longer than ``most_ms``; remembers the windows that it answered."""

    def __init__(self, most_ms: int) -> None:
        self.most_ms, self.calls = most_ms, 0
        self.answered: list[tuple[int, int]] = []

    def __call__(self, words: list[str]) -> str:
        self.calls += 1
        low, high = (epoch(option(words, name)) for name in ("starttime", "endtime"))
        if high - low > self.most_ms:
            raise TooLarge("too large")
        self.answered.append((low, high))
        return option(words, "delimiter")


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@given(st.integers(1, 300), st.integers(1, 50))
def test_halves_cover_the_window_without_a_gap(minutes: int, most: int) -> None:
    run = Sacct(most * MINUTE)
    replies = list(sacct.fetch(run, "sacct", "c", 0, minutes * MINUTE))
    assert run.answered[0][0] == 0 and run.answered[-1][1] == minutes * MINUTE
    assert all(a[1] == b[0] for a, b in zip(run.answered, run.answered[1:], strict=False))
    assert [(r.start_ms, r.end_ms) for r in replies] == run.answered
    assert [r.text for r in replies] == [r.separator for r in replies]
    assert len({r.separator for r in replies}) == len(replies), "a separator was used twice"


def test_it_gives_up_at_a_minute() -> None:
    run = Sacct(0)
    with pytest.raises(TooLarge):
        list(sacct.fetch(run, "sacct", "c", 0, HOUR))
    assert run.calls < 10


def test_another_failure_is_not_halved() -> None:
    calls = []

    def run(words: list[str]) -> str:
        calls.append(words)
        raise SourceError("slurmdbd is away")

    with pytest.raises(SourceError, match="away"):
        list(sacct.fetch(run, "sacct", "c", 0, HOUR))
    assert len(calls) == 1


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_slices(start: int, length: int, most: int) -> None:
    pieces = list(sacct.slices(start, start + length, max(most, length // 50 + 1)))
    assert pieces[0][0] == start and pieces[-1][1] == start + length
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    assert all(0 < high - low <= max(most, length // 50 + 1) for low, high in pieces)


def test_requeued_attempts_and_all_users_are_asked_for_in_utc() -> None:
    words = sacct.arguments("/opt/sacct", "c", 1_790_000_000_000, 1_790_000_060_000, "SEP")
    assert words[0] == "/opt/sacct"
    assert {"--duplicates", "--allusers", "--allocations", "--parsable2", "--noconvert", "--clusters=c"} <= set(words)
    # Without it, who puts their running job on hold is not listed (tests/cluster shows it).
    assert "--state=RUNNING,SUSPENDED,PENDING" in words
    assert option(words, "starttime") == "2026-09-21T14:13:20"
    fields = option(words, "format").split(",")
    assert fields.index("JobName") < len(fields) - 1 and fields[-1] == "NNodes"
    assert "Restarts" not in fields  # 22.05 has none


def test_the_printed_command_writes_a_file_that_is_read_back(tmp_path: Path) -> None:
    fake_sacct(tmp_path / "sacct")
    line = sacct.shell_command("sacct", "c", 1_790_000_000_000, 1_790_086_400_000)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_TIME_FORMAT": "no"}
    out = tmp_path / "saved file.txt"
    subprocess.run(["sh", "-c", f'{line} > "$0"', str(out)], env=env, check=True)
    header = out.read_text().splitlines()[0]
    assert "\x1f" in header and "JobName" not in header and "WCKey" not in header
    settings = config(tmp_path)
    with open_ledger(settings.ledger) as ledger, out.open() as stream:
        made = backfill.from_file(settings, ledger, stream, "f", settings.timezone, 1, lambda *_: None)
        assert (made.rows, made.broken, made.warnings) == (1, [], [])
        (attempt,), (lease,) = tables(ledger)
    assert (attempt.job_id, attempt.elapsed_ms, lease.units) == (7, 10_000, 2)


def test_a_quoted_path_survives_the_shell(tmp_path: Path) -> None:
    (tmp_path / "with space").mkdir()
    path = script(tmp_path / "with space" / "sacct", 'printf "%s\\n" "$@"')
    out = subprocess.run(["sh", "-c", sacct.shell_command(path, "my;c", 0, 1000)], capture_output=True, text=True)
    assert "--clusters=my;c" in out.stdout and "--delimiter=\x1f" in out.stdout


def test_who_hangs_is_not_asked_for_ever_smaller_slices() -> None:
    asked: list[list[str]] = []

    def hangs(words: list[str]) -> str:
        asked.append(words)
        raise TooSlow("no answer")

    with pytest.raises(TooSlow):
        list(sacct.fetch(hangs, "sacct", "c", 0, 24 * 3_600_000))
    assert len(asked) == 6  # 24 h, 12, 6, 3, 1.5 and 0.75


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("echo no slurmdbd >&2; exit 1", SourceError, "exit 1.*no slurmdbd"),
        ("echo sacct: error: Query result too large >&2; exit 1", TooLarge, "too large"),
        ("echo Too wide of a date range in query >&2; exit 1", TooLarge, "Too wide"),
        ("exit 2", SourceError, "said nothing"),
        ("exec sleep 60", TooSlow, "no answer within 0.2 s"),
    ],
)
def test_failures_keep_what_was_said(tmp_path: Path, body: str, kind: type[SourceError], words: str) -> None:
    path = script(tmp_path / "sacct", body)
    with pytest.raises(SourceError, match=words) as caught:
        command.run([path, "-X"], 0.2 if "sleep" in body else 20)
    assert type(caught.value) is kind
    assert f"{path} -X" in str(caught.value)


def test_a_missing_or_forbidden_command(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"was not found; install"):
        command.run([str(tmp_path / "sacct")], 1)
    (tmp_path / "sacct").write_text("")
    with pytest.raises(SourceError, match="may not be run"):
        command.run([str(tmp_path / "sacct")], 1)


def test_undecodable_output_is_no_crash(tmp_path: Path) -> None:
    assert command.run([script(tmp_path / "x", "printf 'a\\377b'")], 10) == "a\ufffdb"
