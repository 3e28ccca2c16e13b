"""How the hooks are made: twins, clean, installable alone, and asking no command but the two that they name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shell.hook import HOOKS, REPOSITORY, VARIABLES, Hook, find, unable

BENCHMARK = REPOSITORY / "benchmarks" / "hook"


def code(name: str) -> list[str]:
    return [line for line in HOOKS[name].read_text().splitlines() if not line.startswith("#")]


def test_the_two_are_the_same_text_but_for_their_name() -> None:
    other = [line.replace("hook=prolog", "hook=epilog") for line in code("prolog")]
    assert other == code("epilog")
    assert code("prolog") != code("epilog")


@pytest.mark.parametrize("name", HOOKS)
def test_it_is_an_executable_posix_script(name: str) -> None:
    assert os.access(HOOKS[name], os.X_OK)
    assert HOOKS[name].read_bytes().startswith(b"#!/bin/sh\n")


@pytest.mark.parametrize("name", HOOKS)
def test_shellcheck_finds_nothing(name: str) -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    program = str(beside) if beside.exists() else shutil.which("shellcheck")
    if program is None:
        unable("no shellcheck here")
    done = subprocess.run([program, "--norc", "--shell=sh", str(HOOKS[name])], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", HOOKS)
def test_no_command_is_called_by_its_path(name: str) -> None:
    """So that the next test sees every command."""
    text = "\n".join(line for line in code(name) if not line.startswith("PATH="))
    assert re.findall(r"/bin/|/sbin/|command -p|\benv\b|\beval\b|[^>]&(?![&1])", text) == []


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every command of this machine, each noting that it was called before it does its work."""
    folder = tmp_path_factory.mktemp("tools")
    stub = folder / "stub"
    stub.write_text(
        f"#!{find(['dash'])[0]}\n"
        f"PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        f'printf "%s\\n" "${{0##*/}}" >>{folder}/called\n'
        f'exec "${{0##*/}}" "$@"\n'
    )
    stub.chmod(0o755)
    (folder / "bin").mkdir()
    for directory in ("/bin", "/sbin", "/usr/bin", "/usr/sbin"):
        for command in Path(directory).iterdir():
            link = folder / "bin" / command.name
            if not link.is_symlink():
                link.symlink_to(stub)
    return folder


@pytest.mark.parametrize("name", HOOKS)
def test_it_asks_mv_and_where_the_spool_is_missing_mkdir(
    name: str, shell: list[str], tmp_path: Path, tools: Path
) -> None:
    hook = Hook(name, shell, tmp_path, {"PATH=/usr/bin:/bin": f"PATH={tools}/bin"})
    called = tools / "called"
    for expected in (["mkdir", "mv"], ["mv"]):
        called.write_text("")
        hook.run()
        assert called.read_text().split() == expected
    assert len(hook.events()) == 2


@pytest.mark.parametrize("name", HOOKS)
def test_each_can_be_installed_alone(name: str, tmp_path: Path) -> None:
    """One file, no other of ours beside it."""
    hook = Hook(name, [], tmp_path)
    hook.run()
    hook.only_event()


def test_the_document_names_every_field_in_its_order() -> None:
    text = (REPOSITORY / "docs" / "event-file.md").read_text()
    table = re.findall(r"^\| `(\w+)=?` \|", text, re.MULTILINE)
    listed = text.partition("The variables:")[2].partition("\n\n")[0]
    assert table == ["1", "HOOK", "NODE", "BOOT_ID", "UPTIME", "PID", "END"]
    assert re.findall(r"`(\w+)`", listed) == list(VARIABLES)


def test_the_benchmark_runs_and_compares_all_four() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--runs", "3"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[:16].strip(): line[16:].split() for line in done.stdout.splitlines()[2:]}
    assert list(rows) == ["/bin/true", "gpucost-prolog", "gpucost-epilog", "python3 -c pass"]
    for p50, p99, _, _ in rows.values():
        assert 0 < float(p50) <= float(p99)
    assert rows["python3 -c pass"][2] == rows["/bin/true"][3] == "1.00"
