"""Ten thousand spoiled batches and event files (GPUCOST_HOSTILE), chosen anew each time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.daemon.hostile import play

pytestmark = pytest.mark.soak
COUNT = int(os.environ.get("GPUCOST_HOSTILE", "10000"))


def test_nonsense_and_lies_hurt_nobody_for_long(tmp_path: Path) -> None:
    print(play(tmp_path, COUNT, seed=int(time.time())))
