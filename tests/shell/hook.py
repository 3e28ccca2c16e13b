"""Runs a hook as slurmd would, against a spool of the test's own, and reads what it wrote by its own small decoder."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HOOKS = {name: REPOSITORY / name / f"gpucost-{name}" for name in ("prolog", "epilog")}
SHELLS: dict[str, tuple[str, ...]] = {
    "dash": ("dash",),
    "bash": ("bash",),
    "bash-posix": ("bash", "--posix"),
    "busybox": ("busybox", "sh"),
}
REPLACED = {"/run/gpucost/spool": "spool", "/etc/gpucost/spool": "setting"}
VARIABLES = (
    *("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_UID", "SLURM_UID", "SLURM_JOB_GID", "SLURM_JOB_USER"),
    *("SLURM_JOB_ACCOUNT", "SLURM_JOB_PARTITION", "SLURM_JOB_QOS", "SLURM_JOB_NUM_NODES", "SLURM_JOB_CPUS_PER_NODE"),
    *("SLURM_NODELIST", "SLURM_JOB_NODELIST", "SLURM_JOB_RESTART_COUNT", "SLURM_SCRIPT_CONTEXT", "SLURM_CLUSTER_NAME"),
    *("SLURMD_NODENAME", "SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"),
    *("ZE_AFFINITY_MASK", "SLURM_HET_JOB_ID", "SLURM_JOB_START_TIME", "SLURM_JOB_END_TIME", "SLURM_JOB_OVERSUBSCRIBE"),
    *("SLURM_JOB_EXCLUSIVE", "SLURM_JOB_SLUID", "SLURM_JOB_EXIT_CODE", "SLURM_JOB_EXIT_CODE2", "SLURM_JOB_DERIVED_EC"),
)
"""What an event holds of the environment, in the order of the file."""
JOB = {"SLURM_JOB_ID": b"42", "SLURM_JOB_USER": b"alice", "SLURM_JOB_GPUS": b"0,1", "SLURMD_NODENAME": b"n1"}


class Hook:
    """A copy of one hook with its two absolute paths pointed into ``folder``, and the shell that runs it."""

    def __init__(self, name: str, shell: Sequence[str], folder: Path, changes: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.shell = tuple(shell)
        self.folder = folder
        self.spool = folder / "spool"
        self.setting = folder / "setting"
        self.cwd = folder / "cwd"
        self.cwd.mkdir()
        text = HOOKS[name].read_text()
        for old, new in {path: str(folder / here) for path, here in REPLACED.items()}.items():
            assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {HOOKS[name]}"
            text = text.replace(old, new)
        for old, new in (changes or {}).items():
            assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {HOOKS[name]}"
            text = text.replace(old, new)
        self.path = folder / f"gpucost-{name}"
        self.path.write_text(text)
        self.path.chmod(0o755)

    @property
    def command(self) -> list[str]:
        """The command line: the shell by its full path, and the hook."""
        return [*self.shell, str(self.path)]

    def start(
        self, env: Mapping[str, bytes], command: Sequence[str] | None = None, largest: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Begin it as slurmd does: this environment and nothing else, no input, a process group of its own."""
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (largest, largest)) if largest is not None else None
        return subprocess.Popen(
            command or self.command,
            env=dict(env),
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=limit,
        )

    def run(
        self, env: Mapping[str, bytes] = JOB, command: Sequence[str] | None = None, largest: int | None = None
    ) -> int:
        """Run it to its end, holding it to what is always promised: exit 0, silent, nothing left. Its pid.

        ``largest``: the most bytes that it may write into a file.
        """
        process = self.start(env, command, largest)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, b"", b"")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
        assert list(self.cwd.iterdir()) == []
        return process.pid

    def events(self, spool: Path | None = None) -> list[Path]:
        """The files under their final names; each is whole."""
        found = sorted(p for p in (spool or self.spool).iterdir() if not p.name.startswith(".tmp."))
        for path in found:
            words(path)
        return found

    def temporaries(self) -> list[Path]:
        """The files still under their temporary names."""
        return sorted(p for p in self.spool.iterdir() if p.name.startswith(".tmp."))

    def only_event(self, spool: Path | None = None) -> list[bytes]:
        """The words of the only file in the spool."""
        (path,) = (spool or self.spool).iterdir()
        return words(path)


def words(path: Path) -> list[bytes]:
    """The words of an event file, which has to be whole."""
    content = path.read_bytes()
    assert content.startswith(b"1\0") and content.endswith(b"\0END\0"), content[-200:]
    return content.split(b"\0")[:-1]


def unable(reason: str) -> NoReturn:
    """Skips, loudly; where nothing may be skipped, fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(f"NOT TESTED: {reason}")


def find(command: Sequence[str]) -> list[str]:
    """The command with its program's full path, for a run without PATH."""
    path = shutil.which(command[0])
    if path is None:
        unable(f"no {command[0]} here; the hooks have to work under it")
    return [path, *command[1:]]
