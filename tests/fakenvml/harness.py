"""Runs Python over the stand-in for NVML: it must be in LD_LIBRARY_PATH before the process starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class FakeNvml:
    """A scenario file, and processes that see the GPUs it describes."""

    def __init__(self, library: Path, scenario: Path) -> None:
        self.library = library
        self.scenario = scenario

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that is to see these GPUs and no others."""
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.library),
            "FAKENVML_SCENARIO": str(self.scenario),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }

    def write(self, text: str) -> None:
        """Set the scenario; a process that runs sees it at its next call."""
        fresh = self.scenario.with_suffix(".new")
        fresh.write_text(dedent(text))
        fresh.rename(self.scenario)

    def start(self, code: str) -> subprocess.Popen[str]:
        """Run Python code that prints its result as JSON."""
        return subprocess.Popen(
            [sys.executable, "-c", dedent(code)],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, timeout: float = 20) -> Any:
        """The result of the code; its stderr is in the message when it fails or takes too long."""
        process = self.start(code)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
            raise AssertionError(f"no end within {timeout:g} s; stderr: {err}") from None
        assert process.returncode == 0, f"exit {process.returncode}: {err}"
        return json.loads(out)
