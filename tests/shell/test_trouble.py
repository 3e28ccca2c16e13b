"""Whatever happens to it, a hook exits 0, says nothing, and leaves no partial file under a final name."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.shell.hook import HOOKS, JOB, SHELLS, Hook, find, unable, words

# The spool


def test_a_missing_spool_is_made_for_root_alone(hook: Hook) -> None:
    hook.spool.rmdir()
    hook.setting.write_text(f"{hook.folder}/run/gpucost/spool\n")
    hook.run()
    made = hook.folder / "run" / "gpucost" / "spool"
    hook.only_event(made)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made, made.parent)] == [0o700, 0o700]


@pytest.mark.parametrize("kind", ["file", "link", "dangling link", "below a file"])
def test_a_spool_that_is_no_directory_is_left_alone(hook: Hook, kind: str) -> None:
    hook.spool.rmdir()
    target = hook.folder / "target"
    if kind == "file":
        hook.spool.write_text("mine")
    elif kind == "link":
        target.mkdir()
        hook.spool.symlink_to(target)
    elif kind == "dangling link":
        hook.spool.symlink_to(target)
    else:
        target.write_text("mine")
        hook.setting.write_text(f"{target}/spool\n")
    before = sorted(hook.folder.rglob("*"))
    hook.run()
    assert sorted(hook.folder.rglob("*")) == before
    assert kind != "file" or hook.spool.read_text() == "mine"


def test_a_name_that_is_taken_is_not_written_through(prolog: Hook) -> None:
    """A link planted under the temporary name would have root write elsewhere."""
    target = prolog.folder / "target"
    target.write_text("mine")
    fake = Hook("prolog", prolog.shell, prolog.folder / "cwd", {"name=$hook.$job.$uptime.$$": "name=known"})
    fake.spool.mkdir()
    (fake.spool / ".tmp.known").symlink_to(target)
    fake.run()
    assert target.read_text() == "mine"
    assert fake.events() == []


# Another spool


@pytest.mark.parametrize(
    "text",
    ["{}/other\n", "{}/other", "{}/other/\n", "  {}/other  \n", "{}/other\n{}/second\n"],
    ids=["line", "no newline", "trailing slash", "spaces around", "first line only"],
)
def test_a_file_names_another_spool(hook: Hook, text: str) -> None:
    hook.setting.write_text(text.replace("{}", str(hook.folder)))
    hook.run()
    hook.only_event(hook.folder / "other")
    assert hook.events() == [] and not (hook.folder / "second").exists()


def test_another_spool_may_have_any_name(hook: Hook) -> None:
    other = hook.folder / "a  b$(touch x)`touch x`'\"*\\n"
    hook.setting.write_text(f"{other}\n")
    hook.run()
    hook.only_event(other)


@pytest.mark.parametrize("text", ["", "\n", "spool\n", "$(touch x)\n", "/\n", "\0\n"])
def test_a_setting_that_names_no_absolute_path_changes_nothing(prolog: Hook, text: str) -> None:
    prolog.setting.write_text(text)
    prolog.run()
    prolog.only_event()


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link", "binary"])
def test_a_setting_that_is_no_text_file_neither_hangs_nor_stops_the_hook(prolog: Hook, kind: str) -> None:
    if kind == "directory":
        prolog.setting.mkdir()
    elif kind == "fifo":
        os.mkfifo(prolog.setting)
    elif kind == "binary":
        prolog.setting.write_bytes(b"\xff\0\x7fELF" * 500)
    else:
        prolog.setting.symlink_to("nowhere")
    prolog.run()
    prolog.only_event()


# The way it is called


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_files(hook: Hook, closed: str) -> None:
    hook.run(JOB, [*find(["dash"]), "-c", f'exec "$0" "$@" {closed}', *hook.command])
    hook.only_event()


@pytest.mark.parametrize("option", ["-e", "-u", "-eu", "-f", "-C"])
def test_options_of_the_shell_that_calls_it(hook: Hook, option: str) -> None:
    command = [*hook.shell, option, str(hook.path)]
    hook.run({}, command)
    hook.only_event()
    for path in hook.spool.iterdir():
        path.unlink()
    hook.spool.rmdir()
    hook.spool.write_text("in the way")
    hook.run({}, command)


def test_a_working_directory_that_is_gone(hook: Hook) -> None:
    gone = hook.folder / "gone"
    gone.mkdir()
    process = hook.start(JOB, [*find(["dash"]), "-c", f'cd {gone} && rmdir {gone} && exec "$0" "$@"', *hook.command])
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, b"")
    assert err.count(b"\n") <= 1, "no more than what the shell itself says at its start"
    hook.only_event()


def test_two_hundred_at_once_leave_two_hundred_events(shell: list[str], tmp_path: Path) -> None:
    hooks = []
    for name in HOOKS:
        (tmp_path / name).mkdir()
        hooks.append(Hook(name, shell, tmp_path / name))
        hooks[-1].setting.write_text(f"{tmp_path}/spool\n")  # missing at first: they race to make it
    running = [hooks[number % 2].start({"SLURM_JOB_ID": b"%d" % number}) for number in range(200)]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, b"", b"")
    events = hooks[0].events(tmp_path / "spool")
    assert len(events) == len(list((tmp_path / "spool").iterdir())) == 200
    assert {word for path in events for word in words(path) if word.startswith(b"SLURM_JOB_ID=")} == {
        b"SLURM_JOB_ID=%d" % number for number in range(200)
    }


# What it needs is missing


def with_path(name: str, shell: Sequence[str], folder: Path, path: Path) -> Hook:
    hook = Hook(name, shell, folder, {"PATH=/usr/bin:/bin": f"PATH={path}"})
    hook.spool.mkdir()
    return hook


@pytest.mark.parametrize("name", HOOKS)
def test_without_mv_the_file_keeps_its_temporary_name(name: str, shell: list[str], tmp_path: Path) -> None:
    hook = with_path(name, shell, tmp_path, tmp_path / "none")
    hook.run()
    if shell[-1] == "sh" and hook.events():
        unable("this busybox has mv built in")
    assert hook.events() == []
    assert len(hook.temporaries()) == 1


@pytest.mark.parametrize("name", ["dash", "busybox"])  # bash tries again for 15 s, and then the same
def test_a_node_without_a_process_to_spare(name: str) -> None:
    """Shells end themselves where they cannot fork."""
    with tempfile.TemporaryDirectory() as folder:
        hook = Hook("epilog", find(SHELLS[name]), Path(folder))
        hook.spool.mkdir()
        for path in (hook.spool, hook.folder):
            path.chmod(0o777)
        process = subprocess.Popen(
            hook.command,
            env=JOB,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            user=None if os.geteuid() else 65534,  # root has no such limit
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NPROC, (1, 1)),
        )
        assert process.communicate(timeout=30) == (b"", b"")
        assert process.returncode == 0
        assert (hook.events(), len(hook.temporaries())) == ([], 1)


def test_a_file_that_could_not_be_written_whole_keeps_its_temporary_name(hook: Hook) -> None:
    """A limit on the file's size: the write fails in the middle, with a signal besides."""
    env = JOB | {"SLURM_JOB_ACCOUNT": b"a" * 100_000}
    for largest in (0, 1, 4096, 65536, 100_000):
        hook.run(env, largest=largest)
    assert hook.events() == []
    assert len(hook.temporaries()) == 5
    hook.run(env, largest=110_000)
    assert len(hook.events()) == 1


