# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""[node]: what the daemon of a GPU node keeps, and to whom it sends it. Light: see :mod:`slurm_gpucost.settings.node_file`."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from slurm_gpucost.settings.kinds import Setting, absolute_path, text, whole


def collector_url(value: Any) -> str:
    """http(s)://HOST:PORT, perhaps with a path before /v1."""
    url = text(value).rstrip("/")
    try:
        parts = urlsplit(url)
        said = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:  # no port of a number that ports have
        said = None
    if (
        not said
        or parts.username
        or parts.query
        or parts.fragment
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise ValueError(f"'{value}' is no address of a collector; write it like https://ledger.example.org:6843")
    return url


NODE = (
    Setting("name", "text", text, None, "The node's name in Slurm (NodeName); the host's name without its domain if not given."),
    Setting("journal", "path", absolute_path, Path("/var/lib/gpucost/journal.db"), "The node's journal: one SQLite file, on a local disk or, where there is none, on tmpfs."),
    Setting("collector_url", "text", collector_url, None, "Where the collector is, like https://ledger.example.org:6843. `gpucostd node` needs it."),
    Setting("token_file", "path", absolute_path, Path("/etc/gpucost/node.token"), "The token that the node was enrolled with; nobody but its owner may read the file."),
    Setting("ca_file", "path", absolute_path, None, "The CA that signed the collector's certificate, PEM; the system's if not given."),
    Setting("journal_max_mib", "whole number", partial(whole, low=4), 256, "What the journal may grow to. Then what was acknowledged goes, then unsent windows, oldest first; hook events never."),
    Setting("keep_days", "whole number", partial(whole, low=0), 14, "How long the journal keeps what the collector has acknowledged, so that a collector restored from a backup can have it again."),
    Setting("pause_minutes", "whole number", partial(whole, low=1), 60, "So long after `touch pause` beside the spool's directory (/run/gpucost/pause) the driver is read again, if nobody removed that file before."),
)  # fmt: skip


@dataclass(frozen=True)
class NodeSettings:
    """What of the config the daemon of a node needs."""

    path: Path
    cluster: str
    zones: tuple[ZoneInfo, ...]
    """The site's and those of its pools: usage windows are cut at their clock hours."""
    spool: Path
    slurmd: str
    slurm_conf: Path | None
    nvml_enabled: bool
    nvml_interval_seconds: int
    idle_threshold_percent: int
    name: str
    journal: Path
    collector_url: str
    token_file: Path
    ca_file: Path | None
    journal_max_mib: int
    keep_days: int
    pause_minutes: int


def host_name() -> str:
    """This host's name, without its domain."""
    return socket.gethostname().partition(".")[0]
