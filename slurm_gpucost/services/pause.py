"""Pausing: ``touch pause`` beside the spool's directory makes the daemon let go of the driver.

The file ``paused`` beside it says that it has, and since when. It reads again when somebody removes ``pause``, or after
a time: then it removes both. The directory is root's; all the same no link is followed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.services.trouble import Trouble

PATIENCE_MS = 5_000
"""So long the driver may take to be let go of before that is said."""
log = logging.getLogger("gpucostd")


class Pause:
    """Call :meth:`step` every second while it is ``under_way``, else when the files may have changed.

    ``clock`` gives ms UTC; ``store`` keeps what was measured before.
    """

    def __init__(
        self,
        folder: Path,
        minutes: int,
        clock: Callable[[], int],
        sampler: Sampler | None,
        store: Callable[[], None],
        trouble: Trouble,
    ) -> None:
        self.wish = folder / "pause"
        self.answer = folder / "paused"
        self._longest_ms = minutes * 60_000
        self._clock = clock
        self._sampler = sampler
        self._store = store
        self._trouble = trouble
        self._since: int | None = None
        """When the wish was first seen; None: there is none."""
        self._said = False
        with contextlib.suppress(OSError):  # of a daemon that is no more
            self.answer.unlink()

    @property
    def paused(self) -> bool:
        """Whether the driver has been let go of on somebody's wish."""
        return self._since is not None and self._said

    @property
    def under_way(self) -> bool:
        """Whether somebody waits for the driver to be let go of."""
        return self._since is not None and not self._said

    def step(self) -> None:
        """Let go, say so, or go on, as the files want it. Raises OSError where they cannot be made or removed."""
        now = self._clock()
        wished = self._wished_at_ms(now)
        if wished is None:
            self._resume("")
            return
        if self._since is None:
            self._since = now
        if now - min(wished, self._since) >= self._longest_ms:
            self.wish.unlink(missing_ok=True)
            self._resume(f" by itself, for {self.wish} was {self._longest_ms // 60_000} minutes old")
            return
        if self._sampler is not None and not self._sampler.held:
            self._sampler.hold()
            if now - self._since >= PATIENCE_MS:
                state = self._sampler.state
                why = "a call of it has not come back" if state == "ok" else state
                self._trouble.say("pause", f"the driver is not let go of yet: {why}")
            return
        self._acknowledge()

    def close(self) -> None:
        """The daemon ends: what it says of itself is no longer so."""
        self.answer.unlink(missing_ok=True)

    def _wished_at_ms(self, now: int) -> int | None:
        """When the wish was uttered; None: there is none, or something else is in its place."""
        try:
            status = os.lstat(self.wish)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            self._trouble.say("pause", f"{self.wish} is no plain file, and is not heeded; remove it")
            return None
        return status.st_mtime_ns // 1_000_000

    def _acknowledge(self) -> None:
        if self._said:
            return
        self._trouble.attempt("driver", self._store)
        self.answer.unlink(missing_ok=True)
        fd = os.open(self.answer, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ\n", time.gmtime(self._clock() / 1000)))
        self._said = True
        self._trouble.say("pause", "")
        log.info("paused: the driver has been let go of, as %s asks", self.wish)

    def _resume(self, why: str) -> None:
        if self._since is None:
            return
        self.answer.unlink(missing_ok=True)
        if self._sampler is not None:
            self._sampler.resume()
        self._since, self._said = None, False
        log.info("the driver is read again%s", why)
