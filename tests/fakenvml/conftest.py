from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakenvml.build import build
from tests.fakenvml.harness import FakeNvml


@pytest.fixture(scope="session")
def nvml_library() -> Path:
    """The directory with the stand-in for libnvidia-ml.so.1, built when it is not there yet."""
    return build()


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """GPUs as a scenario says; two plain ones until a test writes another."""
    fake = FakeNvml(nvml_library, tmp_path / "scenario")
    fake.write("devices 2\n")
    return fake
