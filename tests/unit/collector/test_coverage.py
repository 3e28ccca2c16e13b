"""The question behind the figure gpucost_coverage."""

from __future__ import annotations

from pathlib import Path

from slurm_gpucost.ledger import journals, measured, reports
from slurm_gpucost.ledger.journals import Claim
from slurm_gpucost.ledger.queries import ask
from slurm_gpucost.ledger.store import open_ledger
from tests.unit.builders import T0
from tests.unit.uplinked import device, window

HOUR_MS = 3_600_000


def test_observed_time_of_devices_that_were_told_of(tmp_path: Path) -> None:
    """A window that reaches over the hour counts with its part; a device that is new or gone does not count."""
    start, end = T0, T0 + HOUR_MS

    def claim(name: str, first_ms: int, last_ms: int) -> Claim:
        return Claim(name, "c", "n1", "1" * 32, first_ms, last_ms)

    with open_ledger(tmp_path / "ledger.db") as ledger, ledger.transaction() as db:
        reports.add_devices(db, [device(name) for name in ("A", "B", "new", "gone")])
        long_ago = T0 - 10 * HOUR_MS
        journals.write_claims(
            db,
            [claim("A", long_ago, end), claim("B", long_ago, end), claim("MIG-of-A", long_ago, end),
             claim("new", end + 1, end + 2), claim("gone", long_ago, start - 1)],
        )  # fmt: skip
        times = [("A", -600, 600), ("A", 600, 1800), ("A", 3500, 4000), ("gone", -900, -1), ("new", 3700, 3800)]
        measured.add_windows(
            db,
            [window(name)._replace(start_ms=T0 + a * 1000, end_ms=T0 + b * 1000) for name, a, b in times],
        )  # fmt: skip
        assert ask(db, "observed", start_ms=start, end_ms=end) == [{"devices": 2, "observed_ms": 1_900_000}]
