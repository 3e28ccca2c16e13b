"""What the cluster tests have, for soaks on a real Slurm."""

from __future__ import annotations

from tests.cluster.conftest import pytest_terminal_summary, pytest_xdist_make_scheduler, suite

__all__ = ["pytest_terminal_summary", "pytest_xdist_make_scheduler", "suite"]
