"""Waits until something comes to directories, so that a daemon need not look every second: each waking costs a node.

inotify(7), over ctypes. It is a hint and no more: where there is none, or it breaks, the caller just looks often.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
import threading
from pathlib import Path
from typing import Self

IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x80, 0x100, 0x200
_IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")
"""Watch, mask, cookie, and the length of the name that follows."""
_ENOUGH = 64 * 1024


class Watch:
    """``with Watch({spool: IN_MOVED_TO, ...}) as watch``; the masks are of inotify's."""

    def __init__(self, masks: dict[Path, int]) -> None:
        self._masks = masks
        self._inotify = -1
        self._poll = select.poll()
        self._watched: dict[Path, tuple[int, tuple[int, int]]] = {}
        """The watch of each directory, and which directory (device, inode) that was."""
        self._signals: tuple[int, ...] = ()
        """A pipe to which each signal writes, for one must end a wait."""

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, AttributeError):
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._inotify = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._inotify >= 0:
            self._poll.register(self._inotify, select.POLLIN)
        if threading.current_thread() is threading.main_thread():  # signals are told to no other
            self._signals = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._poll.register(self._signals[0], select.POLLIN)
            signal.set_wakeup_fd(self._signals[1], warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._signals:
            signal.set_wakeup_fd(-1)
        for fd in self._signals:
            os.close(fd)
        if self._inotify >= 0:
            os.close(self._inotify)

    def wait(self, stop: threading.Event, least: float, most: float) -> None:
        """Return when ``stop`` is set, or after ``least`` seconds once something came, at the latest after ``most``.

        After ``least`` where a directory cannot be watched now.
        """
        if stop.wait(least) or most <= least or not self._watches():
            return
        for fd, _ in self._poll.poll((most - least) * 1000):
            said = os.read(fd, _ENOUGH)
            if fd == self._inotify:
                self._heard(said)

    def _heard(self, events: bytes) -> None:
        """What the kernel watches no more has to be watched anew."""
        at = 0
        while at < len(events):
            number, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if mask & _IN_IGNORED:
                self._watched = {path: held for path, held in self._watched.items() if held[0] != number}

    def _watches(self) -> bool:
        """Whether all directories are watched; one that another has replaced is watched anew."""
        if self._inotify < 0:
            return False
        for path, mask in self._masks.items():
            try:
                status = path.stat()
            except OSError:
                return False
            which = (status.st_dev, status.st_ino)
            number, before = self._watched.get(path, (-1, (-1, -1)))
            if before == which:
                continue
            if number >= 0:
                self._libc.inotify_rm_watch(self._inotify, number)
            number = self._libc.inotify_add_watch(self._inotify, os.fsencode(path), mask)
            if number < 0:
                self._watched.pop(path, None)
                return False
            self._watched[path] = (number, which)
            return False  # what came before this: look once more
        return True
