"""The command tree: what starts it, how it fails, how fast it is."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from slurm_gpucost import __version__
from slurm_gpucost.cli.run import guarded
from slurm_gpucost.domain.errors import ConfigError, GpucostError, UsageError

Run = Callable[..., Result]
COMMANDS = [
    ["init"], ["config", "check"], ["status"], ["backfill"], ["rebuild"], ["jobs"], ["report"], ["invoice"],
    ["rates", "explain"], ["demo"], ["backup"], ["restore"],
]  # fmt: skip


def python(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(gpucost: Run, words: list[str]) -> None:
    for letter in ("-h", "--help"):
        result = gpucost(*words, letter)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: gpucost {' '.join(words)} ")


@pytest.mark.parametrize("words", [w for w in COMMANDS if w not in (["init"], ["demo"])], ids=" ".join)
def test_config_ledger_and_json_are_everywhere(gpucost: Run, words: list[str]) -> None:
    shown = gpucost(*words, "--help").stdout
    for option in ("--config", "--ledger", "--json"):
        assert f"  {option} " in shown


def test_help_takes_less_than_a_third_of_a_second_of_processor_time() -> None:
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = python("-m", "slurm_gpucost.cli", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0 and "invoice" in done.stdout
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(spent) < 0.3


@pytest.mark.parametrize("words", [["--help"], ["jobs", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['gpucost', *{words!r}]\n"
        "from slurm_gpucost.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *[m for m in ('rich', 'sqlite3', 'sqlite_utils', 'pynvml',"
        " 'slurm_gpucost.settings', 'slurm_gpucost.services') if m in sys.modules])\n"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1].strip() == "LOADED", done.stdout + done.stderr


def test_version(gpucost: Run) -> None:
    assert gpucost("--version").stdout == f"gpucost {__version__}\n"


def test_no_command_and_unknown_ones_are_usage_errors(gpucost: Run) -> None:
    assert gpucost().exit_code == 2
    assert gpucost("invoic").exit_code == 2
    assert gpucost("jobs", "--nope").exit_code == 2
    assert gpucost("invoice").exit_code == 2, "--month is needed"


def test_the_shells_can_complete_it() -> None:
    done = python(
        "-m", "slurm_gpucost.cli",
        env={**os.environ, "_GPUCOST_COMPLETE": "complete_bash", "COMP_WORDS": "gpucost inv", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert done.stdout.split() == ["invoice"]


@pytest.mark.parametrize("words", [["status"], ["config", "check"], ["invoice", "--month", "2026-10"]], ids=" ".join)
def test_a_missing_config_is_said_with_what_to_do(gpucost: Run, words: list[str]) -> None:
    result = gpucost("--config", "none.toml", *words)
    assert result.exit_code == 2
    assert result.stderr == "gpucost: none.toml: there is no config; `gpucost init --config none.toml` writes one\n"
    assert result.stdout == ""


@pytest.mark.parametrize("words", [["status"], ["jobs"], ["rebuild"], ["invoice", "--month", "2026-10"]], ids=" ".join)
def test_a_missing_ledger_is_said_and_not_made(made: Run, tmp_path: Path, words: list[str]) -> None:
    result = made(*words)
    assert result.exit_code == 1
    assert "there is no ledger; `gpucost backfill` or `gpucostd run` makes it" in result.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_the_nearest_word_on_config_and_ledger_counts(
    site: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ledger_of(*words: str) -> str:
        return str(json.loads(site(*words, "--json").stdout)["ledger"])

    for name in ("before.db", "after.db", "environment.db"):
        (tmp_path / name).write_bytes((tmp_path / "ledger.db").read_bytes())
    assert ledger_of("status").endswith("/ledger.db")
    monkeypatch.setenv("GPUCOST_LEDGER", "environment.db")
    assert ledger_of("status") == "environment.db"
    assert ledger_of("--ledger", "before.db", "status") == "before.db"
    assert ledger_of("--ledger", "before.db", "status", "--ledger", "after.db") == "after.db"
    (tmp_path / "gpucost.toml").rename(tmp_path / "moved.toml")
    assert site("status").exit_code == 2
    assert site("--config", "moved.toml", "status").exit_code == 0
    assert site("--config", "nowhere.toml", "status", "--config", "moved.toml").exit_code == 0


def broken(error: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        guarded(command)()
    captured = capsys.readouterr()
    assert captured.out == ""
    return caught.value.exit_code, captured.err


def test_how_errors_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert broken(GpucostError("no"), capsys) == (1, "gpucost: no\n")
    assert broken(UsageError("-S: no"), capsys) == (2, "gpucost: -S: no\n")
    assert broken(ConfigError("f: a: x", "f: b: y"), capsys) == (2, "gpucost: f: a: x\ngpucost: f: b: y\n")
    assert broken(GpucostError("sacct said:\nslurmdbd \x1b[2Jdown"), capsys) == (
        1,
        "gpucost: sacct said:\n         slurmdbd \\x1b[2Jdown\n",
    )
    assert broken(PermissionError(13, "Permission denied", "/x"), capsys) == (1, "gpucost: /x: Permission denied\n")


def test_a_fault_of_ours_is_one_line_with_how_to_see_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = broken(KeyError("x"), capsys)
    assert code == 1
    assert said == "gpucost: internal error: KeyError: 'x' (with GPUCOST_TRACEBACK=1 it shows where)\n"
    monkeypatch.setenv("GPUCOST_TRACEBACK", "1")

    def command() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        guarded(command)()


def test_a_reader_that_leaves_is_no_error_message(site: Run, tmp_path: Path) -> None:
    program = f"{sys.executable} -m slurm_gpucost.cli"
    for command in ("jobs -a -S 2026-10-01 --json", "invoice --month 2026-10"):
        # The reader has gone before the first byte comes.
        done = subprocess.run(
            ["bash", "-c", f"{program} {command} | exec 0<&-; echo ${{PIPESTATUS[0]}}"],
            capture_output=True, text=True, timeout=60, check=True, env={**os.environ}, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr == ""
        assert done.stdout in ("0\n", "1\n")


def test_a_locale_without_the_letters_does_not_end_a_report(site: Run, tmp_path: Path) -> None:
    header = "JobIDRaw|User|Account|State|Submit|Start|End|ElapsedRaw|AllocTRES"
    row = "99|möbius|größe|COMPLETED|1791187200|1791187205|1791194405|7200|gres/gpu=1,gres/gpu:a100=1"
    assert site("backfill", "--from-file", "-", input=f"{header}\n{row}\n").exit_code == 0
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "GPUCOST_CONFIG": str(tmp_path / "gpucost.toml")}
    done = python("-m", "slurm_gpucost.cli", "invoice", "--month", "2026-10", "-A", "größe", env=env)
    assert done.returncode == 0, done.stderr
    assert "m\\xf6bius" in done.stdout
