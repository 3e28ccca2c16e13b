"""The chaos of tests/daemon for an hour (GPUCOST_CHAOS_SECONDS), with a seed a quarter of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.daemon.chaos import play

pytestmark = pytest.mark.soak
SECONDS = int(os.environ.get("GPUCOST_CHAOS_SECONDS", "3600"))
QUARTERS = 4


@pytest.mark.parametrize("quarter", range(QUARTERS))
def test_nothing_is_lost_or_doubled_in_long_chaos(quarter: int, tmp_path: Path) -> None:
    print(play(tmp_path, SECONDS / QUARTERS, seed=int(time.time()) + quarter))
