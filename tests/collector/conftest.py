from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector.service import Service

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that all tests of a module use."""
    made = Service(tmp_path_factory.mktemp("collector"), "query_seconds = 2", "query_processes = 2")
    made.start()
    yield made
    made.clear_up()


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One of a test's own, not yet started."""
    made = Service(tmp_path_factory.mktemp("collector"))
    yield made
    made.clear_up()
