"""Reservations on a real Slurm: what they keep and nobody uses is on their account's invoice, and it adds up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from slurm_gpucost.sources import command, reservations
from tests.cluster.cluster import Cluster
from tests.cluster.scenario import BACKFILL, LEDGER, MAIN, ZONE, Site
from tests.cluster.workload import batch

pytestmark = pytest.mark.cluster
ODD = "odd | name\n1|1795878429|forged"
PAYER = '\n[[reservations]]\nname = "odd *"\naccount = "biology"\n'


class Reserved(Site):
    """Reservations of every kind beside a daemon that is asked to bill them; ``kept`` are slurmdbd's rows of them."""

    def __init__(self, suite: str) -> None:
        super().__init__(Cluster(suite), ["a100=8x12000"])
        self.by_number = suite != "bookworm"
        """22.05 reserves no gres/gpu."""
        self.kept: list[dict[str, Any]] = []

    def _init(self, config: str, ledger: str, *more: str) -> None:
        super()._init(config, ledger, *more)
        text = self.cluster.read(config)
        for before, now in [
            ("bill_reservations = false", "bill_reservations = true"),
            ("gpus_per_node = 0", 'gpus_per_node = 4\nnodes = "n[1-2]"'),
        ]:
            assert text.count(before) == 1, before
            text = text.replace(before, now)
        self.cluster.write(config, text + PAYER)

    def reserve(self, name: str, *words: str) -> None:
        self.cluster.scontrol(
            "create", "reservation", f"reservationname={name}", "starttime=now", "duration=20", *words
        )

    def play(self) -> None:
        self.reserve("course", "accounts=physics", "nodes=n1")
        if self.by_number:
            self.reserve("few", "accounts=biology", "nodes=n2", "tres=gres/gpu=2")
        time.sleep(2)
        jobs = [self.cluster.sbatch(batch("saw batch 5"), "alice", "--gres=gpu:3", "--reservation=course")]
        if self.by_number:
            jobs += [self.cluster.sbatch(batch("saw batch 4"), "bob", "--gres=gpu:1", "--reservation=few")]
        self.cluster.wait(jobs)
        self.cluster.scontrol("update", "reservationname=course", "accounts=biology")
        if self.by_number:
            self.cluster.scontrol("delete", "reservationname=few")
        self.reserve("cores", "accounts=physics", "nodes=n2", "corecnt=2")
        self.reserve("whose", "users=carol", "nodes=n2", "flags=overlap,ignore_jobs")
        self.reserve("service", "users=root", "nodes=n2", "flags=maint,overlap,ignore_jobs")
        time.sleep(2)
        for name in ("course", "cores", "whose", "service"):
            self.cluster.scontrol("delete", f"reservationname={name}")
        self.reserve(ODD, "users=carol", "nodes=n2")
        time.sleep(2)
        self.cluster.scontrol("delete", f"reservationname={ODD}")
        ask = "SELECT resv_name AS name, assoclist, time_start AS start, time_end AS end FROM alpha_resv_table"
        as_json = f"SELECT json_object('name', name, 'who', assoclist, 'start', start, 'end', end) FROM ({ask}) AS said"

        def rows() -> list[dict[str, Any]]:
            words = ["mariadb", "--batch", "--raw", "--skip-column-names", "slurm_acct_db", "--execute", as_json]
            return [json.loads(line) for line in self.cluster.run(words).stdout.splitlines()]

        self.cluster.until(lambda: all(row["end"] <= time.time() for row in rows()), "slurmdbd to hear of the deletion")
        self.kept = rows()

    def afterwards(self) -> None:
        last = "SELECT count(*) FROM source_poll WHERE witness = 'reservations' AND ok = 1 AND observed_at_ms > "
        self.cluster.until(
            lambda: int(self.cluster.run(["sqlite3", LEDGER, f"{last}{int(time.time() - 2) * 1000}"]).stdout) > 0,
            "a look at the reservations",
        )
        time.sleep(3)  # and one at the accounting
        words = ["gpucost", "backfill", "-S", "now-1hour", "-E", "now", "--config", MAIN, "--ledger", BACKFILL]
        self.cluster.run(words)

    @property
    def month(self) -> str:
        return datetime.now(ZoneInfo(ZONE)).strftime("%Y-%m")

    def held(self, name: str, start: int, end: int) -> int:
        """GPU-seconds that jobs in a reservation held in a time, by the accounting."""
        rows = self.cluster.sacct(fields=("JobIDRaw", "Reservation", "Start", "End", "AllocTRES"))
        total = 0
        for row in rows:
            if row["Reservation"] == name:
                gpus = int(dict(part.split("=") for part in row["AllocTRES"].split(","))["gres/gpu"])
                total += gpus * max(0, min(end, int(row["End"])) - max(start, int(row["Start"])))
        return total


