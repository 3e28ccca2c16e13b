"""The work of a GPU node's daemon, a step at a time: capture into the journal, which the uplink sends from.

Only this thread writes the journal, and it never waits for the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from slurm_gpucost.ledger import journal_room
from slurm_gpucost.ledger.journal import Journal, acknowledged
from slurm_gpucost.services.background import Background
from slurm_gpucost.services.capture import Capture
from slurm_gpucost.services.sampler import Sampler
from slurm_gpucost.services.trouble import Trouble, told
from slurm_gpucost.services.uplink import Collector, Uplink
from slurm_gpucost.settings.node import NodeSettings

KEEP_MS = 60_000
"""How often what the collector has is noted in the journal, and room made."""
PRUNE_MS = 3_600_000
DAY_MS = 86_400_000
MIB = 1024 * 1024


class NodeEngine:
    """Holds the journal open; ``clock`` gives ms UTC."""

    def __init__(
        self,
        settings: NodeSettings,
        journal: Journal,
        clock: Callable[[], int],
        sampler: Sampler | None,
        collector: Collector,
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.clock = clock
        self.trouble = Trouble()
        self.background = Background(lambda name, error: self.trouble.say(name, told(error)))
        self.capture = Capture(settings, journal, clock, sampler, self.background, self.trouble)
        self.uplink = Uplink(collector, settings.journal, settings.cluster, settings.name, clock, self.said)
        self._asked = False
        self._changes = 0
        self._dropped = journal_room.dropped_windows(journal.connection)
        self._keep_at_ms = 0
        self._prune_at_ms = 0

    def start(self) -> None:
        """Begin to read the driver and to send."""
        self.capture.start()
        self.uplink.start()

    def step(self) -> bool:
        """One round. Trouble is said once and tried again. Whether the next can wait until something comes."""
        works = (
            ("spool", self._intake),
            ("replies", self._replies),
            ("driver", self.capture.measure),
            ("pausing", self.capture.pause.step),
            ("journal", self._keep),
        )
        done = [self.trouble.attempt(name, work) for name, work in works]
        self.trouble.say("uplink", self.uplink.state)
        if (changes := self.journal.connection.total_changes) != self._changes:
            self._changes = changes
            self.uplink.wake()
        return all(done) and self._asked and self.background.idle and self.capture.idle

    def close(self) -> None:
        """Take in what is there, and what the driver has measured; what is not sent yet is sent at the next start."""
        self.step()
        self.trouble.attempt("driver", self.capture.close)
        self.uplink.stop()
        self._keep_at_ms = 0
        self.trouble.attempt("journal", self._keep)

    def said(self) -> dict[str, Any]:
        """What the node says of itself in each batch. Any thread may ask."""
        waiting = 0
        with suppress(OSError), os.scandir(self.settings.spool) as entries:
            waiting = sum(not entry.name.startswith(".") for entry in entries)
        size = 0
        with suppress(OSError):
            size = self.settings.journal.stat().st_size
        sampler = self.capture.sampler
        return {
            "driver": sampler.state if sampler is not None else "not read",
            "spool": waiting,
            "journal_bytes": size,
            "dropped_windows": self._dropped,
            "paused": self.capture.pause.paused,
        }

    def _intake(self) -> None:
        others = {event.node for event in self.capture.intake()} - {self.settings.name}
        if others:
            self.trouble.say(
                "hooks",
                f"they name node {', '.join(sorted(others))}, and [node] name is {self.settings.name}: "
                "the collector takes facts of that node alone",
            )

    def _replies(self) -> None:
        for take in self.background.answers():
            take()
        if not self._asked and (self.capture.sampler is None or self.capture.slots.devices):
            self._asked = True  # what is in the slots is known before the first job, and with the devices' names
            self.capture.slots.heard_of(self.settings.name)

    def _keep(self) -> None:
        """Note what the collector has; let go of what is old, or too much. A clock that steps makes it sooner."""
        if (back := self.uplink.went_back) and back == self.journal.id:
            self.journal.renew()
            self.uplink.went_back = ""
        now = self.clock()
        if now < self._keep_at_ms <= now + KEEP_MS:
            return
        held = self.uplink.held
        if held is not None and held[0] == self.journal.id and held[1] != acknowledged(self.journal.connection):
            self.journal.acknowledge(held[1])
        if not now < self._prune_at_ms <= now + PRUNE_MS:
            before = now - self.settings.keep_days * DAY_MS
            if journal_room.prune(self.journal, before) < journal_room.CHUNK:
                self._prune_at_ms = now + PRUNE_MS
        if dropped := journal_room.shrink(self.journal, self.settings.journal_max_mib * MIB):
            self._dropped += dropped
            self.trouble.say("journal bound", f"{self.settings.journal_max_mib} MiB are full: windows go unsent")
        self._keep_at_ms = now + KEEP_MS
