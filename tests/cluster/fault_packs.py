"""Five jobs on a node, so timed that a fault meets each of them in another stage."""

from __future__ import annotations

import time

from tests.cluster.fault_site import LATE_SECONDS, Site, at
from tests.cluster.workload import batch

LEAD = 5.0
"""Seconds from a pack's submission to the fault."""
OUTAGE = 4.5
STAGES = ("pending", "starting", "running", "ending", "in epilog")


class Packs:
    """All packs of a story: job ids by (wave, node, stage)."""

    def __init__(self, cluster: Site) -> None:
        self.cluster = cluster
        self.jobs: dict[tuple[str, str, str], int] = {}

    def job(self, wave: str, node: str, stage: str, script: str, *options: str, user: str = "alice") -> int:
        """One more job, on this node alone."""
        options = ("--gres=gpu:1", f"--nodelist={node}", "--requeue", *options)
        self.jobs[wave, node, stage] = self.cluster.sbatch(script, user, *options)
        return self.jobs[wave, node, stage]

    def submit(self, wave: str, *nodes: str) -> float:
        """Submit a pack on each node; returns the monotonic time of the fault, just before it."""
        fault = time.monotonic() + LEAD
        users = dict(zip(nodes, ("alice", "bob"), strict=False))
        for node in nodes:
            user = users[node]
            self.job(wave, node, "in epilog", batch(f"saw batch {LEAD - 3}"), "--partition=lateepilog", user=user)
            running = self.job(wave, node, "running", batch(f"saw batch {LEAD + OUTAGE + 2}"), user=user)
            self.job(wave, node, "ending", batch(f"saw batch {LEAD + 1}"), user=user)
            self.job(wave, node, "pending", batch("saw batch 1"), f"--dependency=afterany:{running}", user=user)
        at(fault - LATE_SECONDS + 2)
        for node in nodes:
            self.job(wave, node, "starting", batch("saw batch 3"), "--partition=lateprolog", user=users[node])
        at(fault)
        return fault

    def of(self, wave: str) -> list[int]:
        """The jobs of a wave."""
        return [job for (name, _, _), job in self.jobs.items() if name == wave]