@pytest.fixture(scope="module")
def reserved(suite: str) -> Iterator[Reserved]:
    with Reserved(suite) as played:
        yield played


def kept_lines(reserved: Reserved, ledger: str | None = None) -> dict[tuple[str, str], int]:
    """GPU-seconds of the lines of reserved time, by account and reservation."""
    found: dict[tuple[str, str], int] = {}
    for invoice in reserved.gpucost("invoice", "--month", reserved.month, ledger=ledger):
        for line in invoice["lines"]:
            if line["item"] == "reserved":
                name = line["rule"].removesuffix(": held time (rule 6)")
                found[invoice["account"], name] = round(Fraction(line["gpu_hours"]) * 3600)
    return found


def expected(reserved: Reserved) -> dict[tuple[str, str], int]:
    """From slurmdbd's own table and sacct: all GPUs of the node, or those by number, less what its jobs held."""
    owners = {"4": "physics", "5": "biology"}  # boot.sh adds them in this order
    found: dict[tuple[str, str], int] = {}
    for row in reserved.kept:
        gpus = {"course": 4, "few": 2, ODD: 4}.get(row["name"])
        if gpus is not None:
            account = "biology" if row["name"] == ODD else owners[row["who"].strip(",")]
            held = reserved.held(row["name"], row["start"], row["end"])
            key = (account, row["name"])
            found[key] = found.get(key, 0) + gpus * (row["end"] - row["start"]) - held
    return found


def test_the_story(reserved: Reserved) -> None:
    rows = [row["name"] for row in reserved.kept]
    assert rows.count("course") == 2, "a row for each change"
    assert {"cores", "whose", "service", ODD} <= set(rows)
    assert sum(reserved.held("course", row["start"], row["end"]) for row in reserved.kept) >= 3 * 5


def test_the_accounts_pay_for_what_nobody_used(reserved: Reserved) -> None:
    wanted = expected(reserved)
    assert wanted["physics", "course"] > 0 and wanted["biology", "course"] > 0
    assert kept_lines(reserved) == wanted
    assert kept_lines(reserved, BACKFILL) == wanted, "a backfill alone knows it, too"


def test_it_adds_up(reserved: Reserved) -> None:
    for ledger in (LEDGER, BACKFILL):
        answer = reserved.gpucost("audit", "--month", reserved.month, ledger=ledger)
        assert answer["differences"] == []


def test_what_is_not_billed_is_listed(reserved: Reserved) -> None:
    told = [text for text in reserved.gpucost("status")["findings"] if text.startswith("reservation ")]
    assert sorted(text.split(" of alpha is not billed: ")[0] for text in told) == [
        "reservation cores", "reservation whose",
    ]  # fmt: skip
    note = reserved.cluster.run(["gpucost", "invoice", "--month", reserved.month, "--config", MAIN]).stderr
    assert note.count("unbilled reservation ") == 2


def test_names_are_read_whole(reserved: Reserved, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = reserved.cluster
    monkeypatch.setattr(command, "run", lambda words, seconds, env: cluster.run(words, env=dict(env)).stdout)
    now = int(time.time()) * 1000
    found = reservations.ask("sacctmgr", "alpha", now - 3_600_000, now + 1000, 20, now)
    assert {(one.name, one.start_ms // 1000) for one in found} == {(row["name"], row["start"]) for row in reserved.kept}
    assert {one.accounts for one in found if one.name == "whose"} == {'["biology", "physics"]'}
