"""A wait ends when something comes, at a signal, and in time where nothing can be watched."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm_gpucost.sources.watch import IN_CREATE, IN_DELETE, IN_MOVED_TO, Watch

LEAST, MOST = 0.05, 20.0


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    made = tmp_path / "run/spool"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def watch(spool: Path) -> Iterator[Watch]:
    with Watch({spool: IN_MOVED_TO, spool.parent: IN_CREATE | IN_DELETE}) as made:
        for _ in range(2):  # each directory's watch begins, and what came before it is looked for
            assert took(made) < 5
        yield made


def took(watch: Watch, then: Callable[[], object] | None = None, most: float = MOST) -> float:
    """The seconds of a wait, in the midst of which something happens."""
    timer = threading.Timer(0.3, then) if then else None
    if timer:
        timer.start()
    began = time.monotonic()
    watch.wait(threading.Event(), LEAST, most)
    if timer:
        timer.join()
    return time.monotonic() - began


def arrive(spool: Path, name: str) -> None:
    """As hooks write."""
    (spool / f".tmp.{name}").write_text("x")
    (spool / f".tmp.{name}").rename(spool / name)


def test_an_event_ends_the_wait(watch: Watch, spool: Path) -> None:
    assert 0.2 < took(watch, lambda: arrive(spool, "a")) < 10
    assert took(watch, most=0.5) > 0.4, "it was heard once"
    arrive(spool, "b")
    assert took(watch) < 10, "what came between waits is not missed"


def test_a_wish_beside_the_spool_does_too(watch: Watch, spool: Path) -> None:
    assert 0.2 < took(watch, (spool.parent / "pause").touch) < 10
    assert 0.2 < took(watch, (spool.parent / "pause").unlink) < 10


def test_files_that_hooks_have_not_finished_do_not(watch: Watch, spool: Path) -> None:
    assert took(watch, lambda: (spool / ".tmp.a").write_text("x"), most=1.0) > 0.9


def test_a_signal_ends_the_wait(watch: Watch) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        assert 0.2 < took(watch, lambda: os.kill(os.getpid(), signal.SIGUSR1)) < 10
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_spool_that_is_made_anew_is_watched(watch: Watch, spool: Path) -> None:
    shutil.rmtree(spool)
    assert took(watch) < 10, "its end is heard"
    assert took(watch) < 10, "while it is gone, look often"
    spool.mkdir()
    for _ in range(2):
        assert took(watch) < 10
    assert took(watch, most=0.5) > 0.4
    assert 0.2 < took(watch, lambda: arrive(spool, "a")) < 10


def test_without_inotify_it_looks_often(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("no such thing")

    monkeypatch.setattr("ctypes.CDLL", none)
    with Watch({spool: IN_MOVED_TO}) as watch:
        assert took(watch) < 10
        assert took(watch) < 10


def test_stop_ends_it_at_once(watch: Watch) -> None:
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    watch.wait(stop, MOST, MOST)
    assert time.monotonic() - began < 5


def test_its_descriptors_are_closed(spool: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(3):
        with Watch({spool: IN_MOVED_TO}) as watch:
            took(watch)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
