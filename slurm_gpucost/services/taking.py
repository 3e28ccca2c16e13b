"""Takes in what a host of GPUs says: hooks, slots, driver. Into the ledger or a journal, and nothing else does.

Each function is one durable transaction, safe to repeat; projection follows in transactions of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from slurm_gpucost.domain.evidence import DeviceReport, HookEvent, SlotReport
from slurm_gpucost.domain.occupancy import DeviceProcess, MigInstance
from slurm_gpucost.domain.windows import Window
from slurm_gpucost.ledger import ingest, measured, reports
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.sources.spool import MOST_EVENT_BYTES, BadEvent, SpoolFile, to_event


class OfCluster(Protocol):
    """A config, as far as it is needed here."""

    @property
    def cluster(self) -> str:
        """The cluster's name."""


def take_events(ledger: Ledger, settings: OfCluster, files: Iterable[SpoolFile], now_ms: int) -> list[HookEvent]:
    """Event files, durably; the caller discards them afterwards. What cannot be read is set aside, its first MiB."""
    events: list[HookEvent] = []
    with ledger.transaction() as db:
        for file in files:
            try:
                events.append(to_event(file.content, file.at_ms, settings.cluster))
            except BadEvent as error:
                ingest.set_aside(
                    db, "hook", _name(file.path), None, str(error), file.content[:MOST_EVENT_BYTES], now_ms
                )
        ingest.add_hooks(db, events)
    return events


def _name(path: Path) -> str:
    """As text that a database takes: a name can hold any bytes."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def take_inventory(ledger: Ledger, devices: Iterable[DeviceReport], slots: Iterable[SlotReport]) -> None:
    """What the driver and the nodes say of devices and of the GRES indexes that they are."""
    with ledger.transaction() as db:
        reports.add_devices(db, devices)
        reports.add_slots(db, slots)


def take_measured(
    ledger: Ledger,
    windows: Iterable[Window],
    layouts: Iterable[MigInstance] = (),
    processes: Iterable[DeviceProcess] = (),
) -> None:
    """What the driver measured, and what it lists on its devices."""
    with ledger.transaction() as db:
        measured.add_windows(db, windows)
        measured.add_layouts(db, layouts)
        measured.add_processes(db, processes)
