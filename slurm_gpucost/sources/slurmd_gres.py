"""Which device a node-local GRES index is, from what ``slurmd -G`` prints.

slurmd numbers a node's devices of one GRES from 0 in the order in which it prints their records and device files;
JOB_GPUS and scontrol's IDX count like that (``gres_node_config_load`` in Slurm's src/interfaces/gres.c). The
``Index=`` that it prints is something else: the number at the end of the record's file text.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from slurm_gpucost.domain.evidence import DeviceReport, SlotReport
from slurm_gpucost.domain.hostlist import expand

_RECORD = re.compile(r"Gres Name=(?P<name>\S+) (?P<rest>.*)")
_FIELD = re.compile(r"(\w+)=(\S+)")
_END_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True, slots=True)
class GresSlot:
    """One index of a GRES on a node. ``count``: 1 for a GPU, the number of shards of it for ``shard``."""

    name: str
    type: str
    index: int
    count: int
    file: str | None
    minor: int | None
    """The number at the end of the device file's name; None where there is none, or several files (MIG)."""


def parse(text: str) -> list[GresSlot]:
    """The slots in what ``slurmd -G`` printed; other lines are passed over."""
    found: list[GresSlot] = []
    next_index: defaultdict[str, int] = defaultdict(int)
    for line in text.splitlines():
        if (record := _RECORD.search(line)) is None:
            continue
        name = record["name"]
        fields = {key: "" if value == "(null)" else value for key, value in _FIELD.findall(record["rest"])}
        count = int(fields.get("Count", "0"))
        for file, units in _units(fields.get("File", ""), count):
            number = _END_NUMBER.search(file) if file and "," not in file else None
            minor = int(number[1]) if number else None
            found.append(GresSlot(name, fields.get("Type", ""), next_index[name], units, file or None, minor))
            next_index[name] += 1
    return found


def resolve(gres: Iterable[GresSlot], devices: Iterable[DeviceReport]) -> dict[int, str]:
    """GPU index -> UUID, through the device file's number and the driver's minor number. What does not fit is left out.

    With no slots at all (slurmd could not be asked) the minor number is taken for the index: so it is where every
    GPU of a host belongs to its one node.
    """
    known = list(gres)
    by_minor = {report.minor: report.device for report in devices if report.minor is not None}
    if not known:
        return by_minor
    gpus = [slot for slot in known if slot.name == "gpu" and slot.minor is not None]
    claims = Counter(slot.minor for slot in gpus)
    return {
        slot.index: by_minor[slot.minor]
        for slot in gpus
        if slot.minor is not None and slot.minor in by_minor and claims[slot.minor] == 1
    }


def slots(
    cluster: str, node: str, gres: Iterable[GresSlot], devices: Iterable[DeviceReport], now_ms: int
) -> list[SlotReport]:
    """What slurmd said of the node's GPUs as evidence: the type always, the device where it is certain."""
    gpus = [slot for slot in gres if slot.name == "gpu"]
    known = resolve(gpus, devices) if gpus else {}
    return [SlotReport(cluster, node, "gpu", s.index, s.type, known.get(s.index, ""), now_ms) for s in gpus]


def _units(file: str, count: int) -> list[tuple[str, int]]:
    """(device file, or all of them; units) for each index that a record stands for."""
    if not file:
        return [("", count)]
    try:
        files = expand(file)
    except ValueError:
        return [(file, count)]
    if count == 1:
        return [(",".join(files), count)]  # MultipleFiles, as MIG has them: together they are one unit
    return [(each, max(1, count // len(files))) for each in files]
