"""kill -9 at system calls of the intake, from the first that names the spool to the last unlink: 100 of them.

tests/soak kills at every one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.killing import JOBS, killer, scene, spread

KILLS = 100
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_a_system_call_of_the_intake_it_loses_no_event(part: int, tmp_path: Path) -> None:
    with killer(scene(tmp_path), tmp_path / "runs") as runs:
        points = [point for point in runs.points() if point.stage == "intake"]
        names = {point.name for point in points}
        assert {"unlink", "getdents64", "pwrite64", "fdatasync"} <= names, names
        chosen = spread(points, KILLS)
        assert len(set(chosen)) == KILLS
        assert {point.name for point in chosen} == names, "each system call at least once"
        expected = runs.whole()
        assert len(expected["lease"]) == 2 * len(JOBS), "both GPUs of each job, named by its prolog"
        lost = sum(runs.kill(point, expected) for point in chosen[part::PARTS])
    assert lost == 0
    print(f"{len(chosen[part::PARTS])} kills at {len(names)} system calls; events lost: {lost}")


def test_killed_while_it_makes_the_ledger_it_starts_again(tmp_path: Path) -> None:
    with killer(scene(tmp_path, ledger=False), tmp_path / "runs") as runs:
        steps = {"fdatasync", "fsync", "ftruncate", "unlink"}
        points = [point for point in runs.points() if point.stage == "start" and point.name in steps]
        assert len(points) >= 10
        expected = runs.whole()
        assert sum(runs.kill(point, expected) for point in points) == 0
