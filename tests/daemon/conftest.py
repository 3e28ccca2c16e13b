from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.node_site import NodeSite, new_node
from tests.daemon.site import Site, new_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of one host; its daemons do not outlive the test."""
    made = new_site(tmp_path)
    yield made
    made.clear_up()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeSite]:
    """A GPU node whose collector listens; its daemons do not outlive the test."""
    made = new_node(tmp_path)
    yield made
    made.clear_up()
