"""Spoiled batches and event files, a thousand of each; tests/soak/test_long_hostile.py plays ten thousand."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.hostile import play

COUNT = 1_000


def test_nonsense_and_lies_hurt_nobody(tmp_path: Path) -> None:
    print(play(tmp_path, COUNT, seed=1))
