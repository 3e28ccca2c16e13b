"""Runs the daemon inside the cluster, for record.py, and writes down all that it is told: CONFIG FILE."""

from __future__ import annotations

import gzip
import json
import re
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from slurm_gpucost import daemon
from slurm_gpucost.services import collect, recording, taking
from slurm_gpucost.settings import load
from slurm_gpucost.sources import slurmd
from slurm_gpucost.sources.nvml import NvmlGpus
from slurm_gpucost.sources.sacct import Slice
from slurm_gpucost.sources.scontrol import Asked
from slurm_gpucost.sources.spool import SpoolFile


class Tap:
    """Writes items; what a witness repeats without a change is written once in ten times."""

    def __init__(self, path: str) -> None:
        self.file = gzip.open(path, "wt", encoding="utf-8")  # noqa: SIM115  # closed when the daemon ends
        self.lock = threading.Lock()
        self.last: dict[str, tuple[str, int]] = {}

    def write(self, item: dict[str, Any]) -> None:
        with self.lock:
            self.file.write(json.dumps(item, separators=(",", ":")) + "\n")

    def write_change(self, item: dict[str, Any], said: str) -> None:
        before, times = self.last.get(item["kind"], ("", 0))
        self.last[item["kind"]] = (said, times + 1)
        if said != before or times % 10 == 0:
            self.write(item)


def main() -> None:
    settings = load(Path(sys.argv[1]))
    tap = Tap(sys.argv[2])
    take_events, take_accounting, take_controller = (
        taking.take_events,
        collect.take_accounting,
        collect.take_controller,
    )
    take_nodes, take_node_events = collect.take_nodes, collect.take_node_events
    ask_gres, list_devices, read_device = slurmd.ask_gres, NvmlGpus.devices, NvmlGpus.read

    def events(ledger: Any, settings: Any, files: Iterable[SpoolFile], now_ms: int) -> Any:
        kept = list(files)
        for file in kept:
            tap.write(recording.event(file))
        return take_events(ledger, settings, kept, now_ms)

    def accounting(ledger: Any, settings: Any, reply: Slice, at_ms: int, *, current: bool, **more: Any) -> Any:
        said = reply.text.replace(reply.separator, "|")
        tap.write_change(recording.accounting(reply, at_ms, current), said)
        return take_accounting(ledger, settings, reply, at_ms, current=current, **more)

    def controller(ledger: Any, settings: Any, asked: Asked, at_ms: int) -> Any:
        said = "\n".join(line for line in asked.jobs.splitlines() if "RunTime=" not in line and "LastSched" not in line)
        tap.write_change({"kind": "scontrol", "at_ms": at_ms, **asked._asdict()}, said)
        return take_controller(ledger, settings, asked, at_ms)

    def nodes(ledger: Any, settings: Any, text: str, at_ms: int) -> Any:
        said = re.sub(r" (CPULoad|FreeMem|LastBusyTime|BootTime|SlurmdStartTime)=\S+", "", text)
        tap.write_change({"kind": "nodes", "at_ms": at_ms, "text": text}, said)
        return take_nodes(ledger, settings, text, at_ms)

    def node_events(ledger: Any, settings: Any, events: str, reservations: str, window: Any, at_ms: int) -> Any:
        item = {"kind": "node events", "at_ms": at_ms, "start_ms": window[0], "end_ms": window[1]}
        tap.write_change({**item, "events": events, "reservations": reservations}, events + reservations)
        return take_node_events(ledger, settings, events, reservations, window, at_ms)

    def gres(command: str, node: str, slurm_conf: Path | None = None) -> str:
        text = ask_gres(command, node, slurm_conf)
        tap.write({"kind": "gres", "at_ms": daemon.now_ms(), "node": node, "text": text})
        return text

    def devices(self: NvmlGpus, now_ms: int) -> Any:
        reports = list_devices(self, now_ms)
        tap.write_change(recording.devices(reports, now_ms), repr([report.digest for report in reports]))
        return reports

    def reading(self: NvmlGpus, device: str, clock: Any) -> Any:
        made = read_device(self, device, clock)
        tap.write(recording.reading(made))
        return made

    for module, name, tapped in (
        (taking, "take_events", events),
        (collect, "take_accounting", accounting),
        (collect, "take_controller", controller),
        (collect, "take_nodes", nodes),
        (collect, "take_node_events", node_events),
        (slurmd, "ask_gres", gres),
    ):
        setattr(module, name, tapped)
    NvmlGpus.devices, NvmlGpus.read = devices, reading  # type: ignore[method-assign]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    daemon.run(settings, settings.ledger, stop)
    tap.file.close()


if __name__ == "__main__":
    main()
