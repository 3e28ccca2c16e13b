"""A recording of what witnesses said to a daemon, to be played again through the same code.

One JSON object a line, gzipped: ``at_ms`` and ``kind``, then what :func:`play` needs of that kind. The first line
(``about``) says where it was made, and what of it was simulated.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from slurm_gpucost.domain.evidence import DeviceReport
from slurm_gpucost.domain.readings import Glance, Reading
from slurm_gpucost.domain.windows import Windower
from slurm_gpucost.ledger.store import Ledger
from slurm_gpucost.services import collect, taking
from slurm_gpucost.settings import Settings
from slurm_gpucost.sources import scontrol, slurmd_gres
from slurm_gpucost.sources.sacct import Slice
from slurm_gpucost.sources.spool import SpoolFile

Item = dict[str, Any]


def read(file: IO[bytes]) -> Iterator[Item]:
    """The items of a recording, in order."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def event(file: SpoolFile) -> Item:
    """An event file as an item."""
    content = base64.b64encode(file.content).decode()
    return {"kind": "event", "at_ms": file.at_ms, "name": file.path.name, "content": content}


def accounting(reply: Slice, at_ms: int, current: bool) -> Item:
    """A reply of sacct as an item."""
    return {"kind": "sacct", "at_ms": at_ms, "current": current, **reply._asdict()}


def devices(reports: Iterable[DeviceReport], at_ms: int) -> Item:
    """The driver's inventory as an item."""
    rows = [{**report._asdict(), "digest": report.digest.hex()} for report in reports]
    return {"kind": "devices", "at_ms": at_ms, "rows": rows}


def reading(made: Reading) -> Item:
    """A reading of one device as an item; what is None or empty is left out."""
    said = {key: value for key, value in made._asdict().items() if value not in (None, (), "") and key != "at_ms"}
    return {"kind": "reading", "at_ms": made.at_ms, **said}


def _reading(item: Item) -> Reading:
    said = {key: value for key, value in item.items() if key != "kind"}
    for key in ("sm_samples", "mem_samples"):
        said[key] = tuple((at, percent) for at, percent in said.get(key, ()))
    said["glances"] = tuple(Glance(*glance) for glance in said.get("glances", ()))
    return Reading(**said)


def play(items: Iterable[Item], ledger: Ledger, settings: Settings) -> Item:
    """Play a recording into a ledger; returns its ``about``."""
    about: Item = {}
    inventory: list[DeviceReport] = []
    windowers: dict[str, Windower] = {}
    for item in items:
        at = item["at_ms"]
        match item["kind"]:
            case "about":
                about = item
            case "event":
                file = SpoolFile(Path(item["name"]), base64.b64decode(item["content"]), at)
                taking.take_events(ledger, settings, [file], at)
                for windower in windowers.values():
                    windower.cut(at)
            case "sacct":
                reply = Slice(item["start_ms"], item["end_ms"], item["separator"], item["text"])
                collect.take_accounting(ledger, settings, reply, at, current=item["current"])
            case "scontrol":
                collect.take_controller(ledger, settings, scontrol.Asked(item["jobs"], item["owners"]), at)
            case "nodes":
                collect.take_nodes(ledger, settings, item["text"], at)
            case "node events":
                window = (item["start_ms"], item["end_ms"])
                collect.take_node_events(ledger, settings, item["events"], item["reservations"], window, at)
            case "devices":
                inventory = [DeviceReport(**{**row, "digest": bytes.fromhex(row["digest"])}) for row in item["rows"]]
                taking.take_inventory(ledger, inventory, [])
            case "gres":
                gres = slurmd_gres.parse(item["text"])
                slots = slurmd_gres.slots(settings.cluster, item["node"], gres, inventory, at)
                taking.take_inventory(ledger, [], slots)
            case "reading":
                device = item["device"]
                windowers.setdefault(device, Windower(device)).add(_reading(item))
            case unknown:
                raise ValueError(f"a recording has no '{unknown}'")
    taking.take_measured(ledger, [w for windower in windowers.values() for w in windower.close(about["end_ms"])])
    collect.project(ledger, settings)
    return about
