"""Thousands of random bills under random terms: ``pytest tests/soak/test_many_bills.py -m soak``; what is looked at:
tests/unit/services/test_whole_bill.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak
REPOSITORY = Path(__file__).parents[2]
TIMES = os.environ.get("SOAK_BILLS", "20")


def test_many_bills() -> None:
    seed = random.SystemRandom().randrange(2**32)
    words = ["-m", "pytest", "-q", f"--hypothesis-seed={seed}", "tests/unit/services/test_whole_bill.py"]
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "GPUCOST_EXAMPLES": TIMES},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    print(f"seed {seed}, {TIMES} times as many as usual: {done.stdout.splitlines()[-1:]}")
    assert done.returncode == 0, done.stdout[-4000:]
