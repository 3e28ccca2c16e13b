"""What docs/install.md shows is what the tests run."""

from __future__ import annotations

from tests.packages.built import REPOSITORY


def documented(command: str) -> str:
    """A command that docs/install.md shows on a line of its own."""
    lines = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8").splitlines()
    assert command in lines, f"docs/install.md does not show: {command}"
    return command
