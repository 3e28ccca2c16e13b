"""Many kinds of jobs in one boot, in about a minute; each writes down what it saw.

Each job's own words: /usr/local/bin/saw (saw.sh), one line a batch script or task in /scratch/seen/jobs.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster.cluster import Cluster

HOSTILE_NAME = (
    "a'b\"c|d$(touch /scratch/x)`touch /scratch/x`\nJobId=77 JobName=zz\n   Nodes=n9 GRES=gpu:a100:4(IDX:0-3)\ttab"
)


@dataclass(frozen=True)
class Seen:
    """What one batch script or one task of a step saw."""

    where: str
    job: int
    node: str
    restart: int
    at_ms: int
    job_gpus: str
    step_gpus: str
    visible: str
    array_task: str
    user: str

    def indexes(self) -> frozenset[int]:
        """Node-local GRES indexes: a step's where it has them, else the job's on its first node."""
        return indexes(self.step_gpus or self.job_gpus)


@dataclass
class Ran:
    """What was submitted: job ids by what they are, and every id."""

    jobs: dict[str, int] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0

    def ids(self) -> list[int]:
        return list(self.jobs.values())


def indexes(text: str) -> frozenset[int]:
    """``0,2-3`` -> {0, 2, 3}."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return frozenset(found)


def seen(cluster: Cluster) -> list[Seen]:
    """All that jobs wrote, in order."""
    found = []
    for line in cluster.read("/scratch/seen/jobs").splitlines():
        where, job, node, restart, at_ms, job_gpus, step_gpus, visible, task, user, _ = line.split("\t")
        found.append(
            Seen(where, int(job), node, int(restart), int(at_ms), job_gpus, step_gpus, visible, task, user),
        )
    return found


def batch(*commands: str) -> str:
    """A job script."""
    return "\n".join(["#!/bin/sh", *commands, ""])


def submit(cluster: Cluster, middle: Callable[[], None] = lambda: None) -> Ran:
    """Run them all; ``middle`` is called while many of them run. Returns when accounting has every end."""
    ran = Ran(started=time.time())

    def job(name: str, user: str, script: str, *options: str) -> int:
        ran.jobs[name] = cluster.sbatch(script, user, *options)
        return ran.jobs[name]

    first_wave(job)
    suspended, requeued = ran.jobs["suspended"], ran.jobs["requeued"]
    for name in ("suspended", "requeued", "cancelled", "multi node", "shards a", "shards b", "hostile"):
        cluster.wait_state(ran.jobs[name], "RUNNING")
    time.sleep(2)
    cluster.scontrol("suspend", str(suspended))
    cluster.run(["scancel", str(ran.jobs["cancelled pending"])], user="carol")
    time.sleep(3)
    middle()
    cluster.scontrol("requeue", str(requeued))
    cluster.run(["scancel", str(ran.jobs["cancelled"])], user="bob")
    cluster.wait_state(requeued, "PENDING")
    # By itself it would wait two minutes; begun within a second of the requeue it is killed ("credential revoked").
    time.sleep(2)
    cluster.scontrol("update", f"jobid={requeued}", "starttime=now")
    cluster.scontrol("resume", str(suspended))
    by_hand = cluster.popen(
        ["salloc", "--gres=gpu:1", "srun", "saw", "step", "2"],
        user="bob",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    second_wave(job)
    _, told = by_hand.communicate(timeout=120)
    granted = re.search(r"Granted job allocation (\d+)", told)
    assert granted, told
    ran.jobs["salloc"] = int(granted[1])
    cluster.wait(ran.ids())
    ran.ended = time.time()
    return ran


def first_wave(job: Callable[..., int]) -> None:
    """Fits on the two nodes at once, but for the last."""
    job("suspended", "alice", batch("saw batch 12"), "--gres=gpu:a100:1", "--nodelist=n2")
    job("requeued", "alice", batch("saw batch 8"), "--gres=gpu:1", "--nodelist=n2", "--requeue")
    job("cancelled", "bob", batch("saw batch 300"), "--gres=gpu:1", "--nodelist=n2")
    job("multi node", "bob", batch("saw batch", "srun saw step 9"), "--gres=gpu:1", "--nodes=2")
    # Two jobs on one device.
    job("shards a", "carol", batch("saw batch 12"), "--gres=shard:1", "--nodelist=n1")
    job("shards b", "carol", batch("saw batch 10"), "--gres=shard:2", "--nodelist=n1", "--account=biology")
    job("hostile", "carol", batch("saw batch 9"), "--gres=gpu:1", "--nodelist=n1", f"--job-name={HOSTILE_NAME}")
    job("cpu only", "bob", batch("saw batch 5"))
    job("cancelled pending", "carol", batch("saw batch 300"), "--gres=gpu:4", "--nodelist=n2")


def second_wave(job: Callable[..., int]) -> None:
    """As many as come; they wait for one another."""
    job("plain", "alice", batch("saw batch 4"), "--gres=gpu:a100:1")
    job("two gpus", "alice", batch("saw batch 5"), "--gres=gpu:2", "--comment=Nodes=n9 GRES=gpu:a100:4(IDX:0-3)")
    job("array", "bob", batch("saw batch 3"), "--gres=gpu:1", "--array=1-3")
    steps = batch("saw batch", "srun saw step 1", "srun saw step 1", "srun saw step 1")
    job("steps", "carol", steps, "--gres=gpu:2")
    job("failed", "bob", batch("saw batch 2", "exit 3"), "--gres=gpu:1")
    job("short", "alice", batch("saw batch"), "--gres=gpu:1")
    job("true", "alice", batch("true"), "--gres=gpu:1")
    job("two on each", "carol", batch("saw batch", "srun saw step 3"), "--gres=gpu:2", "--nodes=2", "--account=biology")
    job("unequal", "alice", batch("saw batch", "srun saw step 4"), "--gpus=3", "--nodes=2", "--ntasks=3")
    job("het", "alice", batch("saw batch 7"), "--gres=gpu:1", ":", "--gres=gpu:2")
    job("whole node", "bob", batch("saw batch 3"), "--exclusive", "--gres=gpu:1", "--nodelist=n2")
