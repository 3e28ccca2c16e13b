"""The intake by itself, to be killed at a chosen system call: ``python -m tests.daemon.intake_process CONFIG``.

Reads lines of two paths, LEDGER TAB SPOOL. Each is worked through by a child that is forked with everything imported
and stops itself (SIGSTOP) before its first system call of interest: whoever traces it attaches meanwhile and sends
SIGCONT. Prints the child's pid, and when it has ended its status as waitpid tells it, -N for signal N.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from slurm_gpucost.ledger.projector import bring_up_to_date
from slurm_gpucost.ledger.store import open_ledger
from slurm_gpucost.services.engine import Engine
from slurm_gpucost.settings import Settings, load

NODE = "n1"
NOW_MS = 1_790_000_100_000


def work(settings: Settings) -> None:
    """What the daemon does from its start to its end, less questions and driver."""
    with open_ledger(settings.ledger) as ledger:
        bring_up_to_date(ledger, settings.shards, batches=1)
        engine = Engine(settings, ledger, lambda: NOW_MS, None)
        engine.capture.slots.nodes.add(
            NODE
        )  # its slots are known: no thread asks slurmd, so every run makes the same calls
        engine.capture.intake()
        bring_up_to_date(ledger, settings.shards, batches=1)


def main() -> None:
    settings = load(Path(sys.argv[1]))
    for line in sys.stdin:
        ledger, spool = line.rstrip("\n").split("\t")
        mine = replace(settings, ledger=Path(ledger), spool=Path(spool))
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
            work(mine)
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
