"""What a hook writes: every field exactly, whatever the values are."""

from __future__ import annotations

import os
import random
import socket
import time
from pathlib import Path

import pytest

from tests.shell.hook import JOB, VARIABLES, Hook

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HOSTILE = {
    "empty": b"",
    "spaces": b"  a   b\tc ",
    "quotes": b"'\"'\"'",
    "newlines": b"\n\na\nEND\n",
    "backslashes": b"\\0 \\n \\\\ \\x41 \\c\\",
    "expansion": b"$(touch x) `touch x` ${HOME} $SLURM_JOB_ID $((1+1)) ~",
    "commands": b"'; touch x; \"; touch x; } ) & touch x | touch x > x\ntouch x\n",
    "formats": b"%s %n %0$s %b\\",
    "options": b"-n",
    "globs": b"* ? [a-z] /etc/*",
    "paths": b"../../../../tmp/x",
    "invalid UTF-8": b"\xff\xfe\x80\xc3(\xed\xa0\x80",
    "every byte": bytes(range(1, 256)),
    "equals": b"=END=SLURM_JOB_ID=7",
}


def uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


def expected(hook: Hook, pid: int, node: bytes, text: bytes, env: dict[str, bytes]) -> list[bytes]:
    boot = BOOT_ID.read_bytes().strip()
    head = [b"HOOK=" + hook.name.encode(), b"NODE=" + node, b"BOOT_ID=" + boot, b"UPTIME=" + text, b"PID=%d" % pid]
    return [b"1", *head, *(name.encode() + b"=" + env[name] for name in VARIABLES if name in env), b"END"]


def uptime_in(words: list[bytes]) -> bytes:
    (found,) = (word for word in words if word.startswith(b"UPTIME="))
    return found.removeprefix(b"UPTIME=")


def test_an_event_holds_every_field_in_its_order_and_no_free_text(hook: Hook) -> None:
    env = {name: f"value of {name}".encode() for name in VARIABLES} | {"SLURM_JOB_ID": b"4242"}
    free = dict.fromkeys(("SLURM_JOB_COMMENT", "SLURM_JOB_STDOUT", "SLURM_JOB_WORK_DIR", "HOME"), b"the user's")
    mixed = [*env.items(), *free.items(), ("SLURM_CONF", b"/etc/slurm/slurm.conf")]
    random.Random(1).shuffle(mixed)
    earliest, low = time.time(), uptime()
    pid = hook.run(dict(mixed))
    (path,) = hook.spool.iterdir()
    found = hook.only_event()
    text = uptime_in(found)
    assert found == expected(hook, pid, b"value of SLURMD_NODENAME", text, env)
    assert low <= float(text) <= uptime()
    assert path.name == f"{hook.name}.4242.{text.decode()}.{pid}"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert earliest - 0.02 <= path.stat().st_mtime <= time.time()


def test_it_works_as_the_executable_that_slurmd_starts(hook: Hook) -> None:
    pid = hook.run(JOB, command=[str(hook.path)])
    found = hook.only_event()
    assert found == expected(hook, pid, b"n1", uptime_in(found), JOB)


def test_variables_that_are_not_set_are_left_out(hook: Hook) -> None:
    pid = hook.run({})
    found = hook.only_event()
    assert found == expected(hook, pid, socket.gethostname().encode(), uptime_in(found), {})
    (path,) = hook.spool.iterdir()
    assert path.name.startswith(f"{hook.name}.0.")


def test_a_variable_that_is_set_but_empty_is_kept(prolog: Hook) -> None:
    prolog.run({"SLURM_JOB_ID": b"7", "SLURM_JOB_GPUS": b""})
    assert b"SLURM_JOB_GPUS=" in prolog.only_event()


@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
def test_a_value_is_never_parsed(hook: Hook, value: bytes) -> None:
    env = dict.fromkeys(VARIABLES, value)
    pid = hook.run(env)
    found = hook.only_event()
    assert found == expected(hook, pid, value or socket.gethostname().encode(), uptime_in(found), env)
    (path,) = hook.spool.iterdir()
    assert path.name == f"{hook.name}.0.{uptime_in(found).decode()}.{pid}"


def test_the_names_that_the_hook_uses_itself_mean_nothing_in_the_environment(prolog: Hook) -> None:
    names = ("hook", "spool", "spool_file", "line", "boot", "uptime", "node", "job", "name", "IFS", "ENV", "PATH")
    env = JOB | dict.fromkeys(names, b"/nowhere/x")
    pid = prolog.run(env)
    found = prolog.only_event()
    assert found == expected(prolog, pid, b"n1", uptime_in(found), JOB)


def test_values_of_100_kb(prolog: Hook) -> None:
    """Above a pipe's and a shell's buffer, just below the 128 KiB that the kernel allows."""
    env = JOB | {"SLURM_JOB_ACCOUNT": os.urandom(100_000).replace(b"\0", b"x"), "SLURM_NODELIST": b"n" * 130_000}
    pid = prolog.run(env)
    found = prolog.only_event()
    assert found == expected(prolog, pid, b"n1", uptime_in(found), env)


@pytest.mark.parametrize(
    ("job", "part"),
    [
        (b"1", "1"),
        (b"4294967295", "4294967295"),
        (b"123456789012345678", "123456789012345678"),
        (b"1234567890123456789", "0"),
        (b"12a", "0"),
        (b"-1", "0"),
        (b"1_2", "0"),
        (b"1\n", "0"),
        ("\u0661".encode(), "0"),
        (b"../1", "0"),
    ],
)
def test_the_file_name_has_the_job_id_only_when_it_is_one(prolog: Hook, job: bytes, part: str) -> None:
    prolog.run({"SLURM_JOB_ID": job})
    (path,) = prolog.events()
    assert path.name.split(".")[1] == part
    assert b"SLURM_JOB_ID=" + job in prolog.only_event()


def test_the_same_job_again_is_another_event(hook: Hook) -> None:
    """A requeued job, or an epilog that slurmd runs twice."""
    for _ in range(3):
        hook.run()
    assert len({path.read_bytes() for path in hook.events()}) == 3
