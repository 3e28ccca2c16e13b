"""Both hooks, under every shell that a node may have as its sh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.shell.hook")

from tests.shell.hook import HOOKS, SHELLS, Hook, find  # noqa: E402


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    """A shell's command line."""
    return find(SHELLS[request.param])


@pytest.fixture(params=HOOKS)
def hook(request: pytest.FixtureRequest, shell: list[str], tmp_path: Path) -> Iterator[Hook]:
    """A hook under a shell, with an empty spool."""
    made = Hook(request.param, shell, tmp_path)
    made.spool.mkdir(mode=0o700)
    yield made


@pytest.fixture
def prolog(shell: list[str], tmp_path: Path) -> Hook:
    """One hook is enough where the two are the same text."""
    made = Hook("prolog", shell, tmp_path)
    made.spool.mkdir(mode=0o700)
    return made
