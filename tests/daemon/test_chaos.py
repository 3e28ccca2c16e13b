"""A collector, three nodes, a network that cuts: kill -9 of all of them at random, and nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.chaos import play

SECONDS = 25


def test_nothing_is_lost_or_doubled_in_chaos(tmp_path: Path) -> None:
    print(play(tmp_path, SECONDS, seed=1))
