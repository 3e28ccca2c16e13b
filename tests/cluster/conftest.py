"""One boot for each module and Slurm version; loud where this machine cannot host it, a failure in CI."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cluster import rootfs
from tests.cluster.lifecycle import Lifecycle
from tests.cluster.scenario import Scenario

pytest.register_assert_rewrite("tests.cluster.compare")

_LOUD = "THE CLUSTER TESTS DID NOT RUN"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A module's tests of one suite on one worker, so one boot. (xdist 3.8's loadgroup does nothing under pytest 9.)"""
    scheduling: Any = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    by_module = scheduling._split_scope

    def by_suite(nodeid: str) -> str:
        return f"{by_module(nodeid)} {next((suite for suite in rootfs.SUITES if f'[{suite}' in nodeid), '')}"

    scheduling._split_scope = by_suite
    return scheduling


@pytest.fixture(scope="session", params=list(rootfs.SUITES))
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


@pytest.fixture(scope="module")
def scenario(suite: str) -> Iterator[Scenario]:
    """A cluster whose workload has run beside the daemon; see scenario.py."""
    with Scenario(suite) as played:
        yield played


@pytest.fixture(scope="module")
def lifecycle(suite: str) -> Iterator[Lifecycle]:
    """A cluster on which every lifecycle has been played beside the daemon; see lifecycle.py."""
    with Lifecycle(suite) as played:
        yield played


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr}
    for reason in sorted(r for r in reasons if _LOUD in r):
        terminalreporter.section(_LOUD, red=True, bold=True)
        terminalreporter.line(reason)
