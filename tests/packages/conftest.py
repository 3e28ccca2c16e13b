"""Packages are built once; loud where this machine cannot host a root to install them in, a failure in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import rootfs
from tests.packages import built
from tests.packages.collected import Collected, collect
from tests.packages.host import Host
from tests.packages.story import Story

LOUD = "THE PACKAGES WERE NOT TESTED"


def unable(reason: object) -> None:
    """Skips, loudly; where nothing may be skipped, fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{LOUD}: {reason}", pytrace=False)
    pytest.skip(f"{LOUD}: {reason}")


def hostable(suite: str) -> None:
    """Skips, loudly, where a root of that suite cannot be had."""
    try:
        if reason := rootfs.why_not():
            raise rootfs.CannotHost(reason)
        rootfs.rootfs(suite)
    except rootfs.CannotHost as error:
        unable(error)


@pytest.fixture(scope="session")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both packages in two versions."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    try:
        return built.packages(shared / "packages")
    except rootfs.CannotHost as error:
        unable(error)
        raise


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def story(request: pytest.FixtureRequest, debs: Path) -> Iterator[Story]:
    """A host on which the packages were installed, upgraded, removed and purged; see story.py."""
    hostable(request.param)
    with Story(request.param, debs) as played:
        yield played


@pytest.fixture(scope="module")
def collected(debs: Path) -> Iterator[Collected]:
    """What was seen of collector and node on a host of their own; see collected.py."""
    hostable("trixie")
    with Host("trixie") as host:
        host.bring(debs)
        yield collect(host)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(r for r in reasons if LOUD in r):
        terminalreporter.section(LOUD, red=True, bold=True)
        terminalreporter.line(reason)
