"""A cluster with gpucost beside it, and the first story that is played on one.

What a story leaves for the tests: what Slurm's accounting says, what the jobs saw, and the ledgers of MAIN (hooks,
accounting, controller) and CONTROLLER (no hooks: its spool does not exist). BACKFILL is of accounting alone.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import workload
from tests.cluster.cluster import Cluster, CommandFailed

ZONE = "Asia/Kolkata"
SHARDS = 4
MAIN, CONTROLLER = "/etc/gpucost/gpucost.toml", "/etc/gpucost/controller.toml"
LEDGER, BACKFILL = "/var/lib/gpucost/ledger.db", "/var/lib/gpucost/backfill.db"
FIELDS = (
    *("JobIDRaw", "Submit", "Start", "End", "ElapsedRaw", "Suspended", "State", "User", "Account", "NodeList"),
    "AllocTRES",
)


class Site:
    """Boots and plays its story on entry; ``seen`` and ``rows`` are what happened."""

    configs: tuple[str, ...] = (MAIN, CONTROLLER)
    """Of the daemons whose ledgers are waited for."""

    def __init__(self, cluster: Cluster, gpus: Sequence[str]) -> None:
        """``gpus`` are those of ``gpucost init``."""
        self.cluster = cluster
        self.gpus = gpus
        self.daemons: list[int] = []
        self.daemons_left: list[int] = []
        self.seen: list[workload.Seen] = []
        self.rows: list[dict[str, str]] = []
        self.over = False
        """Whether the daemons have ended: from then on what a ledger tells does not change, and is asked for once."""
        self._told: dict[tuple[str, str | None, str], list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        self.cluster.boot()
        try:
            self.set_up()
            self.play()
            self.seen = workload.seen(self.cluster)
            self.rows = self.accounting()
            for config in self.configs:
                self._await_ledger(config)
            self.afterwards()
            self._end_daemons()
            self.over = True
        except BaseException:
            self.cluster.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cluster.close()

    def set_up(self) -> None:
        """Configs and daemons."""
        self._init(MAIN, LEDGER, "--spool", "/run/gpucost/spool")
        self._init(CONTROLLER, "/var/lib/gpucost/controller.db", "--spool", "/run/gpucost/no-hooks-here")
        self.daemons = [self._daemon(MAIN), self._daemon(CONTROLLER)]

    def play(self) -> None:
        """What happens beside the daemons; returns when accounting has every end."""
        raise NotImplementedError

    def afterwards(self) -> None:
        """What happens when the ledgers have it all."""

    def _end_daemons(self) -> None:
        for daemon in self.daemons:
            self.cluster.kill(daemon)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and any(map(self.cluster.alive, self.daemons)):
            time.sleep(0.2)
        self.daemons_left = [daemon for daemon in self.daemons if self.cluster.alive(daemon)]

    def _init(self, config: str, ledger: str, *more: str) -> None:
        words = ["gpucost", "init", "--config", config, "--timezone", ZONE, "--currency", "EUR", "--cluster", "alpha"]
        words += [word for gpu in self.gpus for word in ("--gpu", gpu)]
        words += ["--shards", str(SHARDS), "--ledger", ledger, *more]
        self.cluster.run(["mkdir", "-p", str(Path(config).parent), str(Path(ledger).parent)])
        self.cluster.run(words)
        text = self.cluster.read(config)
        for section in ("accounting", "controller"):
            text, found = re.subn(rf"(\[{section}\][^[]*?\ninterval_seconds = )\d+", r"\g<1>2", text)
            assert found == 1, f"no interval_seconds in [{section}] of {config}:\n{text}"
        self.cluster.write(config, text)

    def _daemon(self, config: str, after: float = 0) -> int:
        """Start gpucostd; its process id inside."""
        name = f"gpucostd-{Path(config).stem}"
        return self.cluster.spawn(f"sh -c 'sleep {after}; exec gpucostd run --config {config}'", name)

    def accounting(self) -> list[dict[str, str]]:
        """Every row, asked for by its id: by time sacct leaves out who was put on hold while running."""
        ask = "SELECT DISTINCT id_job FROM alpha_job_table"
        ids = self.cluster.run(["mariadb", "--skip-column-names", "slurm_acct_db", "--execute", ask]).stdout.split()
        return self.cluster.sacct("-j", ",".join(ids), fields=FIELDS)

    def _await_ledger(self, config: str) -> None:
        """Until the daemon knows what sacct knows. Where it never does, the tests say what is missing."""
        deadline = time.monotonic() + 30
        wanted = {(row["JobIDRaw"], row["End"]) for row in self.rows if started(row)}
        while time.monotonic() < deadline:
            with suppress(CommandFailed, ValueError):
                if wanted <= {(a["job_id"], str(a["end"])) for a in self.jobs(config)}:
                    return
            time.sleep(1)

    def gpucost(self, *words: str, config: str = MAIN, ledger: str | None = None, check: bool = True) -> Any:
        """What a command prints with --json."""
        where = ["--config", config, *(["--ledger", ledger] if ledger else [])]
        done = self.cluster.run(["gpucost", *words, *where, "--json"], check=check)
        return json.loads(done.stdout)

    def jobs(self, config: str = MAIN, ledger: str | None = None, since: str = "now-1hour") -> list[dict[str, Any]]:
        """``gpucost jobs -a``."""
        asked = (config, ledger, since)
        if asked in self._told:
            return self._told[asked]
        found: list[dict[str, Any]] = self.gpucost("jobs", "-a", "-S", since, "-E", "now", config=config, ledger=ledger)
        if self.over:
            self._told[asked] = found
        return found


class Scenario(Site):
    """A workload, the daemon killed in its middle, older months, backfills."""

    def __init__(self, suite: str) -> None:
        super().__init__(Cluster(suite), ["a100=8x12000"])

    def play(self) -> None:
        self.ran = workload.submit(self.cluster, self._kill_daemon)

    def _kill_daemon(self) -> None:
        """kill -9 while jobs run; it comes back when others have begun and ended."""
        self.cluster.kill(self.daemons[0], "KILL")
        self.daemons[0] = self._daemon(MAIN, after=5)

    def afterwards(self) -> None:
        self._older_months()
        window = ["-S", time.strftime("%Y-%m-%d", time.gmtime(self.months[0][1] - 86400)), "-E", "now"]
        self.backfills = [
            self.cluster.run(["gpucost", "backfill", *window, "--config", MAIN, "--ledger", ledger], check=False)
            for ledger in (LEDGER, BACKFILL)
        ]
        self.all_rows = self.accounting()

    def _older_months(self) -> None:
        """Give the accounting copies of these jobs, hours long, around the beginning of last month in the zone."""
        script = Path(__file__).with_name("older_months.sql").read_text()
        turn = self.months[1][1]
        self.cluster.run(["mariadb", "slurm_acct_db"], input=f"SET @turn = {turn};\n{script}")

    @cached_property
    def months(self) -> list[tuple[str, int, int]]:
        """(month, start, end) in epoch seconds: the one before last, last month, this one, as the zone cuts them."""
        tell = "month=$(date +%Y-%m-01); for n in -2 -1 -0 +1; do date -d \"$month $n months\" '+%Y-%m %s'; done"
        pairs = [line.split() for line in self.cluster.run(tell, env={"TZ": ZONE}).stdout.splitlines()]
        return [(pairs[i][0], int(pairs[i][1]), int(pairs[i + 1][1])) for i in range(3)]


def started(row: dict[str, str]) -> bool:
    """Whether a row of sacct ever ran: it has a start and got something."""
    return row["Start"].isdigit() and bool(row["AllocTRES"])


def gpus(row: dict[str, str]) -> Fraction:
    """Devices of AllocTRES: gres/gpu without a type counts all; shards are quarters, mps hundredths."""
    tres = dict(part.split("=") for part in row["AllocTRES"].split(",") if part)
    whole, shards, mps = (Fraction(tres.get(f"gres/{name}", 0)) for name in ("gpu", "shard", "mps"))
    return whole + shards / SHARDS + mps / 100