# Signals


def signalling(hook: Hook, number: signal.Signals) -> Hook:
    """A hook whose mv signals the whole process group first, as slurmd does."""
    tools = hook.folder / "tools"
    tools.mkdir()
    mv = tools / "mv"
    mv.write_text(f'#!{find(["dash"])[0]}\nkill -{number.value} 0\nPATH=/usr/bin:/bin exec mv "$@"\n')
    mv.chmod(0o755)
    return with_path(hook.name, hook.shell, hook.cwd, tools)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGPIPE"])
def test_a_signal_in_the_middle_does_not_lose_the_event(hook: Hook, name: str) -> None:
    interrupted = signalling(hook, signal.Signals[name])
    interrupted.run()
    interrupted.only_event()


def test_killed_in_the_middle_there_is_no_event_but_its_temporary_name(hook: Hook) -> None:
    interrupted = signalling(hook, signal.SIGKILL)
    process = interrupted.start(JOB)
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == -signal.SIGKILL
    assert interrupted.events() == []
    (left,) = interrupted.temporaries()
    assert left.name.startswith(f".tmp.{hook.name}.42.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_at_whatever_moment_it_is_killed_there_is_no_partial_event(hook: Hook, number: signal.Signals) -> None:
    env = JOB | {"SLURM_JOB_ACCOUNT": b"a" * 100_000}
    for step in range(40):
        process = hook.start(env)
        time.sleep(step * 0.0001)
        os.killpg(process.pid, number)
        assert process.communicate(timeout=30) == (b"", b"")
        # A signal before the hook's first line ends the shell itself.
        assert process.returncode in (0, -number)
        killed = process.returncode != 0
        here = [path for path in hook.events() if path.name.endswith(f".{process.pid}")]
        assert len(here) == 1 if not killed else len(here) <= 1
