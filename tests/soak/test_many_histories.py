"""10,000 random histories: ``pytest tests/soak/test_many_histories.py -m soak``; what is looked at: tests/histories."""

from __future__ import annotations

import os

import pytest

from tests.histories.whole import wrong

pytestmark = pytest.mark.soak
HISTORIES, EACH = int(os.environ.get("SOAK_HISTORIES", "10000")), 100
FIRST = 1_000
"""Seeds of which none is among those that every run of the tests has."""


@pytest.mark.parametrize("first", range(FIRST, FIRST + HISTORIES, EACH))
def test_many_histories(first: int) -> None:
    for seed in range(first, first + EACH):
        found = list(wrong(seed))
        assert not found, f"seed {seed} (python -m tests.histories.whole {seed}):\n" + "\n".join(found[:20])
