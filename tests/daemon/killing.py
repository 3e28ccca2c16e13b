"""kill -9 at a system call: a process at work on a copy of a site, traced by strace, killed at the Nth call of a name.

The signal is delivered when the call is entered, so the call itself is not carried out. What each call of a whole run
is, and in which stage of the work, is recorded first; a point is a name and how often it was called before.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from slurm_gpucost.ledger.projector import rebuild
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services import collect
from slurm_gpucost.settings import Settings
from tests.daemon.intake_process import NODE
from tests.daemon.site import REPOSITORY, unable
from tests.unit.builders import T0, accounting, config

JOBS = (11, 12, 13, 14)
STAGES = ("start", "intake", "projection")
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_MEMORY = frozenset({"brk", "madvise", "mmap", "mremap", "munmap"})
_PROJECTED = {"attempt": "cluster, job_id, submit_ms", "lease": "cluster, job_id, submit_ms, n"}


class Point(NamedTuple):
    """The ``nth`` call (from 1) of ``name`` in a run."""

    name: str
    nth: int
    stage: str


class Event(NamedTuple):
    """What the ledger must hold of an event file."""

    job_id: int
    hook: str
    at_ms: int


@dataclass
class Scene:
    """What a run starts from, copied for each: ``events`` in the spool, one of them twice, and a file that is none."""

    settings: Settings
    events: list[Event]

    @property
    def top(self) -> Path:
        return self.settings.path.parent

    def copy(self, to: Path) -> tuple[Path, Path]:
        """(ledger, spool) of a copy with the same times of modification."""
        shutil.copytree(self.settings.spool, to / "spool")
        for file in self.top.glob("ledger.db*"):
            shutil.copy2(file, to / file.name)
        return to / "ledger.db", to / "spool"


def scene(top: Path, *, ledger: bool = True) -> Scene:
    """Prolog and epilog of some jobs, one of them copied, a broken file; ``ledger``: one that knows the jobs' rows."""
    settings = config(top)
    if ledger:
        with open_ledger(settings.ledger) as opened:
            rows = [accounting(start=n, end=n + 30, job_id=job) for n, job in enumerate(JOBS)]
            assert list(collect.take_rows(opened, rows)) == [(len(rows), len(rows))]
            collect.project(opened, settings)
    settings.spool.mkdir()
    events = []
    for n, job in enumerate(JOBS):
        for hook, after in (("prolog", 200), ("epilog", 30_300)):
            event = Event(job, hook, T0 + n * 1000 + after)
            fields = [f"HOOK={hook}", f"NODE={NODE}", "SLURM_CLUSTER_NAME=c", f"SLURM_JOB_ID={job}"]
            words = ["1", *fields, "SLURM_JOB_GPUS=0,1", f"PID={job}", "END", ""]
            _put(settings.spool / f"{hook}.{job}", "\0".join(words), event.at_ms)
            events.append(event)
    copied = settings.spool / f"copy.of.{JOBS[0]}"
    shutil.copyfile(settings.spool / f"prolog.{JOBS[0]}", copied)
    os.utime(copied, ns=((T0 + 60_000) * 1_000_000,) * 2)
    _put(settings.spool / "prolog.cut.short", "1\0HOOK=prolog\0SLURM_JOB_ID=9", T0)
    return Scene(settings, events)


def _put(path: Path, content: str, at_ms: int) -> None:
    path.write_bytes(content.encode())
    os.utime(path, ns=(at_ms * 1_000_000,) * 2)


