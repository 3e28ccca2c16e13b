"""One boot for each Slurm version in a session; loud where this machine cannot host it, a failure in CI."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster import rootfs
from tests.cluster.scenario import Scenario

_LOUD = "THE CLUSTER TESTS DID NOT RUN"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "xdist_group(name): tests that share a boot, and so a worker")


@pytest.fixture(
    scope="session",
    params=[pytest.param(suite, marks=pytest.mark.xdist_group(suite)) for suite in rootfs.SUITES],
)
def suite(request: pytest.FixtureRequest) -> str:
    """A Debian suite that this machine can host."""
    name: str = request.param
    try:
        if reason := rootfs.why_not():
            raise rootfs.CannotHost(reason)
        rootfs.rootfs(name)
        rootfs.site(name)
    except rootfs.CannotHost as error:
        if os.environ.get("CI"):
            pytest.fail(f"{_LOUD}: {error}", pytrace=False)
        pytest.skip(f"{_LOUD}: {error}")
    return name


@pytest.fixture(scope="session")
def scenario(suite: str) -> Iterator[Scenario]:
    """A cluster whose workload has run beside the daemon; see scenario.py."""
    with Scenario(suite) as played:
        yield played


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(r for r in reasons if _LOUD in r):
        terminalreporter.section(_LOUD, red=True, bold=True)
        terminalreporter.line(reason)
