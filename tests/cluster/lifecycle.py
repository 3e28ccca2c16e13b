"""Every lifecycle of a job that Slurm knows, side by side on one cluster; each story is a function that plays one.

Stories run in threads of their own. Those that need a node to themselves have one (lifecycle.conf), so a whole play
takes as long as its longest story.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.cluster.cluster import HERE, Cluster
from tests.cluster.scenario import Site
from tests.cluster.workload import batch, seen

UNTIL_TOLD = 'while [ ! -e "/scratch/told.$SLURM_JOB_ID" ]; do sleep 0.3; done'
SLURM_CONF = (HERE / "lifecycle.conf").read_text()
GPUS = ("a100=19x12000", "v100=2x6000", "1g.5gb=2x2000", "3g.20gb=1x6000")
GRES_CONF = (HERE / "lifecycle_gres.conf").read_text()


class Lifecycle(Site):
    """Plays every story on one cluster; ``ids`` are the jobs' by name."""

    def __init__(self, suite: str) -> None:
        super().__init__(Cluster(suite, slurm_conf=SLURM_CONF, gres_conf=GRES_CONF), GPUS)
        self.ids: dict[str, int] = {}

    def play(self) -> None:
        self.ids = play(self.cluster).jobs


@dataclass
class Play:
    """What the stories submitted, by name."""

    cluster: Cluster
    jobs: dict[str, int] = field(default_factory=dict)

    def submit(self, name: str, user: str, script: str, *options: str) -> int:
        """Submit a job script; its id."""
        self.jobs[name] = self.cluster.sbatch(script, user, *options)
        return self.jobs[name]

    def scontrol(self, *words: str) -> None:
        """22.05 takes no order for a job of which slurmdbd has not heard yet."""
        for _ in range(60):
            done = self.cluster.run(["scontrol", *words], check=False)
            if "try again" not in done.stderr:
                break
            time.sleep(0.5)
        assert done.returncode == 0, f"{words}: {done.stderr}"

    def running(self, *jobs: int) -> None:
        """Until these jobs run, and a moment more."""
        for job in jobs:
            self.cluster.wait_state(job, "RUNNING", 120)
        time.sleep(1.5)

    def booked(self, job: int) -> None:
        """Until slurmdbd has heard that it runs: 22.05 books nothing of a run that is requeued before that."""

        def is_there() -> bool:
            rows = self.cluster.sacct("-j", str(job), fields=("State", "Start"))
            return any(row["State"] == "RUNNING" and row["Start"].isdigit() for row in rows)

        self.cluster.until(is_there, f"{job} to be booked", 60)

    def tell(self, *jobs: int) -> None:
        """End what waits with UNTIL_TOLD: a loaded machine must not end it earlier."""
        for job in jobs:
            self.cluster.write(f"/scratch/told.{job}", "")

    def ended(self, *jobs: int) -> None:
        """Until the controller has none of them under way."""
        under_way = {"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"}
        self.cluster.until(lambda: not under_way & {*self.cluster.states(*jobs).values()}, f"{jobs} to end", 120)

    def begin_now(self, job: int) -> None:
        """A requeued job waits two minutes by itself; begun within a second of the requeue it is killed."""
        self.cluster.wait_state(job, "PENDING")
        time.sleep(2)
        self.scontrol("update", f"jobid={job}", "starttime=now")


def play(cluster: Cluster) -> Play:
    """All stories; returns when accounting has every end."""
    played = Play(cluster)
    with ThreadPoolExecutor(len(STORIES)) as pool:
        for future in [pool.submit(story, played) for story in STORIES]:
            future.result()
    preempted_by_qos(played)
    cluster.wait(played.jobs.values())
    return played


def plain_kinds(p: Play) -> None:
    """Those that need nothing but a place."""
    p.submit("single", "alice", batch("saw batch 2"), "--gres=gpu:1")
    p.submit("three gpus", "bob", batch("saw batch 8"), "--gres=gpu:a100:3")
    p.submit("unequal", "alice", batch("saw batch", "srun saw step 8"), "--gpus=3", "--nodes=2", "--ntasks=3")
    p.submit("array", "bob", batch("saw batch 1"), "--gres=gpu:1", "--array=1-5%3")
    p.submit("het", "alice", batch("saw batch 3"), "--gres=gpu:1", ":", "--gres=gpu:v100:1", "--partition=mixed")
    p.submit("steps", "carol", batch("saw batch", "for i in 1 2 3 4 5 6 7 8; do srun saw step; done"), "--gres=gpu:2")
    p.submit("failed", "bob", batch("saw batch 1", "exit 3"), "--gres=gpu:1")
    p.submit("killed itself", "bob", batch("saw batch 1", "kill -9 $$"), "--gres=gpu:1")
    for n in range(4):
        p.submit(f"instant {n}", "carol", batch("true"), "--gres=gpu:1")
    p.submit("overlapping partition", "carol", batch("saw batch 2"), "--gres=gpu:1", "--partition=overlap")
    for n in range(3):
        p.submit(f"shard {n}", "carol", batch("saw batch 4"), f"--gres=shard:{n + 1}", "--nodelist=n1")