class Killer:
    """Runs of a scene, whole or killed at a point."""

    def __init__(self, scene: Scene, scratch: Path, process: subprocess.Popen[str]) -> None:
        self.scene = scene
        self.scratch = scratch
        self.process = process
        self.count = 0
        self.missed = 0

    def points(self) -> list[Point]:
        """Every system call of a whole run, in order; the intake's are from the first that names the spool on."""
        log = self.scratch / "log"
        ledger, spool = self._fresh()
        assert self._run(ledger, spool, ["-o", str(log)]) == 0
        found: list[Point] = []
        seen: Counter[str] = Counter()
        first, last = 0, 0
        for match in map(_CALL.match, log.read_text().splitlines()):
            if match is None:
                continue
            name, rest = match.groups()
            seen[name] += 1
            found.append(Point(name, seen[name], ""))
            if f'"{spool}' in rest:
                first = first or len(found)
                last = len(found) if name.startswith("unlink") else last
        assert 0 < first < last, log.read_text()
        stages = ["start"] * (first - 1) + ["intake"] * (last - first + 1) + ["projection"] * (len(found) - last)
        return [point._replace(stage=stage) for point, stage in zip(found, stages, strict=True)]

    def whole(self) -> dict[str, list[tuple[Any, ...]]]:
        """The projection of a run that nobody kills."""
        ledger, spool = self._fresh()
        assert self._run(ledger, spool, None) == 0
        return projected(ledger)

    def kill(self, point: Point, expected: dict[str, list[tuple[Any, ...]]]) -> int:
        """Kill a run at the point, start it again, and look; the number of events lost. Raises AssertionError.

        A call for memory may not come in every run; then nothing is killed, and the run is looked at all the same.
        """
        ledger, spool = self._fresh()
        inject = f"inject={point.name}:signal=KILL:when={point.nth}"
        status = self._run(ledger, spool, ["-o", "/dev/null", "-e", f"trace={point.name}", "-e", inject])
        self.missed += status == 0 and point.name in _MEMORY
        assert status == -signal.SIGKILL or point.name in _MEMORY, f"{point}: not killed, ended with {status}"
        left = len(list(spool.iterdir()))
        assert self._run(ledger, spool, None) == 0, f"{point}: did not start again"
        lost = check(self.scene, ledger, spool, expected, f"{point}, {left} files left at the kill")
        shutil.rmtree(ledger.parent)
        return lost

    def _fresh(self) -> tuple[Path, Path]:
        self.count += 1
        folder = self.scratch / str(self.count)
        folder.mkdir()
        return self.scene.copy(folder)

    def _run(self, ledger: Path, spool: Path, strace: list[str] | None) -> int:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{ledger}\t{spool}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        while Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.0005)
        tracer = None
        if strace is not None:
            command = ["strace", "-f", *strace, "-p", str(child)]
            tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            assert tracer.stderr
            said = tracer.stderr.readline()
            assert "attached" in said, said
        os.kill(child, signal.SIGCONT)
        status = int(self.process.stdout.readline())
        if tracer is not None:
            tracer.communicate(timeout=30)
        return status


@contextmanager
def killer(scene: Scene, scratch: Path) -> Iterator[Killer]:
    """A killer of runs of this scene. Skips, loudly, where strace cannot trace."""
    if why := cannot_trace():
        unable(f"kill -9 at system calls: {why}")
    scratch.mkdir()
    command = [sys.executable, "-m", "tests.daemon.intake_process", str(scene.settings.path)]
    env = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Killer(scene, scratch, process)
    finally:
        process.communicate(timeout=30)
    assert process.returncode == 0


def cannot_trace() -> str:
    """Why strace cannot be used here; '' where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"strace cannot trace: {done.stderr.strip()}"


def spread(points: Iterable[Point], count: int) -> list[Point]:
    """So many of the points, the same each time: of every name alike, and evenly from its first to its last."""
    names: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        names[point.name].append(point)
    orders = [[group[i] for i in _halving(len(group))] for group in names.values()]
    chosen = [point for rank in zip_longest(*orders) for point in rank if point is not None]
    return chosen[:count]


def _halving(length: int) -> list[int]:
    """0 to length - 1: the ends, the middle, the middles of what is between, and so on."""
    order = list(dict.fromkeys([0, length - 1]))
    step = length
    while len(order) < length:
        step = max(1, step // 2)
        order += [i for i in range(0, length, step) if i not in order]
    return order


def events_of(ledger: Path) -> list[Event]:
    with closing(sqlite3.connect(ledger)) as db:
        return sorted(Event(*row) for row in db.execute("SELECT job_id, hook, at_ms FROM hook_event"))


def projected(ledger: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        return {t: db.execute(f"SELECT * FROM {t} ORDER BY {key}").fetchall() for t, key in _PROJECTED.items()}


def check(scene: Scene, ledger: Path, spool: Path, expected: dict[str, list[tuple[Any, ...]]], told: str) -> int:
    """Every event once, the spool empty, the file sound, the projection as of a run that nobody killed."""
    held = Counter(events_of(ledger))
    lost = set(scene.events) - set(held)
    assert not lost, f"{told}: lost {lost}"
    assert held == Counter(scene.events), f"{told}: {held}"
    assert list(spool.iterdir()) == [], told
    assert projected(ledger) == expected, told
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], told
        assert db.execute("SELECT source FROM set_aside").fetchall() == [("prolog.cut.short",)], told
        assert db.execute("SELECT count(*) FROM dirty_job").fetchone() == (0,), told
    with open_ledger(ledger) as opened:
        rebuild(opened, scene.settings.shards)
    assert projected(ledger) == expected, f"{told}: a rebuild gives other rows"
    return len(lost)
