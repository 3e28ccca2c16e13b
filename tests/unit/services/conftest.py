"""A site of one SKU, and its ledger opened for writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_gpucost.ledger.store import Ledger, open_ledger
from slurm_gpucost.settings import Settings
from tests.unit.builders import config


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config(tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with open_ledger(settings.ledger) as opened:
        yield opened
