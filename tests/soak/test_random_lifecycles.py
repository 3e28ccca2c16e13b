"""Random orders to random jobs on a real Slurm: the ledger is what accounting and jobs say, whatever happens.

GPUCOST_SOAK_SECONDS says for how long (600), GPUCOST_SOAK_SEED repeats a run's choices, if not Slurm's timing.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.compare import (
    assert_devices_are_those_seen,
    assert_no_device_is_let_twice,
    assert_partition,
    assert_quantities,
    assert_times_and_owners,
)
from tests.cluster.lifecycle import GPUS, GRES_CONF, SLURM_CONF
from tests.cluster.scenario import Site
from tests.cluster.workload import batch

pytestmark = [pytest.mark.soak, pytest.mark.cluster]
SECONDS = int(os.environ.get("GPUCOST_SOAK_SECONDS", "600"))
LIVE = 14
"""As many jobs wait or run at a time, about."""
KINDS = (
    *("--gres=gpu:1", "--gres=gpu:2", "--gpus=3 --nodes=2 --ntasks=3", "--gres=gpu:1 --nodes=2 --ntasks=2"),
    *("--gres=shard:1", "--gres=shard:3", "--gres=gpu:1 --array=1-3", "--exclusive --gres=gpu:1"),
    *("--gres=gpu:1 --partition=requeuing", "--gres=gpu:2 --partition=cancelling"),
    *("--gres=gpu:4 --partition=urgent", "--gres=gpu:1 --partition=overlap", "--gres=gpu:1 --hold"),
    *("--gres=gpu:2 --partition=mixed", "--gres=gpu:1 --partition=mixed", "--gres=gpu:1 --partition=mig"),
    *("--gres=mps:40 --partition=mps", "--gres=gpu:1 --partition=gang --cpus-per-task=16", "--gres=gpu:1 --time=1"),
)
ORDERS = {
    "RUNNING": ("suspend", "requeue", "requeuehold", "update NumNodes=1 jobid=", "update EndTime=now+2 jobid="),
    "SUSPENDED": ("resume", "resume", "resume", "requeue"),
    "PENDING": ("hold", "release", "release", "update starttime=now jobid="),
}


class Random(Site):
    """``log`` is every order that was given."""

    def __init__(self, suite: str, seed: int) -> None:
        super().__init__(Cluster(suite, slurm_conf=SLURM_CONF, gres_conf=GRES_CONF), GPUS)
        self.choose = random.Random(seed)
        self.log: list[str] = []

    def play(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self._order(self.cluster.states())
            time.sleep(self.choose.choice((0, 0, 0.2, 1, 2)))
        while live := self._live(self.cluster.states()):
            self._run(f"scontrol release {','.join(map(str, live))}; scancel {' '.join(map(str, live))}")
            time.sleep(3)
        rows = self.cluster.sacct(fields=("JobIDRaw", "State"))
        self.cluster.wait({int(row["JobIDRaw"]) for row in rows})

    def _order(self, states: dict[int, str]) -> None:
        live = self._live(states)
        if len(live) < LIVE or self.choose.random() < 0.1:
            user, kind = self.choose.choice(("alice", "bob", "carol")), self.choose.choice(KINDS)
            script = batch(f"saw batch {self.choose.choice((0, 0, 1, 3, 8, 20))}")
            if "--nodes" in kind:
                script = batch("saw batch", f"srun saw step {self.choose.choice((1, 5, 15))}")
            self.log.append(
                f"{time.time():.1f} {kind}: {self.cluster.sbatch(script, user, '--requeue', *kind.split())}"
            )
            return
        job = self.choose.choice(live)
        if self.choose.random() < 0.15:
            self._run(f"scancel {job}")
        elif orders := ORDERS.get(states[job]):
            order = self.choose.choice(orders)
            self._run(f"scontrol {order}{job}" if order.endswith("=") else f"scontrol {order} {job}")

    def _run(self, command: str) -> None:
        done = self.cluster.run(command, check=False)
        self.log.append(f"{time.time():.1f} {command}: {done.stderr.strip()}")

    @staticmethod
    def _live(states: dict[int, str]) -> list[int]:
        return sorted(job for job, state in states.items() if state in (*ORDERS, "COMPLETING"))


@pytest.fixture(scope="module")
def site(suite: str) -> Iterator[Random]:
    seed = int(os.environ.get("GPUCOST_SOAK_SEED") or random.SystemRandom().randrange(10**6))
    print(f"GPUCOST_SOAK_SEED={seed}")
    with Random(suite, seed) as played:
        yield played


@pytest.mark.parametrize(
    "check",
    [
        assert_times_and_owners,
        assert_quantities,
        assert_devices_are_those_seen,
        assert_no_device_is_let_twice,
        assert_partition,
    ],
)
def test_whatever_happened(site: Random, check: object) -> None:
    assert callable(check)
    try:
        check(site)
    except AssertionError:
        print("\n".join(site.log))
        raise
