"""A cluster whose hooks have company: a site's own scripts before and after ours, slow or failing by partition.

``Prolog=/etc/slurm/prolog.d/*`` runs in reverse order of names, and a failure stops those after it:

    90-site     partition ``lateprolog`` (``lateepilog``): five seconds; ``refused``: exit 1
    50-gpucost  ours, as installed
    45-copy     ours with another spool, COPIES, that no daemon reads while jobs run
    40-log      one line in HOOK_LOG, for the tests; partition ``refusedlate``: exit 1
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable

from tests.cluster.cluster import NODES, Cluster
from tests.cluster.rootfs import REPOSITORY

SPOOL, COPIES = "/run/gpucost/spool", "/run/gpucost/copies"
HOOK_LOG = "/scratch/hooks"
LATE_SECONDS = 5
PARTITIONS = ("lateprolog", "lateepilog", "refused", "refusedlate")
CONF = "\n".join(
    [
        "Prolog=/etc/slurm/prolog.d/*",
        "Epilog=/etc/slurm/epilog.d/*",
        "HealthCheckProgram=/etc/slurm/health",
        "HealthCheckInterval=2",
        "HealthCheckNodeState=ANY,CYCLE",
        # With 2 a node that is set down by hand is back within a second, dead or not: its last answer was new enough.
        "ReturnToService=1",
        "SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0",
        *(f"PartitionName={name} Nodes=n[1-2] MaxTime=INFINITE State=UP" for name in PARTITIONS),
        "",
    ]
)
_SLOW = f"""#!/bin/sh
case $SLURM_SCRIPT_CONTEXT.$SLURM_JOB_PARTITION in
  prolog_slurmd.lateprolog | epilog_slurmd.lateepilog) /usr/bin/sleep {LATE_SECONDS} ;;
  prolog_slurmd.refused) exit 1 ;;
esac
"""
_LOG = f"""#!/bin/sh
printf '%s\\n' "$SLURM_SCRIPT_CONTEXT $SLURM_JOB_ID $SLURMD_NODENAME $(/usr/bin/date +%s%3N)" >>{HOOK_LOG}
case $SLURM_SCRIPT_CONTEXT.$SLURM_JOB_PARTITION in prolog_slurmd.refusedlate) exit 1 ;; esac
"""
# A health check that finds its node sick sets it down, as a site's does. SLURMD_NODENAME is not always there.
_HEALTH = """#!/bin/sh
for node in n1 n2; do
  [ -e /scratch/sick.$node ] || continue
  /usr/bin/mv /scratch/sick.$node /scratch/was-sick.$node || continue
  /usr/bin/scontrol update nodename=$node state=down reason='health check: GPU fell off the bus'
done
"""


class Site(Cluster):
    """The cluster with these hooks, and what is done to its daemons."""

    def __init__(self, suite: str, slurm_conf: str = "") -> None:
        super().__init__(suite, hooks=False, slurm_conf=CONF + slurm_conf)

    def boot(self, timeout: float = 60) -> None:
        super().boot(timeout)
        self.write("/etc/slurm/health", _HEALTH, 0o755)
        self.write(HOOK_LOG, "", 0o666)
        self.run(["mkdir", "-p", COPIES])
        for hook in ("prolog", "epilog"):
            ours = (REPOSITORY / hook / f"gpucost-{hook}").read_text()
            copy, found = re.subn(r"(?m)^spool=/run/gpucost/spool$", f"spool={COPIES}", ours)
            assert found == 1
            for name, text in (("90-site", _SLOW), ("50-gpucost", ours), ("45-copy", copy), ("40-log", _LOG)):
                self.write(f"/etc/slurm/{hook}.d/{name}", text, 0o755)
        for node in NODES:  # they looked for the scripts when they started
            self.stop(f"slurmd-{node}")
            self.start(f"slurmd-{node}")
        self.until_idle(*NODES)

    def crash(self, node: str, jobs: Iterable[int]) -> None:
        """The node's slurmd and all that ran there for these jobs die at once; no epilog runs."""
        slurmd = self.read(f"/run/slurmd-{node}.pid").strip()
        steps = "|".join(map(str, jobs))
        self.run(
            f"victims=$(pgrep -f '^slurmstepd: \\[({steps})\\.'); "
            f"for v in $victims; do victims=\"$victims $(pgrep -P $v)\"; done; "
            f"kill -KILL {slurmd} $victims",
            check=False,
        )  # fmt: skip

    def freeze(self, node: str, jobs: Iterable[int], signal: str = "STOP") -> None:
        """What a lost network looks like from outside: nobody on the node answers. ``signal`` CONT ends it."""
        slurmd = self.read(f"/run/slurmd-{node}.pid").strip()
        steps = "|".join(map(str, jobs))
        self.run(f"kill -{signal} {slurmd} $(pgrep -f '^slurmstepd: \\[({steps})\\.')", check=False)

    def node_states(self) -> dict[str, str]:
        """sinfo's word for each node."""
        told = self.run(["sinfo", "-h", "-N", "-p", "main", "-o", "%N %T"], check=False).stdout
        return dict(line.split() for line in told.splitlines() if len(line.split()) == 2)

    def until_idle(self, *nodes: str) -> None:
        self.until(lambda: {self.node_states().get(n) for n in nodes} == {"idle"}, f"{nodes} to be idle", 60)

    def resume(self, *nodes: str) -> None:
        """Bring nodes back that are down or drained; one that came back by itself is fine, too."""
        for node in nodes:
            self.scontrol("update", f"nodename={node}", "state=resume", check=False)
        self.until_idle(*nodes)

    def hooks_run(self) -> Counter[tuple[str, int, str]]:
        """(prolog or epilog, job, node) of every run that came as far as the site's last script."""
        lines = (line.split() for line in self.read(HOOK_LOG).splitlines())
        return Counter((context.removesuffix("_slurmd"), int(job), node) for context, job, node, _ in lines)

    def ask(self, ledger: str, query: str) -> list[list[str]]:
        """Rows of a ledger, as sqlite3 prints them; read while the daemon writes."""
        told = self.run(["sqlite3", "-readonly", "-separator", "\t", "-cmd", ".timeout 5000", ledger, query]).stdout
        return [line.split("\t") for line in told.splitlines()]


def at(moment: float) -> None:
    """Sleep until a monotonic time."""
    time.sleep(max(0.0, moment - time.monotonic()))
