from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
BROKEN = "77|77|bob|bio|main|COMPLETED|when?|2026-10-06T10:00:05|2026-10-06T12:00:05|7200|n9|gres/gpu=1\n"


def test_a_saved_file_goes_in_once(made: Run, tmp_path: Path, saved: str) -> None:
    (tmp_path / "s.txt").write_text(saved)
    first = made("backfill", "--from-file", "s.txt")
    assert (first.exit_code, first.stdout) == (0, "3 rows read, 3 of them new; 3 jobs projected\n")
    assert first.stderr == "", "no progress bar where stderr is no terminal"
    again = json.loads(made("backfill", "--from-file", "s.txt", "--json").stdout)
    assert again == {"rows": 3, "new": 0, "jobs": 0, "broken": [], "failed": [], "warnings": []}


def test_a_broken_row_is_told_by_line_and_the_rest_goes_in(made: Run, saved: str) -> None:
    result = made("backfill", "--from-file", "-", input=saved + BROKEN)
    assert result.exit_code == 1
    assert "gpucost: stdin: line 5: " in result.stderr
    assert result.stdout == "3 rows read, 3 of them new; 3 jobs projected, 1 set aside\n"
    told = made("backfill", "--from-file", "-", "--json", input=saved + BROKEN)
    assert told.exit_code == 1
    assert [row["line"] for row in json.loads(told.stdout)["broken"]] == [5]


def test_many_broken_rows_are_counted(made: Run, saved: str) -> None:
    result = made("backfill", "--from-file", "-", input=saved + BROKEN * 50)
    assert result.stderr.count("stdin: line ") == 20
    assert "stdin: and 30 more broken rows" in result.stderr


def test_bytes_that_are_no_text_and_other_line_ends_spoil_no_file(made: Run, tmp_path: Path, saved: str) -> None:
    content = (
        saved.encode().replace(b"alice", b"al\xffice").replace(b"bio", b"b\x0bi\xe2\x80\xa8o").replace(b"\n", b"\r\n")
    )
    (tmp_path / "s.txt").write_bytes(content)
    result = made("backfill", "--from-file", "s.txt")
    assert (result.exit_code, result.stdout) == (0, "3 rows read, 3 of them new; 3 jobs projected\n")
    shown = made("jobs", "-a", "-S", "1001", "-P", "-n", "-o", "user,account").stdout
    assert "al\\xffice|physics\n" in shown
    assert "bob|b\\x0bi\\u2028o\n" in shown


def test_the_files_zone_and_when_it_was_seen(made: Run, saved: str) -> None:
    result = made(
        "backfill", "--from-file", "-", "--timezone", "Asia/Kolkata", "--observed-at", "2026-11-02", input=saved
    )
    assert result.exit_code == 0
    rows = json.loads(made("jobs", "-a", "-S", "1001", "--json").stdout)
    assert rows[0]["start"] == 1791174605, "10:00:05 in Kolkata"
    seen = json.loads(made("status", "--json").stdout)["witnesses"][0]["last_seen"]
    assert seen == 1793574000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "-S: say from when on"),
        (["-S", "now", "-E", "now-1day"], "the start is not before the end"),
        (["-S", "soon"], "-S 'soon': is no time"),
        (["-S", "now-1day", "-E", "later"], "-E 'later'"),
        (["--from-file", "s.txt", "-S", "now-1day"], "a file is read whole"),
        (["--from-file", "none.txt"], "--from-file none.txt: cannot be read (No such file or directory)"),
        (["--from-file", "/dev/null", "--timezone", "Mars"], "--timezone: 'Mars' is no time zone"),
        (["--from-file", "/dev/null", "--observed-at", "soon"], "--observed-at 'soon'"),
    ],
)
def test_what_is_refused_makes_no_ledger(made: Run, tmp_path: Path, words: list[str], said: str) -> None:
    result = made("backfill", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_an_empty_file_and_one_with_no_header(made: Run) -> None:
    empty = made("backfill", "--from-file", "-", input="")
    assert empty.exit_code == 1 and "its first line must be sacct's header" in empty.stderr
    other = made("backfill", "--from-file", "-", input="hello world\nx\n")
    assert other.exit_code == 1 and other.stderr.startswith("gpucost: stdin: line 1: ")


def test_the_printed_command_writes_what_from_file_reads(
    made: Run, sacct: Callable[[str], None], tmp_path: Path
) -> None:
    sacct(
        "for word; do case $word in\n"
        "--format=*) columns=${word#--format=};; --delimiter=*) d=${word#--delimiter=};; esac; done\n"
        'echo "$columns" | tr , "$d"\n'
        '[ "$SLURM_TIME_FORMAT" = %s ] || exit 3\n'
        'for c in $(echo "$columns" | tr , " "); do case $c in\n'
        "JobID|JobIDRaw) v=5;; Submit|Eligible|Start) v=1791187200;; End) v=1791190800;; ElapsedRaw) v=3600;;\n"
        "State) v=COMPLETED;; User) v=carol;; Account) v=bio;; AllocTRES) v=gres/gpu=1,gres/gpu:a100=1;;\n"
        'Suspended) v=00:00:00;; NNodes) v=1;; *) v=x;; esac; line="${line:+$line$d}$v"; done; echo "$line"'
    )
    printed = made("backfill", "-S", "2026-10-01", "-E", "2026-11-01", "--print-command")
    assert printed.exit_code == 0 and printed.stdout.count("\n") == 1
    assert "--starttime=2026-09-30T22:00:00" in printed.stdout, "midnight in Berlin, for a command that runs in UTC"
    done = subprocess.run(["sh", "-c", printed.stdout], capture_output=True, text=True, check=True, env={**os.environ})
    assert "\x1f" in done.stdout
    result = made("backfill", "--from-file", "-", input=done.stdout)
    assert (result.exit_code, result.stdout) == (0, "1 rows read, 1 of them new; 1 jobs projected\n"), result.stderr


def test_sacct_missing_or_failing(made: Run, sacct: Callable[[str], None], tmp_path: Path) -> None:
    sacct('echo "slurmdbd: Connection refused" >&2; exit 1')
    result = made("backfill", "-S", "now-2days")
    assert result.exit_code == 1
    assert result.stderr.count("slurmdbd: Connection refused") == 2
    assert "2 slices missing: run it again" in result.stdout
    (tmp_path / "sacct").unlink()
    gone = made("backfill", "-S", "now-2days")
    assert gone.exit_code == 1
    assert "was not found; install Slurm's client commands here" in gone.stderr


def test_a_bar_on_a_terminal_and_nothing_of_it_on_stdout(made: Run, tmp_path: Path, saved: str) -> None:
    (tmp_path / "s.txt").write_text(saved)
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "slurm_gpucost.cli", "backfill", "--from-file", "s.txt"],
        stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=60, check=False, cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, "3 rows read, 3 of them new; 3 jobs projected\n")
    assert "reading" in shown and "100%" in shown