def salloc_without_srun(p: Play) -> None:
    done = p.cluster.run(["salloc", "--gres=gpu:2", "sleep", "3"], user="bob", timeout=120)
    granted = re.search(r"Granted job allocation (\d+)", done.stderr)
    assert granted, done.stderr
    p.jobs["salloc without srun"] = int(granted[1])


def timed_out(p: Play) -> None:
    """A time limit has whole minutes; the end can be moved to the second. It is enforced every half minute."""
    job = p.submit("timeout", "alice", batch("saw batch 600"), "--gres=gpu:1", "--time=5")
    p.running(job)
    p.scontrol("update", f"jobid={job}", "EndTime=now+10")
    p.ended(job)


def out_of_memory(p: Play) -> None:
    """Without cgroups: jobacct_gather's OverMemoryKill."""
    hungry = 'python3 -c "import time; held = bytearray(300 << 20); time.sleep(120)"'
    small = ("--gres=gpu:1", "--mem=60M", "--acctg-freq=task=1")
    p.submit("out of memory in batch", "bob", batch("saw batch", hungry), *small)
    p.submit("out of memory in step", "bob", batch("saw batch", f"srun {hungry}"), *small)


def stubborn(p: Play) -> None:
    """Ignores SIGTERM: dies KillWait after its End."""
    script = batch("trap '' TERM", "saw batch", "while sleep 1 || true; do true; done")
    job = p.submit("ignores SIGTERM", "carol", script, "--gres=gpu:1")
    p.running(job)
    p.cluster.run(["scancel", str(job)], user="carol")
    p.ended(job)


def requeued_twice(p: Play) -> None:
    job = p.submit("requeued twice", "alice", batch("saw batch", UNTIL_TOLD), "--gres=gpu:1", "--requeue")
    for _ in range(2):
        p.running(job)
        p.booked(job)
        p.scontrol("requeue", str(job))
        p.begin_now(job)
    p.running(job)
    p.tell(job)
    p.ended(job)


def requeued_at_once(p: Play) -> None:
    """Within the second in which it began: 22.05 then books no Start for that run, though its hooks ran."""
    job = p.submit("requeued at once", "bob", batch("saw batch 3"), "--gres=gpu:1", "--requeue")
    p.cluster.until(lambda: p.cluster.states(job).get(job) == "RUNNING", "it to run", 120, every=0.05)
    p.scontrol("requeue", str(job))
    p.begin_now(job)
    p.ended(job)


def suspended_twice(p: Play) -> None:
    job = p.submit("suspended twice", "alice", batch("saw batch", UNTIL_TOLD), "--gres=gpu:1")
    for _ in range(2):
        p.running(job)
        p.scontrol("suspend", str(job))
        time.sleep(3)
        p.scontrol("resume", str(job))
    p.running(job)
    p.tell(job)
    p.ended(job)


def ended_while_suspended(p: Play) -> None:
    """By accounting it ended when it was suspended."""
    names = {"cancelled while suspended": "scancel", "requeued while suspended": "scontrol requeue"}
    jobs = {p.submit(n, "bob", batch("saw batch 600"), "--gres=gpu:1", "--requeue"): how for n, how in names.items()}
    p.running(*jobs)
    for job in jobs:
        p.scontrol("suspend", str(job))
    time.sleep(5)
    for job, how in jobs.items():
        p.cluster.run(f"{how} {job}")
    time.sleep(1)
    p.cluster.run(["scancel", *map(str, jobs)])
    p.ended(*jobs)


def shrunk(p: Play) -> None:
    script = batch("saw batch", "srun saw step", UNTIL_TOLD, "saw batch 2")
    job = p.submit("shrunk", "alice", script, "--gres=gpu:1", "--nodes=2", "--ntasks=2")
    both = {"n1", "n2"}
    p.cluster.until(
        lambda: {s.node for s in seen(p.cluster) if (s.job, s.where) == (job, "step")} == both, "steps", 120
    )
    time.sleep(1.5)
    p.scontrol("update", f"jobid={job}", "NumNodes=1")
    time.sleep(1.5)
    p.tell(job)
    p.ended(job)


def held_and_released(p: Play) -> None:
    job = p.submit("held", "bob", batch("saw batch 2"), "--gres=gpu:1", "--hold")
    time.sleep(3)
    p.scontrol("release", str(job))
    p.ended(job)


def held_while_running(p: Play) -> None:
    """Its owner puts it on hold, which changes nothing but that sacct, asked by time, does not list it any more.

    On n5, which has one partition: where two overlap, gang scheduling can suspend a job, and resumes none on hold.
    """
    words = ("--gres=gpu:1", "--partition=mps")
    job = p.submit("held while running", "alice", batch("saw batch", UNTIL_TOLD), *words)
    p.running(job)
    p.cluster.run(["scontrol", "hold", str(job)], user="alice")
    time.sleep(5)
    p.tell(job)
    p.ended(job)


