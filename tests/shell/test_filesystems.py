"""Full, read-only and missing file systems, real ones in a mount namespace of the test's own."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.cluster.rootfs import mountable
from tests.shell.hook import JOB, Hook, find, unable

SCRIPT = """
set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
eval "$PREPARE"
cd /
code=0
env -i "$@" >"$SAVED/printed" 2>&1 || code=$?
printf %s "$code" >"$SAVED/code"
cp -R "$SPOOL/." "$SAVED/after"
"""


def run_with(hook: Hook, prepare: str, **job: str) -> None:
    """Run the hook after ``prepare`` (shell text) in a mount namespace; ``after`` is then a copy of the spool."""
    after = hook.folder / "after"
    after.mkdir()
    namespace = [*mountable(), *find(["unshare"]), "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*namespace, "mount", "-t", "tmpfs", "none", str(after)], capture_output=True).returncode:
        unable("no mount namespaces here (not root?): full and read-only spools of the hooks")
    settings = [f"{name}={value}" for name, value in ({k: v.decode() for k, v in JOB.items()} | job).items()]
    environment = {"PREPARE": prepare, "SPOOL": str(hook.spool), "SAVED": str(hook.folder)}
    command = [*namespace, "sh", "-c", SCRIPT, "sh", *settings, *hook.command]
    done = subprocess.run(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert (hook.folder / "code").read_text() == "0"
    assert (hook.folder / "printed").read_bytes() == b""
    hook.spool = after


def test_a_read_only_spool(hook: Hook) -> None:
    run_with(hook, 'mount -t tmpfs -o ro none "$SPOOL"')
    assert list(hook.spool.iterdir()) == []


def test_a_spool_that_is_missing_on_a_read_only_file_system(hook: Hook) -> None:
    hook.setting.write_text(f"{hook.spool}/missing/spool\n")
    run_with(hook, 'mount -t tmpfs -o ro none "$SPOOL"')
    assert list(hook.spool.iterdir()) == []


@pytest.mark.parametrize("free", [0, 1, 2, 16])
def test_a_full_spool(hook: Hook, free: int) -> None:
    """No page, or fewer than the event needs: what stays behind has no final name."""
    prepare = f'mount -t tmpfs -o size=256k none "$SPOOL"; head -c {(64 - free) * 4096} /dev/zero >"$SPOOL/other"'
    run_with(hook, prepare, SLURM_JOB_ACCOUNT="a" * 100_000)
    assert [path.name for path in hook.spool.iterdir() if not path.name.startswith(".tmp.")] == ["other"]
    assert all(path.stat().st_size <= free * 4096 for path in hook.temporaries())


def test_a_spool_with_just_enough_room(hook: Hook) -> None:
    """The check of the check above: the same event fits where there is a little more."""
    run_with(hook, 'mount -t tmpfs -o size=256k none "$SPOOL"', SLURM_JOB_ACCOUNT="a" * 100_000)
    assert b"SLURM_JOB_ACCOUNT=" + b"a" * 100_000 in hook.only_event()


def test_a_spool_without_free_inodes(hook: Hook) -> None:
    run_with(hook, 'mount -t tmpfs -o nr_inodes=1 none "$SPOOL"')
    assert list(hook.spool.iterdir()) == []


def test_without_proc_the_event_says_that_it_does_not_know(hook: Hook) -> None:
    run_with(hook, "mount -t tmpfs none /proc")
    found = hook.only_event()
    assert found[2] == b"NODE=n1"
    assert found[3:5] == [b"BOOT_ID=", b"UPTIME="]
    assert re.fullmatch(rb"PID=\d+", found[5])
