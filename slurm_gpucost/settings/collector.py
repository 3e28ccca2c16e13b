# ruff: noqa: E501  # a catalogue reads best with one setting a line
"""[collector]: where it listens, and where others find it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from slurm_gpucost.settings.kinds import Setting, absolute_path, text, whole

COLLECTOR = (
    Setting("listen", "text", text, "127.0.0.1:6843", "HOST:PORT on which nodes, and people on other hosts, reach the collector."),
    Setting("socket", "path", absolute_path, Path("/run/gpucost/collector.sock"), "The Unix socket for people on its own host."),
    Setting("tls_cert", "path", absolute_path, None, "Its certificate with the chain, PEM; none if not given: then a proxy does TLS, or nobody."),
    Setting("tls_key", "path", absolute_path, None, "The certificate's key, PEM; none if not given."),
    Setting("url", "text", text, None, "Where `gpucost` on other hosts finds the collector, like https://ledger.example.org:6843; none if not given."),
    Setting("ca_file", "path", absolute_path, None, "The CA that signed tls_cert, PEM, for those who ask; the system's if not given."),
    Setting("silent_seconds", "whole number", partial(whole, low=60), 600, "A node that has not been heard for so long is a finding."),
    Setting("query_seconds", "whole number", partial(whole, low=1), 60, "After so long a question is given up."),
    Setting("query_processes", "whole number", partial(whole, low=1), 2, "Questions that are answered at once; others wait."),
)  # fmt: skip


@dataclass(frozen=True)
class Collector:
    """[collector]."""

    listen: str
    socket: Path
    tls_cert: Path | None
    tls_key: Path | None
    url: str | None
    ca_file: Path | None
    silent_seconds: int
    query_seconds: int
    query_processes: int


def collector_of(values: dict[str, Any]) -> Collector:
    """From what was read; what is faulty is left out there, and its default does not count."""
    complete = {setting.key: values.get(setting.key, setting.default) for setting in COLLECTOR}
    return Collector(**complete)
