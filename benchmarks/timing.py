"""What a command costs: for the benchmarks that run gpucost as its users do."""

from __future__ import annotations

import os
import subprocess
import time
from typing import NamedTuple


class Cost(NamedTuple):
    """Of one run."""

    seconds: float
    cpu_seconds: float
    peak_mib: int


def timed(command: list[str], env: dict[str, str] | None = None, runs: int = 1) -> Cost:
    """The quickest of so many runs; its output goes nowhere. Ends the benchmark where it fails."""
    found = []
    for _ in range(runs):
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
        took = time.monotonic() - begun
        found.append(Cost(took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024))
    return min(found)
