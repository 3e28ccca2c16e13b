"""A GPU node for the daemon's process: config, token, spool, journal, and a collector that counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.daemon.sink import TOKEN, Sink
from tests.daemon.site import REPOSITORY, Site, until

SHORT = """\
cluster = "alpha"
timezone = "Europe/Berlin"
[spool]
path = "{spool}"
[slurmd]
command = "/bin/false"
[nvml]
enabled = {nvml}
interval_seconds = 1
[node]
name = "n1"
journal = "{journal}"
collector_url = "{url}"
token_file = "{token}"
{more}
"""


@dataclass
class NodeSite(Site):
    """``ledger`` is its journal."""

    sink: Sink = field(default_factory=Sink)

    def write_node_config(self, more: str = "", nvml: bool = False) -> None:
        token = self.top / "node.token"
        token.touch(mode=0o600)
        token.write_text(TOKEN + "\n")
        text = SHORT.format(
            spool=self.spool, journal=self.ledger, url=self.sink.url, token=token, more=more, nvml=str(nvml).lower()
        )
        self.config.write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        with (self.top / "log").open("ab") as log:
            daemon = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "slurm_gpucost.daemon", "node", "--config", str(self.config)],
                cwd=REPOSITORY, stdout=log, stderr=log, env={**self.env, "PYTHONPATH": str(REPOSITORY)},
            )  # fmt: skip
        self.daemons.append(daemon)
        return daemon

    def arrived(self, jobs: Iterable[int], seconds: float = 30) -> None:
        """Wait until the collector has one event of each of these jobs, and no number was skipped."""
        wanted = sorted(jobs)
        until(lambda: len(self.sink.jobs()) >= len(wanted), seconds)
        assert self.sink.jobs() == wanted
        assert self.sink.skipped == []

    def clear_up(self) -> None:
        super().clear_up()
        self.sink.close()


def new_node(top: Path) -> NodeSite:
    site = NodeSite(top, top / "journal.db")
    site.write_node_config()
    return site