def calm_node(p: Play) -> None:
    """On n8: jobs that follow one another on the same devices, a whole node, a deadline, a reservation."""
    on = ("--partition=calm",)
    for n in range(8):  # on a busy machine not each follows within a second
        p.submit(f"back to back {n}", "alice", batch("saw batch 1"), "--gres=gpu:2", *on)
    whole = p.submit("exclusive", "bob", batch("saw batch", UNTIL_TOLD), "--exclusive", "--gres=gpu:1", *on)
    # A deadline ends only what waits: in time for a minute's limit this one would have to start within ten seconds.
    late = p.submit("deadline", "carol", batch("saw batch"), "--gres=gpu:2", "--deadline=now+70", "--time=1", *on)
    p.ended(late)
    p.tell(whole)
    p.ended(whole)
    words = ["reservationname=kept", "users=carol", "starttime=now", "duration=10", "nodes=n8"]
    p.cluster.scontrol("create", *words)
    job = p.submit("in a reservation", "carol", batch("saw batch 2"), "--gres=gpu:1", "--reservation=kept", *on)
    p.ended(job)
    p.cluster.scontrol("delete", "reservationname=kept")


def mixed_types(p: Play) -> None:
    """On n3, which has one a100 and two v100."""
    for n, gres in enumerate(["gpu:1", "gpu:v100:1", "gpu:a100:1", "gpu:2", "gpu:3", "gpu:1"]):
        p.submit(f"mixed {n} {gres}", "carol", batch("saw batch 5"), f"--gres={gres}", "--partition=mixed")


def mig(p: Play) -> None:
    for n, gres in enumerate(["gpu:1g.5gb:1", "gpu:1g.5gb:1", "gpu:3g.20gb:1", "gpu:1", "gpu:3"]):
        p.submit(f"mig {n} {gres}", "alice", batch("saw batch 5"), f"--gres={gres}", "--partition=mig")


def mps(p: Play) -> None:
    for n, gres in enumerate(["mps:50", "mps:30", "gpu:1", "mps:100"]):
        p.submit(f"mps {n} {gres}", "bob", batch("saw batch 3"), f"--gres={gres}", "--partition=mps")


def gang(p: Play) -> None:
    """Two jobs that want all of n7's CPUs and one GPU each take turns of SchedulerTimeSlice."""
    words = ("--gres=gpu:1", "--cpus-per-task=16", "--partition=gang")
    jobs = [p.submit(f"gang {user}", user, batch("saw batch", UNTIL_TOLD), *words) for user in ("alice", "bob")]
    for job in jobs:
        shown = ["show", "job", str(job)]
        p.cluster.until(lambda: "SuspendTime=None" not in p.cluster.scontrol(*shown), f"{job}'s turn to wait", 120)  # noqa: B023
    time.sleep(2)
    p.tell(*jobs)
    p.ended(*jobs)


def preempted_by_partition(p: Play) -> None:
    jobs = [
        p.submit(f"preempted in {kind}", user, batch("saw batch 600"), "--gres=gpu:1", f"--partition={kind}")
        for user, kind in (("alice", "requeuing"), ("bob", "cancelling"))
    ]
    p.running(*jobs)
    urgent = p.submit("urgent", "carol", batch("saw batch 2"), "--gres=gpu:4", "--partition=urgent")
    p.ended(urgent)
    p.begin_now(jobs[0])
    p.running(jobs[0])
    p.cluster.run(["scancel", str(jobs[0])])
    p.ended(*jobs)


def preempted_by_qos(p: Play) -> None:
    """Needs another PreemptType, so it comes last."""
    c = p.cluster
    c.run("sacctmgr -i add qos weak preemptmode=requeue && sacctmgr -i add qos weakest preemptmode=cancel")
    c.run("sacctmgr -i add qos strong preempt=weak,weakest")
    c.run("sacctmgr -i modify user where name=alice,bob,carol set qos+=weak,weakest,strong")
    c.run("sed -i s,^PreemptType=.*,PreemptType=preempt/qos, /etc/slurm/slurm.conf && scontrol reconfigure")
    time.sleep(2)
    on = ("--partition=calm",)
    jobs = [
        p.submit(f"preempted as {qos}", user, batch("saw batch 600"), "--gres=gpu:1", f"--qos={qos}", *on)
        for user, qos in (("alice", "weak"), ("bob", "weakest"))
    ]
    p.running(*jobs)
    strong = p.submit("strong", "carol", batch("saw batch 2"), "--gres=gpu:2", "--qos=strong", *on)
    p.ended(strong)
    p.begin_now(jobs[0])
    p.running(jobs[0])
    c.run(["scancel", str(jobs[0])])
    p.ended(*jobs)


STORIES: tuple[Callable[[Play], None], ...] = (
    timed_out,
    plain_kinds,
    salloc_without_srun,
    out_of_memory,
    stubborn,
    requeued_twice,
    requeued_at_once,
    suspended_twice,
    ended_while_suspended,
    shrunk,
    held_and_released,
    held_while_running,
    calm_node,
    mixed_types,
    mig,
    mps,
    gang,
    preempted_by_partition,
)
