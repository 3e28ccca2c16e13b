"""Which device file a GRES index is: what ``slurmd -G`` prints for a node.

JOB_GPUS and scontrol's IDX count a node's devices from 0 in the order of their files; ``Index=`` in this output is
the number in the file's name (seen on 22.05 and 24.11). So the order counts here, and the file names the minor.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import DeviceReport, SlotReport

_LINE = re.compile(
    r"Gres Name=(?P<name>\S+) Type=(?P<type>\S+) Count=(?P<count>\d+)(?: Index=(?P<index>\d+))?.*? File=(?P<file>\S+)"
)
_MINOR = re.compile(r"(\d+)$")


class GresSlot(NamedTuple):
    """A GRES index on a node, and the minor number of its device file (None: it has none)."""

    gres_index: int
    type: str
    file: str
    minor: int | None


def ask(slurmd: str, node: str, timeout_seconds: float = 20) -> str:
    """What ``slurmd -G -N node`` prints; it goes to stderr. Raises SourceError."""
    command = [slurmd, "-G", "-N", node]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SourceError(f"`{' '.join(command)}` failed: {error}") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise SourceError(f"`{' '.join(command)}` failed (exit {done.returncode}): {text.strip()[-500:]}")
    return text


def parse(text: str) -> list[GresSlot]:
    """The GPUs of a node in order of their device files."""
    found: list[tuple[int, str, str]] = []
    for match in _LINE.finditer(text):
        if match["name"] == "gpu":
            minor = _MINOR.search(match["file"])
            number = int(minor[1]) if minor else int(match["index"] or 0)
            kind = "" if match["type"] == "(null)" else match["type"]
            found.append((number, kind, match["file"]))
    found.sort()
    return [
        GresSlot(i, kind, file, int(m[1]) if (m := _MINOR.search(file)) else None)
        for i, (_, kind, file) in enumerate(found)
    ]


def slots(
    cluster: str, node: str, gres: Iterable[GresSlot], devices: Iterable[DeviceReport], now_ms: int
) -> list[SlotReport]:
    """What is known of a node's slots: the type always, the device where a driver's minor number fits the file's."""
    by_minor = {report.minor: report.device for report in devices if report.minor is not None}
    return [
        SlotReport(
            cluster,
            node,
            "gpu",
            slot.gres_index,
            slot.type,
            by_minor.get(slot.minor, "") if slot.minor is not None else "",
            now_ms,
        )
        for slot in gres
    ]
