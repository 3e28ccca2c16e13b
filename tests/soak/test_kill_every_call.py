"""kill -9 at every system call of the daemon's work over a spool, from opening the ledger to its last checkpoint.

Once with a ledger that knows the jobs, once with none: then it is killed while it makes the ledger, too.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.daemon.killing import killer, scene

pytestmark = pytest.mark.soak
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("ledger", [True, False], ids=["ledger", "no_ledger"])
def test_killed_at_any_system_call_it_loses_no_event(ledger: bool, part: int, tmp_path: Path) -> None:
    with killer(scene(tmp_path, ledger=ledger), tmp_path / "runs") as runs:
        points = runs.points()
        expected = runs.whole()
        mine = points[part::PARTS]
        lost = sum(runs.kill(point, expected) for point in mine)
        assert runs.missed < 20
    assert lost == 0
    stages = Counter(point.stage for point in mine)
    print(
        f"part {part + 1} of {PARTS}: {len(mine)} of {len(points)} system calls {dict(stages)}, "
        f"killed at {len(mine) - runs.missed}; events lost: {lost}"
    )
